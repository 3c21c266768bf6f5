"""The same rows, however they are delivered, give the same features bit for bit."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from shop import EVENT_ROLES, events_of, orders_of, settings
from worlds import (
    AS_OF,
    KINDS,
    OBSERVATION_START,
    RULES,
    SETTINGS,
    WRITINGS,
    Order,
    World,
    assert_same,
    features_of,
    many,
    signed_amounts,
    spelled,
)

from spark_seg.activity import daily_activity
from spark_seg.cleaning import clean_events, clean_orders
from spark_seg.config import FeatureSettings, SessionSettings
from spark_seg.features import build_features, score_rfm
from spark_seg.session import start_session
from spark_seg.sources import canonical_orders, open_sources

ORDER_COLUMNS = ("customer_id", "order_id", "line_id", "ordered_at", "amount", "category")
ORDER_SCHEMA = ", ".join(f"{c} {'double' if c == 'amount' else 'string'}" for c in ORDER_COLUMNS)
EVENT_SCHEMA = ", ".join(f"{c} string" for c in EVENT_ROLES)

OrderRow = tuple[str, str, str | None, str, float, str | None]
EventRow = tuple[str, str | None, str, str, str | None]


def drawn() -> tuple[list[OrderRow], list[EventRow]]:
    """Orders whose amounts do not add up exactly as doubles, and events; some rows after as_of or bad."""
    rng = random.Random(1)
    start = datetime(2023, 6, 25)

    def when() -> str:
        return (start + timedelta(minutes=rng.randrange(400 * 24 * 60))).isoformat()

    orders: list[OrderRow] = []
    for n in range(40):
        customer, at = rng.choice("abcdef"), when()
        for line in range(rng.randint(1, 4)):
            amount = rng.choice([0.1, 0.2, 0.3, 1e9 / 7, 19.99, -0.1, 0.0])
            category = rng.choice(["toys", "food", None])
            orders.append((customer, f"o{n}", str(line), at, amount, category))
    events: list[EventRow] = [
        (rng.choice("abcxyz"), None, when(), rng.choice(list(KINDS)), rng.choice(["s1", "s2", None]))
        for _ in range(60)
    ]
    # The same key delivered with two contents: which one counts must not depend on the delivery.
    orders += [(*orders[0][:4], orders[0][4] + 1, "books"), (*orders[5][:4], 0.7, orders[5][5])]
    return orders, events


def features(spark: SparkSession, orders: DataFrame, events: DataFrame) -> list[tuple[Any, ...]]:
    """Every published number of every customer, in the order of customers."""
    bought = clean_orders(orders_of(orders), RULES)
    acted = clean_events(events_of(events), RULES)
    built = build_features(
        daily_activity(bought.kept, acted.kept, SETTINGS.engagement), None, AS_OF, SETTINGS
    ).persist()
    try:
        rows = score_rfm(built).customers.drop("attributes").collect()
    finally:
        built.unpersist()
    return sorted(tuple((name, repr(value)) for name, value in row.asDict().items()) for row in rows)


def frames(
    spark: SparkSession, orders: list[OrderRow], events: list[EventRow]
) -> tuple[DataFrame, DataFrame]:
    return spark.createDataFrame(orders, ORDER_SCHEMA), spark.createDataFrame(events, EVENT_SCHEMA)


@contextmanager
def configured(spark: SparkSession, **conf: str) -> Iterator[None]:
    names = {name: f"spark.sql.{name.replace('__', '.')}" for name in conf}
    before = {key: spark.conf.get(key) for key in names.values()}
    for name, key in names.items():
        spark.conf.set(key, conf[name])
    try:
        yield
    finally:
        for key, value in before.items():
            spark.conf.set(key, value)


@contextmanager
def machine_in(spark: SparkSession, zone: str) -> Iterator[None]:
    """The clocks of Python and of the JVM in `zone`."""
    zones, variable = spark._jvm.java.util.TimeZone, os.environ.get("TZ")
    before = zones.getDefault()
    zones.setDefault(zones.getTimeZone(zone))
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        zones.setDefault(before)
        os.environ.pop("TZ")
        if variable is not None:
            os.environ["TZ"] = variable
        time.tzset()


@pytest.fixture(scope="module")
def reference(spark: SparkSession) -> list[tuple[Any, ...]]:
    found = features(spark, *frames(spark, *drawn()))
    assert len(found) == 9  # six who may buy, and three who only act
    return found


@pytest.mark.parametrize(
    "conf",
    [
        {"adaptive__enabled": "true"},
        {"shuffle__partitions": "8", "adaptive__enabled": "true"},
        {"shuffle__partitions": "8", "objectHashAggregate__sortBased__fallbackThreshold": "1"},
        {"shuffle__partitions": "1", "autoBroadcastJoinThreshold": "-1"},
        {"codegen__wholeStage": "true", "codegen__factoryMode": "CODEGEN_ONLY"},
    ],
    ids=lambda conf: " ".join(f"{k}={v}" for k, v in conf.items()),
)
def test_how_spark_computes_does_not_matter(
    spark: SparkSession, reference: list[tuple[Any, ...]], conf: dict[str, str]
) -> None:
    with configured(spark, **conf):
        assert features(spark, *frames(spark, *drawn())) == reference


def test_how_many_files_the_rows_lie_in_does_not_matter(spark: SparkSession, tmp_path: Path) -> None:
    orders, _ = frames(spark, *drawn())
    found = []
    for files in (1, 5):
        path = f"{tmp_path}/{files}"
        orders.repartition(files).write.parquet(path)
        orders_there = {"path": path, "format": "parquet", "columns": {c: c for c in ORDER_COLUMNS}}
        opened = open_sources(spark, settings(tmp_path, {"orders": orders_there}), AS_OF)
        kept = clean_orders(canonical_orders(opened, "UTC"), RULES).kept
        plain = FeatureSettings()
        rows = build_features(daily_activity(kept, None, plain.engagement), None, AS_OF, plain).collect()
        found.append(sorted(repr(row) for row in rows))
    assert found[0] == found[1]


# ---------------------------------------------------------------- generated worlds


def generated(examples: int) -> example_settings:
    """The same worlds on every machine. A failure names the smallest of them: nothing is left to shrink."""
    return example_settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@generated(3)
@given(worlds=many(18), seed=st.integers(0, 10_000), partitions=st.integers(2, 7))
def test_case_27_neither_the_order_of_rows_nor_their_partitions_change_a_feature(
    spark: SparkSession, worlds: list[World], seed: int, partitions: int
) -> None:
    in_order = features_of(spark, {"": worlds})
    with configured(spark, shuffle__partitions=str(partitions + 1)):
        shuffled = features_of(spark, {"": worlds}, order=random.Random(seed), partitions=partitions)
    assert_same(worlds, in_order[""], shuffled[""])


@generated(2)
@given(worlds=many(18))
def test_rows_delivered_twice_count_once(spark: SparkSession, worlds: list[World]) -> None:
    twice = [World(w.orders + w.orders[::-1], w.events[::2] + w.events[::-1]) for w in worlds]
    found = features_of(spark, {"once": worlds, "twice": twice}, partitions=3)
    assert_same(worlds, found["once"], found["twice"])


@generated(2)
@given(worlds=many(18))
def test_spend_is_the_sum_of_amounts_with_refunds_taken_off(spark: SparkSession, worlds: list[World]) -> None:
    worlds = [
        World(tuple(row._replace(line_id=str(n)) for n, row in enumerate(w.orders)), ()) for w in worlds
    ]
    found = features_of(spark, {"": worlds})[""]
    for world, customers in zip(worlds, found, strict=True):
        assert {c: values["monetary"] for c, values in customers.items()} == signed_amounts(world), world


#: What a refund takes back, and what it is for who has done nothing.
SPEND = (
    *("monetary", "monetary_30d", "monetary_90d", "spend_trend"),
    *("top_category", "top_category_share", "category_breadth"),
)
NOTHING = dict.fromkeys(("monetary", "monetary_30d", "monetary_90d", "category_breadth", "frequency"), 0)
#: A customer, a day, an amount, and how it is paid back: in the same order, in another, or by its status.
refunds = st.tuples(
    st.sampled_from("abd"),
    st.sampled_from([*(AS_OF - timedelta(days=n) for n in (1, 30, 31, 90, 91, 180, 365, 366)), AS_OF]),
    st.tuples(*[st.sampled_from(["00:00", "12:00:00.5", "23:59:59.999999"])] * 2),
    st.integers(1, 10**17).map(lambda n: f"{Decimal(n) / 10_000:f}"),
    st.sampled_from(["toys", "Zoo", None]),
    st.sampled_from(["same order", "another", "status"]),
)


@generated(2)
@given(worlds=many(18), back=st.lists(refunds, min_size=18, max_size=18))
def test_an_order_paid_back_on_its_day_changes_no_spend(
    spark: SparkSession, worlds: list[World], back: list[Any]
) -> None:
    more = []
    for world, (customer, day, times, amount, category, way) in zip(worlds, back, strict=True):
        order, status = "new" if way == "same order" else "back", "returned" if way == "status" else None
        taken = amount if status else f"-{amount}"
        bought = Order(customer, "new", "1", f"{day}T{times[0]}", amount, category, None, "Z")
        returned = Order(customer, order, "2", f"{day}T{times[1]}", taken, category, status, "Z")
        more.append(World((*world.orders, bought, returned), world.events))
    found = features_of(spark, {"before": worlds, "after": more})
    cases = zip(more, back, found["before"], found["after"], strict=True)
    for world, (customer, day, *_), before, after in cases:
        ours, theirs = before.pop(customer, NOTHING), after.pop(customer, NOTHING)
        assert after == before, world
        assert {name: theirs.get(name) for name in SPEND} == {name: ours.get(name) for name in SPEND}, world
        assert theirs["frequency"] == ours["frequency"] + (OBSERVATION_START <= day < AS_OF), world


@generated(1)
@given(worlds=many(18))
def test_the_zones_of_session_and_machine_do_not_matter(spark: SparkSession, worlds: list[World]) -> None:
    here = features_of(spark, {"": worlds})
    for session, machine in (("Asia/Kolkata", "Africa/Cairo"), ("Pacific/Apia", "America/New_York")):
        with machine_in(spark, machine), configured(spark, session__timeZone=session):
            there = features_of(start_session(SessionSettings()), {"": worlds})
        assert_same(worlds, here[""], there[""])


@generated(2)
@given(worlds=many(18))
def test_instants_are_the_same_whichever_way_they_are_written(
    spark: SparkSession, worlds: list[World]
) -> None:
    def rewritten(world: World, way: str) -> World:
        return World(*(tuple(row._replace(writing=way) for row in rows) for rows in world))

    found = features_of(
        spark, {"drawn": worlds} | {way: [rewritten(w, way) for w in worlds] for way in WRITINGS}
    )
    for way in WRITINGS:
        assert_same(worlds, found["drawn"], found[way])


@generated(1)
@given(worlds=many(18), gone=st.lists(st.sampled_from(["a", "b", "c", "ab", "bc"]), min_size=18, max_size=18))
def test_who_is_erased_or_did_not_agree_might_never_have_been_there(
    spark: SparkSession, worlds: list[World], gone: list[str]
) -> None:
    def ids(variant: str, of: Callable[[str], Iterable[str]]) -> DataFrame:
        found = [(spelled(c, variant, n),) for n, left_out in enumerate(gone) for c in of(left_out)]
        return spark.createDataFrame(found, "customer_id string")

    agreed = ids("asked", lambda left_out: set("abc") - set(left_out)).union(ids("erased", lambda _: "abc"))
    marked = replace(RULES, erased=ids("erased", lambda left_out: left_out), consenting=agreed)
    others = [world.without(left_out) for world, left_out in zip(worlds, gone, strict=True)]
    left = features_of(spark, {"erased": worlds, "asked": worlds}, marked)
    never_was = features_of(spark, {"erased": others, "asked": others})
    for variant in left:
        assert_same(worlds, left[variant], never_was[variant])
