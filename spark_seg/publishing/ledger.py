"""The ledger `runs`: one row per run, appended last, by one atomic commit.

A run without its row has not happened. The row carries a revision (the n-th publication for its
pipeline and as_of) as Delta's transaction version: of two writers of one revision one is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.activity import Part
from spark_seg.errors import ConfigError, InputError, PublishConflict, suggestion
from spark_seg.publishing import points
from spark_seg.publishing.store import ATTEMPTS, Receipt, Store, is_conflict, wait
from spark_seg.segments import Segment
from spark_seg.tables import (
    ACTIVITY,
    ASSIGNMENTS,
    NO_ATTEMPT,
    PUBLISHED,
    REPAIRS,
    RUNS,
    SPARK_FAILURES,
    Stamp,
    conform,
    local_frame,
)

_COMMITTED = "COMMITTED"
#: Table that may rightly get no rows from a run → the one that tells which run counts for it.
TOLD_BY = {
    "activity": "features",
    "rejects": "features",
    "holdout": "features",
    "splits": "candidates",
    "rules": "assignments",
    "explanations": "assignments",
    "segment_lineage": "candidates",
    "migrations": "assignments",
    "alerts": "assignments",
}


#: `read_memberships` as a view of a database.
_MEMBERSHIPS = """
WITH days AS (
  SELECT pipeline, as_of, row_number() OVER (PARTITION BY pipeline ORDER BY as_of) AS n
  FROM (SELECT DISTINCT pipeline, as_of FROM {database}.runs
        WHERE status = 'COMMITTED' AND exists(receipts, r -> r.table = 'assignments'))
), shown AS (
  SELECT a.pipeline, a.customer_id, a.segment_id, a.segment_name, a.as_of, d.n,
         d.n - row_number() OVER (
           PARTITION BY a.pipeline, a.customer_id, a.segment_id ORDER BY d.n) AS stretch
  FROM {database}.current_assignments a JOIN days d ON a.pipeline = d.pipeline AND a.as_of = d.as_of
), stretches AS (
  SELECT pipeline, customer_id, segment_id, max_by(segment_name, n) AS segment_name,
         min(as_of) AS valid_from, max(n) + 1 AS ends
  FROM shown GROUP BY pipeline, customer_id, segment_id, stretch
)
SELECT s.pipeline, s.customer_id, s.segment_id, s.segment_name, s.valid_from, d.as_of AS valid_to
FROM stretches s LEFT JOIN days d ON s.pipeline = d.pipeline AND s.ends = d.n
"""


@dataclass(frozen=True)
class RunRecord:
    """Everything that the row of a run says; see the comments of `tables.RUNS`."""

    as_of: date
    run_id: str
    pipeline: str
    job: str
    revision: int
    definition: str
    code_version: str
    spark_version: str
    config_digest: str
    config: str
    seed: int
    attempt_id: str = ""
    inputs: tuple[tuple[str, str, str, int | None], ...] = ()
    receipts: tuple[Receipt, ...] = ()
    rejects: tuple[tuple[str, str, int], ...] = ()
    cut_points: tuple[tuple[str, list[float]], ...] = ()
    dropped_features: tuple[tuple[str, str], ...] = ()
    activity_form: str | None = None
    activity: tuple[Part, ...] = ()
    structure: str | None = None
    algorithm: str | None = None
    k: int | None = None
    model_path: str | None = None
    model_digest: str | None = None
    model_run_id: str | None = None
    segments: tuple[Segment, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class CommittedRun:
    """What later runs need to know of a committed one."""

    as_of: date
    run_id: str
    attempt_id: str
    job: str
    revision: int
    definition: str
    receipts: tuple[Receipt, ...]
    algorithm: str | None
    k: int | None
    model_path: str | None
    model_run_id: str | None
    segments: tuple[Segment, ...]
    metrics: dict[str, float]
    structure: str | None = None
    inputs: tuple[tuple[str, str, str, int | None], ...] = ()
    activity_form: str | None = None
    activity: tuple[Part, ...] = ()
    model_digest: str | None = None
    committed_at: datetime | None = None
    rejects: tuple[tuple[str, str, int], ...] = ()
    code_version: str = ""
    spark_version: str = ""
    config: str = "{}"
    seed: int | None = None
    cut_points: tuple[tuple[str, list[float]], ...] = ()
    dropped_features: tuple[tuple[str, str], ...] = ()
    config_digest: str = ""

    @property
    def stamp(self) -> Stamp:
        """Who wrote its rows."""
        return Stamp(self.as_of, self.run_id, self.attempt_id)

    def receipt(self, table: str) -> Receipt | None:
        """What this run wrote to one table."""
        return next((r for r in self.receipts if r.table == table), None)

    @property
    def tables(self) -> set[str]:
        """Tables this run wrote."""
        return {r.table for r in self.receipts}


@dataclass(frozen=True)
class Ledger:
    """The committed runs of one pipeline."""

    store: Store
    pipeline: str

    def runs(self) -> list[CommittedRun]:
        """All committed runs, oldest as_of and revision first. One row per run reaches the driver."""
        frame = self.store.read(RUNS.name)
        if frame is None:
            return []
        rows = (
            frame.where((F.col("pipeline") == self.pipeline) & (F.col("status") == _COMMITTED))
            .orderBy("as_of", "revision")
            # A ledger that another version has begun may lack columns that came later.
            .select(*(name for name in CommittedRun.__dataclass_fields__ if name in frame.columns))
            .collect()
        )
        return [_committed(row.asDict(recursive=True)) for row in rows]

    def commit(self, record: RunRecord) -> None:
        """Append the row of a run: the one atomic point of publishing. Then read it back.

        Raises `PublishConflict` when another run took the revision first, or another attempt of the same
        run: rows staged by this one never become visible.
        """
        row = asdict(record) | {
            "status": _COMMITTED,
            # With its zone: Spark takes a naive time to be in the zone of this machine.
            "committed_at": datetime.now(UTC),
            "segments": [(s.cluster, s.segment_id, s.name, s.overlap) for s in record.segments],
            "receipts": [(r.table, r.version, r.rows, r.content) for r in record.receipts],
            "activity": [(p.as_of, p.run_id, p.attempt_id, p.since) for p in record.activity],
        }
        frame = local_frame(self.store.spark, [[row[name] for name in RUNS.columns]], RUNS)
        points.reached("before_commit")
        self._append(frame, record.as_of, record.run_id, record.revision, record.attempt_id)
        points.reached("after_commit")

    def roll_back(self, as_of: date, run_id: str) -> int:
        """Make an earlier run of `as_of` count again, as a new revision. No other row is touched.

        Returns the revision. Raises `ConfigError` when there is no such run, or when it counts already.
        """
        runs = [run for run in self.runs() if run.as_of == as_of]
        if not any(run.run_id == run_id for run in runs):
            raise ConfigError(
                f"--to: must be a committed run of {as_of}; got {run_id!r} "
                f"({suggestion(run_id, [run.run_id for run in runs])})"
            )
        if runs[-1].run_id == run_id:
            raise ConfigError(f"--to: run {run_id} is the last of {as_of}; there is nothing to roll back")
        revision = runs[-1].revision + 1
        ledger = self.store.read(RUNS.name)
        assert ledger is not None  # noqa: S101 - its rows were read just now
        same = ledger.where((F.col("pipeline") == self.pipeline) & (F.col("run_id") == run_id))
        again = same.orderBy(F.desc("revision")).limit(1)
        changed = {"revision": F.lit(revision), "committed_at": F.lit(datetime.now(UTC))}
        attempt = next(run.attempt_id for run in runs if run.run_id == run_id)
        self._append(conform(again.withColumns(changed), RUNS), as_of, run_id, revision, attempt)
        self.create_views()
        return revision

    def _append(self, frame: DataFrame, as_of: date, run_id: str, revision: int, attempt_id: str) -> None:
        transaction = {
            "txnAppId": f"spark_seg:{self.pipeline}:{as_of.isoformat()}",
            "txnVersion": str(revision),
            "mergeSchema": "true",
        }
        for attempt in range(ATTEMPTS):
            try:
                self.store.append(frame, RUNS, transaction)
            except SPARK_FAILURES as error:
                # Whoever was faster: the same run, another one, or one that does not concern this one at
                # all and only created the table. The ledger tells which.
                if not is_conflict(error):
                    raise
                wait(attempt)
            # Delta skips a transaction version it knows without a word: the row is proof, the write is not.
            runs = [run for run in self.runs() if run.as_of == as_of]
            ours = [run for run in runs if run.run_id == run_id and run.revision == revision]
            if ours and ours[0].attempt_id == attempt_id:
                return
            if ours:
                raise PublishConflict(
                    f"runs: another attempt of run {run_id} was faster, and its results stand. "
                    "Nothing is left to do"
                )
            if any(run.revision >= revision for run in runs):
                break
        raise PublishConflict(
            f"runs: another run published {self.pipeline} for {as_of} first (revision {revision}). "
            "Nothing of this run is visible; run the same command again"
        )

    def create_views(self) -> None:
        """In a database: `current_<table>` shows the last committed run of each pipeline and as_of.

        None for the activity, of which one run may hold a few days only, and for repairs, which no run makes.
        """
        database = self.store.settings.database
        if database is None:
            return
        for spec in PUBLISHED.values():
            if spec in (ACTIVITY, REPAIRS) or not spec.partition_by or self.store.read(spec.name) is None:
                continue
            told_by = TOLD_BY.get(spec.name, spec.name)
            # The database is held to plain identifiers by the configuration; the rest is constant.
            self.store.spark.sql(
                f"CREATE OR REPLACE VIEW {database}.current_{spec.name} AS "
                f"SELECT r.pipeline, t.* FROM {database}.{spec.name} t JOIN ("
                "SELECT pipeline, as_of, max_by(struct(run_id, "
                f"coalesce(attempt_id, '{NO_ATTEMPT}') AS attempt_id), revision) AS last FROM "
                f"{database}.{RUNS.name} "
                f"WHERE status = '{_COMMITTED}' AND exists(receipts, r -> r.table = '{told_by}') "
                "GROUP BY pipeline, as_of) r ON t.as_of = r.as_of AND t.run_id = r.last.run_id "
                "AND t.attempt_id = r.last.attempt_id"
            )
            if spec is ASSIGNMENTS:
                view = _MEMBERSHIPS.format(database=database)
                self.store.spark.sql(f"CREATE OR REPLACE VIEW {database}.memberships AS {view}")


def current_run(runs: Sequence[CommittedRun], table: str, as_of: date | None = None) -> CommittedRun | None:
    """The run whose rows of `table` count for `as_of` (default: for the latest as_of there is).

    None when there is none, or when that run had no rows for a table that may be empty.
    """
    told_by = TOLD_BY.get(table, table)
    written = [r for r in runs if told_by in r.tables and (as_of is None or r.as_of == as_of)]
    run = max(written, key=lambda r: (r.as_of, r.revision), default=None)
    return run if run is not None and table in run.tables else None


def rows_of(store: Store, run: CommittedRun, table: str) -> list[dict[str, Any]]:
    """The rows of a small table that a run has published, without their stamp, as dictionaries."""
    if run.receipt(table) is None:
        return []
    found = store.read_run(table, run.stamp).drop(*PUBLISHED[table].partition_by)
    return [row.asDict(recursive=True) for row in found.collect()]


def trained_by(runs: Iterable[CommittedRun], run: CommittedRun) -> CommittedRun:
    """The run that trained the model of `run`: often itself, and itself where that one is not known."""
    return next((r for r in runs if r.run_id == run.model_run_id), run)


def features_run(runs: Iterable[CommittedRun], run: CommittedRun) -> CommittedRun:
    """The run whose features `run` has segmented: itself, or the one it names as its input.

    Raises `InputError` when that one is not committed.
    """
    if run.receipt("features") is not None:
        return run
    built = next((version for source, _, version, _ in run.inputs if source == "features"), "none")
    found = next((r for r in runs if r.run_id == built), None)
    if found is None:
        raise InputError(
            f"features: the run {built}, from which {run.run_id} was made, must be committed; the ledger "
            "has no row of it"
        )
    return found


def read_current(ledger: Ledger, table: str, as_of: date | None = None) -> DataFrame | None:
    """Rows of a published table that count: those of the current run; None when there is none."""
    run = current_run(ledger.runs(), table, as_of)
    if run is None:
        return None
    return ledger.store.read_run(table, run.stamp)


def _committed(row: dict[str, Any]) -> CommittedRun:
    return CommittedRun(
        **row
        | {
            "attempt_id": row.get("attempt_id") or NO_ATTEMPT,
            "receipts": tuple(Receipt(**r) for r in row["receipts"] or []),
            "segments": tuple(Segment(**s) for s in row["segments"] or []),
            "metrics": dict(row["metrics"] or {}),
            "cut_points": tuple((c["feature"], c["cuts"]) for c in row.get("cut_points") or []),
            "dropped_features": tuple((d["feature"], d["reason"]) for d in row.get("dropped_features") or []),
            "rejects": tuple((r["source"], r["reason"], r["rows"]) for r in row.get("rejects") or []),
            "inputs": tuple((i["source"], i["table"], i["version"], i["rows"]) for i in row["inputs"] or []),
            "activity": tuple(
                Part(p["as_of"], p["run_id"], p.get("attempt_id") or NO_ATTEMPT, p["since"])
                for p in row.get("activity") or []
            ),
        }
    )
