"""Sources → features, rejects and what happened later, staged."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.cleaning import clean_orders
from spark_seg.features import (
    build_features,
    feature_names,
    feature_spec,
    holdout_orders,
    score_rfm,
    with_permissions,
)
from spark_seg.periods import Period
from spark_seg.pipeline.clean import clean, decisions, rules_of
from spark_seg.pipeline.draft import Draft, stage
from spark_seg.pipeline.plan import Plan
from spark_seg.sources import canonical_orders
from spark_seg.tables import HOLDOUT


def build(plan: Plan, draft: Draft) -> DataFrame:
    """Stage features, rejects and the holdout period. Returns the features as they stand in the table."""
    settings = plan.settings
    activity, attributes = clean(plan, draft)
    with draft.room("features") as said:
        computed = build_features(activity, attributes, plan.as_of, settings.features)
        built = draft.keep(with_permissions(computed, decisions(plan)))
        scored = score_rfm(built)
        spec = feature_spec(settings.features)
        receipt = stage(plan, draft, scored.customers, spec)
        draft.facts["cut_points"] = tuple(scored.cut_points.items())
        draft.metrics["customers"] = receipt.rows
        said.append(f"{receipt.rows:,} customers × {len(feature_names(settings.features))} features")
    draft.release()
    if settings.features.holdout_days is not None:
        _hold_out(plan, draft, settings.features.holdout_days)
    return plan.store.read_run("features", draft.stamp(plan), receipt.version)


def _hold_out(plan: Plan, draft: Draft, days: int) -> None:
    """Stage what customers did in the period after `as_of`, where the orders reach its end."""
    settings, sources = plan.settings, plan.sources
    assert sources is not None  # noqa: S101 - the caller looked
    period = Period.after(plan.as_of, days)
    with draft.room("holdout") as said:
        lines = canonical_orders(sources, settings.time_zone)
        # Half a period would say that customers left who have not had the time to come.
        reached = not lines.where(F.to_date("ordered_at") >= F.lit(period.last_day)).isEmpty()
        kept = clean_orders(lines, rules_of(plan, period.end)).kept
        later = draft.keep(holdout_orders(kept, period)) if reached else None
        if later is None or later.isEmpty():
            said.append(f"no orders until {period.last_day}: nothing to hold segments against")
        else:
            receipt = stage(plan, draft, later, HOLDOUT)
            said.append(f"{receipt.rows:,} customers ordered in the {days} days from {plan.as_of}")
    draft.metrics["holdout_days"] = days
    draft.release()
