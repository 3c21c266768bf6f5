"""Trusted rows → one row per customer and day."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from shop import day, trusted_events, trusted_orders

from spark_seg.activity import daily_activity
from spark_seg.tables import ACTIVITY

ORDERS: list[tuple[Any, ...]] = [
    # two orders of one day, one of them with two lines of one category
    ("a", "o1", "2024-01-05 09:00", "10.00", "toys"),
    ("a", "o1", "2024-01-05 09:00", "5.00", "toys"),
    ("a", "o1", "2024-01-05 09:01", "1.25", "food"),
    ("a", "o2", "2024-01-05 18:00", "2.00", "toys"),
    # an order that goes on after midnight
    ("a", "o3", "2024-01-06 23:59", "3.00", None),
    ("a", "o3", "2024-01-07 00:01", "4.00", "food"),
    # a return only
    ("b", "r1", "2024-01-05 12:00", "-7.50", "toys"),
    # an order of which a part comes back at once
    ("b", "o4", "2024-01-06 12:00", "20.00", "food"),
    ("b", "o4", "2024-01-06 12:05", "-20.00", "food"),
]
EVENTS = [
    ("a", "2024-01-05 08:00", "visit", None),
    ("a", "2024-01-05 08:30", "visit", None),
    ("a", "2024-01-05 23:59:59", "mail", "s2"),
    ("a", "2024-01-05 07:00", "mail", "s1"),
    ("a", "2024-01-05 07:00", "mail", "s1"),
    ("c", "2024-01-09", "visit", "s1"),
]

Day = tuple[int, Decimal, Decimal, list[tuple[str, Decimal]], dict[str, int], list[tuple[str, str]]]


def days(activity: DataFrame) -> dict[tuple[str, str], Day]:
    return {
        (row["customer_id"], row["day"].isoformat()): (
            row["orders"],
            row["amount"],
            row["returned"],
            [tuple(c) for c in row["categories"]],
            row["events"],
            [tuple(s) for s in row["subjects"]],
        )
        for row in activity.collect()
    }


def money(text: str) -> Decimal:
    return Decimal(text).quantize(Decimal("0.0001"))


def test_a_day_adds_up_orders_amounts_categories_and_events(spark: SparkSession) -> None:
    activity = daily_activity(trusted_orders(spark, ORDERS), trusted_events(spark, EVENTS))
    nothing = money("0")
    assert days(activity) == {
        ("a", "2024-01-05"): (
            2,
            money("18.25"),
            nothing,
            [("food", money("1.25")), ("toys", money("2")), ("toys", money("15"))],
            {"mail": 3, "visit": 2},
            [("mail", "s1"), ("mail", "s2")],
        ),
        ("a", "2024-01-06"): (1, money("7"), nothing, [("food", money("4"))], {}, []),
        ("b", "2024-01-05"): (0, money("-7.5"), money("7.5"), [("toys", money("-7.5"))], {}, []),
        ("b", "2024-01-06"): (1, nothing, money("20"), [("food", nothing)], {}, []),
        ("c", "2024-01-09"): (0, nothing, nothing, [], {"visit": 1}, [("visit", "s1")]),
    }


def test_activity_has_the_columns_and_types_of_its_contract(spark: SparkSession) -> None:
    for events in (None, trusted_events(spark, EVENTS)):
        activity = daily_activity(trusted_orders(spark, ORDERS), events)
        found = [(f.name, f.dataType.simpleString()) for f in activity.schema]
        assert found == [(f.name, f.type.simpleString()) for f in ACTIVITY.fields]


def test_without_events_every_day_has_empty_ones(spark: SparkSession) -> None:
    activity = days(daily_activity(trusted_orders(spark, ORDERS), None))
    assert len(activity) == 4
    assert {(str(d[4]), str(d[5])) for d in activity.values()} == {("{}", "[]")}


def test_without_orders_every_day_has_zeros(spark: SparkSession) -> None:
    activity = days(daily_activity(trusted_orders(spark, ORDERS).limit(0), trusted_events(spark, EVENTS)))
    assert {d[:4] == (0, money("0"), money("0"), []) for d in activity.values()} == {True}
    assert set(activity) == {("a", "2024-01-05"), ("c", "2024-01-09")}


def test_the_same_order_number_of_two_customers_is_two_orders(spark: SparkSession) -> None:
    rows = [("a", "1", "2024-01-05", "1", None), ("b", "1", "2024-01-06", "1", None)]
    activity = days(daily_activity(trusted_orders(spark, rows), None))
    assert {key: d[0] for key, d in activity.items()} == {("a", "2024-01-05"): 1, ("b", "2024-01-06"): 1}


def test_a_customer_and_day_has_one_row(spark: SparkSession) -> None:
    activity = daily_activity(trusted_orders(spark, ORDERS), trusted_events(spark, EVENTS))
    assert activity.groupBy(*ACTIVITY.key).count().where("count > 1").isEmpty()


@pytest.mark.parametrize("border", ["2024-01-06", "2024-01-09"])
def test_the_activity_of_a_history_is_that_of_its_parts_one_after_the_other(
    spark: SparkSession, border: str
) -> None:
    orders, events = trusted_orders(spark, ORDERS), trusted_events(spark, EVENTS)

    def part(late: bool) -> DataFrame:
        def of(frame: DataFrame, time: str) -> DataFrame:
            after = F.to_date(time) >= F.lit(day(border))
            return frame.where(after if late else ~after)

        return daily_activity(of(orders, "ordered_at"), of(events, "occurred_at"))

    whole = daily_activity(orders, events)
    assert_df_equality(
        part(late=False).unionByName(part(late=True)).withColumn("events", F.to_json("events")),
        whole.withColumn("events", F.to_json("events")),
        ignore_row_order=True,
        ignore_nullable=True,
    )
