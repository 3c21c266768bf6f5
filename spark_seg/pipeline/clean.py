"""Sources → the activity of all days before `as_of`, and what was rejected, staged."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.activity import Part, built_on, daily_activity, kept_days
from spark_seg.cleaning import (
    Rules,
    check_counts,
    clean_customers,
    clean_events,
    clean_orders,
    consents_of,
)
from spark_seg.pipeline.draft import Draft, stage
from spark_seg.pipeline.increment import MOST_PARTS, Increment, activity_form, find_increment
from spark_seg.pipeline.plan import Plan
from spark_seg.publishing import suppressed, without
from spark_seg.sources import (
    breaches,
    canonical_consents,
    canonical_customers,
    canonical_events,
    canonical_orders,
)
from spark_seg.tables import REJECTS, activity_spec, conform, kept_activity_spec


def clean(plan: Plan, draft: Draft) -> tuple[DataFrame, DataFrame | None]:
    """The activity of every day before `as_of`, and the attributes of customers where there are any.

    Where activity is kept, days that an earlier run has kept are read from there.
    """
    increment = None
    if plan.settings.publishing.keep_activity:
        with draft.room("increment") as said:
            found = find_increment(plan)
            if isinstance(found, Increment):
                increment = found
                said.append(f"from {found.since} on; earlier days as run {found.parts[0].run_id} kept them")
            else:
                said.append(f"all days: {found}")
    computed, attributes = _cleaned(plan, draft, increment)
    if not plan.settings.publishing.keep_activity:
        return computed, attributes
    with draft.room("activity") as said:
        activity = _kept(plan, draft, computed, increment)
        said.append(f"days in {len(draft.facts['activity'])} parts")
    return activity, attributes


def _cleaned(plan: Plan, draft: Draft, increment: Increment | None) -> tuple[DataFrame, DataFrame | None]:
    """The activity of the days to compute, and attributes; stages the rejects among the rows read."""
    settings, sources = plan.settings, plan.sources
    assert sources is not None  # noqa: S101 - the caller looked
    rules = rules_of(plan, plan.as_of)
    since, known = (increment.since, increment.known) if increment else (None, None)
    with draft.room("clean") as said:
        orders = clean_orders(canonical_orders(sources, settings.time_zone, since), rules)
        raw_events = canonical_events(sources, settings.time_zone, since)
        raw_customers = canonical_customers(sources, settings.time_zone)
        events = clean_events(raw_events, rules) if raw_events is not None else None
        customers = clean_customers(raw_customers, rules) if raw_customers is not None else None
        activity = draft.keep(
            daily_activity(orders.kept, events.kept if events else None, settings.features.engagement)
        )
        attributes = draft.keep(customers.kept) if customers else None
        daily_rows = activity.count()
        if attributes is not None:
            attributes.count()
        cleaned = [c for c in (orders, events, customers) if c is not None]
        counts = [c.counts() for c in cleaned]
        check_counts(counts, settings.cleaning, plan.as_of, known)
        rejected = [
            c.rejects(n, settings.cleaning.keep_after_as_of) for c, n in zip(cleaned, counts, strict=True)
        ]
        kept_rejects = [r for r in rejected if r is not None]
        if kept_rejects:
            stage(plan, draft, reduce(DataFrame.unionByName, kept_rejects), REJECTS)
        draft.metrics |= {f"rows_{c.source}": c.rows for c in counts}
        rows = {(t.source, t.label): t.rows for t in sources.tables}
        if increment is None:
            # Those that cleaning read, where no contract had them counted.
            read = {c.source: c.rows for c in counts}
            rows = {place: n if n is not None else read.get(place[0]) for place, n in rows.items()}
        draft.facts["inputs"] = tuple(
            (source, table, version, rows.get((source, table))) for source, table, version in plan.inputs
        )
        reasons = [(c.source, reason, rows) for c in counts for reason, rows in c.reasons.items()]
        draft.facts["rejects"] = tuple(reasons)
        told = ", ".join(f"{rows:,} {reason}" for _, reason, rows in sorted(reasons, key=lambda x: -x[2]))
        said.append(f"{sum(c.kept for c in counts):,} rows kept")
        said.append(f"{sum(c.rejected for c in counts):,} rejected" + (f" ({told})" if told else ""))
        said.append(f"{daily_rows:,} daily rows")
    return activity, attributes


def rules_of(plan: Plan, until: date) -> Rules:
    """What rows before `until` are held against; who was erased, or has not agreed, is left out."""
    settings, sources = plan.settings, plan.sources
    assert sources is not None  # noqa: S101 - the caller looked
    own: dict[str, tuple[str, ...]] = {}
    for table in sources.tables:
        kind = table.source.partition(".")[0]
        own[kind] = tuple(dict.fromkeys((*own.get(kind, ()), *breaches(table.ref.contract))))
    decided = decisions(plan)
    return Rules(
        settings.cleaning,
        until,
        frozenset(settings.features.engagement.kinds),
        suppressed(plan.store, settings.privacy.key_id),
        decided.where("profile").select("customer_id") if decided is not None else None,
        own,
    )


def decisions(plan: Plan) -> DataFrame | None:
    """What each customer agreed to; None where nobody was asked."""
    assert plan.sources is not None  # noqa: S101 - the caller looked
    rows = canonical_consents(plan.sources, plan.settings.time_zone)
    return consents_of(rows) if rows is not None else None


def _kept(plan: Plan, draft: Draft, computed: DataFrame, increment: Increment | None) -> DataFrame:
    """All days, of which those that were computed are staged; all of them when there are many parts."""
    kinds = plan.settings.features.engagement.kinds
    older: tuple[Part, ...] = ()
    days, staged = computed, computed
    part = Part(plan.as_of, plan.run_id, draft.attempt_id, None)
    if increment is not None:
        older = increment.parts
        table = plan.store.read("activity")
        assert table is not None  # noqa: S101 - it was there when the increment was found
        before = kept_days(table, older).where(F.col("day") < F.lit(increment.since))
        before = without(before, suppressed(plan.store, plan.settings.privacy.key_id))
        # Rows of a customer must lie together again.
        days = conform(before, activity_spec(kinds)).unionByName(computed).repartition("customer_id")
        if len(older) < MOST_PARTS:
            part = replace(part, since=increment.since)
        else:
            staged = days
    draft.facts["activity_form"] = activity_form(plan.settings)
    draft.facts["activity"] = built_on(older, part)
    # A day without rows is a day too, but nothing to stage.
    if not staged.isEmpty():
        stage(plan, draft, staged, kept_activity_spec(kinds))
    return days
