"""Exchange rates → what one unit of a currency was worth on a day, and amounts in one currency."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_seg.tables import AMOUNT


def daily_rates(rates: DataFrame, until: date) -> DataFrame:
    """Canonical rates → `rate_currency, rate_day, rate`: a row for each day up to `until` on which one held.

    A few thousand rows for each currency and decade. Without `rate_day` where rates hold always.
    """
    named = rates.select(
        F.col("currency").alias("rate_currency"), F.to_date("valid_from").alias("first"), "rate"
    )
    if named.where(F.col("first").isNotNull()).isEmpty():
        return named.drop("first")
    following = F.lead("first").over(Window.partitionBy("rate_currency").orderBy("first"))
    last = F.least(F.coalesce(F.date_sub(following, 1), F.lit(until)), F.lit(until))
    held = named.withColumn("last", last).where("first <= last")
    return held.select("rate_currency", F.explode(F.sequence("first", "last")).alias("rate_day"), "rate")


def unsound_rates(where: str, label: str, rates: DataFrame) -> list[str]:
    """Sentences about canonical rates that nothing can be converted by."""
    row = rates.agg(
        F.count_if(F.coalesce(F.col("rate") <= 0, F.lit(True))).alias("bad"),
        F.count_if(F.col("currency").isNull()).alias("nameless"),
        F.count_if(F.col("valid_from").isNull()).alias("always"),
        F.count(F.lit(1)).alias("rows"),
    ).first()
    assert row is not None  # noqa: S101 - an aggregate without groups has one row
    problems = []
    if row["bad"] or row["nameless"]:
        problems.append(
            f"{where}: {label} must have a currency and a rate above 0 on every row; got "
            f"{row['bad'] + row['nameless']:,} rows without. Repair them at the source"
        )
    if 0 < row["always"] < row["rows"]:
        problems.append(
            f"{where}.columns.valid_from: {label} must have a day on every row; got {row['always']:,} "
            "without one that can be read"
        )
    twice = rates.groupBy("currency", F.to_date("valid_from")).count().where("count > 1")
    if not twice.isEmpty():
        problems.append(
            f"{where}: {label} must have one rate for each currency and valid_from; got several for some. "
            "Which one holds would be chance: keep one"
        )
    return problems


def converted(orders: DataFrame, rates: DataFrame, currency: str) -> DataFrame:
    """Canonical orders with amounts in `currency`, rounded half up; rows without a rate stay as they are."""
    on = F.col("currency") == F.col("rate_currency")
    if "rate_day" in rates.columns:
        on &= F.to_date("ordered_at") == F.col("rate_day")
    rows = orders.join(F.broadcast(rates), on, "left")
    applies = F.col("rate").isNotNull() & (F.col("currency") != F.lit(currency))
    worth = F.round(F.col("amount") * F.col("rate"), AMOUNT.scale).try_cast(AMOUNT)
    changed = {
        "amount": F.when(applies, worth).otherwise(F.col("amount")),
        "currency": F.when(applies, F.lit(currency)).otherwise(F.col("currency")),
    }
    return rows.select(*(changed.get(name, F.col(name)).alias(name) for name in orders.columns))
