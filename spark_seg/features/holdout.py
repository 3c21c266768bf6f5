"""What customers did after `as_of`: never a feature, but what segments are held against."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.periods import Period


def holdout_orders(orders: DataFrame, period: Period) -> DataFrame:
    """Trusted purchase lines → `customer_id, orders, spend` of the customers who bought in `period`.

    An order belongs to the day of its first line.
    """
    by_order = orders.groupBy("customer_id", "order_id").agg(
        F.to_date(F.min("ordered_at")).alias("day"),
        F.sum("amount").alias("amount"),
        F.max(~F.col("is_return")).alias("is_purchase"),
    )
    return (
        by_order.where(period.contains(F.col("day")))
        .groupBy("customer_id")
        .agg(F.count_if("is_purchase").alias("orders"), F.sum("amount").alias("spend"))
    )
