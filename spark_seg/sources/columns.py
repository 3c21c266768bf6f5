"""The mapped columns of a table: what they read, and whether their types can serve."""

from __future__ import annotations

import re
from collections.abc import Iterable

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
    IntegralType,
    MapType,
    NumericType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from spark_seg.config import TIME_ROLES, ColumnMapping
from spark_seg.config.expressions import spark_sql, text_operands
from spark_seg.errors import suggestion
from spark_seg.tables import trimmed

#: Roles whose values are numbers.
NUMBERS = {"amount", "rate"}
NESTED = (ArrayType, MapType, StructType, BinaryType)
IDS = {"customer_id", "order_id", "line_id", "event_id", "subject"}
#: Roles that are true or false.
FLAGS = {"granted"}
#: Roles whose values are read, and not taken as they come.
READ_ROLES = IDS | TIME_ROLES | NUMBERS | FLAGS

_ISO_MINUTE = r"\d{4}-\d{1,2}-\d{1,2}[T ]\d{1,2}:\d{1,2}"
#: What follows a time when the text names its zone: Z, UTC, +02:00, Europe/Berlin.
_ZONE = r"\s*[^\s\d:.]"


def raw_value(mapping: ColumnMapping) -> Column:
    """The mapped value as the source has it."""
    if mapping.column is not None:
        return F.col(mapping.column)
    if mapping.expression is not None:
        return F.expr(spark_sql(mapping.expression))
    return F.lit(mapping.value)


def missing_columns(where: str, label: str, names: Iterable[str], frame: DataFrame) -> list[str]:
    """A sentence for each name without a column. Case does not matter, as everywhere in Spark SQL."""
    known = {column.lower() for column in frame.columns}
    return [
        f"{where}: {label} must have a column '{name}'; got {', '.join(frame.columns)} "
        f"({suggestion(name, frame.columns)})"
        for name in names
        if name.lower() not in known
    ]


def wrong_type(where: str, role: str, mapping: ColumnMapping, frame: DataFrame) -> list[str]:
    """Why the mapped values cannot serve as `role` (empty: any plain value will do)."""
    if mapping.expression is not None:
        texts = [field.name for field in frame.schema if isinstance(field.dataType, StringType)]
        computed = sorted(text_operands(mapping.expression, texts))
        if computed:
            return [
                f"{where}.expression: must not compute with text; got the column {', '.join(computed)} of "
                f"type string. Write try_cast({computed[0]} as decimal(18,4)) there"
            ]
    try:
        kind = frame.select(raw_value(mapping)).schema[0].dataType
    except AnalysisException as error:
        return [f"{where}: the expression must fit its columns; got {error.getCondition()}"]
    allowed, must = _serving(role, kind)
    problems = []
    if role in IDS and (isinstance(kind, (FloatType, DoubleType)) or getattr(kind, "scale", 0) > 0):
        # 7.0 of one table would not be the 7 of another.
        return [
            f"{where}: must be text or a whole number; got {kind.simpleString()}. "
            "Map an expression such as try_cast(… as bigint)"
        ]
    if not isinstance(kind, allowed) or (role in NUMBERS and isinstance(kind, BooleanType)):
        problems.append(
            f"{where}: must be {must}; got {kind.simpleString()}. Map another column, or an expression"
        )
    if mapping.format is not None and not problems:
        if role not in TIME_ROLES or not isinstance(kind, StringType):
            problems.append(f"{where}.format: belongs to a date given as text; got {kind.simpleString()}")
        elif not _pattern_works(frame.sparkSession, mapping.format):
            problems.append(
                f"{where}.format: must be a date pattern of Spark with year, month and day such as "
                f"dd/MM/yyyy (MM is the month, mm the minute); got {mapping.format!r}"
            )
    return problems


def _serving(role: str, kind: DataType) -> tuple[tuple[type[DataType], ...], str]:
    """Types that can serve as `role`, and how a message calls them."""
    if role in TIME_ROLES:
        return (TimestampType, TimestampNTZType, DateType, StringType), "a timestamp, a date or text"
    if role in NUMBERS:
        return (NumericType, StringType), "a number or text"
    if role in FLAGS:
        return (BooleanType, IntegralType, StringType), "true or false, 1 or 0, or text"
    return () if isinstance(kind, NESTED) else (DataType,), "a plain value"


def wall_clock(value: Column, kind: DataType, mapping: ColumnMapping, time_zone: str) -> Column:
    """Time on the clock of the business: instants move to its zone; times without one are taken as they are,
    unless the mapping says in which zone they were written. NULL where it cannot be read."""
    if isinstance(kind, TimestampType):
        return _local(value, time_zone)

    def naive(time: Column) -> Column:
        time = time.cast("timestamp_ntz")
        if mapping.time_zone is None or mapping.time_zone == time_zone:
            return time
        # The session is in UTC, where a time without a zone is the instant that looks like it.
        return _local(F.to_utc_timestamp(time.cast("timestamp"), mapping.time_zone), time_zone)

    if not isinstance(kind, StringType):
        return naive(value)
    text = trimmed(value)
    if mapping.format is not None:
        # The session is in UTC, so a pattern without a zone keeps the time that was written.
        parsed = F.try_to_timestamp(text, F.lit(mapping.format))
        names_zone = pattern_letters(mapping.format) & set("VzOXxZ")
        return _local(parsed, time_zone) if names_zone else naive(parsed)
    # ISO 8601 may leave the seconds out; Spark's cast wants them.
    text = F.regexp_replace(text, rf"^({_ISO_MINUTE})(?=$|{_ZONE})", "$1:00")
    instant = _local(text.try_cast("timestamp"), time_zone)
    return F.when(text.rlike(rf"^{_ISO_MINUTE}(:[\d.]+)?{_ZONE}"), instant).otherwise(
        naive(text.try_cast("timestamp_ntz"))
    )


def _local(instant: Column, time_zone: str) -> Column:
    return F.from_utc_timestamp(instant, time_zone).cast("timestamp_ntz")


def pattern_letters(pattern: str) -> set[str]:
    """Letters of a date pattern that stand for a part of the time, quoted text left out."""
    return set(re.sub("'[^']*'", "", pattern))


def _pattern_works(spark: SparkSession, pattern: str) -> bool:
    letters = pattern_letters(pattern)
    if not (letters & set("yu") and ("D" in letters or ("d" in letters and letters & set("ML")))):
        return False
    try:
        spark.range(1).select(F.try_to_timestamp(F.lit("2000-01-01"), F.lit(pattern))).collect()
    except PySparkException:
        return False
    return True
