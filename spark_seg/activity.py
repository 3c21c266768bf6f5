"""Trusted rows → one row per customer and day: the state from which the features of any `as_of` come.

Two such states of different days are merged by putting them one after the other, so a new day costs
a day. Sums are decimals and lists are sorted: the state does not depend on the order of rows.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.tables import ACTIVITY, conform


def daily_activity(orders: DataFrame, events: DataFrame | None) -> DataFrame:
    """`orders` and `events` of `cleaning` → the columns of `ACTIVITY`, one row per customer and day."""
    purchases = _daily_orders(orders)
    if events is None:
        merged = purchases.withColumns({"events": F.lit(None), "subjects": F.lit(None)})
    else:
        merged = purchases.join(_daily_events(events), on=["customer_id", "day"], how="full")
    empty = {
        "orders": F.lit(0),
        "amount": F.lit(0),
        "returned": F.lit(0),
        "categories": F.array(),
        "events": F.create_map(),
        "subjects": F.array(),
    }
    types = {field.name: field.type for field in ACTIVITY.fields}
    filled = {
        name: F.coalesce(F.col(name).cast(types[name]), default.cast(types[name]))
        for name, default in empty.items()
    }
    return conform(merged.withColumns(filled), ACTIVITY)


def _daily_orders(orders: DataFrame) -> DataFrame:
    """Lines → orders → days. Lines of a customer lie together, so no step moves rows again."""
    by_category = orders.groupBy("customer_id", "order_id", "category").agg(
        F.min("ordered_at").alias("first_at"),
        F.sum("amount").alias("amount"),
        F.sum(F.when(F.col("is_return"), -F.col("amount"))).alias("returned"),
        F.max(~F.col("is_return")).alias("is_purchase"),
    )
    entry = F.when(F.col("category").isNotNull(), F.struct("category", "amount"))
    by_order = by_category.groupBy("customer_id", "order_id").agg(
        F.to_date(F.min("first_at")).alias("day"),
        F.sum("amount").alias("amount"),
        F.sum("returned").alias("returned"),
        F.max("is_purchase").alias("is_purchase"),
        F.collect_list(entry).alias("entries"),
    )
    return by_order.groupBy("customer_id", "day").agg(
        F.count_if("is_purchase").alias("orders"),
        F.sum("amount").alias("amount"),
        F.sum("returned").alias("returned"),
        F.array_sort(F.flatten(F.collect_list("entries"))).alias("categories"),
    )


def _daily_events(events: DataFrame) -> DataFrame:
    by_kind = (
        events.withColumn("day", F.to_date("occurred_at"))
        .groupBy("customer_id", "day", "kind")
        .agg(F.count(F.lit(1)).alias("n"), F.collect_set("subject").alias("subjects"))
    )
    pairs = F.transform("subjects", lambda s: F.struct(F.col("kind"), s.alias("subject")))
    return by_kind.groupBy("customer_id", "day").agg(
        F.map_from_entries(F.array_sort(F.collect_list(F.struct("kind", "n")))).alias("events"),
        F.array_sort(F.flatten(F.collect_list(pairs))).alias("subjects"),
    )
