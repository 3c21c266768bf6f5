"""The same rows, however they are delivered, give the same features bit for bit."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from shop import EVENT_ROLES, events_of, orders_of, settings

from spark_seg.activity import daily_activity
from spark_seg.cleaning import Rules, clean_events, clean_orders
from spark_seg.config import CleaningSettings, FeatureSettings
from spark_seg.features import build_features, score_rfm
from spark_seg.sources import canonical_orders, open_sources

AS_OF = date(2024, 7, 1)
KINDS = {"mail": 0, "click": 0.1, "visit": 0.3}
SETTINGS = FeatureSettings.model_validate(
    {
        "engagement": {
            "kinds": KINDS,
            "half_life_days": 7,
            "contact_kind": "mail",
            "response_kind": "click",
        }
    }
)
RULES = Rules(CleaningSettings(max_reject_share=1), AS_OF, frozenset(KINDS))
ORDER_COLUMNS = ("customer_id", "order_id", "line_id", "ordered_at", "amount", "category")
ORDER_SCHEMA = ", ".join(f"{c} {'double' if c == 'amount' else 'string'}" for c in ORDER_COLUMNS)
EVENT_SCHEMA = ", ".join(f"{c} string" for c in EVENT_ROLES)

OrderRow = tuple[str, str, str | None, str, float, str | None]
EventRow = tuple[str, str | None, str, str, str | None]


def generated(seed: int) -> tuple[list[OrderRow], list[EventRow]]:
    """Orders whose amounts do not add up exactly as doubles, and events; some rows after as_of or bad."""
    rng = random.Random(seed)
    start = datetime(2023, 6, 1)

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


Deliver = Callable[[DataFrame], DataFrame]


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


@pytest.fixture(scope="module")
def reference(spark: SparkSession) -> list[tuple[Any, ...]]:
    found = features(spark, *frames(spark, *generated(1)))
    assert len(found) == 9  # six who may buy, and three who only act
    return found


@pytest.mark.parametrize("partitions", [1, 3, 7])
def test_neither_the_order_of_rows_nor_their_partitions_matter(
    spark: SparkSession, reference: list[tuple[Any, ...]], partitions: int
) -> None:
    orders, events = generated(1)
    random.Random(partitions).shuffle(orders)
    random.Random(partitions).shuffle(events)
    delivered = (frame.repartition(partitions) for frame in frames(spark, orders, events))
    assert features(spark, *delivered) == reference


def test_rows_delivered_twice_count_once(spark: SparkSession, reference: list[tuple[Any, ...]]) -> None:
    orders, events = generated(1)
    doubled = frames(spark, orders + orders[::-1], events[::2] + events + events[:7])
    assert features(spark, *doubled) == reference


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
        assert features(spark, *frames(spark, *generated(1))) == reference


def test_how_many_files_the_rows_lie_in_does_not_matter(spark: SparkSession, tmp_path: Path) -> None:
    orders, _ = frames(spark, *generated(1))
    found = []
    for files in (1, 5):
        path = f"{tmp_path}/{files}"
        orders.repartition(files).write.parquet(path)
        opened = open_sources(
            spark,
            settings(
                tmp_path,
                {"orders": {"path": path, "format": "parquet", "columns": {c: c for c in ORDER_COLUMNS}}},
            ),
        )
        kept = clean_orders(canonical_orders(opened, "UTC"), RULES).kept
        plain = FeatureSettings()
        rows = build_features(daily_activity(kept, None, plain.engagement), None, AS_OF, plain).collect()
        found.append(sorted(repr(row) for row in rows))
    assert found[0] == found[1]


def renamed(prefix: str, rows: list[Any]) -> list[Any]:
    return [(prefix + row[0], *row[1:]) for row in rows]


@example_settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(2, 10_000), order=st.randoms(use_true_random=False), partitions=st.integers(1, 4))
def test_any_delivery_of_any_rows_gives_the_same_features(
    spark: SparkSession, seed: int, order: random.Random, partitions: int
) -> None:
    """Twins: one delivered in order, the other shuffled and in part twice, in one pass."""
    orders, events = generated(seed)
    again, acted = orders + order.sample(orders, 5), events + order.sample(events, 5)
    order.shuffle(again)
    order.shuffle(acted)
    delivered = frames(
        spark, renamed("1", orders) + renamed("2", again), renamed("1", events) + renamed("2", acted)
    )
    found = features(spark, *(frame.repartition(partitions) for frame in delivered))
    ones = [row[1:] for row in found if row[0][1].startswith("'1")]
    twos = [row[1:] for row in found if row[0][1].startswith("'2")]
    assert ones == twos
    assert len(ones) >= 8
