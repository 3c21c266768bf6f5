"""Paths, catalog names and plain files → rows at a pinned version."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_seg.config import TableRef
from spark_seg.tables import SPARK_FAILURES

#: Operations of Delta that leave the rows of a table as they are.
_SAME_ROWS = frozenset({
    "OPTIMIZE", "REORG", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "UNSET TBLPROPERTIES",
    "ADD CONSTRAINT", "DROP CONSTRAINT", "ADD COLUMNS", "CLUSTER BY", "COMPUTE STATS",
})  # fmt: skip
#: Operations that add rows, when Delta says that they did nothing else.
_APPENDS = frozenset({"WRITE", "STREAMING UPDATE", "COPY INTO"})


def resolved(path: str) -> str:
    """A relative path as an absolute one of this machine; everything else as it is."""
    return path if _elsewhere(path) or path.startswith("/") else str(Path(path).absolute())


def real_path(path: str) -> str:
    """Where a path of this machine leads, links followed; a place elsewhere as it is."""
    return path.rstrip("/") if _elsewhere(path) else str(Path(path).resolve())


def _elsewhere(path: str) -> bool:
    return ":" in path.partition("/")[0]


def table_version(spark: SparkSession, ref: TableRef) -> int:
    """Latest version of a Delta table. Raises Spark's error when there is none."""
    row = spark.sql(f"DESCRIBE HISTORY {target(ref)} LIMIT 1").first()
    return int(row["version"]) if row is not None else 0


def only_added_to(spark: SparkSession, ref: TableRef, since: int, until: int) -> bool:
    """Does a Delta table at version `until` hold all rows that it held at version `since`, unchanged?

    False also when its history no longer tells.
    """
    history = spark.sql(f"DESCRIBE HISTORY {target(ref)}")
    commits = (
        history.where((F.col("version") > since) & (F.col("version") <= until))
        .select("version", "operation", "isBlindAppend")
        .collect()
    )
    return len(commits) == until - since and all(
        commit["operation"] in _SAME_ROWS or (commit["operation"] in _APPENDS and commit["isBlindAppend"])
        for commit in commits
    )


def target(ref: TableRef) -> str:
    """The table as Delta's statements name it."""
    # Parameter markers fail beside Delta's extension (Spark 4.1 and 4.2), and the grammar takes no
    # expression here. Both texts are held to identifiers, or to paths without quotes, by the config.
    return ref.table if ref.table is not None else f"'{resolved(ref.path or '')}'"


def open_frame(
    spark: SparkSession, where: str, ref: TableRef, problems: list[str], version: str | None = None
) -> tuple[DataFrame, str] | None:
    """Rows of `ref` and their version; None, with a sentence in `problems`, when it cannot be read.

    `version`: an earlier one of a Delta table; else the latest.
    """
    try:
        opened = _pinned(spark, ref, version)
        if version is not None and not _still_there(spark, opened, version):
            problems.append(_gone(where, ref, version))
            return None
        return opened
    except SPARK_FAILURES as error:
        text = str(error)
        if version is not None and any(c in text for c in _TRIMMED):
            problems.append(_gone(where, ref, version))
            return None
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


#: Delta's words for a version that its log no longer tells of.
_TRIMMED = ("DELTA_VERSION_NOT_FOUND", "DELTA_LOG_FILE_NOT_FOUND", "DELTA_VERSIONS_NOT_CONTIGUOUS",
            "DELTA_TRUNCATED_TRANSACTION_LOG", "DELTA_STATE_RECOVER_ERROR")  # fmt: skip


def _still_there(spark: SparkSession, opened: tuple[DataFrame, str], version: str) -> bool:
    """Are the rows of an earlier version still on disk? The log outlives files that were vacuumed."""
    frame, found = opened
    if found != version:
        return False
    files = frame.inputFiles() if not version.startswith("files:") else []
    if not files:
        return True
    try:
        return not spark.read.format("binaryFile").load(files).select("path").isEmpty()
    except PySparkException as error:
        if "PATH_NOT_FOUND" in (error.getCondition() or ""):
            return False
        raise


def _gone(where: str, ref: TableRef, version: str) -> str:
    if version.startswith("files:"):
        return (
            f"{where}: the files of {ref.label} must be those of the run ({version}); got others. Files have "
            "no versions: a run of them cannot be done again once they have changed"
        )
    return (
        f"{where}: version {version} of {ref.label} must still be there; got a table of which it has been "
        "vacuumed. Keep versions for as long as runs shall be replayed (delta.deletedFileRetentionDuration)"
    )


def _pinned(spark: SparkSession, ref: TableRef, version: str | None) -> tuple[DataFrame, str]:
    """Rows of `ref` at its latest version, and that version."""
    if ref.format == "delta":
        pinned = version or str(table_version(spark, ref))
        reader = spark.read.format("delta").option("versionAsOf", pinned)
        return (reader.table(ref.table) if ref.table else reader.load(resolved(ref.path or ""))), pinned
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
        # The configuration holds names to plain identifiers.
        tables = spark.sql(f"SHOW TABLES IN {schema}").collect()
    except PySparkException:
        return f" (there is no schema {schema})"
    names = sorted(f"{schema}.{table['tableName']}" for table in tables if not table["isTemporary"])
    return f" ({schema} has: {', '.join(names[:20]) or 'no tables'})"
