"""Opened tables → canonical frames.

A canonical frame has the columns of its `Spec`, NULL where a value cannot be read, and beside them
`source_row` (the mapped values as they came, as text), `source_table` and `source_version`, so that
cleaning can keep what it rejects.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType, TimestampType

from spark_seg.sources.columns import AMOUNTS, TIMES, pattern_letters, raw_value
from spark_seg.sources.opening import OpenedSources, OpenedTable
from spark_seg.sources.pseudonyms import pseudonym
from spark_seg.tables import CUSTOMERS, EVENTS, ORDERS, Spec, trimmed

_ISO_MINUTE = r"\d{4}-\d{1,2}-\d{1,2}[T ]\d{1,2}:\d{1,2}"
#: What follows a time when the text names its zone: Z, UTC, +02:00, Europe/Berlin.
_ZONE = r"\s*[^\s\d:.]"


def canonical_orders(sources: OpenedSources, time_zone: str, since: date | None = None) -> DataFrame:
    """Purchase lines: the columns of `ORDERS` and the three `source_*` columns."""
    return canonical(sources.orders, ORDERS, time_zone, since)


def canonical_events(sources: OpenedSources, time_zone: str, since: date | None = None) -> DataFrame | None:
    """Events of all tables together: the columns of `EVENTS` and the three `source_*` columns."""
    frames = [canonical(table, EVENTS, time_zone, since) for table in sources.events]
    return reduce(DataFrame.unionByName, frames) if frames else None


def canonical_customers(sources: OpenedSources, time_zone: str) -> DataFrame | None:
    """Customers: the columns of `CUSTOMERS` and the three `source_*` columns."""
    return canonical(sources.customers, CUSTOMERS, time_zone) if sources.customers is not None else None


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
        elif field.name in TIMES:
            value = _wall_clock(
                raw[field.name], kinds[field.name], table.columns[field.name].format, time_zone
            )
        elif field.name in AMOUNTS:
            text = isinstance(kinds[field.name], StringType)
            value = (trimmed(raw[field.name]) if text else raw[field.name]).try_cast(field.type)
        elif isinstance(kinds[field.name], StringType):
            value = F.nullif(trimmed(raw[field.name]), F.lit(""))
        else:
            value = raw[field.name]
        columns.append(value.cast(field.type).alias(field.name))
    roles = [*raw, *(name for name in spec.columns if name not in raw and name != "attributes")]
    source_row = F.struct(*(raw.get(role, F.lit(None)).cast("string").alias(role) for role in roles))
    frame = table.frame
    time = next((name for name in spec.columns if name in TIMES), None)
    if since is not None and time is not None and kinds[time] != StringType():
        # Of the source's own column Delta knows which files to leave out; no zone is two days away.
        frame = frame.where(_not_before(raw[time], since - timedelta(days=2)))
    rows = frame.select(
        *columns,
        source_row.alias("source_row"),
        F.lit(table.label).alias("source_table"),
        F.lit(table.version).alias("source_version"),
    )
    if table.key is not None:
        named = pseudonym(F.col("customer_id"), table.key)
        # Once, before both places take it.
        rows = rows.withColumn("customer_id", named)
        rows = rows.withColumn(
            "source_row", F.col("source_row").withField("customer_id", F.col("customer_id"))
        )
    return rows.where(_not_before(F.to_date(time), since)) if since is not None and time else rows


def _not_before(value: Column, day: date) -> Column:
    return value.isNull() | (value >= F.lit(day))


def _wall_clock(value: Column, kind: DataType, pattern: str | None, time_zone: str) -> Column:
    """Time on the clock of the business: instants move to its zone, naive times are taken as they are."""
    if isinstance(kind, TimestampType):
        return _local(value, time_zone)
    if not isinstance(kind, StringType):
        return value.cast("timestamp_ntz")
    text = trimmed(value)
    if pattern is not None:
        # The session is in UTC, so a pattern without a zone keeps the time that was written.
        parsed = F.try_to_timestamp(text, F.lit(pattern))
        names_zone = pattern_letters(pattern) & set("VzOXxZ")
        return _local(parsed, time_zone) if names_zone else parsed.cast("timestamp_ntz")
    # ISO 8601 may leave the seconds out; Spark's cast wants them.
    text = F.regexp_replace(text, rf"^({_ISO_MINUTE})(?=$|{_ZONE})", "$1:00")
    instant = _local(text.try_cast("timestamp"), time_zone)
    return F.when(text.rlike(rf"^{_ISO_MINUTE}(:[\d.]+)?{_ZONE}"), instant).otherwise(
        text.try_cast("timestamp_ntz")
    )


def _local(instant: Column, time_zone: str) -> Column:
    return F.from_utc_timestamp(instant, time_zone).cast("timestamp_ntz")
