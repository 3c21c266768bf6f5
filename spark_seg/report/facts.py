"""What the rows of a run say, as every part of its report needs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spark_seg.config import UNSEGMENTED_ID
from spark_seg.report.published import Published, Rows
from spark_seg.report.words import foreign

Row = Mapping[str, Any]

#: Metric of a run that counts rows which were read; the source follows.
_ROWS = "rows_"


def settings_of(published: Published, *path: str) -> Mapping[str, Any]:
    """A section of the configuration that the run was made with; empty where it has none."""
    found: Any = published.config
    for name in path:
        found = (found or {}).get(name)
    return found or {}


def min_group(published: Published) -> int:
    """Customers from which on a group may be told of."""
    return int(settings_of(published, "privacy").get("min_group", 10))


def _clusters(published: Published) -> Rows:
    return [p for p in published.profiles if p["scheme"] == "clusters"]


def segments(published: Published) -> Rows:
    """Profiles of the segments: the most valuable first, then those of which nothing is told."""
    return sorted(
        (p for p in _clusters(published) if p["segment_id"] != UNSEGMENTED_ID),
        key=lambda p: (p["revenue"] is None, -float(p["revenue"] or 0), -p["customers"], p["segment_id"]),
    )


def told(published: Published) -> Rows:
    """The same without the suppressed."""
    return [p for p in segments(published) if not p["suppressed"]]


def hidden_ids(published: Published) -> set[int]:
    """Segments of which nothing may be told."""
    return {p["segment_id"] for p in _clusters(published) if p["suppressed"]}


def names_of(profiles: Rows) -> dict[int, str]:
    """Segment → its name, as it stands in the table."""
    return {p["segment_id"]: p["segment_name"] for p in profiles}


def everybody(published: Published) -> Row | None:
    """The profile of all who are in a segment."""
    return next((p for p in published.profiles if p["scheme"] == "everybody"), None)


def unsegmented(published: Published) -> int:
    """Customers without enough data to be in a segment."""
    return sum(p["customers"] for p in _clusters(published) if p["segment_id"] == UNSEGMENTED_ID)


def stats_of(profile: Row) -> dict[str, Row]:
    """Feature → its statistics in one profile."""
    return {s["feature"]: s for s in profile["feature_stats"] or []}


def clustered(published: Published) -> list[str]:
    """Features of the clustering that some segment has figures of."""
    named = settings_of(published, "preparation", "features")
    seen = {feature for p in told(published) for feature in stats_of(p)}
    return [feature for feature in named if feature in seen]


def chosen(published: Published) -> Row | None:
    """The candidate that became the model, where candidates are published."""
    return next((c for c in published.candidates if c["chosen"]), None)


def rows_read(published: Published) -> dict[str, int]:
    """Source → rows that were read of it, its tables together, as far as the run has counted them."""
    run = published.run
    rows: dict[str, int] = {}
    for source, _, _, n in run.inputs:
        name = source.partition(".")[0]
        if n is not None:
            rows[name] = rows.get(name, 0) + n
    counted = {m.removeprefix(_ROWS): int(n) for m, n in run.metrics.items() if m.startswith(_ROWS)}
    return rows | counted


def fidelity(published: Published) -> tuple[float | None, float]:
    """How often the rules place a customer as the model does, and how often they should."""
    wanted = settings_of(published, "explanations").get("min_fidelity", 0.9)
    return published.run.metrics.get("surrogate_fidelity"), float(wanted)


def warned(published: Published, word: str) -> list[str]:
    """What the warnings say of something that could not be shown."""
    return [foreign(w) for w in published.warnings if word in w.lower()]


def apart(rows: Rows, smallest: int, hidden: Rows | None = None) -> tuple[Rows, int]:
    """Rows of at least `smallest` customers, and how many customers the others have together.

    What one row hides can be worked out from a total. So further rows go with the hidden ones, the smallest
    first, until they have `smallest` customers together.
    """
    order = sorted(rows, key=lambda r: r["customers"])
    few_ = [r for r in order if r["customers"] < smallest]
    shown = order[len(few_) :]
    together = sum(r["customers"] for r in [*few_, *(hidden or [])])
    while 0 < together < smallest and shown:
        together += shown.pop(0)["customers"]
    return shown, together
