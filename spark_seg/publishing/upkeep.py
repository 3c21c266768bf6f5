"""What keeps the published place in order between runs: its tables, and what stopped runs left there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pyspark.sql import DataFrame

from spark_seg.publishing.store import Store
from spark_seg.sources import resolved
from spark_seg.tables import PUBLISHED, RUNS, Spec


@dataclass(frozen=True)
class Leftover:
    """Something that no committed run counts: rows of a table, or the folder of a model."""

    place: str
    run_id: str
    rows: int | None


def create_tables(store: Store, specs: Mapping[str, Spec]) -> list[str]:
    """Make every table that is not there, so that no run has to. Returns their names."""
    made = []
    for spec in specs.values():
        if store.read(spec.name) is None:
            store.append(store.spark.createDataFrame([], spec.schema), spec, {})
            made.append(spec.name)
    return made


def collect_garbage(store: Store, before: datetime) -> list[Leftover]:
    """Remove rows and models that runs left which were never committed, last touched before `before`.

    Younger ones may belong to a run that is at work. Then files that no version of a table needs any more
    are deleted, as far as Delta's retention allows.
    """
    ledger = store.read(RUNS.name)
    committed = set()
    models = set()
    if ledger is not None:
        rows = ledger.select("run_id", "model_path").distinct().collect()
        committed = {row["run_id"] for row in rows}
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
    store: Store, table: str, frame: DataFrame, committed: set[str], before: datetime
) -> list[Leftover]:
    staged = frame.groupBy("as_of", "run_id").count().collect()
    touched = store.last_touched(table)
    found = []
    for row in staged:
        run_id = row["run_id"]
        # Of what the history no longer tells, the last write is older than the history.
        if run_id not in committed and (run_id not in touched or touched[run_id] < before):
            store.discard(table, row["as_of"], run_id)
            found.append(Leftover(table, run_id, int(row["count"])))
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
            shutil.rmtree(folder)
            found.append(Leftover(str(folder), folder.parent.name, None))
    return found
