"""A source table, opened at a pinned version and joined with its lookups; its columns are checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, FractionalType, NumericType, StringType

from spark_seg.config import ColumnMapping, CustomersSource, Lookup, Source
from spark_seg.errors import InputError
from spark_seg.kernels import Naming
from spark_seg.sources.columns import NESTED, READ_ROLES, missing_columns, wrong_type
from spark_seg.sources.contract import wrong_columns
from spark_seg.sources.places import open_frame


@dataclass(frozen=True)
class OpenedTable:
    """One source table: its rows at a pinned version, with the columns of its lookups.

    `unmapped`: columns that nothing reads. `rows`: how many there are, where the contract asks.
    `naming`: how its ids become names; None: they are names already.
    """

    source: str
    ref: Source
    version: str
    frame: DataFrame
    unmapped: tuple[str, ...] = ()
    lookups: tuple[tuple[str, str], ...] = ()
    naming: Naming | None = None
    rows: int | None = None

    @property
    def label(self) -> str:
        """What messages and the ledger call it."""
        return self.ref.label

    @property
    def columns(self) -> Mapping[str, ColumnMapping]:
        """Canonical column → where it comes from."""
        return self.ref.columns


@dataclass(frozen=True)
class OpenedSources:
    """All source tables of a configuration, checked.

    `currency`: into which `rates` convert. `repairs`: source → rows of it that were repaired after they had
    been rejected.
    """

    orders: OpenedTable
    events: tuple[OpenedTable, ...]
    customers: OpenedTable | None
    consents: tuple[OpenedTable, ...] = ()
    rates: OpenedTable | None = None
    currency: str | None = None
    repairs: Mapping[str, OpenedTable] = field(default_factory=dict)

    @property
    def tables(self) -> tuple[OpenedTable, ...]:
        """Every opened table, orders first."""
        single = (self.customers, self.rates)
        return (self.orders, *self.events, *self.consents, *(table for table in single if table is not None))

    @property
    def versions(self) -> list[tuple[str, str, str]]:
        """(source, table, version) of everything that is read, lookups included."""
        return [
            (table.source, label, version)
            for table in self.tables
            for label, version in ((table.label, table.version), *table.lookups)
        ] + sorted({("repairs", table.label, table.version) for table in self.repairs.values()})


def open_at(spark: SparkSession, table: OpenedTable, version: str) -> OpenedTable:
    """A Delta table at an earlier version, with its lookups as they are now.

    Raises `InputError` when it cannot be read, or not as it is mapped today.
    """
    problems: list[str] = []
    pinned = {(table.source, table.label): version}
    opened = open_table(spark, table.source, table.ref, problems, pinned)
    if opened is None:
        raise InputError(problems, title="sources")
    return replace(opened, naming=table.naming)


def open_table(
    spark: SparkSession,
    name: str,
    source: Source,
    problems: list[str],
    versions: Mapping[tuple[str, str], str] | None = None,
) -> OpenedTable | None:
    """Open `sources.<name>`; None, with sentences in `problems`, when it is not as it is mapped.

    `versions`: (source, table) → which version to read instead of the latest.
    """
    where, pins = f"sources.{name}", versions or {}
    base = open_frame(spark, where, source, problems, pins.get((name, source.label)))
    joins = [
        open_frame(spark, f"{where}.lookups.{i}", ref, problems, pins.get((name, ref.label)))
        for i, ref in enumerate(source.lookups)
    ]
    if base is None or any(join is None for join in joins):
        return None
    frame, pinned = base
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
    roles = READ_ROLES if not isinstance(source, CustomersSource) else {"customer_id"}
    for role, mapping in source.columns.items():
        at = f"{where}.columns.{role}"
        reads = {column for column in mapping.reads if column.lower() not in unjoined}
        missing = missing_columns(at, source.label, sorted(reads), frame)
        problems += missing
        if not missing and reads == mapping.reads:
            problems += wrong_type(at, role if role in roles else "", mapping, frame)
    mapped = {column.lower() for mapping in source.columns.values() for column in mapping.reads}
    keys = {column.lower() for ref in source.lookups for column in ref.key}
    unmapped = tuple(column for column in own_columns if column.lower() not in mapped | keys)
    problems += wrong_columns(where, source.label, source.contract, base[0], unmapped)
    if len(problems) > before:
        return None
    rows = base[0].count() if source.contract.rows.asked else None
    return OpenedTable(name, source, pinned, frame, unmapped, tuple(lookups), rows=rows)


def _joined(
    frame: DataFrame, label: str, at: str, ref: Lookup, other: DataFrame, problems: list[str]
) -> DataFrame | None:
    """`frame` with the columns of a lookup, or None and its problems."""
    found = missing_columns(at, ref.label, (*ref.key, *ref.columns), other)
    found += missing_columns(at, label, ref.key, frame)
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
    if isinstance(ours, StringType) and not isinstance(theirs, (*NESTED, FractionalType)):
        return F.col(name).cast(ours)
    if isinstance(theirs, StringType) and not isinstance(ours, (*NESTED, FractionalType)):
        return F.col(name).try_cast(ours)
    return None
