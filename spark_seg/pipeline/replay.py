"""A run of the ledger, done again from what its row says; and what lies between two of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import spark_seg
from spark_seg.config import Settings
from spark_seg.errors import ConfigError, InputError, suggestion
from spark_seg.features import feature_spec
from spark_seg.monitoring import migration
from spark_seg.pipeline.choice import Progress
from spark_seg.pipeline.plan import Plan, check_key
from spark_seg.pipeline.run import run_plan
from spark_seg.publishing import CommittedRun, Ledger, Store
from spark_seg.sources import open_sources, with_repairs
from spark_seg.tables import FEATURES, PUBLISHED, REPAIRS

#: Not compared: what a run reads of other runs is theirs, and rejects of a run that kept activity are fewer.
_COMPARED = ("features", "assignments", "profiles", "rules", "explanations", "candidates")


@dataclass(frozen=True)
class Replay:
    """A run and its repetition. `same`: table → does it have the same rows, to the last bit?"""

    run: CommittedRun
    same: dict[str, bool]
    notes: tuple[str, ...]


def known_run(runs: list[CommittedRun], run_id: str, where: str) -> CommittedRun:
    """The committed run of that id. Raises `ConfigError` when there is none."""
    found = next((run for run in runs if run.run_id == run_id), None)
    if found is None:
        known = suggestion(run_id, [run.run_id for run in runs])
        raise ConfigError(f"{where}: must be a committed run; got {run_id!r} ({known})")
    return found


def replay(
    spark: SparkSession, settings: Settings, run_id: str, progress: Progress = lambda done, total: None
) -> Replay:
    """Do a run again from its row: the versions it read, its configuration, its seed. Nothing is published.

    `settings` say where results are, and nothing else. Raises `InputError` when a version that the run read
    is gone, and `ConfigError` when there is no such run or its configuration is of another version.
    """
    store = Store(spark, settings.publishing)
    ledger = Ledger(store, settings.pipeline)
    runs = ledger.runs()
    run = known_run(runs, run_id, "RUN")
    if not run.tables & set(_COMPARED):
        raise ConfigError(f"RUN: must be a run of features or segments; got {run_id}, a run of {run.job}")
    outcome = run_plan(_plan_of(run, runs, settings, store, ledger), progress, rehearse=True)
    again = {receipt.table: receipt for receipt in outcome.receipts}
    same = {}
    for receipt in run.receipts:
        if receipt.table in _COMPARED:
            spec = PUBLISHED[receipt.table]
            if spec is FEATURES:
                spec = feature_spec(_settings_of(run, settings).features)
            # An erasure may have taken rows from the run since: then its rows as they stand count.
            wanted = (receipt.content, store.content(spec, run.stamp))
            same[receipt.table] = receipt.table in again and again[receipt.table].content in wanted
    return Replay(run, same, tuple(_notes(run, spark.version)))


def _plan_of(
    run: CommittedRun, runs: list[CommittedRun], settings: Settings, store: Store, ledger: Ledger
) -> Plan:
    """The plan of a run as it was made then."""
    own = _settings_of(run, settings)
    history = [r for r in runs if r.committed_at is not None and run.committed_at is not None]
    history = [r for r in history if str(r.committed_at) < str(run.committed_at) and r.run_id != run.run_id]
    by_id = {r.run_id: r for r in runs}
    sources = features_run = model_run = None
    if run.job in ("build_features", "run_all"):
        check_key(own)
        versions = {(source, table): version for source, table, version, _ in run.inputs}
        sources = open_sources(store.spark, own, run.as_of, versions=versions)
        repairs = [(table, version) for source, table, version, _ in run.inputs if source == REPAIRS.name]
        if repairs:
            frame = store.read(REPAIRS.name, int(repairs[0][1]))
            if frame is None:
                raise InputError(f"repairs: version {repairs[0][1]} of {repairs[0][0]} is not there any more")
            sources = with_repairs(sources, frame, *repairs[0])
    for source, _, version, _ in run.inputs:
        if source == "features":
            features_run = known_run(runs, version, "features")
        if source == "model":
            model_run = by_id.get(version)
    return Plan(
        job=run.job,
        as_of=run.as_of,
        settings=own,
        store=store,
        ledger=ledger,
        inputs=tuple((source, table, version) for source, table, version, _ in run.inputs),
        revision=run.revision,
        definition=run.definition,
        run_id=run.run_id,
        history=tuple(history),
        published=None,
        sources=sources,
        features_run=features_run,
        model_run=model_run,
    )


def _settings_of(run: CommittedRun, settings: Settings) -> Settings:
    """The configuration of a run, with today's session and place."""
    try:
        own = Settings.model_validate(json.loads(run.config))
    except (ValidationError, ValueError) as error:
        raise ConfigError(
            f"run {run.run_id}: its configuration must be one that {spark_seg.__version__} reads; got one of "
            f"{run.code_version or 'an unknown version'} that it does not. Replay it with that version"
        ) from error
    # Days that other runs kept are read anew: the features are the same, to the last bit.
    place = settings.publishing.model_copy(update={"keep_activity": False})
    return own.model_copy(update={"publishing": place, "session": settings.session})


def _notes(run: CommittedRun, spark_version: str) -> Iterator[str]:
    """What is not as it was then."""
    if run.code_version != spark_seg.__version__:
        yield f"spark_seg was {run.code_version} then and is {spark_seg.__version__} now"
    if run.spark_version != spark_version:
        yield f"Spark was {run.spark_version} then and is {spark_version} now"


# ---------------------------------------------------------------- two runs


def differences(store: Store, one: CommittedRun, other: CommittedRun) -> list[str]:
    """What is different in the second run, a sentence each: what it was made of, and what came of it."""
    told = list(_made_of(one, other))
    if one.algorithm or other.algorithm:
        told += _segmentations(one, other)
    if {"assignments"} <= one.tables & other.tables:
        told += _moves(store, one, other)
    return told or ["nothing: both have the same inputs, configuration and segments"]


def _made_of(one: CommittedRun, other: CommittedRun) -> Iterator[str]:
    for name in ("as_of", "job", "code_version", "spark_version", "seed"):
        before, now = getattr(one, name), getattr(other, name)
        if before != now:
            yield f"{name}: {before} → {now}"
    before, now = (flattened(json.loads(run.config)) for run in (one, other))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key):
            yield f"config {key}: {_shown(before, key)} → {_shown(now, key)}"
    versions = [{(s, t): v for s, t, v, _ in run.inputs} for run in (one, other)]
    for source, table in sorted(versions[0].keys() | versions[1].keys()):
        was, is_ = (v.get((source, table), "not read") for v in versions)
        if was != is_:
            yield f"input {source} {table}: {was} → {is_}"
    for name in ("customers", "eligible", "unsegmented"):
        if one.metrics.get(name) != other.metrics.get(name):
            counts = (run.metrics.get(name) for run in (one, other))
            yield f"{name}: {' → '.join('-' if n is None else f'{int(n):,}' for n in counts)}"


def _segmentations(one: CommittedRun, other: CommittedRun) -> Iterator[str]:
    if one.model_run_id == other.model_run_id:
        yield f"model: the same, of run {one.model_run_id}"
    else:
        yield f"model: {one.algorithm} k={one.k} → {other.algorithm} k={other.k}"
    before, now = ({s.segment_id: s.name for s in run.segments} for run in (one, other))
    for i in sorted(before.keys() - now.keys()):
        yield f"segment {i} {before[i]}: there is none any more"
    for i in sorted(now.keys() - before.keys()):
        yield f"segment {i} {now[i]}: new"
    for i in sorted(before.keys() & now.keys()):
        if before[i] != now[i]:
            yield f"segment {i}: {before[i]} → {now[i]}"


def _moves(store: Store, one: CommittedRun, other: CommittedRun) -> Iterator[str]:
    """Who is elsewhere, the largest ways first."""
    before, now = (store.read_run("assignments", run.stamp) for run in (one, other))
    nothing = {"tenure_days": F.lit(None).cast("int"), "expected": F.lit(None).cast("int")}
    elapsed = abs((other.as_of - one.as_of).days)
    rows = [row.asDict() for row in migration(now.withColumns(nothing), before, elapsed).collect()]
    names: dict[Any, str] = {None: "nowhere", 0: "unsegmented"}
    names |= {s.segment_id: s.name for run in (one, other) for s in run.segments}
    stayed = sum(r["customers"] for r in rows if r["kind"] == "stayed")
    total = sum(r["customers"] for r in rows)
    yield f"customers: {stayed:,} of {total:,} are where they were"
    ways: dict[tuple[Any, Any], int] = {}
    for r in rows:
        if r["kind"] != "stayed":
            way = (r["from_segment_id"], r["to_segment_id"])
            ways[way] = ways.get(way, 0) + r["customers"]
    for (source, target), n in sorted(ways.items(), key=lambda way: -way[1])[:10]:
        yield f"{n:,} from {names.get(source, source)} to {names.get(target, target)}"


def flattened(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings → `a.b.c` → value."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shown(flat: dict[str, Any], key: str) -> str:
    return json.dumps(flat[key], ensure_ascii=False) if key in flat else "not set"
