"""A person is forgotten: suppressed first, then deleted from every table, then looked for byte by byte.

The order matters. A run reads the suppressions once more after it has staged its rows: either it sees
the new one and gives up, or its rows were there before the suppression, and the deletion finds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.errors import ConfigError
from spark_seg.publishing.ledger import CommittedRun, features_run
from spark_seg.publishing.store import Store
from spark_seg.sources import resolved
from spark_seg.tables import ERASURE_RECEIPTS, ERASURES, PUBLISHED, REJECTS, REPAIRS, local_frame

#: Delta keeps files that no version needs for this long, unless told otherwise (its default).
RETENTION = timedelta(days=7)
#: How long a run may be at work, with an hour for a suppression to be seen by those that start.
LONGEST_RUN = timedelta(hours=25)
#: What an erasure itself leaves.
_OURS = (ERASURES.name, ERASURE_RECEIPTS.name)


@dataclass(frozen=True)
class Residue:
    """Where something of an erased person was found, and in how many files or rows."""

    place: str
    hits: int


@dataclass(frozen=True)
class ErasureReceipt:
    """What became of a request. `deadline`: until when something of the persons may be left."""

    request_id: str
    customers: int
    rows: int
    residues: tuple[Residue, ...]
    deadline: datetime | None

    @property
    def clean(self) -> bool:
        """Nothing is left, and nothing can come."""
        return self.deadline is None


def suppressed(store: Store, key_id: str | None) -> DataFrame | None:
    """`customer_id` of everybody who was erased by now; None when nobody was.

    `key_id`: the key by which the reader names customers. Raises `ConfigError` when somebody was erased by
    another one alone, because they would come back under a new name.
    """
    frame = store.read_pinned(ERASURES.name)
    if frame is None:
        return None
    counts = frame.groupBy("key_id").agg(F.count_distinct("customer_id").alias("persons")).collect()
    persons = {row["key_id"]: int(row["persons"]) for row in counts}
    ours = persons.get(key_id, 0)
    more = [f"{n:,} by key '{other}'" for other, n in sorted(persons.items()) if n > ours]
    if more:
        raise ConfigError(
            f"privacy.key_id: everybody who was erased must be known by key '{key_id}'; got {ours:,}, and "
            f"{', '.join(more)}. Run erase with their ids again, or they would come back under other names"
        )
    return frame.where(F.col("key_id") == F.lit(key_id)).select("customer_id").distinct()


def without(frame: DataFrame, persons: DataFrame | None) -> DataFrame:
    """`frame` without the rows of some `customer_id`s."""
    return frame if persons is None else frame.join(persons, on="customer_id", how="left_anti")


def read_features(
    store: Store, runs: Iterable[CommittedRun], run: CommittedRun, key_id: str | None
) -> DataFrame:
    """The features that `run` has segmented, without those who were erased by now. Raises as `features_run`
    and `suppressed` do."""
    return without(store.read_run("features", features_run(runs, run).stamp), suppressed(store, key_id))


def erase(
    store: Store, customers: Sequence[str], key_id: str, needles: Sequence[str], at_once: bool
) -> ErasureReceipt:
    """Erase `customers` (pseudonyms by the key `key_id`) and look for what is left of them.

    `needles`: further texts to look for, such as ids as the sources have them; they are written nowhere.
    `at_once`: nobody else is at work. Then the files of former versions are deleted now. Otherwise the
    receipt is pending for as long as they are kept, and for as long as a run may be at work that has read the
    persons before they were suppressed, and that may stage rows of them and be killed.
    """
    request, now = uuid4().hex, datetime.now(UTC)
    asked = [(request, customer, key_id, now) for customer in customers]
    store.append(local_frame(store.spark, asked, ERASURES), ERASURES, {})
    persons = store.spark.createDataFrame([(c,) for c in customers], "_person string")
    tables = [table for table in PUBLISHED if table not in _OURS and store.read(table) is not None]
    rows = sum(
        store.remove(PUBLISHED[table], person, persons)
        for table in tables
        if (person := _person(table)) is not None
    )
    for table in tables:
        store.vacuum(table, at_once)
    residues = tuple(search(store, tables, [*customers, *needles]))
    deadline = now + RETENTION if residues else None
    if deadline is None and not at_once and _suppressed_since(store, persons, now) > now - LONGEST_RUN:
        deadline = now + LONGEST_RUN
    receipt = ErasureReceipt(request, len(customers), rows, residues, deadline)
    status = "clean" if receipt.clean else "pending"
    told = [(r.place, r.hits) for r in residues]
    filed = (request, now, status, len(customers), rows, receipt.deadline, told)
    store.append(local_frame(store.spark, [filed], ERASURE_RECEIPTS), ERASURE_RECEIPTS, {})
    return receipt


def _suppressed_since(store: Store, persons: DataFrame, now: datetime) -> datetime:
    """When the last of `persons` was first suppressed."""
    frame = store.read(ERASURES.name)
    assert frame is not None  # noqa: S101 - the request was written just now
    asked = frame.join(persons, on=F.col("customer_id") == F.col("_person"), how="left_semi")
    first = asked.groupBy("customer_id").agg(F.unix_timestamp(F.min("requested_at")).alias("first"))
    row = first.agg(F.max("first").alias("last")).first()
    return datetime.fromtimestamp(row["last"], UTC) if row is not None else now


def suppressions(store: Store) -> int:
    """How many there are: another number at the end of a run than at its start is somebody in between."""
    frame = store.read(ERASURES.name)
    return 0 if frame is None else frame.count()


def search(store: Store, tables: Sequence[str], needles: Sequence[str]) -> list[Residue]:
    """Where the texts still stand: in the bytes of files, and in decoded Parquet, of tables, logs and models.

    The suppressions themselves are left out: they must remember whom to leave out.
    """
    found = []
    for table in tables:
        folder = store.location(table)
        found += _in_folder(store, table, folder, needles)
        found += _in_folder(store, f"{table}/_delta_log", f"{folder}/_delta_log", needles)
    return found + _in_folder(store, "models", resolved(store.settings.models_path), needles)


def _in_folder(store: Store, place: str, folder: str, needles: Sequence[str]) -> list[Residue]:
    reader = store.spark.read.option("recursiveFileLookup", True)
    try:
        files = reader.format("binaryFile").load(folder)
        parquet = [
            row["path"] for row in files.where(F.col("path").endswith(".parquet")).select("path").collect()
        ]
    except AnalysisException as error:
        if "PATH_NOT_FOUND" in (error.getCondition() or ""):
            return []
        raise
    found = [Residue(place, _hits(files.select("content"), needles))]
    if parquet:
        decoded = store.spark.read.option("mergeSchema", True).parquet(*parquet)
        text = F.to_json(F.struct(*(F.col(f"`{name}`") for name in decoded.columns)))
        found.append(Residue(f"{place} (decoded)", _hits(decoded.select(text.cast("binary")), needles)))
    return [residue for residue in found if residue.hits]


def _hits(contents: DataFrame, needles: Sequence[str]) -> int:
    """How many of some bytes hold one of the texts.

    In a function of Python: literals of Spark's would stand in its plans and event logs.
    """
    wanted = [needle.encode() for needle in needles]

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            contents = (value.as_py() for value in batch.column(0) if value.is_valid)
            hits = sum(any(needle in content for needle in wanted) for content in contents)
            yield pa.RecordBatch.from_pydict({"hits": pa.array([hits], pa.int64())})

    row = contents.mapInArrow(look, "hits bigint").agg(F.sum("hits")).first()
    return int(row[0] or 0) if row is not None else 0


def _person(table: str) -> Column | None:
    """Whose row it is; None for tables without persons."""
    if table in (REJECTS.name, REPAIRS.name):
        return F.get_json_object("row", "$.customer_id")
    return F.col("customer_id") if "customer_id" in PUBLISHED[table].columns else None
