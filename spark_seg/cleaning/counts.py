"""What cleaning saw of a source, and whether a run may go on with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from spark_seg.cleaning.rules import AFTER_AS_OF, SETTLED
from spark_seg.config import CleaningSettings
from spark_seg.errors import InputError


@dataclass(frozen=True)
class Counts:
    """What cleaning saw of one source. `currencies`: two of those of the trusted rows, if there are two."""

    source: str
    rows: int
    reasons: dict[str, int]
    first: str | None = None
    currencies: tuple[str, ...] = ()

    @property
    def rejected(self) -> int:
        """Rejected rows, whatever the reason."""
        return sum(self.reasons.values())

    @property
    def kept(self) -> int:
        """Trusted rows."""
        return self.rows - self.rejected


def check_counts(
    counts: list[Counts], settings: CleaningSettings, as_of: date, known: Mapping[str, int] | None = None
) -> None:
    """Stop before anything is published when a source is mostly unusable. Raises `InputError`.

    `known`: source → rows that an earlier run has rejected already, where only rows that came since are
    read: there may be none, and the others are judged by themselves.
    """
    problems = []
    for c in counts:
        settled = sum(c.reasons.get(reason, 0) for reason in SETTLED) + (known or {}).get(c.source, 0)
        # A row without a day may be of somebody who was erased since, and settled twice.
        judged, bad = max(0, c.rows - settled), max(0, c.rejected - settled)
        reasons = ", ".join(f"{n:,} {name}" for name, n in sorted(c.reasons.items(), key=lambda x: -x[1]))
        if known is not None and judged == 0:
            continue
        if settings.currency is None and len(c.currencies) > 1:
            problems.append(
                f"{c.source}.currency: must be the same on every row; got {' and '.join(c.currencies)}. Set "
                "cleaning.currency, and sources.rates to convert the others (without rates they are rejected)"
            )
        if c.source == "orders" and judged == 0 and c.first is not None and AFTER_AS_OF in c.reasons:
            problems.append(
                f"orders: must have rows before as_of {as_of}; the first is on {c.first}. "
                "Give a later --as-of"
            )
        elif judged and bad / judged > settings.max_reject_share:
            problems.append(
                f"{c.source}: at most {settings.max_reject_share:.1%} of the rows may be rejected "
                f"(cleaning.max_reject_share); got {bad / judged:.1%} ({reasons}). "
                "Repair the source, correct the mapping or the key, or raise the ceiling"
            )
        elif c.source == "orders" and c.kept == 0:
            problems.append(f"orders: must keep at least one row; all were rejected ({reasons}). "
                            "Check the mapping of sources.orders")  # fmt: skip
    if problems:
        raise InputError(problems, title="cleaning")
