"""Segments over time, from the published tables alone (no JVM).

Usage: python scripts/show_history.py .demo/history
Ends with 1 when migrations do not add up to sizes.
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from rich.console import Console
from rich.table import Table

Rows = list[dict[str, Any]]


def main(root: Path) -> int:
    console = Console(highlight=False, width=140)
    runs = sorted(rows(root, "runs"), key=lambda r: (r["as_of"], r["revision"]))
    last = {run["as_of"]: run for run in runs if any(r["table"] == "assignments" for r in run["receipts"])}
    history = list(last.values())
    where = {
        run["as_of"]: {r["customer_id"]: r["segment_id"] for r in own(root, "assignments", run)}
        for run in history
    }
    console.print(sizes(history, where))
    wrong = 0
    for before, now in pairwise(history):
        then, today = where[before["as_of"]], where[now["as_of"]]
        both = then.keys() & today.keys()
        stayed = sum(then[c] == today[c] for c in both)
        ways = [w for w in own(root, "migrations", now) if w["against_run_id"] == before["run_id"]]
        causes = Counter[str]()
        for way in ways:
            if way["kind"] != "stayed":
                causes[way["cause"]] += way["customers"]
        told = ", ".join(f"{n:,} by {cause}" for cause, n in causes.most_common())
        ends = [
            f"{r['from_segment_name'] or '-'} {r['event']}"
            for r in own(root, "segment_lineage", now)
            if r["event"] in ("died", "split", "merged")
        ]
        days, share = f"{before['as_of']} → {now['as_of']}", f"{stayed / len(both):.1%}"
        console.print(
            f"{days}: {stayed:,} of {len(both):,} stayed ({share}); {told or 'nobody'}", soft_wrap=True
        )
        if ends:
            console.print(f"    {', '.join(dict.fromkeys(ends))}", soft_wrap=True)
        for side, members in (("from_segment_id", then), ("to_segment_id", today)):
            counted = Counter[Any]()
            for way in ways:
                if way[side] is not None:
                    counted[way[side]] += way["customers"]
            if counted != Counter(members.values()):
                console.print(
                    f"migrations of {now['as_of']} do not add up to sizes ({side})", style="bold red"
                )
                wrong = 1
    return wrong


def sizes(history: Rows, where: dict[Any, dict[str, int]]) -> Table:
    """Segment × as_of → customers."""
    names: dict[int, str] = {0: "unsegmented"}
    for run in history:
        names |= {s["segment_id"]: s["name"] for s in run["segments"]}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("segment")
    for run in history:
        table.add_column(f"{run['as_of']}\n{run['algorithm']} k={run['k']}", justify="right")
    counts = {day: Counter(members.values()) for day, members in where.items()}
    for i in sorted(names, key=lambda i: (i == 0, i)):
        own_counts = (counts[run["as_of"]][i] for run in history)
        table.add_row(f"{i} {names[i]}", *(f"{n:,}" if n else "-" for n in own_counts))
    return table


def rows(root: Path, table: str) -> Rows:
    found: Rows = DeltaTable(str(root / table)).to_pyarrow_table().to_pylist()
    return found


def own(root: Path, table: str, run: dict[str, Any]) -> Rows:
    """Rows of one committed run."""
    if not (root / table).exists():
        return []
    mine = [(name, "=", run[name]) for name in ("run_id", "attempt_id")]
    found: Rows = DeltaTable(str(root / table)).to_pyarrow_table(filters=mine).to_pylist()
    return found


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
