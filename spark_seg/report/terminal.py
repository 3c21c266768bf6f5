"""What a person reads in the terminal: the plan, the segments, and why not the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from spark_seg.profiles import case_sql
from spark_seg.publishing import CommittedRun, current_run

Rows = Sequence[dict[str, Any]]


def segment_table(profiles: Rows, scheme: str = "clusters") -> Table:
    """One line per segment, largest revenue first."""
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column("segment", style="bold cyan", no_wrap=True)
    table.add_column("customers", justify="right")
    table.add_column("share", justify="right")
    table.add_column("revenue", justify="right")
    table.add_column("what sets it apart", overflow="fold", ratio=3)
    table.add_column("play", overflow="fold", ratio=2)
    rows = [p for p in profiles if p["scheme"] == scheme]
    for p in sorted(rows, key=lambda p: -float(p["revenue"] or 0)):
        table.add_row(
            Text(f"{p['segment_id']} {p['segment_name']}"),
            f"{p['customers']:,}",
            _number(p["customer_share"], ".0%"),
            _number(p["revenue_share"], ".0%"),
            Text("too few customers to tell more" if p["suppressed"] else ", ".join(p["differences"])),
            Text(p["play"] or "-"),
        )
    return table


def candidate_table(candidates: Rows) -> Table:
    """One line per candidate, the chosen one first, then the acceptable ones by silhouette."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (
        "candidate",
        "silhou-\nette",
        "Davies-\nBouldin",
        "Calinski-\nHarabasz",
        "refit\nARI",
        "small-\nest",
        "larg-\nest",
    ):
        table.add_column(name, justify="left" if name == "candidate" else "right", no_wrap=True)
    table.add_column("verdict", overflow="fold")
    order = sorted(
        candidates, key=lambda c: (not c["chosen"], not c["accepted"], -(c["silhouette"] or -1.0), c["k"])
    )
    for c in order:
        style = "bold green" if c["chosen"] else "" if c["accepted"] else "dim"
        verdict = f"chosen: {c['reason']}" if c["chosen"] else c["reason"]
        table.add_row(
            Text(f"{c['algorithm']} k={c['k']}"),
            _number(c["silhouette"], ".3f"),
            _number(c["davies_bouldin"], ".3f"),
            _number(c["calinski_harabasz"], ",.0f"),
            _number(c["agreement"], ".2f"),
            _number(c["smallest_share"], ".1%"),
            _number(c["largest_share"], ".1%"),
            Text(verdict or ""),
            style=style,
        )
    return table


def run_table(runs: Sequence[CommittedRun]) -> Table:
    """One line per committed run, oldest first; a star marks tables that show this run."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("as_of", "run", "rev", "job", "committed", "choice"):
        table.add_column(name, no_wrap=True)
    table.add_column("tables (shown: *)", overflow="fold")
    for run in runs:
        shown = [
            f"{r.table} {r.rows:,}{'*' if current_run(runs, r.table, run.as_of) is run else ''}"
            for r in run.receipts
        ]
        table.add_row(
            str(run.as_of),
            run.run_id,
            str(run.revision),
            run.job,
            f"{run.committed_at:%Y-%m-%d %H:%M}" if run.committed_at else "-",
            f"{run.algorithm} k={run.k}" if run.algorithm else "-",
            ", ".join(shown),
        )
    return table


def move_table(migrations: Rows, against: str, shown: int = 10) -> Table:
    """Who went where since one former run, the largest ways first, and why."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("from", "to", "why", "customers", "revenue"):
        table.add_column(name, justify="right" if name in ("customers", "revenue") else "left", no_wrap=True)
    moved = [m for m in migrations if m["against_run_id"] == against and m["kind"] != "stayed"]
    for m in sorted(moved, key=lambda m: -m["customers"])[:shown]:
        why = m["kind"] if m["kind"] != "moved" else ""
        table.add_row(
            Text(m["from_segment_name"] or "-"),
            Text(m["to_segment_name"] or "-"),
            f"{why}{', ' if why else ''}{m['cause']}",
            f"{m['customers']:,}",
            _number(m["revenue"] if m["revenue"] is not None else m["revenue_before"], ",.0f"),
        )
    return table


def print_outcome(
    console: Console, profiles: Rows, candidates: Rows, structure: str | None = None, shown: int = 6
) -> None:
    """The segments, the first candidates with their verdicts, and whether there are groups at all."""
    if profiles:
        console.print()
        console.print(segment_table(profiles))
    if candidates:
        console.print()
        console.print(
            candidate_table(candidates[:] if len(candidates) <= shown else _first(candidates, shown))
        )
        if len(candidates) > shown:
            console.print(f"… {len(candidates) - shown} more in the table candidates", style="dim")
    if structure is not None:
        console.print(f"\nstructure  {structure}", markup=False, soft_wrap=True)


def print_changes(console: Console, lineage: Rows, migrations: Rows, alerts: Rows) -> None:
    """What became of former segments, who moved since former runs and why, and what a person must look at."""
    for row in lineage:
        if row["event"] != "survived":
            source, target = row["from_segment_name"] or "nothing", row["to_segment_name"] or "nothing"
            console.print(f"{row['event']:<10} {source} → {target}", markup=False, soft_wrap=True)
    for against in dict.fromkeys(m["against_run_id"] for m in migrations):
        own = [m for m in migrations if m["against_run_id"] == against]
        stayed = sum(m["customers"] for m in own if m["kind"] == "stayed")
        total = sum(m["customers"] for m in own if m["kind"] not in ("new", "gone"))
        since = f"since {own[0]['against_as_of']} ({against})"
        console.print(
            f"\n{since}: {stayed:,} of {total:,} customers stayed where they were",
            markup=False,
            soft_wrap=True,
        )
        if stayed < sum(m["customers"] for m in own):
            console.print(move_table(migrations, against))
    for alert in alerts:
        console.print(f"alert      {alert['sentence']}", markup=False, soft_wrap=True)


def print_decision(console: Console, drift: Rows, decision: str | None) -> None:
    """What was measured and broke its border, and what is to be done."""
    if decision is None:
        return
    console.print()
    for row in drift:
        if row["breached"]:
            console.print(f"{row['advice']:<10} {row['sentence']}", markup=False, soft_wrap=True)
    console.print(f"decision   {decision}, after {len(drift)} measures")


def _first(candidates: Rows, shown: int) -> list[dict[str, Any]]:
    """The chosen candidate, the best of the other acceptable ones, and the best rejected one."""
    order = sorted(candidates, key=lambda c: (not c["chosen"], not c["accepted"], -(c["silhouette"] or -1.0)))
    rejected = [c for c in order if not c["accepted"]][:2]
    accepted = [c for c in order if c["accepted"]][: shown - len(rejected)]
    return accepted + rejected


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def rule_table(rules: Rows) -> Table:
    """One line per rule, by segment, the one for most customers first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("segment", "rule", "customers", "right", "covers"):
        right = name in ("customers", "right", "covers")
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for r in sorted(rules, key=lambda r: (r["segment_id"], -r["customers"])):
        table.add_row(
            Text(f"{r['segment_id']} {r['segment_name']}"),
            Text(r["text"]),
            f"{r['customers']:,}",
            _number(r["precision"], ".0%"),
            _number(r["coverage"], ".0%"),
        )
    return table


def rules_as_sql(rules: Rows) -> str:
    """One CASE expression over the columns of `features` that gives the id of the segment."""
    return case_sql((rule["condition"], str(rule["segment_id"])) for rule in rules)


def run_rows(runs: Sequence[CommittedRun]) -> list[dict[str, Any]]:
    """The runs as `run_table` shows them, for machines."""
    return [
        {
            "as_of": run.as_of,
            "run_id": run.run_id,
            "revision": run.revision,
            "job": run.job,
            "committed_at": run.committed_at,
            "algorithm": run.algorithm,
            "k": run.k,
            "tables": {r.table: r.rows for r in run.receipts},
            "shown": [r.table for r in run.receipts if current_run(runs, r.table, run.as_of) is run],
        }
        for run in runs
    ]
