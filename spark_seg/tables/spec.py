"""What a table is: columns, types, key, partitions; and the one `select` at each door."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, DecimalType, StructField, StructType

from spark_seg.errors import InputError

try:  # Spark leaves some failures raw; Spark Connect has no py4j
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
except ImportError:  # pragma: no cover
    Py4JJavaError = PySparkException

#: Everything that a call into Spark raises.
SPARK_FAILURES: tuple[type[Exception], ...] = (PySparkException, Py4JJavaError)

#: Amounts of one row. Decimals, because sums of doubles depend on the order of rows.
AMOUNT = DecimalType(18, 4)
#: Sums of amounts.
MONEY = DecimalType(28, 4)


@dataclass(frozen=True)
class Field:
    """One column: its type and what it means."""

    name: str
    type: DataType
    comment: str


@dataclass(frozen=True)
class Spec:
    """One table: its columns in order, its key, and its partitions."""

    name: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()

    @property
    def schema(self) -> StructType:
        """As Spark sees it, with the comments as column comments."""
        return StructType([StructField(f.name, f.type, True, {"comment": f.comment}) for f in self.fields])

    @property
    def columns(self) -> list[str]:
        """Column names in order."""
        return [field.name for field in self.fields]

    def extended(self, fields: tuple[Field, ...]) -> Spec:
        """The same table with further columns."""
        return Spec(self.name, self.fields + fields, self.key, self.partition_by)


def conform(frame: DataFrame, spec: Spec) -> DataFrame:
    """`frame` with exactly the columns of `spec`, cast to its types, in its order.

    Raises `InputError` when a column is missing.
    """
    missing = [name for name in spec.columns if name not in frame.columns]
    if missing:
        raise InputError(
            f"{spec.name}: must have the columns {', '.join(missing)}; got {', '.join(frame.columns)}. "
            "Build the table again with this version of spark_seg"
        )
    # The type as text: as an object, Spark Connect makes of it a string with a collation, which no reader
    # outside Spark knows.
    columns = {f: F.col(f.name).cast(f.type.simpleString()) for f in spec.fields}
    return frame.select(*(c.alias(f.name, metadata={"comment": f.comment}) for f, c in columns.items()))


def local_frame(spark: SparkSession, rows: Iterable[Sequence[Any]], spec: Spec) -> DataFrame:
    """A few rows made on the driver, as one partition: values in the order of the columns of `spec`."""
    values = [tuple(_plain(v, f.type) for v, f in zip(row, spec.fields, strict=True)) for row in rows]
    return spark.createDataFrame(values, spec.schema).coalesce(1)


def _plain(value: Any, kind: DataType) -> Any:
    """Lists where arrays are meant, all the way down: Spark Connect takes nothing else for them."""
    if value is None:
        return None
    if isinstance(kind, ArrayType):
        return [_plain(element, kind.elementType) for element in value]
    if isinstance(kind, StructType):
        parts = [value[name] for name in kind.names] if isinstance(value, Mapping) else value
        return tuple(_plain(part, f.dataType) for part, f in zip(parts, kind.fields, strict=True))
    return value


#: What may stand around a value; the no-break space that spreadsheets leave is one of them.
BLANKS = " \t\r\n\u00a0"


def trimmed(text: Column) -> Column:
    """`text` without blanks at its ends."""
    return F.trim(text, F.lit(BLANKS))


def struct_of(**types: DataType) -> StructType:
    """A struct type from names and types."""
    return StructType([StructField(name, kind) for name, kind in types.items()])
