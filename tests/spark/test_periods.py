"""Half-open intervals of days."""

from __future__ import annotations

from datetime import date

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_seg.errors import ConfigError
from spark_seg.periods import Period, days_until, parse_as_of

AS_OF = date(2024, 3, 1)


def test_the_observation_period_ends_before_as_of_and_is_as_long_as_asked() -> None:
    period = Period.before(AS_OF, 30)
    assert period == Period(date(2024, 1, 31), AS_OF)
    assert period.days == 30


def test_a_preceding_period_has_the_same_length_and_touches_without_overlap() -> None:
    recent = Period.before(AS_OF, 30)
    assert recent.preceding() == Period(date(2024, 1, 1), date(2024, 1, 31))


def test_a_period_contains_its_first_day_and_not_its_last(spark: SparkSession) -> None:
    days = ["2024-01-30", "2024-01-31", "2024-02-29", "2024-03-01", None]
    frame = spark.createDataFrame([(d,) for d in days], "d string").withColumn("d", F.col("d").cast("date"))
    found = frame.select(Period.before(AS_OF, 30).contains(F.col("d")).alias("in")).collect()
    assert [row["in"] for row in found] == [False, True, True, False, None]


def test_days_until_counts_one_for_the_day_before_as_of(spark: SparkSession) -> None:
    frame = spark.sql("select date'2024-02-29' as d union all select date'2023-03-01'")
    assert [row[0] for row in frame.select(days_until(AS_OF, F.col("d"))).collect()] == [1, 366]


def test_as_of_is_a_plain_date() -> None:
    assert parse_as_of("2024-02-29") == date(2024, 2, 29)


@pytest.mark.parametrize(
    "text",
    ["", "today", "2024-02-30", "20240229", "2024-W09-4", "2024-2-29", " 2024-02-29", "2024-02-29T00:00"],
)
def test_anything_but_a_date_is_refused_as_as_of(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_as_of(text)
    assert str(error.value) == f"--as-of: must be a date YYYY-MM-DD; got {text!r}"


@pytest.mark.parametrize("text", ["1970-12-31", "9000-01-02"])
def test_as_of_out_of_all_reason_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_as_of(text)
    assert str(error.value) == f"--as-of: must lie between 1971-01-01 and 9000-01-01; got {text}"
