"""Lifecycle stage: where a customer stands between first order and silence."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from spark_seg.config import LifecycleSettings

STAGES = ("prospect", "new", "active", "reactivated", "cooling", "lapsed")


def lifecycle_stage(settings: LifecycleSettings) -> Column:
    """Stage from `recency_days`, `tenure_days` and `last_gap_days`; the first that holds:

    prospect (never ordered), lapsed (last order too long ago, or before the observation), new,
    cooling, reactivated (came back after a gap as long as a lapse), active.
    """
    recency, tenure = F.col("recency_days"), F.col("tenure_days")
    return (
        F.when(tenure.isNull(), "prospect")
        .when(recency.isNull() | (recency > settings.lapsed_after_days), "lapsed")
        .when(tenure <= settings.new_within_days, "new")
        .when(recency > settings.active_within_days, "cooling")
        .when(F.coalesce(F.col("last_gap_days"), F.lit(0)) > settings.lapsed_after_days, "reactivated")
        .otherwise("active")
    )
