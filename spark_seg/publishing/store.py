"""Published Delta tables, by path or by catalog name.

Rows are staged into the partition (as_of, run_id) of their table. They count only once the run
stands in `runs`; readers therefore go through `current` (or the views named `current_*`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from spark_seg.config import PublishingSettings, TableRef
from spark_seg.errors import InputError, PublishConflict, SegmentationError
from spark_seg.sources import resolved, table_version, target
from spark_seg.tables import PUBLISHED, SPARK_FAILURES, Spec, conform

#: Spark's words for "there is no such table". A broken log or a missing version is not among them.
_ABSENT = ("PATH_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND", "DELTA_TABLE_NOT_FOUND", "DELTA_MISSING_DELTA_TABLE",
           "DELTA_PATH_DOES_NOT_EXIST")  # fmt: skip
#: Delta's words for "another writer was faster".
_CONFLICTS = ("DELTA_CONCURRENT", "DELTA_PROTOCOL_CHANGED", "DELTA_METADATA_CHANGED")
#: Those of them that say nothing about our rows: the table was made or altered meanwhile.
_PASSING = ("DELTA_PROTOCOL_CHANGED", "DELTA_METADATA_CHANGED")
_RETENTION_CHECK = "spark.databricks.delta.retentionDurationCheck.enabled"
#: Times something is offered when another writer came in between.
ATTEMPTS = 5

#: Columns with min/max statistics in the Delta log: never one that identifies a person.
_STATISTICS = {
    "erasures": "requested_at",
    "erasure_receipts": "status",
    "activity": "day",
    "features": "lifecycle_stage",
    "holdout": "orders",
    "assignments": "segment_id",
    "rejects": "source,reason",
    "candidates": "algorithm,k",
    "profiles": "scheme,segment_id",
    "splits": "node",
    "runs": "as_of,run_id,pipeline,job,revision",
}


class AttemptConflict(PublishConflict):
    """Another attempt of the same run writes at the same time: what is staged may be its rows."""


def is_conflict(error: Exception) -> bool:
    """Did a write fail because another one came first?"""
    return any(word in str(error) for word in _CONFLICTS)


def wait(attempt: int) -> None:
    """Before another try: longer each time, and never as long as whoever waits beside us."""
    time.sleep(random.uniform(0.5, 1.0) * 0.2 * 2**attempt)  # noqa: S311 - nothing secret


@dataclass(frozen=True)
class Receipt:
    """Proof that rows of one run stand in a table: the version that holds them, and how many."""

    table: str
    version: int
    rows: int


@dataclass(frozen=True)
class Store:
    """Where published tables are."""

    spark: SparkSession
    settings: PublishingSettings

    def ref(self, table: str) -> TableRef:
        """Place of one published table."""
        if self.settings.database is not None:
            return TableRef(table=f"{self.settings.database}.{table}")
        return TableRef(path=f"{self.settings.root}/{table}")

    def read(self, table: str, version: int | None = None) -> DataFrame | None:
        """All rows of a published table, staged ones included; None when it does not exist yet."""
        try:
            latest = self._load(table)
            # Spark Connect looks for the table only when something is asked of it.
            _ = latest.columns
        except AnalysisException as error:
            if (error.getCondition() or "").startswith(_ABSENT):
                return None
            raise
        return latest if version is None else self._load(table, version)

    def read_pinned(self, table: str) -> DataFrame | None:
        """The same, as it is now, whatever is written later."""
        if self.read(table) is None:
            return None
        return self._load(table, table_version(self.spark, self.ref(table)))

    def _load(self, table: str, version: int | None = None) -> DataFrame:
        ref = self.ref(table)
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.table(ref.table) if ref.table else reader.load(resolved(ref.path or ""))

    def read_run(self, table: str, as_of: date, run_id: str, version: int | None = None) -> DataFrame:
        """Rows of one run. Raises `InputError` when the table does not exist."""
        frame = self.read(table, version)
        if frame is None:
            raise InputError(f"{table}: not found at {self.ref(table).label}. Check the section publishing")
        return frame.where(_of_run(as_of, run_id))

    def stage(self, frame: DataFrame, spec: Spec, as_of: date, run_id: str) -> Receipt:
        """Write the rows of one run, replacing what an earlier attempt of it left.

        Their number must not be zero (an empty overwrite would silently delete the partition), and the
        key must be unique when they are read back. Raises `SegmentationError` otherwise, and
        `AttemptConflict` when another attempt of the same run writes at the same time.
        """
        for attempt in range(ATTEMPTS):
            existing = self.read(spec.name)
            if existing is not None:
                self._check_types(spec, existing)
                staged = existing.where(_of_run(as_of, run_id))
                if not staged.isEmpty() and frame.isEmpty():
                    raise _unsound(spec, run_id, 0, 0)
            try:
                self._replace(conform(frame, spec), spec, as_of, run_id, existing is None)
                break
            except SPARK_FAILURES as error:
                if not is_conflict(error):
                    raise
                if any(word in str(error) for word in _PASSING) and attempt + 1 < ATTEMPTS:
                    wait(attempt)
                    continue
                raise AttemptConflict(
                    f"{spec.name}: another attempt is writing run {run_id} at the same time. "
                    "Let it finish, then run the same command again"
                ) from error
        version = table_version(self.spark, self.ref(spec.name))
        try:
            rows = self._audit(spec, as_of, run_id)
        except SegmentationError:
            self.discard(spec.name, as_of, run_id)
            raise
        return Receipt(spec.name, version, rows)

    def discard(self, table: str, as_of: date, run_id: str) -> None:
        """Take back staged rows of a run that will not be committed."""
        staged = self.read(table)
        if staged is None or staged.where(_of_run(as_of, run_id)).isEmpty():
            return
        self._replace(staged.limit(0), PUBLISHED[table], as_of, run_id, new=False)

    def last_touched(self, table: str) -> dict[str, datetime]:
        """Run → when it last wrote to the table, as far as the history of the table goes back."""
        history = self.spark.sql(f"DESCRIBE HISTORY {target(self.ref(table))}")
        runs = history.select(F.get_json_object("userMetadata", "$.run_id").alias("run_id"), "timestamp")
        rows = runs.dropna().groupBy("run_id").agg(F.unix_timestamp(F.max("timestamp")).alias("at")).collect()
        return {row["run_id"]: datetime.fromtimestamp(row["at"], UTC) for row in rows}

    def vacuum(self, table: str, at_once: bool = False) -> None:
        """Delete files that no version within Delta's retention needs; `at_once`: no version but the last."""
        statement = f"VACUUM {target(self.ref(table))}"
        if not at_once:
            self.spark.sql(statement).collect()
            return
        before = self.spark.conf.get(_RETENTION_CHECK, "true")
        self.spark.conf.set(_RETENTION_CHECK, "false")
        try:
            self.spark.sql(f"{statement} RETAIN 0 HOURS").collect()
        finally:
            self.spark.conf.set(_RETENTION_CHECK, before or "true")

    def location(self, table: str) -> str:
        """The folder of a published table."""
        ref = self.ref(table)
        if ref.path is not None:
            return resolved(ref.path)
        row = self.spark.sql(f"DESCRIBE DETAIL {target(ref)}").first()
        return str(row["location"]) if row is not None else ""

    def remove(self, spec: Spec, person: Column, persons: DataFrame) -> int:
        """Write each run's rows again without those whose `person` is among `persons` (column `_person`).

        Returns the rows that went. Raises `PublishConflict` when runs keep writing in between.
        """
        for attempt in range(ATTEMPTS):
            frame = self._load(spec.name, table_version(self.spark, self.ref(spec.name)))
            marked = frame.withColumn("_person", person)
            of_them = marked.join(persons, on="_person", how="left_semi")
            runs = of_them.groupBy("as_of", "run_id").count().collect()
            try:
                for run in runs:
                    rest = marked.where(_of_run(run["as_of"], run["run_id"]))
                    rest = rest.join(persons, on="_person", how="left_anti").select(*frame.columns)
                    self._replace(rest, spec, run["as_of"], run["run_id"], new=False)
                return sum(int(run["count"]) for run in runs)
            except SPARK_FAILURES as error:
                if not is_conflict(error):
                    raise
                wait(attempt)
        raise PublishConflict(
            f"{spec.name}: rows must be deleted from runs that others do not write to; got a writer each of "
            f"{ATTEMPTS} times. Run the same command again"
        )

    def append(self, rows: DataFrame, spec: Spec, options: Mapping[str, str]) -> None:
        """One commit: `rows` beside those that are there. Creates the table when there is none."""
        ref = self.ref(spec.name)
        writer = _writer(rows, spec, options).mode("append")
        writer.saveAsTable(ref.table) if ref.table else writer.save(resolved(ref.path or ""))

    def _replace(self, rows: DataFrame, spec: Spec, as_of: date, run_id: str, new: bool) -> None:
        """One commit: `rows` instead of all rows of the run."""
        ref = self.ref(spec.name)
        options = {"mergeSchema": "true", "userMetadata": f'{{"run_id": "{run_id}"}}'}
        if ref.table is None:
            # Both values are made here: a date, and a hexadecimal digest.
            condition = f"as_of = DATE'{as_of.isoformat()}' AND run_id = '{run_id}'"
            writer = _writer(rows, spec, options).mode("overwrite").option("replaceWhere", condition)
            writer.save(resolved(ref.path or ""))
        elif new:
            self.append(rows, spec, options)
        else:
            # saveAsTable would replace the catalog's entry, which Spark 4.2 refuses for tables whose
            # partition columns do not come last.
            rows.writeTo(ref.table).options(**options).overwrite(_of_run(as_of, run_id))

    def _check_types(self, spec: Spec, existing: DataFrame) -> None:
        kinds = {field.name: field.dataType for field in existing.schema}
        problems = [
            f"{spec.name}.{field.name}: must be {field.type.simpleString()}; got "
            f"{kinds[field.name].simpleString()} in {self.ref(spec.name).label}, written by another version. "
            "Publish to another place, or migrate the table"
            for field in spec.fields
            if field.name in kinds and not _same_type(kinds[field.name], field.type)
        ]
        if problems:
            raise PublishConflict(problems, title="publishing")

    def _audit(self, spec: Spec, as_of: date, run_id: str) -> int:
        # The latest version, whose log Delta has at hand, will do: only this run writes this partition.
        rows = self.read_run(spec.name, as_of, run_id)
        figures = [F.count(F.lit(1)).alias("rows")]
        key = [name for name in spec.key if name not in spec.partition_by]
        if key:
            figures.append(F.count_distinct(*key).alias("keys"))
        row = rows.agg(*figures).first()
        count = int(row["rows"]) if row is not None else 0
        keys = int(row["keys"]) if row is not None and key else count
        if not count or keys != count:
            raise _unsound(spec, run_id, count, keys)
        return count


def _writer(rows: DataFrame, spec: Spec, options: Mapping[str, str]) -> DataFrameWriter:
    writer = rows.write.format("delta").partitionBy(*spec.partition_by)
    return writer.options(**options, **table_properties(spec))


def _of_run(as_of: date, run_id: str) -> Column:
    return (F.col("as_of") == F.lit(as_of)) & (F.col("run_id") == F.lit(run_id))


def _unsound(spec: Spec, run_id: str, rows: int, keys: int) -> SegmentationError:
    unique = f" and unique by {', '.join(spec.key)}" if spec.key else ""
    return SegmentationError(
        f"{spec.name}: staged rows of run {run_id} must be some{unique}; "
        f"got {rows:,} rows and {keys:,} keys. Nothing was committed; this is a fault of spark_seg"
    )


def _same_type(a: object, b: object) -> bool:
    """Equal but for nullability and comments."""
    if isinstance(a, StructType) and isinstance(b, StructType):
        return a.names == b.names and all(
            _same_type(x.dataType, y.dataType) for x, y in zip(a.fields, b.fields, strict=True)
        )
    return getattr(a, "simpleString", str)() == getattr(b, "simpleString", str)()


def table_properties(spec: Spec) -> dict[str, str]:
    """Table properties, used when the table is created. Readers other than Spark must cope."""
    properties = {
        "delta.enableDeletionVectors": "false",
        "delta.dataSkippingStatsColumns": _STATISTICS[spec.name],
    }
    if spec.name == "runs":
        properties["delta.appendOnly"] = "true"
    return properties
