"""What was published, read without Spark, and whether two places say the same of every customer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

#: Columns that tell of the attempt and not of the customer.
_OF_THE_RUN = ("run_id", "attempt_id")


class Different(Exception):
    """Two places do not say the same, or nothing."""


def rows(root: Path, table: str) -> list[dict[str, Any]]:
    """All rows of a published table."""
    return list(DeltaTable(str(root / table)).to_pyarrow_table().to_pylist())


def snapshot(root: Path, table: str = "assignments", key: str = "customer_id") -> list[dict[str, Any]]:
    """Rows of a table in which one run stands, in order, without what names the run."""
    found = [{n: v for n, v in row.items() if n not in _OF_THE_RUN} for row in rows(root, table)]
    return sorted(found, key=lambda row: str(row[key]))


def compared(ours: Path, other: Path, digits: int = 9) -> str:
    """How the assignments of two places agree, in words.

    Raises `Different` unless everybody has the same segment and figures agree to `digits` decimals: sums over
    several executors have no fixed order.
    """
    mine, theirs = snapshot(ours), snapshot(other)
    if not mine or len(mine) != len(theirs):
        raise Different(f"assignments: {len(mine):,} customers in {ours}, {len(theirs):,} in {other}")
    pairs = [pair for a, b in zip(mine, theirs, strict=True) for pair in _figures(a, b, digits)]
    bits = sum(a == b for a, b in pairs)
    figures = f"{bits:,} of {len(pairs):,} figures equal to the bit"
    return f"{len(mine):,} customers, all in the same segment; {figures}"


def _figures(a: dict[str, Any], b: dict[str, Any], digits: int) -> Iterator[tuple[float, float]]:
    for name, value in a.items():
        other = b[name]
        if isinstance(value, float) and isinstance(other, float):
            if abs(value - other) > 10**-digits:
                raise Different(f"assignments.{name} of {a['customer_id']}: {value} and {other}")
            yield value, other
        elif value != other:
            raise Different(f"assignments.{name} of {a['customer_id']}: {value} and {other}")
