"""Published Delta tables, by path or by catalog name.

Rows are staged into a partition (as_of, run_id, attempt_id) of their table, which no other attempt writes.
They count only once that attempt stands in `runs`; readers therefore go through `read_current` (or the views
named `current_*`).
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, StructType

from spark_seg.config import PublishingSettings, TableRef
from spark_seg.errors import InputError, PublishConflict, SegmentationError
from spark_seg.sources import resolved, table_version, target
from spark_seg.tables import PUBLISHED, SPARK_FAILURES, Spec, Stamp, conform, rows_by_stamp

#: Spark's words for "there is no such table". A broken log or a missing version is not among them.
_ABSENT = ("PATH_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND", "DELTA_TABLE_NOT_FOUND", "DELTA_MISSING_DELTA_TABLE",
           "DELTA_PATH_DOES_NOT_EXIST")  # fmt: skip
#: Delta's words for "another writer was faster".
_CONFLICTS = ("DELTA_CONCURRENT", "DELTA_PROTOCOL_CHANGED", "DELTA_METADATA_CHANGED")
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
    "repairs": "source",
    "candidates": "algorithm,k",
    "profiles": "scheme,segment_id",
    "rules": "rule_id",
    "explanations": "segment_id",
    "splits": "node",
    "segment_lineage": "event",
    "migrations": "kind,cause",
    "alerts": "kind",
    "drift": "measure",
    "decisions": "action",
    "runs": "as_of,run_id,pipeline,job,revision",
}


def is_conflict(error: Exception) -> bool:
    """Did a write fail because another one came first?"""
    return any(word in str(error) for word in _CONFLICTS)


def wait(attempt: int) -> None:
    """Before another try: longer each time, and never as long as whoever waits beside us."""
    time.sleep(random.uniform(0.5, 1.0) * 0.2 * 2**attempt)  # noqa: S311 - nothing secret


@dataclass(frozen=True)
class Receipt:
    """Proof that rows of one run stand in a table: the version that holds them, how many, and a sum over
    their content (None: from before it was taken)."""

    table: str
    version: int
    rows: int
    content: str | None = None


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

    def read_run(self, table: str, stamp: Stamp, version: int | None = None) -> DataFrame:
        """Rows of one attempt of a run. Raises `InputError` when the table does not exist, and
        `PublishConflict` when an earlier version made it."""
        frame = self.read(table, version)
        if frame is None:
            raise InputError(f"{table}: not found at {self.ref(table).label}. Check the section publishing")
        problems = self._other_partitions(PUBLISHED[table], frame)
        if problems:
            raise PublishConflict(problems)
        return frame.where(stamp.rows)

    def stage(self, frame: DataFrame, spec: Spec, stamp: Stamp) -> Receipt:
        """Write the rows of one attempt, which must be some, with unique keys when they are read back.

        Raises `SegmentationError` otherwise, and `PublishConflict` when the table was made by another
        version, or is altered each time.
        """
        for attempt in range(ATTEMPTS):
            existing = self.read(spec.name)
            if existing is not None:
                self._check_form(spec, existing)
            try:
                self._replace(conform(frame, spec), spec, stamp, existing is None)
                break
            except SPARK_FAILURES as error:
                # No other writer has rows of this attempt: it made or altered the table.
                if not is_conflict(error):
                    raise
                if attempt + 1 == ATTEMPTS:
                    raise _always_busy(spec) from error
                wait(attempt)
        version = table_version(self.spark, self.ref(spec.name))
        try:
            rows, content = self._audit(spec, stamp)
        except SegmentationError:
            self.discard(spec.name, stamp)
            raise
        return Receipt(spec.name, version, rows, content)

    def content(self, spec: Spec, stamp: Stamp) -> str:
        """The sum over the content of an attempt's rows, as they stand."""
        return self._audit(spec, stamp)[1]

    def discard(self, table: str, stamp: Stamp) -> None:
        """Take back staged rows of an attempt that will not be committed."""
        staged = self.read(table)
        if staged is None or self._other_partitions(PUBLISHED[table], staged):
            return  # no attempt of this version has written there
        if staged.where(stamp.rows).isEmpty():
            return
        self._replace(staged.limit(0), PUBLISHED[table], stamp, new=False)

    def last_touched(self, table: str) -> dict[str, datetime]:
        """Attempt → when it last wrote to the table, as far as the history of the table goes back."""
        history = self.spark.sql(f"DESCRIBE HISTORY {target(self.ref(table))}")
        attempt = F.get_json_object("userMetadata", "$.attempt_id").alias("attempt")
        writes = history.select(attempt, "timestamp").dropna()
        rows = writes.groupBy("attempt").agg(F.unix_timestamp(F.max("timestamp")).alias("at")).collect()
        return {row["attempt"]: datetime.fromtimestamp(row["at"], UTC) for row in rows}

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

        Returns the rows that went. Raises `PublishConflict` when others keep writing in between.
        """
        for attempt in range(ATTEMPTS):
            # Not pinned: only then is reading and writing one transaction, which fails when another eraser
            # comes in between.
            frame = self._load(spec.name)
            marked = frame.withColumn("_person", person)
            of_them = marked.join(persons, on="_person", how="left_semi")
            found = rows_by_stamp(of_them)
            try:
                for stamp in found:
                    rest = marked.where(stamp.rows).join(persons, on="_person", how="left_anti")
                    self._replace(rest.select(*frame.columns), spec, stamp, new=False)
                return sum(found.values())
            except SPARK_FAILURES as error:
                if not is_conflict(error):
                    raise
                wait(attempt)
        raise _always_busy(spec)

    def require(self, spec: Spec, columns: Iterable[str]) -> None:
        """Refuse rows without a value in `columns` from now on; nothing happens for folders."""
        ref = self.ref(spec.name)
        if ref.table is not None:
            # The table is held to plain identifiers by the configuration, the columns are constants. Delta
            # makes no column NOT NULL afterwards, but takes a constraint that says the same.
            condition = " AND ".join(f"{name} IS NOT NULL" for name in columns)
            self.spark.sql(f"ALTER TABLE {ref.table} ADD CONSTRAINT identified CHECK ({condition})")

    def rewrite(self, rows: DataFrame, spec: Spec) -> None:
        """One commit: the whole table anew, in the form of this version."""
        ref = self.ref(spec.name)
        writer = _writer(rows, spec, {"overwriteSchema": "true"}).mode("overwrite")
        writer.saveAsTable(ref.table) if ref.table else writer.save(resolved(ref.path or ""))

    def append(self, rows: DataFrame, spec: Spec, options: Mapping[str, str]) -> None:
        """One commit: `rows` beside those that are there. Creates the table when there is none."""
        ref = self.ref(spec.name)
        writer = _writer(rows, spec, options).mode("append")
        writer.saveAsTable(ref.table) if ref.table else writer.save(resolved(ref.path or ""))

    def _replace(self, rows: DataFrame, spec: Spec, stamp: Stamp, new: bool) -> None:
        """One commit: `rows` instead of all rows of the attempt."""
        ref = self.ref(spec.name)
        names = {"run_id": stamp.run_id, "attempt_id": stamp.attempt_id}
        options = {"mergeSchema": "true", "userMetadata": json.dumps(names)}
        if ref.table is None:
            writer = _writer(rows, spec, options).mode("overwrite").option("replaceWhere", stamp.condition)
            writer.save(resolved(ref.path or ""))
        elif new:
            self.append(rows, spec, options)
        else:
            # saveAsTable would replace the catalog's entry, which Spark 4.2 refuses for tables whose
            # partition columns do not come last.
            rows.writeTo(ref.table).options(**options).overwrite(stamp.rows)

    def _check_form(self, spec: Spec, existing: DataFrame) -> None:
        """Raise `PublishConflict` when a table that is there cannot take the rows of this version."""
        kinds = {field.name: field.dataType for field in existing.schema}
        label = self.ref(spec.name).label
        problems = [
            f"{spec.name}.{field.name}: must be {field.type.simpleString()}; got "
            f"{kinds[field.name].simpleString()} in {label}, written by another version. "
            "Run spark-seg migrate"
            for field in spec.fields
            if field.name in kinds and not same_type(kinds[field.name], field.type)
        ]
        problems += self._other_partitions(spec, existing)
        if problems:
            raise PublishConflict(problems, title="publishing")

    def _other_partitions(self, spec: Spec, existing: DataFrame) -> list[str]:
        return [
            f"{spec.name}: must be partitioned by {', '.join(spec.partition_by)}; got a table without {name} "
            f"in {self.ref(spec.name).label}, written by another version. Run spark-seg migrate"
            for name in spec.partition_by
            if name not in existing.columns
        ]

    def _audit(self, spec: Spec, stamp: Stamp) -> tuple[int, str]:
        """Read back: the number of rows, which must have their keys, and the sum over their content."""
        # The latest version, whose log Delta has at hand, will do: only this attempt writes this partition.
        rows = self.read_run(spec.name, stamp)
        figures = [F.count(F.lit(1)).alias("rows"), _content(spec).alias("content")]
        key = [name for name in spec.key if name not in spec.partition_by]
        if key:
            figures.append(F.count_distinct(*key).alias("keys"))
        row = rows.agg(*figures).first()
        count = int(row["rows"]) if row is not None else 0
        keys = int(row["keys"]) if row is not None and key else count
        if row is None or not count or keys != count:
            raise _unsound(spec, stamp, count, keys)
        return count, str(row["content"])


def _writer(rows: DataFrame, spec: Spec, options: Mapping[str, str]) -> DataFrameWriter:
    writer = rows.write.format("delta").partitionBy(*spec.partition_by)
    return writer.options(**options, **table_properties(spec))


def _content(spec: Spec) -> Column:
    """Sum over a hash of every row, without the run: the same rows in any order give the same."""
    values = [
        F.to_json(f.name) if isinstance(f.type, (ArrayType, MapType)) else F.col(f.name)
        for f in spec.fields
        if f.name not in ("run_id", "attempt_id")
    ]
    return F.sum(F.xxhash64(*values).cast("decimal(38,0)"))


def _always_busy(spec: Spec) -> PublishConflict:
    return PublishConflict(
        f"{spec.name}: must not be changed by others for a moment; got a writer each of {ATTEMPTS} times. "
        "Run the same command again"
    )


def _unsound(spec: Spec, stamp: Stamp, rows: int, keys: int) -> SegmentationError:
    unique = f" and unique by {', '.join(spec.key)}" if spec.key else ""
    return SegmentationError(
        f"{spec.name}: staged rows of run {stamp.run_id} must be some{unique}; "
        f"got {rows:,} rows and {keys:,} keys. Nothing was committed; this is a fault of spark_seg"
    )


def same_type(a: object, b: object) -> bool:
    """Equal but for nullability and comments."""
    if isinstance(a, StructType) and isinstance(b, StructType):
        return a.names == b.names and all(
            same_type(x.dataType, y.dataType) for x, y in zip(a.fields, b.fields, strict=True)
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
