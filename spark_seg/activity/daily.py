"""Trusted rows → what a customer did on a day: the state from which the features of any `as_of` come.

Two such states of different days are merged by putting them one after the other, so a new day costs
a day. It is flat, and sums are decimals: the state does not depend on the order of rows, and no step
gathers lists. Each source is read once and moved once, to where its customer's rows lie together.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_seg.config import EngagementSettings
from spark_seg.tables import activity_spec, conform, events_column


def daily_activity(orders: DataFrame, events: DataFrame | None, engagement: EngagementSettings) -> DataFrame:
    """`orders` and `events` of `cleaning` → the columns of `activity_spec(engagement.kinds)`.

    One row per customer, day and category bought, and one per customer, day and subject of a contact or
    an answer; all other events of a day are in its row without a subject.
    """
    spec = activity_spec(engagement.kinds)
    parts = [_daily_orders(orders)]
    if events is not None:
        parts.append(_daily_events(events, engagement))
    return reduce(
        DataFrame.unionByName,
        (
            conform(part.withColumns({c: F.lit(None) for c in spec.columns if c not in part.columns}), spec)
            for part in parts
        ),
    )


def _daily_orders(orders: DataFrame) -> DataFrame:
    """An order counts in the row of the first of its categories, so that sums over rows count it once."""
    by_category = Window.partitionBy("customer_id", "order_id").orderBy("category")
    order = by_category.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    lines = orders.repartition("customer_id").select(
        "customer_id",
        F.to_date(F.min("ordered_at").over(order)).alias("day"),
        "category",
        "amount",
        F.when(F.col("is_return"), -F.col("amount")).alias("returned"),
        (F.max(~F.col("is_return")).over(order) & (F.row_number().over(by_category) == 1)).alias("counts"),
    )
    return lines.groupBy("customer_id", "day", "category").agg(
        F.count_if("counts").alias("orders"),
        F.sum("amount").alias("amount"),
        F.coalesce(F.sum("returned"), F.lit(0)).alias("returned"),
    )


def _daily_events(events: DataFrame, engagement: EngagementSettings) -> DataFrame:
    acts = events.select(
        "customer_id",
        F.to_date("occurred_at").alias("day"),
        F.when(F.col("kind").isin(*engagement.subject_kinds), F.col("subject")).alias("subject"),
        "kind",
    )
    counts = (F.count_if(F.col("kind") == kind).alias(events_column(kind)) for kind in engagement.kinds)
    return acts.repartition("customer_id").groupBy("customer_id", "day", "subject").agg(*counts)
