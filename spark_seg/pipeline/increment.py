"""Which days of the activity a run has to compute, and which an earlier run has kept for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date

from pyspark.sql import functions as F

import spark_seg
from spark_seg.activity import Part, first_changed_day, first_day_of_orders
from spark_seg.config import Settings
from spark_seg.errors import InputError
from spark_seg.pipeline.plan import Plan, digest
from spark_seg.publishing import CommittedRun
from spark_seg.sources import OpenedTable, canonical, canonical_orders, only_added_to, open_at
from spark_seg.tables import EVENTS, ORDERS, rows_by_stamp

#: Parts of a kept activity beyond which a run writes all its days anew, as one part.
MOST_PARTS = 30


@dataclass(frozen=True)
class Increment:
    """Days from `since` on are computed; those before it stand in `parts`, newest first.

    `known`: source → rows without a day that an earlier run has rejected already.
    """

    since: date
    parts: tuple[Part, ...]
    known: dict[str, int]


def activity_form(settings: Settings) -> str:
    """Digest of what defines the rows of a day in the activity, but for its source rows."""
    engagement = settings.features.engagement
    kinds = {"kinds": list(engagement.kinds), "subjects": engagement.subject_kinds}
    sections = settings.model_dump(mode="json", include={"time_zone", "cleaning", "privacy"})
    # Customers' attributes are no part of it.
    sections["sources"] = settings.sources.model_dump(mode="json", exclude={"customers"})
    return digest(spark_seg.__version__, json.dumps(sections | kinds, sort_keys=True))


def find_increment(plan: Plan) -> Increment | str:
    """What the run has to compute; or, in words, why it is everything.

    A first publication of an `as_of` builds on the last run before it that kept its activity, when that
    has the same form, and its tables have only been added to since.
    """
    if plan.revision:
        return "a revision computes all days"
    form = activity_form(plan.settings)
    kept = [run for run in plan.history if run.activity and run.as_of < plan.as_of]
    if not kept:
        return "no earlier run kept its activity"
    base = max(kept, key=lambda run: (run.as_of, run.revision))
    if base.activity_form != form:
        return f"run {base.run_id} of {base.as_of} kept its activity by another configuration or version"
    return _stands(plan, base) or _first_day(plan, base)


def _stands(plan: Plan, base: CommittedRun) -> str | None:
    """None when all rows that the run relies on are there as they were written; else what is wrong."""
    table = plan.store.read("activity")
    if table is None:
        return "the table activity is gone"
    rows = rows_by_stamp(table)
    receipts = {run.run_id: run.receipt("activity") for run in plan.history}
    for part in base.activity:
        receipt = receipts.get(part.run_id)
        written, found = receipt.rows if receipt else 0, rows.get(part.stamp, 0)
        if written != found:
            return f"activity of run {part.run_id} has {found:,} of the {written:,} rows that were written"
    return None


def _first_day(plan: Plan, base: CommittedRun) -> Increment | str:
    assert plan.sources is not None  # noqa: S101 - the caller looked
    first = base.as_of
    known: dict[str, int] = {}
    versions = {(source, label): version for source, label, version, _ in base.inputs}
    # What they say may concern any day.
    beside = {(s, label): v for s, label, v in plan.sources.versions if _is_beside(s)}
    if beside != {place: version for place, version in versions.items() if _is_beside(place[0])}:
        return "consents, rates or repairs are not as they were"
    for table in (plan.sources.orders, *plan.sources.events):
        found = _changed(plan, table, versions)
        if isinstance(found, str):
            return found
        day, undated = found
        source = table.source.partition(".")[0]
        known[source] = known.get(source, 0) + undated
        first = min(first, day or first)
    orders = canonical_orders(plan.sources, plan.settings.time_zone)
    since = first_day_of_orders(orders, first, plan.as_of)
    if since is None or since <= plan.settings.cleaning.earliest:
        return f"orders that go on since {first} reach back too far"
    return Increment(since, base.activity, known)


def _is_beside(source: str) -> bool:
    return source.partition(".")[0] in ("consents", "rates", "repairs")


def _changed(
    plan: Plan, table: OpenedTable, versions: dict[tuple[str, str], str]
) -> tuple[date | None, int] | str:
    """First day with new rows, and the rows without a day that were there before; or why it is not known."""
    spark, zone = plan.store.spark, plan.settings.time_zone
    for label, version in table.lookups:
        if versions.get((table.source, label)) != version:
            return f"{label}, which {table.source} looks up, is not as it was"
    before = versions.get((table.source, table.label))
    spec, time = (ORDERS, "ordered_at") if table.source == "orders" else (EVENTS, "occurred_at")
    rows = canonical(table, spec, zone)
    if before == table.version:
        return None, rows.where(F.col(time).isNull()).count()
    if before is None or not (before.isdigit() and table.version.isdigit()):
        return f"{table.source}: of {table.label} it cannot be told what was added"
    if not only_added_to(spark, table.ref, int(before), int(table.version)):
        return (
            f"{table.source}: {table.label} was not only added to between the versions {before} and "
            f"{table.version}"
        )
    try:
        earlier = open_at(spark, table, before)
    except InputError:
        return f"{table.source}: version {before} of {table.label} cannot be read any more"
    return first_changed_day(canonical(earlier, spec, zone), rows, time, plan.as_of)
