"""The wiring: a plan, job by job, to one committed row in `runs`."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import Any

import spark_seg
from spark_seg.config import Settings, config_digest
from spark_seg.errors import PublishConflict, SegmentationError
from spark_seg.pipeline.build import build
from spark_seg.pipeline.choice import Progress
from spark_seg.pipeline.draft import Draft
from spark_seg.pipeline.monitor import drifted, monitor
from spark_seg.pipeline.plan import COMPARISONS, Plan
from spark_seg.pipeline.segmentation import assign, train
from spark_seg.publishing import (
    Receipt,
    RunRecord,
    discard_model,
    is_conflict,
    points,
    rows_of,
    suppressed,
    suppressions,
    without,
)
from spark_seg.tables import SPARK_FAILURES

log = logging.getLogger("spark_seg")


@dataclass(frozen=True)
class Outcome:
    """What a run did. Rows are those of the published tables without their stamp, as dictionaries."""

    run_id: str
    already_published: bool
    receipts: tuple[Receipt, ...]
    profiles: list[dict[str, Any]] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    structure: str | None = None
    lineage: list[dict[str, Any]] = field(default_factory=list)
    migrations: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    drift: list[dict[str, Any]] = field(default_factory=list)
    decision: str | None = None


def run_plan(plan: Plan, progress: Progress = lambda done, total: None, rehearse: bool = False) -> Outcome:
    """Do what the plan says and commit it; or do nothing when it is published already.

    `rehearse`: do everything but the commit, and take back what was staged. A run that fails on purpose
    takes back what it staged, so it leaves no rows behind. One that is killed leaves rows that no reader
    counts, until they are collected as garbage.
    """
    if plan.published is not None and not rehearse:
        return _already(plan)
    draft = Draft()
    points.reached("start")
    forgotten = suppressions(plan.store)
    try:
        _stage_all(plan, draft, progress)
        if suppressions(plan.store) != forgotten:
            raise PublishConflict(
                "erasures: nobody may be erased while a run is at work, which may have read them before; got "
                "a request in between. Nothing was committed; run the same command again"
            )
        points.reached("after_audit")
        if rehearse:
            _take_back(plan, draft)
            return _outcome(plan, draft)
        with draft.room("commit") as said:
            plan.ledger.commit(_record(plan, draft))
            said.append(f"run {plan.run_id} revision {plan.revision}")
    except SegmentationError:
        _take_back(plan, draft)
        raise
    finally:
        draft.release()
    plan.ledger.create_views()
    points.reached("before_exit")
    return _outcome(plan, draft)


def _outcome(plan: Plan, draft: Draft) -> Outcome:
    return Outcome(
        plan.run_id,
        False,
        tuple(draft.receipts),
        draft.profiles,
        draft.candidates,
        dict(draft.metrics),
        draft.facts.get("structure"),
        draft.lineage,
        draft.migrations,
        draft.alerts,
        draft.drift,
        draft.decision.action if draft.decision is not None else None,
    )


def _stage_all(plan: Plan, draft: Draft, progress: Progress) -> None:
    if plan.job == "monitor_segments":
        monitor(plan, draft)
        return
    if plan.sources is not None:
        features = build(plan, draft)
    else:
        assert plan.features_run is not None  # noqa: S101 - make_plan gives one of the two
        # Who was erased may still stand there: the erasure deletes table by table.
        erased = suppressed(plan.store, plan.settings.privacy.key_id)
        features = without(plan.store.read_run("features", plan.features_run.stamp), erased)
    keep = plan.job == "assign_segments"
    if plan.job == "run_all" and plan.model_run is not None:
        keep = drifted(plan, draft, features).action != "refit"
    if plan.job == "build_features":
        return
    if keep:
        assign(plan, draft, features)
    else:
        train(plan, draft, features, progress)


def _take_back(plan: Plan, draft: Draft) -> None:
    """Remove what this attempt staged, unless it is committed after all."""
    if any(run.attempt_id == draft.attempt_id for run in plan.ledger.runs()):
        return
    for table in plan.outputs:
        try:
            plan.store.discard(table, draft.stamp(plan))
        except SPARK_FAILURES as error:
            if not is_conflict(error):
                raise
            log.warning("%-10s rows of run %s stay in %s, uncommitted", "publish", plan.run_id, table)
    if draft.facts.get("model_run_id") == plan.run_id:
        discard_model(draft.facts["model_path"])


def _record(plan: Plan, draft: Draft) -> RunRecord:
    settings: Settings = plan.settings
    inputs = draft.facts.pop("inputs", tuple((*i, None) for i in plan.inputs))
    return RunRecord(
        as_of=plan.as_of,
        run_id=plan.run_id,
        attempt_id=draft.attempt_id,
        pipeline=settings.pipeline,
        job=plan.job,
        revision=plan.revision,
        definition=plan.definition,
        code_version=spark_seg.__version__,
        spark_version=plan.store.spark.version,
        config_digest=config_digest(settings),
        # Without the section session: it changes no result, and may hold keys of a storage account.
        # Not sorted: the order of features decides which of two that say the same is dropped.
        config=json.dumps(settings.model_dump(mode="json", exclude={"session"})),
        seed=settings.seed,
        inputs=inputs,
        receipts=tuple(draft.receipts),
        metrics={name: float(value) for name, value in draft.metrics.items()},
        **draft.facts,
    )


def _already(plan: Plan) -> Outcome:
    """The outcome of a run that stands in the ledger, read from its tables."""
    run = plan.published
    assert run is not None  # noqa: S101 - the caller looked

    # An attempt that was stopped right after its commit has not made them.
    plan.ledger.create_views()
    log.info("%-10s run %s revision %d is published already; nothing to do", "plan", run.run_id, run.revision)
    lineage, migrations, alerts = (rows_of(plan.store, run, table) for table in COMPARISONS)
    return Outcome(
        run.run_id,
        True,
        run.receipts,
        rows_of(plan.store, run, "profiles"),
        rows_of(plan.store, run, "candidates"),
        run.metrics,
        run.structure,
        lineage,
        migrations,
        alerts,
        rows_of(plan.store, run, "drift"),
        next((row["action"] for row in rows_of(plan.store, run, "decisions")), None),
    )
