"""What data a run was made from, how good they were, and how to make it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from spark_seg.report.blocks import Bullets, Cell, Code, Details, Text, table
from spark_seg.report.facts import Row, everybody, rows_read, unsegmented
from spark_seg.report.published import Published
from spark_seg.report.shared import tables_read
from spark_seg.report.words import NONE, clean, count, foreign, share, things


def quality(published: Published) -> Iterator[Any]:
    """Rows read and rejected, customers without a value, and what could not be shown."""
    run = published.run
    yield tables_read(run, "Rows read")
    if run.inputs:
        counted = {source.partition(".")[0] for source, _, _, n in run.inputs if n is not None}
        for source, n in rows_read(published).items():
            if source not in counted:
                yield Text(f"From the tables of {foreign(source)} together: {things(n, 'row')}.")
    if run.rejects:
        total = rows_read(published)
        yield table(
            "Rows rejected, by reason",
            ("source", "reason", "rows>", "share of the source>"),
            [
                (foreign(s), foreign(reason), count(n), share(n / total[s]) if total.get(s) else NONE)
                for s, reason, n in sorted(run.rejects, key=lambda r: -r[2])
            ],
        )
    else:
        yield Text("No row was rejected.")
    outside = unsegmented(published)
    yield Text(
        f"{things(outside, 'customer')} {'is' if outside == 1 else 'are'} unsegmented: not enough data."
        if outside
        else "No customer is unsegmented."
    )
    all_ = everybody(published)
    if all_ is not None and all_["feature_stats"] and all_["customers"]:
        yield table(
            "Coverage: share of customers who have a value",
            ("feature or attribute", "customers with a value>", "share>"),
            [
                (
                    foreign(name),
                    count(customers),
                    Cell(share(customers / all_["customers"]), bar=customers / all_["customers"]),
                )
                for name, customers in _coverage(all_)
            ],
            form="bars",
        )
    else:
        yield Text(
            "How many customers have a value of each feature is not published with this run.", tone="quiet"
        )
    dropped = run.dropped_features
    if dropped:
        yield Bullets(
            tuple(f"{foreign(n)}: {foreign(why)}" for n, why in dropped), title="Features not clustered"
        )
    if published.warnings:
        yield Bullets(tuple(foreign(w) for w in published.warnings), title="What could not be shown")


def _coverage(everybody: Row) -> list[tuple[str, int]]:
    """Features and attributes, and how many customers have a value of each."""
    known = [(str(s["feature"]), int(s["known"])) for s in everybody["feature_stats"]]
    attributes: dict[str, int] = {}
    for row in everybody["makeup"]:
        attributes[row["attribute"]] = attributes.get(row["attribute"], 0) + int(row["customers"])
    return known + list(attributes.items())


def reproduced(published: Published) -> Iterator[Any]:
    """What defines a run, and where its tables lie."""
    run = published.run
    facts = [
        ("run", foreign(run.run_id)),
        ("attempt", foreign(run.attempt_id)),
        ("job", foreign(run.job)),
        ("as_of", str(run.as_of)),
        ("revision", str(run.revision)),
        ("committed at", f"{run.committed_at:%Y-%m-%d %H:%M %Z}".strip() if run.committed_at else NONE),
        ("definition", foreign(run.definition)),
        ("model of run", foreign(published.trained.run_id)),
        ("digest of the model", foreign(run.model_digest or published.trained.model_digest or NONE)),
        ("seed", str(run.seed) if run.seed is not None else NONE),
        ("spark_seg", foreign(run.code_version or NONE)),
        ("Spark", foreign(run.spark_version or NONE)),
    ]
    digest = run.config_digest
    if digest:
        facts.append(("digest of the configuration", foreign(digest)))
    yield table("What defines the run", ("fact", "value"), facts, form="facts")
    yield Text("Do it again from its row in the ledger and compare, or write this page again:")
    own = clean(run.run_id)
    yield Code(f"spark-seg replay {own} --config …\nspark-seg report {own} --config …")
    if published.places:
        receipts = {r.table: r for r in run.receipts}
        yield table(
            "Where tables lie",
            ("table", "place", "version>", "rows>"),
            [
                (
                    foreign(name),
                    foreign(place),
                    str(receipts[name].version) if name in receipts else NONE,
                    count(receipts[name].rows) if name in receipts else NONE,
                )
                for name, place in published.places.items()
            ],
        )
    else:
        yield Text("Where tables lie was not given.", tone="quiet")
    yield Details("The configuration", (Code(_configuration(published.config)),), printed=True)


def _configuration(config: Mapping[str, Any]) -> str:
    written = json.dumps(config, indent=2, ensure_ascii=False, sort_keys=True, default=str)
    lines = written.split("\n")
    return "\n".join(line[: len(line) - len(line.lstrip(" "))] + clean(line) for line in lines)
