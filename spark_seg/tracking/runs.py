"""What is told of committed runs, and to whom. Nothing that goes wrong here touches a run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial

from pyspark.sql.types import StructType

from spark_seg.config import Settings
from spark_seg.errors import SegmentationError
from spark_seg.preparation import units_of
from spark_seg.publishing import CommittedRun, Ledger, Store, load_model, model_files, rows_of
from spark_seg.report import report_texts
from spark_seg.tracking.client import Client
from spark_seg.tracking.emit import emit
from spark_seg.tracking.facts import Facts, facts_of
from spark_seg.tracking.mlflow import Fitted, Names, Server, tell
from spark_seg.tracking.openlineage import Job, events_of
from spark_seg.tracking.places import Places


@dataclass(frozen=True)
class Told:
    """One attempt to tell somebody of a run. `problem`: why it failed, in a sentence."""

    run_id: str
    whom: str
    where: str
    what: str = ""
    problem: str | None = None


def track(
    store: Store,
    settings: Settings,
    places: Places,
    run_id: str | None = None,
    connect: Callable[[str, str], Server] = Client,
) -> Iterator[Told]:
    """Tell of one committed run, or of all of them, oldest first. What was told before is not told twice.

    `connect`: address and name of the registered model → the MLflow server.
    """
    runs = Ledger(store, settings.pipeline).runs()
    # A run that was rolled back to stands there twice, and has happened once.
    once = dict[str, CommittedRun]()
    for run in runs:
        once.setdefault(run.run_id, run)
    chosen = [run for run in once.values() if run_id in (None, run.run_id)]
    if places.mlflow is not None:
        server = partial(connect, places.mlflow, settings.tracking.mlflow.model or settings.pipeline)
        for run in chosen:
            log = partial(_log, server, store, settings, runs, run)
            yield _attempted(run, "mlflow", places.mlflow, log)
    if places.lineage is not None:
        schemas = _schemas(store, chosen)
        for run in chosen:
            send = partial(_emit, store, settings, places.lineage, runs, run, schemas)
            yield _attempted(run, "lineage", places.lineage, send)


def _attempted(run: CommittedRun, whom: str, where: str, act: Callable[[], str]) -> Told:
    try:
        # Standard output may be for machines alone, and MLflow likes to talk.
        with redirect_stdout(sys.stderr):
            return Told(run.run_id, whom, where, act())
    except SegmentationError as error:
        problem = error.render()
    except Exception as error:  # a library of others, a network: the run is committed whatever they raise
        lines = str(error).splitlines() or [""]
        problem = f"{type(error).__name__}: {lines[0][:300]}"
    return Told(run.run_id, whom, where, problem=problem)


def _log(
    connect: Callable[[], Server],
    store: Store,
    settings: Settings,
    runs: Sequence[CommittedRun],
    run: CommittedRun,
) -> str:
    told, pipeline = settings.tracking.mlflow, settings.pipeline
    names = Names(told.experiment or pipeline, told.model or pipeline, told.alias)
    facts, fitted = partial(_facts, store, settings, run), partial(_fitted, store, run)
    return tell(connect(), names, runs, run, facts, fitted)


def _facts(store: Store, settings: Settings, run: CommittedRun) -> Facts:
    pages = {}
    if run.receipt("profiles") is not None:
        texts = report_texts(store, settings, run.run_id)
        pages = {"report.html": texts["html"], "card.md": texts["md"]}
    return facts_of(settings.pipeline, run, rows_of(store, run, "candidates"), pages)


def _fitted(store: Store, run: CommittedRun) -> Fitted:
    path = run.model_path or ""
    columns = units_of(load_model(store.spark, path, run.model_digest), {}).names
    return Fitted(model_files(store.spark, path, run.model_digest), columns)


def _emit(
    store: Store,
    settings: Settings,
    to: str,
    runs: Sequence[CommittedRun],
    run: CommittedRun,
    schemas: dict[str, StructType],
) -> str:
    job = Job(settings.tracking.openlineage.namespace, settings.pipeline, settings.time_zone)
    places = {table: store.ref(table).label for table in run.tables}
    events = events_of(job, runs, run, places, schemas)
    emit(events, to)
    return f"{len(events)} events"


def _schemas(store: Store, runs: Sequence[CommittedRun]) -> dict[str, StructType]:
    """Columns of the tables that runs have written, as they are now."""
    found = {table: store.read(table) for table in sorted({t for run in runs for t in run.tables})}
    return {table: frame.schema for table, frame in found.items() if frame is not None}
