"""Delta tables, Parquet or CSV files → canonical `orders`, `events`, `customers`.

Every table is pinned at the version found when it was opened. A canonical frame has the columns of
its `Spec`, NULL where a value cannot be read, and beside them `source_row` (the mapped values as
they came, as text), `source_table` and `source_version`, so that cleaning can keep what it rejects.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DoubleType,
    FloatType,
    FractionalType,
    MapType,
    NumericType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from spark_seg.config import (
    ColumnMapping,
    CustomersSource,
    EventsSource,
    Lookup,
    OrdersSource,
    Settings,
    TableRef,
)
from spark_seg.config.expressions import spark_sql, text_operands
from spark_seg.errors import InputError, suggestion
from spark_seg.tables import CUSTOMERS, EVENTS, ORDERS, SPARK_FAILURES, Spec, trimmed

Source = OrdersSource | EventsSource | CustomersSource

_TIMES = {"ordered_at", "occurred_at"}
_AMOUNTS = {"amount"}
_NESTED = (ArrayType, MapType, StructType, BinaryType)
_IDS = {"customer_id", "order_id", "line_id", "event_id", "subject"}


@dataclass(frozen=True)
class OpenedTable:
    """One source table: its rows at a pinned version, with the columns of its lookups."""

    source: str
    label: str
    version: str
    frame: DataFrame
    columns: Mapping[str, ColumnMapping]
    unmapped: tuple[str, ...]
    lookups: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class OpenedSources:
    """All source tables of a configuration, checked."""

    orders: OpenedTable
    events: tuple[OpenedTable, ...]
    customers: OpenedTable | None

    @property
    def tables(self) -> tuple[OpenedTable, ...]:
        """Every opened table, orders first."""
        return (self.orders, *self.events, *((self.customers,) if self.customers else ()))

    @property
    def versions(self) -> list[tuple[str, str, str]]:
        """(source, table, version) of everything that is read, lookups included."""
        return [
            (table.source, label, version)
            for table in self.tables
            for label, version in ((table.label, table.version), *table.lookups)
        ]


def open_sources(spark: SparkSession, settings: Settings) -> OpenedSources:
    """Open and check every source table. Raises `InputError` with the problems of all tables at once."""
    problems: list[str] = []

    def opened(name: str, source: Source) -> OpenedTable | None:
        found: list[str] = []
        table = _open(spark, name, source, found)
        problems.extend(found)
        return table

    orders = opened("orders", settings.sources.orders)
    events = [opened(f"events.{i}", source) for i, source in enumerate(settings.sources.events)]
    customers = (
        opened("customers", settings.sources.customers) if settings.sources.customers is not None else None
    )
    if problems or orders is None:
        raise InputError(problems, title="sources")
    return OpenedSources(orders, tuple(table for table in events if table is not None), customers)


def canonical_orders(sources: OpenedSources, time_zone: str) -> DataFrame:
    """Purchase lines: the columns of `ORDERS` and the three `source_*` columns."""
    return _canonical(sources.orders, ORDERS, time_zone)


def canonical_events(sources: OpenedSources, time_zone: str) -> DataFrame | None:
    """Events of all tables together: the columns of `EVENTS` and the three `source_*` columns."""
    frames = [_canonical(table, EVENTS, time_zone) for table in sources.events]
    return reduce(DataFrame.unionByName, frames) if frames else None


def canonical_customers(sources: OpenedSources, time_zone: str) -> DataFrame | None:
    """Customers: the columns of `CUSTOMERS` and the three `source_*` columns."""
    return _canonical(sources.customers, CUSTOMERS, time_zone) if sources.customers is not None else None


# ---------------------------------------------------------------- opening


def resolved(path: str) -> str:
    """A relative path as an absolute one of this machine; everything else as it is."""
    return path if "://" in path or path.startswith("/") else str(Path(path).absolute())


def table_version(spark: SparkSession, ref: TableRef) -> int:
    """Latest version of a Delta table. Raises Spark's error when there is none."""
    # Parameter markers fail beside Delta's extension (Spark 4.1 and 4.2), and the grammar takes no
    # expression here. Both texts are held to identifiers, or to paths without quotes, by the config.
    target = ref.table if ref.table is not None else f"'{resolved(ref.path or '')}'"
    row = spark.sql(f"DESCRIBE HISTORY {target} LIMIT 1").first()
    return int(row["version"]) if row is not None else 0


def _pinned(spark: SparkSession, ref: TableRef) -> tuple[DataFrame, str]:
    """Rows of `ref` at its latest version, and that version."""
    if ref.format == "delta":
        version = table_version(spark, ref)
        reader = spark.read.format("delta").option("versionAsOf", version)
        return (reader.table(ref.table) if ref.table else reader.load(resolved(ref.path or ""))), str(version)
    reader = spark.read.format(ref.format)
    if ref.format == "csv":
        reader = reader.options(header=True, inferSchema=False, mode="PERMISSIVE", **dict(ref.options))
    path = resolved(ref.path or "")
    return reader.load(path), _file_fingerprint(spark, path)


def _file_fingerprint(spark: SparkSession, path: str) -> str:
    """Digest of name, size and modification time of the files: plain files have no version to pin."""
    files = spark.read.format("binaryFile").load(path)  # `content` is not selected, so no file is read
    rows = files.select(*(F.col(n).cast("string") for n in ("path", "length", "modificationTime"))).collect()
    listing = "\n".join(sorted("\t".join(row) for row in rows))
    return "files:" + hashlib.sha256(listing.encode()).hexdigest()[:16]


def _open_frame(
    spark: SparkSession, where: str, ref: TableRef, problems: list[str]
) -> tuple[DataFrame, str] | None:
    try:
        return _pinned(spark, ref)
    except SPARK_FAILURES as error:
        text = str(error)
        if any(c in text for c in ("ONLY_OPERATION", "DELTA_MISSING_DELTA_TABLE", "NOT_VIEW")):
            problems.append(
                f"{where}: {ref.label} must be a Delta table; got {_instead(ref)}. "
                "Check the name, or set `format` when these are Parquet or CSV files"
            )
        elif any(c in text for c in ("NOT_FOUND", "NOT_EXIST", "REQUIRES_SINGLE_PART_NAMESPACE")):
            problems.append(f"{where}: {ref.label} not found{_catalog_has(spark, ref)}")
        else:
            condition = getattr(error, "getCondition", lambda: None)() or type(error).__name__
            problems.append(
                f"{where}: {ref.label} must be readable as {ref.format}; got {condition}. "
                "Check `format`, and that nobody rewrites it meanwhile"
            )
        return None


def _instead(ref: TableRef) -> str:
    if ref.path is None:
        return "a view or another kind of table"
    if "://" in ref.path:
        return "no Delta log there"
    return "other files" if Path(resolved(ref.path)).exists() else "nothing there"


def _catalog_has(spark: SparkSession, ref: TableRef) -> str:
    if ref.table is None:
        return ". Check the path"
    schema = ref.table.rpartition(".")[0]
    try:
        names = [f"{schema}.{table.name}" for table in spark.catalog.listTables(schema)]
    except PySparkException:
        return f" (there is no schema {schema})"
    return f" ({schema} has: {', '.join(sorted(names)[:20]) or 'no tables'})"


def _open(spark: SparkSession, name: str, source: Source, problems: list[str]) -> OpenedTable | None:
    where = f"sources.{name}"
    base = _open_frame(spark, where, source, problems)
    joins = [
        _open_frame(spark, f"{where}.lookups.{i}", ref, problems) for i, ref in enumerate(source.lookups)
    ]
    if base is None or any(join is None for join in joins):
        return None
    frame, version = base
    own_columns = list(frame.columns)
    if name == "orders" and frame.isEmpty():
        problems.append(
            f"{where}: {source.label} must have rows; got an empty table. "
            "Check the job that fills it; nothing that was published before has been touched"
        )
    before = len(problems)
    lookups, unjoined = [], set[str]()
    for i, (ref, join) in enumerate(zip(source.lookups, joins, strict=True)):
        assert join is not None  # noqa: S101 - looked at above
        lookups.append((ref.label, join[1]))
        joined = _joined(frame, source.label, f"{where}.lookups.{i}", ref, join[0], problems)
        if joined is None:
            unjoined |= {column.lower() for column in ref.columns}
        else:
            frame = joined
    roles = _IDS | _TIMES | _AMOUNTS if not isinstance(source, CustomersSource) else {"customer_id"}
    for role, mapping in source.columns.items():
        at = f"{where}.columns.{role}"
        reads = {column for column in mapping.reads if column.lower() not in unjoined}
        missing = _missing(at, source.label, sorted(reads), frame)
        problems += missing
        if not missing and reads == mapping.reads:
            problems += _wrong_type(at, role if role in roles else "", mapping, frame)
    if len(problems) > before:
        return None
    mapped = {column.lower() for mapping in source.columns.values() for column in mapping.reads}
    keys = {column.lower() for ref in source.lookups for column in ref.key}
    unmapped = tuple(column for column in own_columns if column.lower() not in mapped | keys)
    return OpenedTable(name, source.label, version, frame, source.columns, unmapped, tuple(lookups))


def _joined(
    frame: DataFrame, label: str, at: str, ref: Lookup, other: DataFrame, problems: list[str]
) -> DataFrame | None:
    """`frame` with the columns of a lookup, or None and its problems."""
    found = _missing(at, ref.label, (*ref.key, *ref.columns), other)
    found += _missing(at, label, ref.key, frame)
    own = {column.lower() for column in frame.columns}
    found += [
        f"{at}: column '{column}' is already in {label}; leave it out of the lookup"
        for column in ref.columns
        if column.lower() in own
    ]
    if not found:
        keys = {name: _comparable(other, frame, name) for name in ref.key}
        found += [
            f"{at}: key '{name}' must have one type on both sides; got {_kind(frame, name).simpleString()} "
            f"in {label} and {_kind(other, name).simpleString()} in {ref.label}"
            for name, key in keys.items()
            if key is None
        ]
    if found:
        problems += found
        return None
    other = other.select(*(key.alias(name) for name, key in keys.items() if key is not None), *ref.columns)
    other = other.dropna(subset=list(ref.key))  # NULL matches nothing, so it may repeat
    if not other.groupBy(*ref.key).count().where("count > 1").isEmpty():
        problems.append(
            f"{at}: {ref.label} must have one row for each {', '.join(ref.key)}; got several for some. "
            "A lookup that repeats a key would multiply rows: use a table or view that is unique"
        )
        return None
    return frame.join(other, on=list(ref.key), how="left")


def _kind(frame: DataFrame, name: str) -> DataType:
    return frame.select(name).schema[0].dataType


def _comparable(other: DataFrame, frame: DataFrame, name: str) -> Column | None:
    """Key of a lookup in the type of the source's key; None when they cannot be compared.

    Text against numbers is common (CSV): Spark alone would stop at the first text that is no number.
    """
    theirs, ours = _kind(other, name), _kind(frame, name)
    if theirs == ours or (isinstance(theirs, NumericType) and isinstance(ours, NumericType)):
        return F.col(name)
    if isinstance(ours, StringType) and not isinstance(theirs, (*_NESTED, FractionalType)):
        return F.col(name).cast(ours)
    if isinstance(theirs, StringType) and not isinstance(ours, (*_NESTED, FractionalType)):
        return F.col(name).try_cast(ours)
    return None


def _missing(where: str, label: str, names: Iterable[str], frame: DataFrame) -> list[str]:
    """Upper and lower case do not matter, as everywhere in Spark SQL."""
    known = {column.lower() for column in frame.columns}
    return [
        f"{where}: {label} must have a column '{name}'; got {', '.join(frame.columns)} "
        f"({suggestion(name, frame.columns)})"
        for name in names
        if name.lower() not in known
    ]


def _wrong_type(where: str, role: str, mapping: ColumnMapping, frame: DataFrame) -> list[str]:
    if mapping.expression is not None:
        texts = [field.name for field in frame.schema if isinstance(field.dataType, StringType)]
        computed = sorted(text_operands(mapping.expression, texts))
        if computed:
            return [
                f"{where}.expression: must not compute with text; got the column {', '.join(computed)} of "
                f"type string. Write try_cast({computed[0]} as decimal(18,4)) there"
            ]
    try:
        kind = frame.select(_raw(mapping)).schema[0].dataType
    except AnalysisException as error:
        return [f"{where}: the expression must fit its columns; got {error.getCondition()}"]
    if role in _TIMES:
        allowed: tuple[type[DataType], ...] = (TimestampType, TimestampNTZType, DateType, StringType)
        must = "a timestamp, a date or text"
    elif role in _AMOUNTS:
        allowed, must = (NumericType, StringType), "a number or text"
    else:
        allowed, must = (DataType,), "a plain value"
        if isinstance(kind, _NESTED):
            allowed = ()
    problems = []
    if role in _IDS and (isinstance(kind, (FloatType, DoubleType)) or getattr(kind, "scale", 0) > 0):
        # 7.0 of one table would not be the 7 of another.
        return [
            f"{where}: must be text or a whole number; got {kind.simpleString()}. "
            "Map an expression such as try_cast(… as bigint)"
        ]
    if not isinstance(kind, allowed) or (role in _AMOUNTS and isinstance(kind, BooleanType)):
        problems.append(
            f"{where}: must be {must}; got {kind.simpleString()}. Map another column, or an expression"
        )
    if mapping.format is not None and not problems:
        if role not in _TIMES or not isinstance(kind, StringType):
            problems.append(f"{where}.format: belongs to a date given as text; got {kind.simpleString()}")
        elif not _pattern_works(frame.sparkSession, mapping.format):
            problems.append(
                f"{where}.format: must be a date pattern of Spark with year, month and day such as "
                f"dd/MM/yyyy (MM is the month, mm the minute); got {mapping.format!r}"
            )
    return problems


def _letters(pattern: str) -> set[str]:
    return set(re.sub("'[^']*'", "", pattern))


def _pattern_works(spark: SparkSession, pattern: str) -> bool:
    letters = _letters(pattern)
    if not (letters & set("yu") and ("D" in letters or ("d" in letters and letters & set("ML")))):
        return False
    try:
        spark.range(1).select(F.try_to_timestamp(F.lit("2000-01-01"), F.lit(pattern))).collect()
    except PySparkException:
        return False
    return True


# ---------------------------------------------------------------- mapping

_ISO_MINUTE = r"\d{4}-\d{1,2}-\d{1,2}[T ]\d{1,2}:\d{1,2}"
#: What follows a time when the text names its zone: Z, UTC, +02:00, Europe/Berlin.
_ZONE = r"\s*[^\s\d:.]"


def _raw(mapping: ColumnMapping) -> Column:
    """The mapped value as the source has it."""
    if mapping.column is not None:
        return F.col(mapping.column)
    if mapping.expression is not None:
        return F.expr(spark_sql(mapping.expression))
    return F.lit(mapping.value)


def _canonical(table: OpenedTable, spec: Spec, time_zone: str) -> DataFrame:
    """Rows of `table` as `spec` wants them, NULL where a value cannot be read."""
    raw = {role: _raw(mapping) for role, mapping in table.columns.items()}
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
        elif field.name in _TIMES:
            value = _wall_clock(
                raw[field.name], kinds[field.name], table.columns[field.name].format, time_zone
            )
        elif field.name in _AMOUNTS:
            text = isinstance(kinds[field.name], StringType)
            value = (trimmed(raw[field.name]) if text else raw[field.name]).try_cast(field.type)
        elif isinstance(kinds[field.name], StringType):
            value = F.nullif(trimmed(raw[field.name]), F.lit(""))
        else:
            value = raw[field.name]
        columns.append(value.cast(field.type).alias(field.name))
    roles = [*raw, *(name for name in spec.columns if name not in raw and name != "attributes")]
    source_row = F.struct(*(raw.get(role, F.lit(None)).cast("string").alias(role) for role in roles))
    return table.frame.select(
        *columns,
        source_row.alias("source_row"),
        F.lit(table.label).alias("source_table"),
        F.lit(table.version).alias("source_version"),
    )


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
        names_zone = _letters(pattern) & set("VzOXxZ")
        return _local(parsed, time_zone) if names_zone else parsed.cast("timestamp_ntz")
    # ISO 8601 may leave the seconds out; Spark's cast wants them.
    text = F.regexp_replace(text, rf"^({_ISO_MINUTE})(?=$|{_ZONE})", "$1:00")
    instant = _local(text.try_cast("timestamp"), time_zone)
    return F.when(text.rlike(rf"^{_ISO_MINUTE}(:[\d.]+)?{_ZONE}"), instant).otherwise(
        text.try_cast("timestamp_ntz")
    )


def _local(instant: Column, time_zone: str) -> Column:
    return F.from_utc_timestamp(instant, time_zone).cast("timestamp_ntz")
