"""Who went from which segment to which since the former run, as far as it may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spark_seg.report.facts import apart, hidden_ids, min_group
from spark_seg.report.published import Published, Rows


@dataclass(frozen=True)
class Moves:
    """Who went where since one former run: ways of enough customers, and all others together."""

    as_of: Any
    run_id: str
    ways: Rows
    others: int


def migrations(published: Published) -> Rows:
    """Migrations since the first run that this one is compared with; none without one."""
    rows = published.migrations
    return [m for m in rows if m["against_run_id"] == rows[0]["against_run_id"]]


def stayed(published: Published) -> float | None:
    """Of the customers of both runs, the share who stayed where they were."""
    rows = migrations(published)
    both = sum(m["customers"] for m in rows if m["kind"] not in ("new", "gone"))
    return sum(m["customers"] for m in rows if m["kind"] == "stayed") / both if both else None


def moves(published: Published) -> Moves | None:
    """Ways since the first run that this one is compared with; None without one.

    Ways of fewer customers than `min_group`, and those from or to a suppressed segment, are put together;
    so are the smallest others, until there are enough of them together.
    """
    rows = migrations(published)
    if not rows:
        return None
    hidden = hidden_ids(published)
    ways: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        way = (row["from_segment_id"], row["to_segment_id"], row["kind"], row["cause"])
        former = ways.get(way)
        ways[way] = row if former is None else former | {"customers": former["customers"] + row["customers"]}
    order = sorted(ways.values(), key=lambda m: m["customers"])
    secret = [m for m in order if {m["from_segment_id"], m["to_segment_id"]} & hidden]
    shown, together = apart([m for m in order if m not in secret], min_group(published), secret)
    return Moves(rows[0]["against_as_of"], rows[0]["against_run_id"], shown[::-1], together)
