"""What a run will read and write, checked before anything happens."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pyspark.sql import SparkSession

import spark_seg
from spark_seg.config import Settings
from spark_seg.errors import ConfigError, InputError, NoModel, PublishConflict, suggestion
from spark_seg.features import unknown_features
from spark_seg.kernels import key_in
from spark_seg.publishing import TOLD_BY, CommittedRun, Ledger, Store, current_run
from spark_seg.sources import OpenedSources, open_sources, real_path, table_version, with_repairs
from spark_seg.tables import REPAIRS

#: What a new fit publishes of what lies between it and the former run.
COMPARISONS = ("segment_lineage", "migrations", "alerts")

Refit = Literal["always", "auto"]

#: Job → (tables it publishes, sections of the configuration that define its result).
JOBS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "build_features": (
        ("activity", "features", "rejects", "holdout"),
        ("time_zone", "sources", "cleaning", "features", "privacy"),
    ),
    "train_segments": (
        ("assignments", "profiles", "rules", "explanations", "candidates", "splits", *COMPARISONS),
        ("seed", "features", "preparation", "clustering", "selection", "segments", "contract",
         "explanations", "privacy"),
    ),
    "assign_segments": (
        ("assignments", "profiles", "rules", "explanations", "migrations", "alerts"),
        ("features", "segments", "contract", "explanations", "privacy"),
    ),
    "monitor_segments": (("drift", "decisions"), ("features", "monitoring")),
    "run_all": (
        ("activity", "features", "rejects", "holdout", "assignments", "profiles", "rules",
         "explanations", "candidates", "splits",
         *COMPARISONS, "drift", "decisions"),
        # With --refit auto the section monitoring counts as well.
        ("seed", "time_zone", "sources", "cleaning", "features", "privacy",
         "preparation", "clustering", "selection", "segments", "contract", "explanations"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A checked run. `published` is set when this very run stands in the ledger already."""

    job: str
    as_of: date
    settings: Settings
    store: Store
    ledger: Ledger
    inputs: tuple[tuple[str, str, str], ...]
    revision: int
    definition: str
    run_id: str
    history: tuple[CommittedRun, ...]
    published: CommittedRun | None
    sources: OpenedSources | None
    features_run: CommittedRun | None
    model_run: CommittedRun | None
    assigned_run: CommittedRun | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Tables the run publishes, as far as its configuration asks for them."""
        features, how = self.settings.features, self.settings.clustering
        asked = {
            "activity": self.settings.publishing.keep_activity,
            "holdout": features.holdout_days is not None,
            "explanations": self.settings.explanations.customers,
            "splits": "bisecting" in how.algorithms,
            # run_all judges the model before it where it may keep it.
            "drift": self.job != "run_all" or self.model_run is not None,
            "decisions": self.job != "run_all" or self.model_run is not None,
        }
        return tuple(table for table in JOBS[self.job][0] if asked.get(table, True))


#: Environment variable with the folders under which every path must lie, with commas between. Whoever runs
#: the job sets it; a configuration cannot.
ALLOWED_ROOTS = "SPARK_SEG_ALLOWED_ROOTS"


def check_settings(settings: Settings) -> None:
    """What can be checked without data but not by types alone. Raises `ConfigError`."""
    problems = [
        f"preparation.features: {sentence}"
        for sentence in unknown_features(settings.preparation.features, settings.features)
    ]
    problems += _outside(settings, os.environ.get(ALLOWED_ROOTS, ""))
    if problems:
        raise ConfigError(problems)


def _outside(settings: Settings, allowed: str) -> list[str]:
    """A sentence for each path that is not under an allowed root; none when no root is given."""
    roots = [real_path(root) for root in allowed.split(",") if root]
    if not roots:
        return []
    places = settings.publishing
    paths = [("publishing.root", places.root), ("publishing.models", places.models)]
    paths.append(("report.path", settings.report.path))
    paths.append(("tracking.openlineage.to", _file(settings.tracking.openlineage.to)))
    for name, source in settings.sources.tables:
        paths.append((f"sources.{name}.path", source.path))
        paths += [(f"sources.{name}.lookups.{i}.path", ref.path) for i, ref in enumerate(source.lookups)]
    return [
        f"{where}: must lie under {' or '.join(roots)} ({ALLOWED_ROOTS}); got {path}"
        for where, path in paths
        if path is not None and not any(f"{real_path(path)}/".startswith(f"{root}/") for root in roots)
    ]


def _file(place: str | None) -> str | None:
    """A place of events, where it is a file and no address, nor a variable of whoever runs the job."""
    return None if place is None or place.startswith(("http:", "https:", "env:")) else place


def check_key(settings: Settings) -> str | None:
    """The environment variable that holds the key of pseudonyms. Raises `ConfigError` when it does not."""
    variable = settings.privacy.variable
    if variable is not None:
        try:
            key_in(variable)
        except KeyError as error:
            raise ConfigError(
                f"privacy.key: {error.args[0]}, and on every worker. Set it from your secret store"
            ) from None
    return variable


def make_plan(
    spark: SparkSession,
    settings: Settings,
    job: str,
    as_of: date,
    revise: bool = False,
    model_run_id: str | None = None,
    refit: Refit = "always",
) -> Plan:
    """Check everything checkable and pin every input.

    `revise`: publish this as_of again although it is published from something else. `model_run_id`:
    for assign_segments, the run whose model scores (default: the last one trained up to `as_of`).
    `refit`: for run_all, whether to fit anew in any case, or only when the last model is too old or the
    customers have changed. Raises `ConfigError`, `InputError`, `NoModel` or `PublishConflict`.
    """
    check_settings(settings)
    database = settings.publishing.database
    if database is not None and not spark.catalog.databaseExists(database):
        raise ConfigError(
            f"publishing.database: must exist; got {database!r}, which the catalog does not have. "
            f"Create it once: CREATE SCHEMA {database}"
        )
    store = Store(spark, settings.publishing)
    ledger = Ledger(store, settings.pipeline)
    history = tuple(ledger.runs())
    sources = features_run = model_run = assigned_run = None
    inputs: list[tuple[str, str, str]] = []
    if job in ("build_features", "run_all"):
        check_key(settings)
        sources = _opened(store, settings, as_of, history)
        inputs += sources.versions
    elif job == "monitor_segments":
        assigned_run = _assigned_run(history, as_of)
        model_run = _model_run(history, as_of, assigned_run.model_run_id)
        inputs.append(("assignments", store.ref("assignments").label, assigned_run.run_id))
    else:
        features_run = _features_run(history, store, as_of)
        inputs.append(("features", store.ref("features").label, features_run.run_id))
    if job == "assign_segments":
        model_run = _model_run(history, as_of, model_run_id)
        inputs.append(("model", model_run.model_path or "", model_run.run_id))
    if job == "run_all" and refit == "auto":
        trained = [r for r in history if r.model_run_id == r.run_id and r.as_of < as_of]
        if trained:
            model_run = _model_run(tuple(trained), as_of, None)
            borders = digest(settings.monitoring.model_dump_json())[:20]
            inputs += [("model", model_run.model_path or "", model_run.run_id), ("monitoring", "", borders)]
    definition = _definition(settings, job, as_of, inputs)
    same = {definition}
    if job == "assign_segments" and model_run_id is None:
        # Whom train_segments has placed by the model of this very day is not assigned by it once more.
        same.add(_definition(settings, "train_segments", as_of, inputs[:1]))
    may_keep = job == "run_all" and model_run is not None
    published, revision = _revision(history, job, as_of, same, revise, may_keep)
    return Plan(
        job=job,
        as_of=as_of,
        settings=settings,
        store=store,
        ledger=ledger,
        inputs=tuple(inputs),
        revision=revision,
        definition=definition,
        run_id=published.run_id if published else digest(definition, str(revision))[:20],
        history=history,
        published=published,
        sources=sources,
        features_run=features_run,
        model_run=model_run,
        assigned_run=assigned_run,
    )


def _assigned_run(history: tuple[CommittedRun, ...], as_of: date) -> CommittedRun:
    run = current_run(history, "assignments", as_of)
    if run is None:
        days = sorted({str(r.as_of) for r in history if "assignments" in r.tables})
        raise InputError(
            f"assignments: must be published for as_of {as_of}; got {', '.join(days) or 'nothing'}. "
            f"Run assign_segments --as-of {as_of} first"
        )
    return run


def _opened(
    store: Store, settings: Settings, as_of: date, history: tuple[CommittedRun, ...]
) -> OpenedSources:
    """The sources, held against the last run, with what was repaired since."""
    counted = [run for run in history if any(rows is not None for *_, rows in run.inputs)]
    last = max(counted, key=lambda run: str(run.committed_at), default=None)
    before = {(s, t): rows for s, t, _, rows in last.inputs if rows is not None} if last else {}
    sources = open_sources(store.spark, settings, as_of, before)
    if store.read(REPAIRS.name) is None:
        return sources
    ref = store.ref(REPAIRS.name)
    version = table_version(store.spark, ref)
    repairs = store.read(REPAIRS.name, version)
    if repairs is None or repairs.isEmpty():
        return sources
    return with_repairs(sources, repairs, ref.label, str(version))


def _features_run(history: tuple[CommittedRun, ...], store: Store, as_of: date) -> CommittedRun:
    run = current_run(history, "features", as_of)
    if run is None:
        days = sorted({str(r.as_of) for r in history if "features" in r.tables})
        raise InputError(
            f"features: must be published for as_of {as_of} at {store.ref('features').label}; got "
            f"{', '.join(days) or 'nothing'}. Run build_features --as-of {as_of} first"
        )
    return run


def _model_run(history: tuple[CommittedRun, ...], as_of: date, run_id: str | None) -> CommittedRun:
    trained = [r for r in history if r.model_run_id == r.run_id]
    if run_id is not None:
        chosen = next((r for r in trained if r.run_id == run_id), None)
        if chosen is None:
            raise ConfigError(
                f"--model-run: must be a committed training run; got {run_id!r} "
                f"({suggestion(run_id, [r.run_id for r in trained])})"
            )
        return chosen
    earlier = [r for r in trained if r.as_of <= as_of]
    if not earlier:
        raise NoModel(
            f"model: must have been trained up to as_of {as_of}; got "
            f"{', '.join(str(r.as_of) for r in trained) or 'none'}. Run train_segments first"
        )
    return max(earlier, key=lambda r: (r.as_of, r.revision))


def _revision(
    history: tuple[CommittedRun, ...],
    job: str,
    as_of: date,
    same: set[str],
    revise: bool,
    may_keep: bool,
) -> tuple[CommittedRun | None, int]:
    """The run if it is published already, and else the next revision of this as_of.

    `same`: definitions of runs after which this one has nothing to do.
    """
    same_day = [r for r in history if r.as_of == as_of]
    revision = max((r.revision for r in same_day), default=-1) + 1
    # Tables that may rightly be empty do not tell whose snapshot counts.
    own = {"run_all": {"drift", "decisions", *(["candidates"] if may_keep else [])}}.get(job, set[str]())
    counted = [t for t in JOBS[job][0] if t not in TOLD_BY and t not in own]
    in_force = [r for t in counted if (r := current_run(same_day, t)) is not None]
    if len(in_force) == len(counted) and all(r.definition in same for r in in_force):
        return in_force[0], in_force[0].revision
    if in_force and not revise:
        other = max(in_force, key=lambda r: r.revision)
        raise PublishConflict(
            f"{job}: as_of {as_of} must not be published yet; got run {other.run_id} ({other.job}, revision "
            f"{other.revision}), made from another configuration, code version or input. "
            "Add --revise to publish a new revision; the former stays readable"
        )
    return None, revision


def _definition(settings: Settings, job: str, as_of: date, inputs: list[tuple[str, str, str]]) -> str:
    """Digest of all that can change the result: a retry of the same run has the same one."""
    sections = settings.model_dump(mode="json", include=set(JOBS[job][1]))
    return digest(
        settings.pipeline,
        job,
        as_of.isoformat(),
        spark_seg.__version__,
        json.dumps(sections, sort_keys=True),
        # Of two features that say the same the one named later is dropped.
        json.dumps([*settings.preparation.features] if "preparation" in sections else []),
        json.dumps(sorted(inputs)),
    )


def digest(*parts: str) -> str:
    """SHA-256 of some texts in their order."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
