"""Settings → all source tables, opened and held against what they promise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from spark_seg.config import TIME_ROLES, ColumnMapping, Settings, Source
from spark_seg.errors import InputError
from spark_seg.kernels import Naming
from spark_seg.sources.columns import raw_value
from spark_seg.sources.contract import too_old, wrong_number
from spark_seg.sources.mapping import canonical
from spark_seg.sources.opening import OpenedSources, OpenedTable, open_table
from spark_seg.sources.rates import daily_rates, unsound_rates
from spark_seg.tables import CONSENTS, EVENTS, ORDERS, RATES

_SPECS = {"orders": ORDERS, "events": EVENTS, "consents": CONSENTS, "rates": RATES}


def naming_of(settings: Settings) -> Naming:
    """How ids of customers become names."""
    return Naming(settings.privacy.variable, settings.cleaning.id_unicode, settings.cleaning.id_case)


def open_sources(
    spark: SparkSession,
    settings: Settings,
    as_of: date,
    before: Mapping[tuple[str, str], int] | None = None,
    versions: Mapping[tuple[str, str], str] | None = None,
) -> OpenedSources:
    """Open and check every source table. Raises `InputError` with the problems of all tables at once.

    `before`: (source, table) → rows that the last run counted, against which their numbers are held.
    `versions`: (source, table) → which version to read instead of the latest.
    """
    problems: list[str] = []
    naming = naming_of(settings)

    def opened(name: str, source: Source) -> OpenedTable | None:
        # A list of its own: what is wrong with one table says nothing of the next.
        found: list[str] = []
        table = open_table(spark, name, source, found, versions)
        if table is not None:
            # Rates are nobody's.
            table = replace(table, naming=None if name == "rates" else naming)
            found += _promises(table, settings.time_zone, as_of, before or {})
            if name == "rates":
                table = _rates(table, settings, as_of, found)
        problems.extend(found)
        return table

    tables = {name: table for name, source in settings.sources.tables if (table := opened(name, source))}
    if problems:
        raise InputError(problems, title="sources")

    def several(kind: str) -> tuple[OpenedTable, ...]:
        return tuple(table for name, table in tables.items() if name.startswith(f"{kind}."))

    return OpenedSources(
        tables["orders"],
        several("events"),
        tables.get("customers"),
        several("consents"),
        tables.get("rates"),
        settings.cleaning.currency,
    )


def _promises(
    table: OpenedTable, time_zone: str, as_of: date, before: Mapping[tuple[str, str], int]
) -> list[str]:
    """Sentences about rows that are too few, too many, or too old."""
    where, contract = f"sources.{table.source}", table.ref.contract
    problems = []
    if table.rows is not None:
        last = before.get((table.source, table.label))
        problems += wrong_number(where, table.label, contract.rows, table.rows, last)
    if contract.max_age_days is not None:
        spec = _SPECS[table.source.partition(".")[0]]
        time = next(name for name in spec.columns if name in TIME_ROLES)
        rows = canonical(table, spec, time_zone)
        problems += too_old(where, table.label, contract.max_age_days, rows, time, as_of)
    return problems


def _rates(table: OpenedTable, settings: Settings, as_of: date, problems: list[str]) -> OpenedTable:
    """The table with the rates of each day instead of its rows."""
    rates = canonical(table, RATES, settings.time_zone)
    problems += unsound_rates(f"sources.{table.source}", table.label, rates)
    until = as_of + timedelta(days=settings.features.holdout_days or 0)
    return replace(table, frame=daily_rates(rates, until))


def with_repairs(sources: OpenedSources, repairs: DataFrame, label: str, version: str) -> OpenedSources:
    """The same, and the rows of the table `repairs` beside those of the tables that they were rejected from.

    Their values are text as the table `rejects` shows it, and their ids are names already.
    """
    found: dict[str, OpenedTable] = {}
    places = set()
    for table in sources.tables:
        kind = table.source.partition(".")[0]
        if kind not in ("orders", "events", "customers") or (kind, table.label) in places:
            continue
        places.add((kind, table.label))
        own = repairs.where((F.col("source") == kind) & (F.col("source_table") == table.label))
        values = F.from_json("row", "map<string, string>")
        rows = own.select(*(values[role].alias(role) for role in table.columns))
        mapping = {role: _as_rejected(role, table) for role in table.columns}
        ref = type(table.ref).model_construct(
            path=label, table=None, columns=mapping, contract=table.ref.contract, lookups=()
        )
        found[table.source] = OpenedTable(table.source, ref, version, rows)
    return replace(sources, repairs=found)


def _as_rejected(role: str, table: OpenedTable) -> ColumnMapping:
    """How to read a value of the table `rejects`: text keeps its pattern, an instant names its zone."""
    mapping = table.columns[role]
    kind = table.frame.select(raw_value(mapping)).schema[0].dataType
    pattern = mapping.format if isinstance(kind, StringType) else None
    return ColumnMapping(column=role, format=pattern, time_zone=mapping.time_zone)
