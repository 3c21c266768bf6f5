"""Who is segmented, and what is known of them."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.errors import InputError
from spark_seg.features import feature_names
from spark_seg.pipeline.draft import Draft
from spark_seg.pipeline.label import PERMISSIONS
from spark_seg.pipeline.plan import Plan
from spark_seg.preparation import canonical_layout
from spark_seg.tables import HOLDOUT


def eligible_customers(plan: Plan, draft: Draft, features: DataFrame) -> DataFrame:
    """Eligible customers in canonical layout, kept."""
    needed = (*feature_names(plan.settings.features), *PERMISSIONS)
    missing = [name for name in needed if name not in features.columns]
    if missing:
        raise InputError(
            f"features: must have {', '.join(missing)} (section features); the table has not. "
            f"Run build_features --as-of {plan.as_of} with this configuration"
        )
    eligible = features.where("eligible")
    rows = eligible.count()
    if not rows:
        raise InputError(
            f"features: must have eligible customers (features.eligible: {plan.settings.features.eligible}); "
            f"got none in the {plan.settings.features.lookback_days} days before {plan.as_of}. "
            "Check --as-of and features.lookback_days"
        )
    draft.metrics["eligible"] = rows
    return draft.keep(canonical_layout(eligible, rows))


def with_holdout(plan: Plan, draft: Draft, customers: DataFrame) -> DataFrame:
    """With the columns `HOLDOUT_MEASURES`, where the holdout period was observed.

    Raises `InputError` when the features were built with another `holdout_days`.
    """
    wanted, built = plan.settings.features.holdout_days, plan.features_run
    days = (built.metrics if built is not None else draft.metrics).get("holdout_days")
    if days != wanted:
        raise InputError(
            f"features: must be built with features.holdout_days {wanted}; got "
            f"{None if days is None else int(days)} in run {plan.inputs[0][2]}. "
            f"Run build_features --as-of {plan.as_of} with this configuration"
        )
    stamp, receipts = (
        (built.stamp, built.receipts) if built is not None else (draft.stamp(plan), tuple(draft.receipts))
    )
    receipt = next((r for r in receipts if r.table == HOLDOUT.name), None)
    if receipt is None:
        return customers
    rows = plan.store.read_run(HOLDOUT.name, stamp, receipt.version)
    later = rows.select("customer_id", F.col("orders").alias("_orders"), F.col("spend").alias("_spend"))
    spend = F.coalesce(F.col("_spend").cast("double"), F.lit(0.0))
    active = F.coalesce(F.col("_orders") > 0, F.lit(False))
    return (
        customers.join(later, on="customer_id", how="left")
        # As a logarithm: a few large customers would be all the variance there is.
        .withColumns(
            {"holdout_spend": F.log1p(F.greatest(spend, F.lit(0.0))), "holdout_active": active.cast("double")}
        )
        .drop("_orders", "_spend")
    )
