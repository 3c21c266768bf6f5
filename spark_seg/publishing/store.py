"""Published Delta tables, by path or by catalog name.

Rows are staged into the partition (as_of, run_id) of their table. They count only once the run
stands in `runs`; readers therefore go through `current` (or the views named `current_*`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from spark_seg.config import PublishingSettings, TableRef
from spark_seg.errors import InputError, PublishConflict, SegmentationError
from spark_seg.sources import resolved, table_version
from spark_seg.tables import Spec, conform

#: Columns with min/max statistics in the Delta log: never one that identifies a person.
_STATISTICS = {
    "features": "lifecycle_stage",
    "assignments": "segment_id",
    "rejects": "source,reason",
    "candidates": "algorithm,k",
    "profiles": "scheme,segment_id",
    "runs": "as_of,run_id,pipeline,job,revision",
}


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
        ref = self.ref(table)
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        try:
            return reader.table(ref.table) if ref.table else reader.load(resolved(ref.path or ""))
        except AnalysisException as error:
            if any(word in str(error) for word in ("NOT_FOUND", "NOT_EXIST", "DELTA_MISSING", "NOT_A_DELTA")):
                return None
            raise

    def read_run(self, table: str, as_of: date, run_id: str, version: int | None = None) -> DataFrame:
        """Rows of one run. Raises `InputError` when the table does not exist."""
        frame = self.read(table, version)
        if frame is None:
            raise InputError(f"{table}: not found at {self.ref(table).label}. Check the section publishing")
        return frame.where((F.col("as_of") == F.lit(as_of)) & (F.col("run_id") == F.lit(run_id)))

    def stage(self, frame: DataFrame, spec: Spec, as_of: date, run_id: str) -> Receipt:
        """Write the rows of one run, replacing what an earlier attempt of it left.

        Reads them back: their number must not be zero (an empty overwrite would silently delete the
        partition), and the key must be unique. Raises `SegmentationError` otherwise, and
        `PublishConflict` when another attempt of the same run writes at the same time.
        """
        self._check_types(spec)
        writer = (
            conform(frame, spec)
            .write.format("delta")
            .mode("overwrite")
            .partitionBy(*spec.partition_by)
            # Both values are made here: a date, and a hexadecimal digest.
            .option("replaceWhere", f"as_of = DATE'{as_of.isoformat()}' AND run_id = '{run_id}'")
            .option("mergeSchema", "true")
            .option("userMetadata", f'{{"run_id": "{run_id}"}}')
            .options(**table_properties(spec))
        )
        ref = self.ref(spec.name)
        try:
            writer.saveAsTable(ref.table) if ref.table else writer.save(resolved(ref.path or ""))
        except PySparkException as error:
            if "DELTA_CONCURRENT" in str(error) or "DELTA_PROTOCOL_CHANGED" in str(error):
                raise PublishConflict(
                    f"{spec.name}: another attempt is writing run {run_id} at the same time. "
                    "Let it finish, then run the same command again"
                ) from error
            raise
        version = table_version(self.spark, ref)
        rows = self._audit(spec, as_of, run_id, version)
        return Receipt(spec.name, version, rows)

    def discard(self, table: str, as_of: date, run_id: str) -> None:
        """Take back staged rows of a run that will not be committed."""
        staged = self.read(table)
        if staged is None:
            return
        ref = self.ref(table)
        writer = (
            staged.limit(0)
            .write.format("delta")
            .mode("overwrite")
            .option("replaceWhere", f"as_of = DATE'{as_of.isoformat()}' AND run_id = '{run_id}'")
        )
        writer.saveAsTable(ref.table) if ref.table else writer.save(resolved(ref.path or ""))

    def _check_types(self, spec: Spec) -> None:
        existing = self.read(spec.name)
        if existing is None:
            return
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

    def _audit(self, spec: Spec, as_of: date, run_id: str, version: int) -> int:
        rows = self.read_run(spec.name, as_of, run_id, version)
        figures = [F.count(F.lit(1)).alias("rows")]
        if spec.key:
            figures.append(F.count_distinct(*spec.key).alias("keys"))
        row = rows.agg(*figures).first()
        count = int(row["rows"]) if row is not None else 0
        keys = int(row["keys"]) if row is not None and spec.key else count
        if not count or keys != count:
            raise SegmentationError(
                f"{spec.name}: staged rows of run {run_id} must be some and unique by {', '.join(spec.key)}; "
                f"got {count:,} rows and {keys:,} keys. Nothing was committed; this is a fault of spark_seg"
            )
        return count


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
