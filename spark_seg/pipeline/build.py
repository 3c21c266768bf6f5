"""Sources → features, rejects and what happened later, staged."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.activity import daily_activity
from spark_seg.cleaning import (
    Rules,
    check_counts,
    clean_customers,
    clean_events,
    clean_orders,
    reject_rows,
)
from spark_seg.features import build_features, feature_names, feature_spec, holdout_orders, score_rfm
from spark_seg.periods import Period
from spark_seg.pipeline.draft import Draft, stage
from spark_seg.pipeline.plan import Plan
from spark_seg.sources import canonical_customers, canonical_events, canonical_orders
from spark_seg.tables import HOLDOUT, REJECTS


def build(plan: Plan, draft: Draft) -> DataFrame:
    """Stage features, rejects and the holdout period. Returns the features as they stand in the table."""
    settings, sources = plan.settings, plan.sources
    assert sources is not None  # noqa: S101 - the caller looked
    rules = Rules(settings.cleaning, plan.as_of, frozenset(settings.features.engagement.kinds))
    with draft.room("clean") as said:
        orders = clean_orders(canonical_orders(sources, settings.time_zone), rules)
        raw_events = canonical_events(sources, settings.time_zone)
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
        check_counts(counts, settings.cleaning, plan.as_of)
        rejected = [
            c.rejects(n, settings.cleaning.keep_after_as_of) for c, n in zip(cleaned, counts, strict=True)
        ]
        rejects = reject_rows([r for r in rejected if r is not None], plan.as_of, plan.run_id)
        if rejects is not None:
            draft.receipts.append(stage(plan, rejects, REJECTS))
        rows = {c.source: c.rows for c in counts}
        counted = {(t.source, t.label) for t in sources.tables}  # lookups are joined, not counted
        draft.facts["inputs"] = tuple(
            (source, table, version, rows.get(source) if (source, table) in counted else None)
            for source, table, version in plan.inputs
        )
        reasons = [(c.source, reason, rows) for c in counts for reason, rows in c.reasons.items()]
        draft.facts["rejects"] = tuple(reasons)
        told = ", ".join(f"{rows:,} {reason}" for _, reason, rows in sorted(reasons, key=lambda x: -x[2]))
        said.append(f"{sum(c.kept for c in counts):,} rows kept")
        said.append(f"{sum(c.rejected for c in counts):,} rejected" + (f" ({told})" if told else ""))
        said.append(f"{daily_rows:,} daily rows")
    with draft.room("features") as said:
        built = draft.keep(build_features(activity, attributes, plan.as_of, settings.features))
        scored = score_rfm(built)
        spec = feature_spec(settings.features)
        receipt = stage(plan, scored.customers, spec)
        draft.receipts.append(receipt)
        draft.facts["cut_points"] = tuple(scored.cut_points.items())
        draft.metrics["customers"] = receipt.rows
        said.append(f"{receipt.rows:,} customers × {len(feature_names(settings.features))} features")
    draft.release()
    if settings.features.holdout_days is not None:
        _hold_out(plan, draft, settings.features.holdout_days)
    return plan.store.read_run("features", plan.as_of, plan.run_id, receipt.version)


def _hold_out(plan: Plan, draft: Draft, days: int) -> None:
    """Stage what customers did in the period after `as_of`, where the orders reach its end."""
    settings, sources = plan.settings, plan.sources
    assert sources is not None  # noqa: S101 - the caller looked
    period = Period.after(plan.as_of, days)
    with draft.room("holdout") as said:
        lines = canonical_orders(sources, settings.time_zone)
        # Half a period would say that customers left who have not had the time to come.
        reached = not lines.where(F.to_date("ordered_at") >= F.lit(period.last_day)).isEmpty()
        kept = clean_orders(lines, Rules(settings.cleaning, period.end)).kept
        later = draft.keep(holdout_orders(kept, period)) if reached else None
        if later is None or later.isEmpty():
            said.append(f"no orders until {period.last_day}: nothing to hold segments against")
        else:
            receipt = stage(plan, later, HOLDOUT)
            draft.receipts.append(receipt)
            said.append(f"{receipt.rows:,} customers ordered in the {days} days from {plan.as_of}")
    draft.metrics["holdout_days"] = days
    draft.release()
