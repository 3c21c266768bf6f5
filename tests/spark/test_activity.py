"""Trusted rows → one row per customer, day, and category or subject."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from shop import day, events_of, orders_of, trusted_events, trusted_orders

from spark_seg.activity import daily_activity
from spark_seg.cleaning import Rules, clean_events, clean_orders
from spark_seg.config import CleaningSettings, EngagementSettings, FeatureSettings
from spark_seg.features import build_features
from spark_seg.tables import activity_spec

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

ENGAGEMENT = EngagementSettings(kinds={"mail": 0, "visit": 1}, contact_kind="mail", response_kind="mail")
SPEC = activity_spec(ENGAGEMENT.kinds)


def rows_of(activity: DataFrame) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """(customer, day, category, subject) → the other columns."""
    rows = [tuple(row) for row in activity.withColumn("day", F.col("day").cast("string")).collect()]
    found = {row[:4]: row[4:] for row in rows}
    assert len(found) == len(rows)
    return found


def money(text: str) -> Decimal:
    return Decimal(text).quantize(Decimal("0.0001"))


def purchase(orders: int, amount: str, returned: str = "0") -> tuple[Any, ...]:
    return (orders, money(amount), money(returned), None, None)


PURCHASES = {
    # the order of toys and food counts as food
    ("a", "2024-01-05", "food", None): purchase(1, "1.25"),
    ("a", "2024-01-05", "toys", None): purchase(1, "17"),
    # the order that goes on after midnight counts as nothing's
    ("a", "2024-01-06", None, None): purchase(1, "3"),
    ("a", "2024-01-06", "food", None): purchase(0, "4"),
    ("b", "2024-01-05", "toys", None): purchase(0, "-7.5", "7.5"),
    ("b", "2024-01-06", "food", None): purchase(1, "0", "20"),
}
ACTS = {
    ("a", "2024-01-05", None, None): (None, None, None, 0, 2),
    ("a", "2024-01-05", None, "s1"): (None, None, None, 2, 0),
    ("a", "2024-01-05", None, "s2"): (None, None, None, 1, 0),
    # what a visit is about does not matter
    ("c", "2024-01-09", None, None): (None, None, None, 0, 1),
}


def test_purchases_add_up_by_category_and_events_by_subject(spark: SparkSession) -> None:
    activity = daily_activity(trusted_orders(spark, ORDERS), trusted_events(spark, EVENTS), ENGAGEMENT)
    assert rows_of(activity) == PURCHASES | ACTS


def test_activity_has_the_columns_and_types_of_its_contract(spark: SparkSession) -> None:
    for events in (None, trusted_events(spark, EVENTS)):
        activity = daily_activity(trusted_orders(spark, ORDERS), events, ENGAGEMENT)
        found = [(f.name, f.dataType.simpleString()) for f in activity.schema]
        assert found == [(f.name, f.type.simpleString()) for f in SPEC.fields]


def test_without_events_there_are_purchases_and_without_orders_events(spark: SparkSession) -> None:
    assert rows_of(daily_activity(trusted_orders(spark, ORDERS), None, ENGAGEMENT)) == PURCHASES
    nothing = trusted_orders(spark, ORDERS).limit(0)
    assert rows_of(daily_activity(nothing, trusted_events(spark, EVENTS), ENGAGEMENT)) == ACTS


def test_the_same_order_number_of_two_customers_is_two_orders(spark: SparkSession) -> None:
    rows = [("a", "1", "2024-01-05", "1", None), ("b", "1", "2024-01-06", "1", None)]
    activity = rows_of(daily_activity(trusted_orders(spark, rows), None, ENGAGEMENT))
    assert {key[:2]: row[0] for key, row in activity.items()} == {
        ("a", "2024-01-05"): 1,
        ("b", "2024-01-06"): 1,
    }


@pytest.mark.parametrize("border", ["2024-01-06", "2024-01-09"])
def test_the_activity_of_a_history_is_that_of_its_parts_one_after_the_other(
    spark: SparkSession, border: str
) -> None:
    orders, events = trusted_orders(spark, ORDERS), trusted_events(spark, EVENTS)

    def part(late: bool) -> DataFrame:
        def of(frame: DataFrame, time: str) -> DataFrame:
            after = F.to_date(time) >= F.lit(day(border))
            return frame.where(after if late else ~after)

        return daily_activity(of(orders, "ordered_at"), of(events, "occurred_at"), ENGAGEMENT)

    whole = daily_activity(orders, events, ENGAGEMENT)
    assert_df_equality(
        part(late=False).unionByName(part(late=True)),
        whole,
        ignore_row_order=True,
        ignore_nullable=True,
    )


@pytest.mark.slow
def test_case_26_a_customer_who_did_half_of_a_million_things_is_counted_like_everybody(
    spark: SparkSession,
) -> None:
    things, others = 1_000_000, 1_000
    number = F.col("id").cast("string")
    customer = F.when(F.col("id") % 2 == 0, "whale").otherwise(
        F.concat(F.lit("c"), (F.col("id") % others).cast("string"))
    )
    at = F.date_add(F.lit(day("2024-01-01")), (F.col("id") / others % 30).cast("int")).cast("string")
    rows = spark.range(things).select(customer.alias("customer_id"), number.alias("event_id"), at.alias("at"))
    bought = rows.selectExpr(
        "customer_id", "event_id order_id", "at ordered_at", "'0.10' amount", "'a' category"
    )
    acted = rows.selectExpr("customer_id", "event_id", "at occurred_at", "'visit' kind", "'s' subject")
    as_of = day("2024-02-01")
    settings = FeatureSettings(engagement=ENGAGEMENT)
    rules = Rules(CleaningSettings(), as_of, frozenset(ENGAGEMENT.kinds))
    orders, events = clean_orders(orders_of(bought), rules), clean_events(events_of(acted), rules)
    activity = daily_activity(orders.kept, events.kept, ENGAGEMENT)
    built = build_features(activity, None, as_of, settings).select(
        "customer_id", "frequency", "monetary", "visit_count", "visit_days", "recency_days"
    )
    found = {row["customer_id"]: tuple(row)[1:] for row in built.collect()}
    each = things // others
    assert found.pop("whale") == (things // 2, money(str(things // 20)), things // 2, 30, 2)
    assert len(found) == others // 2
    assert set(found.values()) == {(each, money(str(each // 10)), each, 30, 2)}
    assert (orders.counts().kept, events.counts().kept) == (things, things)


def test_each_source_is_read_once_and_moved_once_for_all_features(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted in the physical plan: no join, affinity or answer asks for another pass."""
    trusted_orders(spark, ORDERS).write.parquet(f"{tmp_path}/orders")
    trusted_events(spark, EVENTS).write.parquet(f"{tmp_path}/events")
    orders, events = (spark.read.parquet(f"{tmp_path}/{name}") for name in ("orders", "events"))
    settings = FeatureSettings(engagement=ENGAGEMENT)
    activity = daily_activity(orders, events, settings.engagement)
    build_features(activity, None, day("2024-02-01"), settings).explain()
    plan = capsys.readouterr().out
    assert plan.count("FileScan") == 2
    assert plan.count("Exchange") == plan.count("Exchange hashpartitioning(customer_id") == 2
    assert "ObjectHashAggregate" not in plan
