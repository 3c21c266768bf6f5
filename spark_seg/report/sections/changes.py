"""What changed since the former run: who moved, what became of the segments, and how far data drifted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spark_seg.report import figures
from spark_seg.report.blocks import MANY, Details, Text, table
from spark_seg.report.facts import min_group
from spark_seg.report.moves import Moves, moves, stayed
from spark_seg.report.published import Published
from spark_seg.report.words import NONE, clean, count, few, foreign, known, money, number, share, things


def changes(published: Published) -> Iterator[Any]:
    """Migrations, the fate of former segments, and drift; or that there is no history."""
    moved = moves(published)
    if moved is None and not published.lineage and not published.drift:
        yield Text(
            "There is no history: this is the first run, or nothing before it can be compared with it."
        )
        return
    if moved is None:
        yield Text("No migrations are published with this run.")
    else:
        yield from _migrated(published, moved)
    if published.lineage:
        yield table(
            "What became of the former segments",
            (
                "event",
                "from",
                "to",
                "customers of both>",
                "share of the former>",
                "share of the later>",
                "matched by",
            ),
            [
                (
                    foreign(row["event"]),
                    foreign(row["from_segment_name"] or NONE),
                    foreign(row["to_segment_name"] or NONE),
                    count(row["common"]),
                    share(row["share_of_from"]),
                    share(row["share_of_to"]),
                    foreign(row["basis"] or NONE),
                )
                for row in published.lineage
            ],
        )
    else:
        yield Text("Nothing was fitted anew, so segments are those of the former run.", tone="quiet")
    yield from _drifted(published)


def _migrated(published: Published, moved: Moves) -> Iterator[Any]:
    figure = figures.sankey(published)
    same = stayed(published)
    said = f"Compared with run {foreign(moved.run_id)} as of {moved.as_of}"
    yield Text(
        f"{said}: {share(same)} of the customers of both stayed where they were."
        if known(same)
        else f"{said}."
    )
    if figure is not None:
        yield figure
    if moved.others:
        smallest = min_group(published)
        yield Text(
            f"Other moves: {few(moved.others, smallest)} customers, by ways of fewer than {smallest:,} each, "
            "or put with these, so that nobody is singled out. They are not in the figure.",
            tone="quiet",
        )
    changed = [m for m in moved.ways if m["kind"] != "stayed"]
    order = [*changed, *(m for m in moved.ways if m["kind"] == "stayed")]
    if order:
        rows = [
            (
                foreign(m["from_segment_name"] or "not there"),
                foreign(m["to_segment_name"] or "not there"),
                foreign(m["kind"]),
                foreign(m["cause"] or NONE),
                count(m["customers"]),
                money(m["revenue_before"]),
                money(m["revenue"]),
            )
            for m in order
        ]
        head = ("from", "to", "what", "why", "customers>", "revenue before>", "revenue>")
        yield table("Who went where, the largest ways first", head, rows[:MANY])
        if len(rows) > MANY:
            more = table("Who went where, the other ways", head, rows[MANY:])
            yield Details(f"{len(rows) - MANY} more ways", (more,))


def _drifted(published: Published) -> Iterator[Any]:
    if not published.drift:
        yield Text("Drift was not measured for this run: monitor_segments does it.", tone="quiet")
        return
    rows = sorted(published.drift, key=lambda d: not d["breached"])
    broken = sum(bool(d["breached"]) for d in rows)
    against = next((d["against_as_of"] for d in rows if d["against_as_of"] is not None), None)
    since = f" against the run as of {against}" if against is not None else ""
    yield Text(
        f"{things(len(rows), 'measure')} of drift{since}, {broken or 'none'} of them beyond the border."
    )
    head = ("measure", "of what", "then>", "now>", "border>", "verdict", "in words")
    body = [
        (
            foreign(d["measure"]),
            foreign(d["subject"] or "the whole"),
            number(d["reference"]),
            number(d["value"]),
            number(d["threshold"]),
            f"breached: {clean(d['advice'])}" if d["breached"] else "ok",
            foreign(d["sentence"] or NONE),
        )
        for d in rows
    ]
    first = max(broken, MANY)
    yield table("Drift, breaches first", head, body[:first], form="long", marked=range(broken))
    if len(body) > first:
        rest = table("Drift, the other measures", head, body[first:], form="long")
        yield Details(f"{len(body) - first} more measures, all within their borders", (rest,))
