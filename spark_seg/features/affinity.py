"""Category affinity: which category a customer favours, how much, and how widely they buy."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, LongType, StringType

from spark_seg.features.scope import Scope
from spark_seg.tables import Field

AFFINITY_FIELDS = (
    Field("top_category", StringType(), "category with the largest net spend (ties: first by name)"),
    Field("top_category_share", DoubleType(), "its share of the spend in categories with positive spend"),
    Field("category_breadth", LongType(), "categories with positive net spend"),
)


def category_affinity(activity: DataFrame, s: Scope) -> DataFrame:
    """Columns of `ACTIVITY` → `customer_id` and `AFFINITY_FIELDS`, for customers with categories."""
    spend = (
        activity.where(s.observation.contains(F.col("day")))
        .select("customer_id", F.explode("categories").alias("c"))
        .groupBy("customer_id", F.col("c.category").alias("category"))
        .agg(F.sum("c.amount").alias("amount"))
        .where("amount > 0")
    )
    best = F.min(F.struct((-F.col("amount")).alias("negated"), "category"))
    return (
        spend.groupBy("customer_id")
        .agg(
            best.alias("best"),
            F.sum("amount").alias("spent"),
            F.count(F.lit(1)).alias("category_breadth"),
        )
        .select(
            "customer_id",
            F.col("best.category").alias("top_category"),
            F.try_divide((-F.col("best.negated")).cast("double"), F.col("spent").cast("double")).alias(
                "top_category_share"
            ),
            "category_breadth",
        )
    )
