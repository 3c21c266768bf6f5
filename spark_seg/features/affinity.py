"""Category affinity: which category a customer favours, how much, and how widely they buy."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, LongType, StringType

from spark_seg.features.purchases import monetary
from spark_seg.features.scope import Scope
from spark_seg.tables import Field

AFFINITY_FIELDS = (
    Field("top_category", StringType(), "category with the largest net spend (ties: first by name)"),
    Field("top_category_share", DoubleType(), "its share of the spend in categories with positive spend"),
    Field("category_breadth", LongType(), "categories with positive net spend"),
)


def affinity(s: Scope) -> dict[str, Column]:
    """Aggregates over a customer's categories, which have the measures of purchases."""
    amount = F.when(F.col("category").isNotNull() & (monetary(s) > 0), monetary(s))
    best = F.min(F.when(amount.isNotNull(), F.struct((-amount).alias("negated"), "category")))
    return {
        "top_category": best["category"],
        "top_category_share": F.try_divide((-best["negated"]).cast("double"), F.sum(amount).cast("double")),
        "category_breadth": F.count(amount),
    }
