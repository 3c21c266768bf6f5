"""Customers that are made up, reproducibly, as vectors that are ready to be clustered.

`purchases`: power laws, as real RFM tables have them. A customer's rate of orders and typical amount are
drawn from long-tailed distributions, and most customers fell silent at some time. `lumps`: overlapping
groups of unlike size with skew. `noise`: no groups.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pyspark.ml.functions import array_to_vector
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_seg.preparation import VECTOR

DIMENSIONS = 8
_GROUPS = 5


def customers(spark: SparkSession, table: str, rows: int) -> DataFrame:
    """`customer_id` and `vector` with DIMENSIONS features, each of deviation 1 or near it."""
    frame = spark.range(rows, numPartitions=8).withColumnRenamed("id", "customer_id")
    return TABLES[table](frame)


def _purchases(frame: DataFrame) -> DataFrame:
    """Recency, orders, spend, order value, tenure, orders and spend of the last 90 days, interval."""
    frame = frame.select(
        "customer_id",
        # Orders a month: exponential of exponential, so a few buy every day and many once.
        (F.exp(_exponential(1) * 0.6) * 0.25).alias("rate"),
        (F.rand(2) * 700 + 30).alias("tenure"),
        (F.exp(F.randn(3) * 0.8 + 3)).alias("value"),
        F.rand(4).alias("alive"),
        F.randn(5).alias("luck"),
        F.randn(6).alias("price"),
    )
    # Two of five are still customers; the others stopped at some time after their first order.
    silent = F.when(F.col("alive") < 0.4, 0.0).otherwise(F.col("tenure") * (F.col("alive") - 0.4) / 0.6)
    frame = frame.withColumn(
        "recency", F.least(silent + _exponential(7) * 30 / F.col("rate"), F.col("tenure"))
    )
    active = F.col("tenure") - F.col("recency")
    frame = frame.withColumn("orders", _drawn(F.col("rate") * active / 30) + 1)
    within = F.greatest(F.lit(0.0), 90 - F.col("recency"))
    frame = frame.withColumn("late_orders", F.least(F.col("orders"), _drawn(F.col("rate") * within / 30)))
    value = F.col("value") * F.exp(F.col("price") * 0.3)
    columns = [
        F.col("recency"),
        F.col("orders"),
        F.col("orders") * value,
        F.col("value"),
        F.col("tenure"),
        F.col("late_orders"),
        F.col("late_orders") * value,
        active / F.col("orders"),
    ]
    # What log1p leaves of each has about these deviations.
    spreads = (1.27, 0.77, 1.28, 0.75, 0.73, 0.5, 1.6, 1.64)
    scaled = [F.log1p(column) / spread for column, spread in zip(columns, spreads, strict=True)]
    return frame.select("customer_id", array_to_vector(F.array(*scaled)).alias(VECTOR))


def _exponential(seed: int) -> Column:
    return -F.log(F.greatest(F.rand(seed), F.lit(1e-9)))


def _drawn(mean: Column) -> Column:
    """A whole number near `mean`: Poisson, by its normal approximation."""
    return F.greatest(F.lit(0.0), F.round(mean + F.col("luck") * F.sqrt(mean)))


def _lumps(frame: DataFrame) -> DataFrame:
    rng = np.random.default_rng(11)
    centres = rng.uniform(0, 4, size=(_GROUPS, DIMENSIONS))
    shares = np.cumsum(rng.dirichlet(np.full(_GROUPS, 4.0)))
    group = F.lit(_GROUPS - 1)
    for i in reversed(range(_GROUPS - 1)):
        group = F.when(F.col("u") < float(shares[i]), i).otherwise(group)
    lumps = F.array(*(F.array(*(F.lit(float(x)) for x in centre)) for centre in centres))
    values = [
        F.get(F.get(F.col("lumps"), F.col("group")), F.lit(i))
        + F.randn(i + 1) * 0.8
        + _exponential(100 + i) * 0.5
        for i in range(DIMENSIONS)
    ]
    frame = frame.withColumn("u", F.rand(7)).withColumn("group", group).withColumn("lumps", lumps)
    return frame.select("customer_id", array_to_vector(F.array(*values)).alias(VECTOR))


def _noise(frame: DataFrame) -> DataFrame:
    values = [F.randn(i + 1) + 5 for i in range(DIMENSIONS)]
    return frame.select("customer_id", array_to_vector(F.array(*values)).alias(VECTOR))


TABLES: dict[str, Callable[[DataFrame], DataFrame]] = {
    "purchases": _purchases,
    "lumps": _lumps,
    "noise": _noise,
}
