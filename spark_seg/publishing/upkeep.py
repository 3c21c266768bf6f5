"""What keeps the published place in order between runs: its tables, and what stopped runs left there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, StructType

from spark_seg.publishing.models import discard_model
from spark_seg.publishing.store import Store, same_type
from spark_seg.sources import resolved
from spark_seg.tables import NO_ATTEMPT, PUBLISHED, RUNS, Spec, local_frame, rows_by_stamp


@dataclass(frozen=True)
class Leftover:
    """Something that no committed run counts: rows of a table, or the folder of a model."""

    place: str
    run_id: str
    rows: int | None


def create_tables(store: Store, specs: Mapping[str, Spec]) -> list[str]:
    """Make every table that is not there, so that no run has to. Returns their names.

    In a database, a constraint demands a value in the columns that identify a row; for folders Spark's public
    API has no way to say so, and what runs read back after each write must do.
    """
    made = []
    for spec in specs.values():
        if store.read(spec.name) is None:
            store.append(local_frame(store.spark, [], spec), spec, {})
            store.require(spec, dict.fromkeys((*spec.partition_by, *spec.key)))
            made.append(spec.name)
    return made


def migrate(store: Store, specs: Mapping[str, Spec]) -> list[str]:
    """Bring tables of earlier versions into the form of this one. Returns a sentence for each that changed.

    Columns that came later are added. A table with another partitioning, or another type of a column, is
    written anew (never the ledger, to which rows are only added). Nobody else may be at work.
    """
    changed = []
    for name, spec in specs.items():
        frame = store.read(name)
        if frame is None:
            continue
        kinds = {field.name: field.dataType for field in frame.schema}
        missing = [field.name for field in spec.fields if field.name not in kinds]
        other = [f.name for f in spec.fields if f.name in kinds and not same_type(kinds[f.name], f.type)]
        other += [column for column in spec.partition_by if column in missing]
        if other and name != RUNS.name:
            store.rewrite(_in_form(store, frame, spec), spec)
            changed.append(f"{name}: written anew for {', '.join(other)}")
        elif other or missing:
            empty = local_frame(store.spark, [], spec)
            store.append(empty, spec, {"mergeSchema": "true"})
            changed.append(f"{name}: {', '.join((*missing, *other))} added")
    return changed


def _in_form(store: Store, frame: DataFrame, spec: Spec) -> DataFrame:
    """Rows of an earlier version with all columns of `spec`, and whatever they have beside."""
    ledger = store.read(RUNS.name)
    if "attempt_id" in spec.partition_by and "attempt_id" not in frame.columns:
        # Before attempts were told apart, the rows of a run are those of the attempt that was committed.
        if ledger is not None and "attempt_id" in ledger.columns:
            known = ledger.groupBy("run_id").agg(F.max("attempt_id").alias("attempt_id"))
            frame = frame.join(known, on="run_id", how="left")
        else:
            frame = frame.withColumn("attempt_id", F.lit(None).cast("string"))
        frame = frame.withColumn("attempt_id", F.coalesce("attempt_id", F.lit(NO_ATTEMPT)))
    known_columns = {f.name: F.col(f.name) for f in spec.fields if f.name in frame.columns}
    kinds = {field.name: field.dataType for field in frame.schema}
    own = [
        _as_type(known_columns[f.name], kinds[f.name], f.type).alias(f.name)
        if f.name in known_columns
        else F.lit(None).cast(f.type).alias(f.name)
        for f in spec.fields
    ]
    return frame.select(*own, *(name for name in frame.columns if name not in spec.columns))


def _as_type(column: Column, kind: DataType, wanted: DataType) -> Column:
    """`column` in another type; fields of structs in a list by their names, those that came later NULL."""
    if not (isinstance(wanted, ArrayType) and isinstance(kind, ArrayType)):
        return column.cast(wanted)
    inner, parts = kind.elementType, wanted.elementType
    if not (isinstance(inner, StructType) and isinstance(parts, StructType)):
        return column.cast(wanted)

    def by_name(element: Column) -> Column:
        known = (element[f.name] if f.name in inner.names else F.lit(None) for f in parts.fields)
        return F.struct(*(c.cast(f.dataType).alias(f.name) for c, f in zip(known, parts.fields, strict=True)))

    return F.transform(column, by_name)


def collect_garbage(store: Store, before: datetime) -> list[Leftover]:
    """Remove rows and models that runs left which were never committed, last touched before `before`.

    Younger ones may belong to a run that is at work. Then files that no version of a table needs any more
    are deleted, as far as Delta's retention allows.
    """
    ledger = store.read(RUNS.name)
    committed = set()
    models = set()
    if ledger is not None:
        rows = ledger.select("run_id", "attempt_id", "model_path").distinct().collect()
        committed = {(row["run_id"], row["attempt_id"] or NO_ATTEMPT) for row in rows}
        models = {row["model_path"] for row in rows if row["model_path"] is not None}
    found = []
    for name in PUBLISHED:
        frame = store.read(name)
        if frame is None:
            continue
        if PUBLISHED[name].partition_by:
            found += _stale_rows(store, name, frame, committed, before)
        store.vacuum(name)
    return found + _stale_models(store, models, before)


def _stale_rows(
    store: Store, table: str, frame: DataFrame, committed: set[tuple[str, str]], before: datetime
) -> list[Leftover]:
    touched = store.last_touched(table)
    found = []
    for stamp, rows in rows_by_stamp(frame).items():
        # Of what the history no longer tells, the last write is older than the history.
        old = stamp.attempt_id not in touched or touched[stamp.attempt_id] < before
        if (stamp.run_id, stamp.attempt_id) not in committed and old:
            store.discard(table, stamp)
            found.append(Leftover(table, stamp.run_id, rows))
    return found


def _stale_models(store: Store, models: set[str], before: datetime) -> list[Leftover]:
    """Folders of models `<run_id>/<attempt_id>`; elsewhere than on this machine's disks they stay."""
    root = resolved(store.settings.models_path)
    if "://" in root or not Path(root).is_dir():
        return []
    found = []
    for folder in sorted(Path(root).glob("*/*")):
        old = datetime.fromtimestamp(folder.stat().st_mtime, before.tzinfo) < before
        if str(folder) not in models and old:
            discard_model(str(folder))
            found.append(Leftover(str(folder), folder.parent.name, None))
    return found
