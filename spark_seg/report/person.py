"""One customer of a run: where, why, how sure, and what would change it."""

from __future__ import annotations

from typing import Any

from pyspark.sql import functions as F
from rich.console import Console

from spark_seg.config import UNSEGMENTED_ID, Settings
from spark_seg.publishing import (
    CommittedRun,
    Ledger,
    Store,
    features_run,
    read_memberships,
    rows_of,
    suppressed,
)
from spark_seg.report.words import clean
from spark_seg.tables import EXPLANATIONS

Facts = dict[str, Any]


def customer_facts(store: Store, settings: Settings, run: CommittedRun, customer_id: str) -> Facts | None:
    """What is published of one customer (by the published name): `assignment`, `features`, `explanation`,
    `rule`, `history`. None when the run has no such customer, or when the customer was erased."""
    erased = suppressed(store, settings.privacy.key_id)
    if erased is not None and not erased.where(F.col("customer_id") == customer_id).isEmpty():
        return None
    assignment = _row(store, run, "assignments", customer_id)
    if assignment is None:
        return None
    ledger = Ledger(store, settings.pipeline)
    explanation = None
    if run.receipt(EXPLANATIONS.name) is not None:
        explanation = _row(store, run, EXPLANATIONS.name, customer_id)
    rule = None
    if explanation is not None:
        of_rule = (r for r in rows_of(store, run, "rules") if r["rule_id"] == explanation["rule_id"])
        rule = next(of_rule, None)
    memberships = read_memberships(ledger)
    assert memberships is not None  # noqa: S101 - this customer has an assignment
    history = memberships.where(F.col("customer_id") == customer_id).orderBy("valid_from").collect()
    return {
        "run_id": run.run_id,
        "as_of": run.as_of,
        "segments": {s.segment_id: s.name for s in run.segments},
        "assignment": assignment,
        "features": _row(store, features_run(ledger.runs(), run), "features", customer_id),
        "explanation": explanation,
        "rule": rule,
        "history": [row.asDict() | {"customer_id": customer_id} for row in history],
    }


def _row(store: Store, run: CommittedRun, table: str, customer_id: str) -> Facts | None:
    found = store.read_run(table, run.stamp).where(F.col("customer_id") == customer_id)
    row = found.drop("as_of", "run_id", "attempt_id").first()
    return None if row is None else row.asDict(recursive=True)


def print_customer(console: Console, facts: Facts) -> None:
    """The same for a person who asks, a sentence each."""
    for sentence in told(facts):
        console.print(sentence, markup=False, soft_wrap=True)


def told(facts: Facts) -> list[str]:
    """What is known of a customer, in sentences."""
    own, why, rule = facts["assignment"], facts["explanation"], facts["rule"]
    names = {int(i): clean(name) for i, name in facts["segments"].items()}
    where = f"{own['segment_id']} {clean(own['segment_name'])}"
    lines = [f"segment    {where} at {facts['as_of']}, since {own['since']} (run {facts['run_id']})"]
    if own["segment_id"] == UNSEGMENTED_ID:
        return [*lines, "why        not enough data to be in a segment (features.eligible)", *_history(facts)]
    raw = own["raw_segment_id"]
    if raw != own["segment_id"]:
        lines.append(
            f"held       the model has said {raw} {names.get(raw, '')} since {own['raw_since']}; "
            "segments.hold lets moves wait"
        )
    if why is not None:
        second = why["second_segment_id"]
        beside = f"; second best {second} {names.get(second, '')}" if second is not None else ""
        lines.append(f"sure       {why['margin']:.2f} (1 is sure, 0 on the border), silhouette "
                     f"{why['silhouette']:.2f}{beside}")  # fmt: skip
        lines += [
            f"{'why' if not i else '':<10} {p['feature']} {_figure(p['value'])} "
            f"{'keeps the customer here' if p['pull'] > 0 else 'pulls to the second'} ({p['pull']:+.2f})"
            for i, p in enumerate(why["pulls"])
        ]
        if rule is not None:
            right = f"right for {_share(rule['precision'])} of such customers"
            lines.append(f"rule       {rule['text']}: {clean(rule['segment_name'])} ({right})")
        lines.append(_change(why, names))
    baseline = own["rfm_segment"]
    if baseline is not None:
        lines.append(f"RFM map    {clean(baseline)}")
    return [*lines, *_history(facts)]


def _change(why: Facts, names: dict[int, str]) -> str:
    if why["change_feature"] is None:
        return "to move    no change of a single feature within what customers have would do"
    target = f"{why['change_segment_id']} {names.get(why['change_segment_id'], '')}"
    now, then = _figure(why["change_from"]), _figure(why["change_to"])
    return f"to move    {why['change_feature']} {then} instead of {now} would lead to {target}"


def _history(facts: Facts) -> list[str]:
    return [
        f"{'history' if not i else '':<10} {row['segment_id']} {clean(row['segment_name'])} from "
        f"{row['valid_from']} {'to ' + str(row['valid_to']) if row['valid_to'] else 'on'}"
        for i, row in enumerate(facts["history"])
    ]


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.6g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
