"""A person is forgotten: suppressed first, then deleted from every table, then looked for byte by byte.

The order matters. A run reads the suppressions once more after it has staged its rows: either it sees
the new one and gives up, or its rows were there before the suppression, and the deletion finds them.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from uuid import uuid4

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.errors import ConfigError
from spark_seg.publishing.store import Store
from spark_seg.sources import resolved
from spark_seg.tables import ERASURE_RECEIPTS, ERASURES, PUBLISHED, REJECTS

#: Delta keeps files that no version needs for this long, unless told otherwise (its default).
RETENTION = timedelta(days=7)
#: What an erasure itself leaves.
_OURS = (ERASURES.name, ERASURE_RECEIPTS.name)


@dataclass(frozen=True)
class Residue:
    """Where something of an erased person was found, and in how many files or rows."""

    place: str
    hits: int


@dataclass(frozen=True)
class ErasureReceipt:
    """What became of a request. `deadline`: when the files of former versions may be deleted."""

    request_id: str
    customers: int
    rows: int
    residues: tuple[Residue, ...]
    deadline: datetime | None

    @property
    def clean(self) -> bool:
        """Nothing is left."""
        return not self.residues


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


def erase(
    store: Store, customers: Sequence[str], key_id: str, needles: Sequence[str], at_once: bool
) -> ErasureReceipt:
    """Erase `customers` (pseudonyms by the key `key_id`) and look for what is left of them.

    `needles`: further texts to look for, such as ids as the sources have them; they are written nowhere.
    `at_once`: delete the files of former versions now, which no other writer or reader may be using.
    """
    request, now = uuid4().hex, datetime.now(UTC)
    asked = [(request, customer, key_id, now) for customer in customers]
    store.append(store.spark.createDataFrame(asked, ERASURES.schema).coalesce(1), ERASURES, {})
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
    receipt = ErasureReceipt(request, len(customers), rows, residues, now + RETENTION if residues else None)
    status = "clean" if receipt.clean else "pending"
    told = [(r.place, r.hits) for r in residues]
    filed = (request, now, status, len(customers), rows, receipt.deadline, told)
    store.append(store.spark.createDataFrame([filed], ERASURE_RECEIPTS.schema), ERASURE_RECEIPTS, {})
    return receipt


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
    raw = reduce(operator.or_, (F.contains("content", F.lit(needle.encode())) for needle in needles))
    found = [Residue(place, files.where(raw).count())]
    if parquet:
        decoded = store.spark.read.option("mergeSchema", True).parquet(*parquet)
        text = F.to_json(F.struct(*(F.col(f"`{name}`") for name in decoded.columns)))
        written = reduce(operator.or_, (F.contains(text, F.lit(needle)) for needle in needles))
        found.append(Residue(f"{place} (decoded)", decoded.where(written).count()))
    return [residue for residue in found if residue.hits]


def _person(table: str) -> Column | None:
    """Whose row it is; None for tables without persons."""
    if table == REJECTS.name:
        return F.get_json_object("row", "$.customer_id")
    return F.col("customer_id") if "customer_id" in PUBLISHED[table].columns else None
