"""Who went from which segment to which between two runs, and why."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.config import UNSEGMENTED_ID

#: What tells one way from another.
WAY = ("from_segment_id", "to_segment_id", "kind", "cause")


def migration(now: DataFrame, before: DataFrame, elapsed_days: int) -> DataFrame:
    """Customers of two runs by the way they went: the columns `WAY`, `customers`, `revenue_before` and
    `revenue`, and `back`: how many returned to the segment they had been in before the former run.

    `now`: `customer_id, segment_id, monetary, tenure_days` and `expected`, the segment that the model of the
    former run gives them today (NULL: it cannot be asked). `before`: `customer_id, segment_id,
    previous_segment_id, monetary`. `elapsed_days`: between the two as_ofs.

    One join by customer and one aggregation; the result has a row for each way. Of a move the cause is the
    customer's *behaviour* when the former model moves them as well, and the *model* when only the other one
    does. Between two runs of one day it cannot be behaviour: there it is a *correction* of the data. So is
    everybody who is there no more, and who comes with orders from before the former day.
    """
    then = before.select(
        "customer_id",
        F.col("segment_id").alias("from_segment_id"),
        F.col("previous_segment_id").alias("earlier"),
        F.col("monetary").alias("monetary_before"),
    )
    here = now.select(
        "customer_id", F.col("segment_id").alias("to_segment_id"), "monetary", "tenure_days", "expected"
    )
    source, target, kind = F.col("from_segment_id"), F.col("to_segment_id"), F.col("kind")
    data = F.lit("behaviour" if elapsed_days else "correction")
    kinds = (
        F.when(source.isNull(), "new")
        .when(target.isNull(), "gone")
        .when(source == target, "stayed")
        .when(target == UNSEGMENTED_ID, "lapsed")
        .when(source == UNSEGMENTED_ID, "returned")
        .otherwise("moved")
    )
    expected = F.col("expected")
    moved = F.when(expected.isNull(), "unknown").when(expected == source, "model").otherwise(data)
    causes = (
        F.when((kind == "gone") | ((kind == "new") & (F.col("tenure_days") > elapsed_days)), "correction")
        .when(kind == "moved", moved)
        .when(kind != "stayed", data)
    )
    back = (kind == "moved") & (target == F.col("earlier"))
    return (
        here.join(then, on="customer_id", how="full")
        .withColumn("kind", kinds)
        .withColumn("cause", causes)
        .groupBy(*WAY)
        .agg(
            F.count(F.lit(1)).alias("customers"),
            F.sum("monetary_before").alias("revenue_before"),
            F.sum("monetary").alias("revenue"),
            F.count_if(back).alias("back"),
        )
    )
