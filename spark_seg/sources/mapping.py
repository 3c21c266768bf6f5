"""Opened tables → canonical frames.

A canonical frame has the columns of its `Spec`, NULL where a value cannot be read, and beside them
`source_row` (the mapped values as they came, as text), `source_table`, `source_version`, and `breach` (what
of the table's contract the row breaks), so that cleaning can keep what it rejects.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType, TimestampType

from spark_seg.config import TIME_ROLES
from spark_seg.sources.columns import FLAGS, NUMBERS, raw_value, wall_clock
from spark_seg.sources.contract import breach
from spark_seg.sources.naming import named
from spark_seg.sources.opening import OpenedSources, OpenedTable
from spark_seg.sources.rates import converted
from spark_seg.tables import CONSENTS, CUSTOMERS, EVENTS, ORDERS, Spec, trimmed


def canonical_orders(sources: OpenedSources, time_zone: str, since: date | None = None) -> DataFrame:
    """Purchase lines, in the configured currency where there are rates: `ORDERS` and the columns beside."""
    rows = _together(sources, (sources.orders,), ORDERS, time_zone, since)
    assert rows is not None  # noqa: S101 - there is a table
    if sources.rates is None or sources.currency is None:
        return rows
    return converted(rows, sources.rates.frame, sources.currency)


def canonical_events(sources: OpenedSources, time_zone: str, since: date | None = None) -> DataFrame | None:
    """Events of all tables together: `EVENTS` and the columns beside."""
    return _together(sources, sources.events, EVENTS, time_zone, since)


def canonical_customers(sources: OpenedSources, time_zone: str) -> DataFrame | None:
    """Customers: `CUSTOMERS` and the columns beside."""
    tables = (sources.customers,) if sources.customers is not None else ()
    return _together(sources, tables, CUSTOMERS, time_zone)


def canonical_consents(sources: OpenedSources, time_zone: str) -> DataFrame | None:
    """Decisions of customers, of all tables together: `CONSENTS` and the columns beside."""
    return _together(sources, sources.consents, CONSENTS, time_zone)


def _together(
    sources: OpenedSources,
    tables: Sequence[OpenedTable],
    spec: Spec,
    time_zone: str,
    since: date | None = None,
) -> DataFrame | None:
    """The rows of some tables, and those that were repaired of them."""
    repaired = [repairs for table in tables if (repairs := sources.repairs.get(table.source)) is not None]
    frames = [canonical(table, spec, time_zone, since) for table in (*tables, *repaired)]
    return reduce(DataFrame.unionByName, frames) if frames else None


def canonical(table: OpenedTable, spec: Spec, time_zone: str, since: date | None = None) -> DataFrame:
    """Rows of `table` as `spec` wants them, NULL where a value cannot be read.

    `since`: only rows of that day and later, and those whose day cannot be read.
    """
    raw = {role: raw_value(mapping) for role, mapping in table.columns.items()}
    kinds = {
        field.name: field.dataType
        for field in table.frame.select(*(column.alias(role) for role, column in raw.items())).schema
    }
    columns = []
    for field in spec.fields:
        if field.name == "attributes":
            names = [role for role in raw if role != "customer_id"]
            pairs = [part for name in names for part in (F.lit(name), raw[name].cast("string"))]
            value = F.create_map(*pairs) if pairs else F.create_map().cast(field.type)
        elif field.name not in raw:
            value = F.lit(None)
        elif field.name in TIME_ROLES:
            value = wall_clock(raw[field.name], kinds[field.name], table.columns[field.name], time_zone)
        elif field.name in NUMBERS | FLAGS:
            text = isinstance(kinds[field.name], StringType)
            value = (trimmed(raw[field.name]) if text else raw[field.name]).try_cast(field.type)
        elif isinstance(kinds[field.name], StringType):
            value = F.nullif(trimmed(raw[field.name]), F.lit(""))
        else:
            value = raw[field.name]
        columns.append(value.cast(field.type).alias(field.name))
    roles = [*raw, *(name for name in spec.columns if name not in raw and name != "attributes")]
    source_row = F.struct(*(_as_it_came(raw.get(role), kinds.get(role)).alias(role) for role in roles))
    frame = table.frame
    time = next((name for name in spec.columns if name in TIME_ROLES), None)
    if since is not None and time is not None and kinds[time] != StringType():
        # Of the source's own column Delta knows which files to leave out; no zone is two days away.
        frame = frame.where(_not_before(raw[time], since - timedelta(days=2)))
    rows = frame.select(
        *columns,
        source_row.alias("source_row"),
        F.lit(table.label).alias("source_table"),
        F.lit(table.version).alias("source_version"),
    )
    naming = table.naming
    ids_are_text = isinstance(kinds.get("customer_id"), StringType)
    if naming is not None and (naming.variable is not None or (ids_are_text and naming.changes_text)):
        # Once, before both places take it.
        rows = rows.withColumn("customer_id", named(F.col("customer_id"), naming))
    if naming is not None and naming.variable is not None:
        rows = rows.withColumn(
            "source_row", F.col("source_row").withField("customer_id", F.col("customer_id"))
        )
    rows = rows.withColumn("breach", breach(table.ref.contract, set(spec.columns)))
    return rows.where(_not_before(F.to_date(time), since)) if since is not None and time else rows


def _not_before(value: Column, day: date) -> Column:
    return value.isNull() | (value >= F.lit(day))


def _as_it_came(value: Column | None, kind: DataType | None) -> Column:
    """A mapped value as text; an instant with its zone, so that it can be read again."""
    if value is None:
        return F.lit(None).cast("string")
    text = value.cast("string")
    return F.concat(text, F.lit("Z")) if isinstance(kind, TimestampType) else text
