"""Customers that are made up, reproducibly, as vectors that are ready to be clustered.

With power laws, as real RFM tables have them: a customer's rate of orders and typical amount are drawn from
long-tailed distributions, and most customers fell silent at some time.
"""

from __future__ import annotations

from pyspark.ml.functions import array_to_vector
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_seg.preparation import VECTOR

DIMENSIONS = 8


def customers(spark: SparkSession, rows: int) -> DataFrame:
    """`customer_id`, and `vector`: recency, orders, spend, value, tenure, late orders and spend, interval.

    Late is within 90 days. Each on a logarithmic scale, with a deviation of 1 or near it.
    """
    frame = _keys(spark, rows).select(
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


def groups(spark: SparkSession, rows: int) -> DataFrame:
    """Six round groups of unequal size that touch: `customer_id`, `vector`."""
    kind = F.floor(F.pow(F.rand(11), 1.5) * 6)
    # A corner of a cube for each kind, three deviations long.
    columns = [
        F.when(F.shiftright(kind * 5 + 3, place % 5) % 2 == 1, 3.0).otherwise(0.0) + F.randn(20 + place)
        for place in range(DIMENSIONS)
    ]
    return _vectors(spark, rows, columns)


def noise(spark: SparkSession, rows: int) -> DataFrame:
    """No groups at all: `customer_id`, `vector` of independent normals."""
    return _vectors(spark, rows, [F.randn(40 + place) for place in range(DIMENSIONS)])


def skewed(spark: SparkSession, rows: int) -> DataFrame:
    """Heavy tails that no logarithm has tamed: `customer_id`, `vector` of lognormals."""
    return _vectors(spark, rows, [F.exp(F.randn(60 + place)) for place in range(DIMENSIONS)])


#: Tables on which the number of groups is contested, each for another reason.
TABLES = {"power_laws": customers, "groups": groups, "noise": noise, "skewed": skewed}


def _vectors(spark: SparkSession, rows: int, columns: list[Column]) -> DataFrame:
    return _keys(spark, rows).select("customer_id", array_to_vector(F.array(*columns)).alias(VECTOR))


def _keys(spark: SparkSession, rows: int) -> DataFrame:
    return spark.range(rows, numPartitions=8).withColumnRenamed("id", "customer_id")


def _exponential(seed: int) -> Column:
    return -F.log(F.greatest(F.rand(seed), F.lit(1e-9)))


def _drawn(mean: Column) -> Column:
    """A whole number near `mean`: Poisson, by its normal approximation."""
    return F.greatest(F.lit(0.0), F.round(mean + F.col("luck") * F.sqrt(mean)))
