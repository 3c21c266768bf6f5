"""A tiny shop: canonical rows without files, and configurations without a file of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml
from pyspark.sql import DataFrame, SparkSession

from spark_seg.config import (
    ColumnMapping,
    CustomersSource,
    EventsSource,
    OrdersSource,
    Settings,
    load_settings,
)
from spark_seg.sources import (
    OpenedSources,
    OpenedTable,
    canonical_customers,
    canonical_events,
    canonical_orders,
)

#: Every role of purchase lines, as text: what a CSV file gives.
ORDER_ROLES = (
    "customer_id",
    "order_id",
    "line_id",
    "ordered_at",
    "amount",
    "category",
    "currency",
    "status",
)
EVENT_ROLES = ("customer_id", "event_id", "occurred_at", "kind", "subject")


def settings(folder: Path, sources: Mapping[str, Any], **sections: Any) -> Settings:
    """A checked configuration with these sources."""
    file = folder / "settings.yaml"
    tree = {
        "pipeline": "shop",
        "sources": sources,
        "privacy": {"raw_ids": True},
        "publishing": {"root": str(folder / "out")},
        **sections,
    }
    file.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return load_settings([file])


def table(frame: DataFrame, columns: Mapping[str, Any], source: str = "orders") -> OpenedTable:
    """`frame` as if it had been opened with this mapping."""
    kinds = {"orders": OrdersSource, "events": EventsSource, "customers": CustomersSource}
    mappings = {role: ColumnMapping.model_validate(m) for role, m in columns.items()}
    # Not validated: a test may map the roles alone that it is about.
    ref = kinds[source.partition(".")[0]].model_construct(table=f"shop.{source}", columns=mappings)
    return OpenedTable(source, ref, "7", frame)


def text_rows(
    spark: SparkSession, roles: Sequence[str], rows: Sequence[Mapping[str, str | None]]
) -> DataFrame:
    """A frame of text columns, NULL where a row says nothing."""
    schema = ", ".join(f"{role} string" for role in roles)
    return spark.createDataFrame([tuple(row.get(role) for role in roles) for row in rows], schema)


def orders_of(frame: DataFrame, time_zone: str = "UTC") -> DataFrame:
    """Canonical orders of a frame whose columns are named like their roles."""
    opened = table(frame, {c: c for c in frame.columns})
    return canonical_orders(OpenedSources(opened, (), None), time_zone)


def events_of(frame: DataFrame, time_zone: str = "UTC") -> DataFrame:
    """Canonical events of a frame whose columns are named like their roles."""
    opened = table(frame, {c: c for c in frame.columns}, "events")
    canonical = canonical_events(OpenedSources(opened, (opened,), None), time_zone)
    assert canonical is not None
    return canonical


def customers_of(frame: DataFrame) -> DataFrame:
    """Canonical customers of a frame with the columns `customer_id` and attributes."""
    opened = table(frame, {c: c for c in frame.columns}, "customers")
    canonical = canonical_customers(OpenedSources(opened, (), opened), "UTC")
    assert canonical is not None
    return canonical


def trusted_orders(spark: SparkSession, rows: Sequence[tuple[Any, ...]]) -> DataFrame:
    """What cleaning gives: (customer, order, 'YYYY-MM-DD[ hh:mm]', amount, category[, is_return])."""
    full = [
        (c, o, datetime.fromisoformat(at), amount, category, bool(rest[0]) if rest else float(amount) < 0)
        for c, o, at, amount, category, *rest in rows
    ]
    schema = (
        "customer_id string, order_id string, ordered_at timestamp_ntz, amount string, category string, "
        "is_return boolean"
    )
    frame = spark.createDataFrame([(c, o, at, str(a), k, r) for c, o, at, a, k, r in full], schema)
    return frame.withColumn("amount", frame["amount"].cast("decimal(18,4)"))


def trusted_events(spark: SparkSession, rows: Sequence[tuple[str, str, str, str | None]]) -> DataFrame:
    """What cleaning gives: (customer, 'YYYY-MM-DD[ hh:mm]', kind, subject)."""
    return spark.createDataFrame(
        [(c, datetime.fromisoformat(at), kind, subject) for c, at, kind, subject in rows],
        "customer_id string, occurred_at timestamp_ntz, kind string, subject string",
    )


def day(text: str) -> date:
    return date.fromisoformat(text)
