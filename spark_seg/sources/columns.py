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
    MapType,
    NumericType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from spark_seg.config import ColumnMapping
from spark_seg.config.expressions import spark_sql, text_operands
from spark_seg.errors import suggestion

TIMES = {"ordered_at", "occurred_at"}
AMOUNTS = {"amount"}
NESTED = (ArrayType, MapType, StructType, BinaryType)
IDS = {"customer_id", "order_id", "line_id", "event_id", "subject"}


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
    if role in TIMES:
        allowed: tuple[type[DataType], ...] = (TimestampType, TimestampNTZType, DateType, StringType)
        must = "a timestamp, a date or text"
    elif role in AMOUNTS:
        allowed, must = (NumericType, StringType), "a number or text"
    else:
        allowed, must = (DataType,), "a plain value"
        if isinstance(kind, NESTED):
            allowed = ()
    problems = []
    if role in IDS and (isinstance(kind, (FloatType, DoubleType)) or getattr(kind, "scale", 0) > 0):
        # 7.0 of one table would not be the 7 of another.
        return [
            f"{where}: must be text or a whole number; got {kind.simpleString()}. "
            "Map an expression such as try_cast(… as bigint)"
        ]
    if not isinstance(kind, allowed) or (role in AMOUNTS and isinstance(kind, BooleanType)):
        problems.append(
            f"{where}: must be {must}; got {kind.simpleString()}. Map another column, or an expression"
        )
    if mapping.format is not None and not problems:
        if role not in TIMES or not isinstance(kind, StringType):
            problems.append(f"{where}.format: belongs to a date given as text; got {kind.simpleString()}")
        elif not _pattern_works(frame.sparkSession, mapping.format):
            problems.append(
                f"{where}.format: must be a date pattern of Spark with year, month and day such as "
                f"dd/MM/yyyy (MM is the month, mm the minute); got {mapping.format!r}"
            )
    return problems


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
