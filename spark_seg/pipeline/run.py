"""The wiring: a plan, room by room, to one committed row in `runs`."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

import spark_seg
from spark_seg.activity import daily_activity
from spark_seg.cleaning import (
    Rules,
    check_counts,
    clean_customers,
    clean_events,
    clean_orders,
    reject_rows,
)
from spark_seg.config import Settings, config_digest
from spark_seg.errors import InputError, NoAcceptableCandidate, SegmentationError
from spark_seg.features import build_features, feature_names, feature_spec, score_rfm
from spark_seg.pipeline.label import Labelled, label_customers, load_model, mapped_assignments
from spark_seg.pipeline.plan import Plan
from spark_seg.pipeline.rows import candidate_row, profile_rows
from spark_seg.preparation import VECTOR, canonical_layout, check_directions, fit_preparation
from spark_seg.profiles import Profile, profile
from spark_seg.publishing import (
    AttemptConflict,
    Receipt,
    RunRecord,
    current_run,
    is_conflict,
)
from spark_seg.segments import GRID, Segment, grid_index, name_clusters, stable_ids
from spark_seg.selection import choose, sweep
from spark_seg.session import keep, release
from spark_seg.sources import canonical_customers, canonical_events, canonical_orders, resolved
from spark_seg.tables import ASSIGNMENTS, CANDIDATES, PROFILES, REJECTS, SPARK_FAILURES, Spec

log = logging.getLogger("spark_seg")

#: Called as progress(done, total) while candidates are fitted.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What a run did. Rows are those of the published tables, as dictionaries."""

    run_id: str
    already_published: bool
    receipts: tuple[Receipt, ...]
    profiles: list[dict[str, Any]] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass
class _Draft:
    """What is known of a run so far; becomes its row in the ledger."""

    receipts: list[Receipt] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    profiles: list[dict[str, Any]] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    kept: list[DataFrame] = field(default_factory=list)

    def keep(self, frame: DataFrame) -> DataFrame:
        """`frame`, computed once and kept until the run ends."""
        self.kept.append(keep(frame))
        return self.kept[-1]

    def release(self) -> None:
        """Let go of all frames that are kept."""
        while self.kept:
            release(self.kept.pop())

    @contextmanager
    def room(self, name: str) -> Iterator[list[str]]:
        """Time one room and log its one line; the body appends what the line says."""
        started = time.monotonic()
        said: list[str] = []
        yield said
        seconds = time.monotonic() - started
        self.metrics[f"seconds_{name}"] = self.metrics.get(f"seconds_{name}", 0.0) + seconds
        log.info("%-10s %s  %.1f s", name, " · ".join(said), seconds)


def run_plan(plan: Plan, progress: Progress = lambda done, total: None) -> Outcome:
    """Do what the plan says and commit it; or do nothing when it is published already.

    A run that fails on purpose takes back what it staged, so it leaves no rows behind. One that is
    killed leaves rows that no reader counts, and that the same run replaces when it is retried.
    """
    if plan.published is not None:
        return _already(plan)
    draft = _Draft()
    try:
        _stage_all(plan, draft, progress)
        with draft.room("commit") as said:
            plan.ledger.commit(_record(plan, draft))
            said.append(f"run {plan.run_id} revision {plan.revision}")
    except AttemptConflict:
        # The same run is at work elsewhere: what is staged may be what it is about to commit.
        raise
    except SegmentationError:
        _take_back(plan)
        raise
    finally:
        draft.release()
    plan.ledger.create_views()
    return Outcome(
        plan.run_id, False, tuple(draft.receipts), draft.profiles, draft.candidates, dict(draft.metrics)
    )


def _stage_all(plan: Plan, draft: _Draft, progress: Progress) -> None:
    if plan.sources is not None:
        features = _build(plan, draft)
    else:
        assert plan.features_run is not None  # noqa: S101 - make_plan gives one of the two
        features = plan.store.read_run("features", plan.as_of, plan.features_run.run_id)
    if plan.job in ("train_segments", "run_all"):
        _train(plan, draft, features, progress)
    elif plan.job == "assign_segments":
        _assign(plan, draft, features)


def _take_back(plan: Plan) -> None:
    """Remove what this run staged, in this attempt or an earlier one, unless it is committed after all."""
    if any(run.run_id == plan.run_id for run in plan.ledger.runs()):
        return
    for table in plan.outputs:
        try:
            plan.store.discard(table, plan.as_of, plan.run_id)
        except SPARK_FAILURES as error:
            if not is_conflict(error):
                raise
            log.warning("%-10s rows of run %s stay in %s, uncommitted", "publish", plan.run_id, table)


# ---------------------------------------------------------------- the jobs


def _build(plan: Plan, draft: _Draft) -> DataFrame:
    """Sources → features and rejects, staged. Returns the features as they stand in the table."""
    settings, sources = plan.settings, plan.sources
    assert sources is not None  # noqa: S101 - the caller looked
    rules = Rules(settings.cleaning, plan.as_of, frozenset(settings.features.engagement.kinds))
    with draft.room("clean") as said:
        orders = clean_orders(canonical_orders(sources, settings.time_zone), rules)
        raw_events = canonical_events(sources, settings.time_zone)
        raw_customers = canonical_customers(sources, settings.time_zone)
        events = clean_events(raw_events, rules) if raw_events is not None else None
        customers = clean_customers(raw_customers, rules) if raw_customers is not None else None
        activity = draft.keep(
            daily_activity(orders.kept, events.kept if events else None, settings.features.engagement)
        )
        attributes = draft.keep(customers.kept) if customers else None
        daily_rows = activity.count()
        if attributes is not None:
            attributes.count()
        cleaned = [c for c in (orders, events, customers) if c is not None]
        counts = [c.counts() for c in cleaned]
        check_counts(counts, settings.cleaning, plan.as_of)
        rejected = [
            c.rejects(n, settings.cleaning.keep_after_as_of) for c, n in zip(cleaned, counts, strict=True)
        ]
        rejects = reject_rows([r for r in rejected if r is not None], plan.as_of, plan.run_id)
        if rejects is not None:
            draft.receipts.append(_stage(plan, rejects, REJECTS))
        rows = {c.source: c.rows for c in counts}
        counted = {(t.source, t.label) for t in sources.tables}  # lookups are joined, not counted
        draft.facts["inputs"] = tuple(
            (source, table, version, rows.get(source) if (source, table) in counted else None)
            for source, table, version in plan.inputs
        )
        reasons = [(c.source, reason, rows) for c in counts for reason, rows in c.reasons.items()]
        draft.facts["rejects"] = tuple(reasons)
        told = ", ".join(f"{rows:,} {reason}" for _, reason, rows in sorted(reasons, key=lambda x: -x[2]))
        said.append(f"{sum(c.kept for c in counts):,} rows kept")
        said.append(f"{sum(c.rejected for c in counts):,} rejected" + (f" ({told})" if told else ""))
        said.append(f"{daily_rows:,} daily rows")
    with draft.room("features") as said:
        built = draft.keep(build_features(activity, attributes, plan.as_of, settings.features))
        scored = score_rfm(built)
        spec = feature_spec(settings.features)
        receipt = _stage(plan, scored.customers, spec)
        draft.receipts.append(receipt)
        draft.facts["cut_points"] = tuple(scored.cut_points.items())
        draft.metrics["customers"] = receipt.rows
        said.append(f"{receipt.rows:,} customers × {len(feature_names(settings.features))} features")
    draft.release()
    return plan.store.read_run("features", plan.as_of, plan.run_id, receipt.version)


def _train(plan: Plan, draft: _Draft, features: DataFrame, progress: Progress) -> None:
    """Features → model, candidates, assignments and profiles, staged."""
    settings = plan.settings
    with draft.room("prepare") as said:
        customers = _eligible(plan, draft, features)
        preparation = fit_preparation(customers, settings.preparation)
        draft.facts["dropped_features"] = preparation.dropped
        said.append(
            f"{int(draft.metrics['eligible']):,} eligible customers × {len(preparation.features)} features"
        )
        if preparation.dropped:
            said.append("dropped " + ", ".join(f"{name} ({reason})" for name, reason in preparation.dropped))
    with draft.room("select") as said:
        grid = grid_index(F.col("r_score"), F.col("f_score"))
        # A customer without scores (no order, if `active` customers are segmented) counts as hibernating.
        baseline = F.coalesce(grid, F.lit(len(GRID) - 1)).alias("rfm_index")
        vectors = draft.keep(preparation.transform(customers).select("customer_id", VECTOR, baseline))
        if settings.clustering.distance == "cosine":
            check_directions(vectors)
        swept = sweep(vectors, settings, ("rfm_index", len(GRID)), progress)
        candidates = choose(swept.candidates, settings.selection)
        draft.candidates = [candidate_row(plan, c) for c in candidates]
        structure = swept.structure
        if structure is not None:
            draft.metrics["structure_margin"] = structure.margin
            if settings.selection.require_structure and not structure.found:
                raise NoAcceptableCandidate(
                    f"selection: the customers must show groups (selection.require_structure); got "
                    f"{structure.sentence}. Use the RFM grid, other features, or require_structure: false",
                    candidates=draft.candidates,
                )
        winner = next((c for c in candidates if c.chosen), None)
        if winner is None:
            raise NoAcceptableCandidate(
                [f"{c.label}: {c.reason}" for c in candidates],
                title="selection: no candidate passes the rules (selection.rules)",
                candidates=draft.candidates,
            )
        said.append(f"{winner.label} of {len(candidates)} candidates")
        said.append(f"silhouette {winner.silhouette:.3f}")
        if winner.agreement is not None:
            said.append(f"stability {winner.agreement:.2f}")
        said.append(winner.reason or "")
        if structure is not None:
            said.append(structure.sentence)
    model_path = resolved(f"{settings.publishing.models_path}/{plan.run_id}")
    with draft.room("segments") as said:
        clustering = swept.model(winner.algorithm, winner.k, vectors, model_path)
        model = PipelineModel([*preparation.model.stages, clustering])
        labelled = _labelled(draft, model, customers)
        profiles = profile(labelled.frame, "cluster", feature_names(settings.features))
        segments = _segments(plan, labelled, profiles)
        continued = sum(s.overlap is not None for s in segments)
        said.append(f"{len(segments)} segments")
        said.append(f"{continued} continue a segment of the previous run" if continued else "all new")
    draft.facts |= {
        "algorithm": winner.algorithm,
        "k": winner.k,
        "model_path": model_path,
        "model_run_id": plan.run_id,
    }
    draft.metrics |= {
        name: value
        for name in ("silhouette", "davies_bouldin", "calinski_harabasz", "cost", "agreement", "weakest")
        if (value := getattr(winner, name)) is not None
    }
    _publish(plan, draft, labelled, profiles, segments, model)


def _assign(plan: Plan, draft: _Draft, features: DataFrame) -> None:
    """Features of a new as_of and a saved model → assignments and profiles, staged. Nothing is fitted."""
    run = plan.model_run
    assert run is not None and run.model_path is not None  # noqa: S101 - make_plan found a trained model
    with draft.room("score") as said:
        customers = _eligible(plan, draft, features)
        labelled = _labelled(draft, load_model(run.model_path), customers)
        profiles = profile(labelled.frame, "cluster", feature_names(plan.settings.features))
        said.append(
            f"{int(draft.metrics['eligible']):,} customers with the model of {run.as_of} ({run.run_id})"
        )
    draft.facts |= {
        "algorithm": run.algorithm,
        "k": run.k,
        "model_path": run.model_path,
        "model_run_id": run.run_id,
    }
    _publish(plan, draft, labelled, profiles, list(run.segments), None)


def _labelled(draft: _Draft, model: PipelineModel, customers: DataFrame) -> Labelled:
    labelled = label_customers(model, customers)
    draft.kept.append(labelled.frame)
    return labelled


def _eligible(plan: Plan, draft: _Draft, features: DataFrame) -> DataFrame:
    """Eligible customers in canonical layout, kept."""
    missing = [name for name in feature_names(plan.settings.features) if name not in features.columns]
    if missing:
        raise InputError(
            f"features: must have {', '.join(missing)} (section features); the table has not. "
            f"Run build_features --as-of {plan.as_of} with this configuration"
        )
    eligible = features.where("eligible")
    rows = eligible.count()
    if not rows:
        raise InputError(
            f"features: must have eligible customers (features.eligible: {plan.settings.features.eligible}); "
            f"got none in the {plan.settings.features.lookback_days} days before {plan.as_of}. "
            "Check --as-of and features.lookback_days"
        )
    draft.metrics["eligible"] = rows
    return draft.keep(canonical_layout(eligible, rows))


def _segments(plan: Plan, labelled: Labelled, profiles: list[Profile]) -> list[Segment]:
    """Stable ids from the customers of the previous run, names from the profiles."""
    settings = plan.settings.segments
    earlier = [r for r in plan.history if r.as_of <= plan.as_of]
    previous = current_run(earlier, "assignments")
    common: dict[tuple[int, int], int] = {}
    if previous is not None:
        before = plan.store.read_run("assignments", previous.as_of, previous.run_id)
        pairs = labelled.frame.join(before.select("customer_id", "segment_id"), on="customer_id")
        rows = pairs.groupBy("cluster", "segment_id").count().collect()
        common = {(row["cluster"], row["segment_id"]): row["count"] for row in rows}
    by_value = sorted(profiles, key=lambda p: (-p.mean_of("monetary"), p.label))
    used = [s.segment_id for r in plan.history for s in r.segments]
    ids = stable_ids([p.label for p in by_value], common, max(used, default=0) + 1, settings.min_overlap)
    names = name_clusters(
        {p.label: p.positions for p in profiles}, settings.archetypes, settings.max_name_difference
    )
    return [
        Segment(p.label, ids[p.label].segment_id, names[p.label][0], ids[p.label].overlap) for p in by_value
    ]


def _publish(
    plan: Plan,
    draft: _Draft,
    labelled: Labelled,
    profiles: list[Profile],
    segments: list[Segment],
    model: PipelineModel | None,
) -> None:
    """Stage the tables of a segmentation, and save its model when it is new."""
    with draft.room("publish") as said:
        if model is not None:
            draft.receipts.append(_stage_rows(plan, draft.candidates, CANDIDATES))
        draft.receipts.append(_stage(plan, mapped_assignments(labelled.frame, segments), ASSIGNMENTS))
        grid = profile(
            labelled.frame.withColumn("rfm_index", grid_index(F.col("r_score"), F.col("f_score"))),
            "rfm_index",
            feature_names(plan.settings.features),
        )
        draft.profiles = profile_rows(plan, profiles, segments, grid)
        draft.receipts.append(_stage_rows(plan, draft.profiles, PROFILES))
        draft.facts["segments"] = tuple(segments)
        assigned = next(r.rows for r in draft.receipts if r.table == "assignments")
        profiled = sum(p.customers for p in profiles)
        if not assigned == profiled == draft.metrics["eligible"]:
            raise SegmentationError(
                f"assignments: must have one row for each of {int(draft.metrics['eligible']):,} eligible "
                f"customers; got {assigned:,} rows, and {profiled:,} customers in profiles. "
                "Nothing was committed; this is a fault of spark_seg"
            )
        if model is not None:
            # Last, because rows can be taken back and a folder cannot.
            model.write().overwrite().save(draft.facts["model_path"])
        said.append(" · ".join(f"{r.table} {r.rows:,}" for r in draft.receipts))


# ---------------------------------------------------------------- rows


def _stage(plan: Plan, frame: DataFrame, spec: Spec) -> Receipt:
    stamped = frame.withColumns({"as_of": F.lit(plan.as_of), "run_id": F.lit(plan.run_id)})
    return plan.store.stage(stamped, spec, plan.as_of, plan.run_id)


def _stage_rows(plan: Plan, rows: list[dict[str, Any]], spec: Spec) -> Receipt:
    values = [tuple(row[name] for name in spec.columns) for row in rows]
    return _stage(plan, plan.store.spark.createDataFrame(values, spec.schema).coalesce(1), spec)


def _record(plan: Plan, draft: _Draft) -> RunRecord:
    settings: Settings = plan.settings
    inputs = draft.facts.pop("inputs", tuple((*i, None) for i in plan.inputs))
    return RunRecord(
        as_of=plan.as_of,
        run_id=plan.run_id,
        pipeline=settings.pipeline,
        job=plan.job,
        revision=plan.revision,
        definition=plan.definition,
        code_version=spark_seg.__version__,
        spark_version=plan.store.spark.version,
        config_digest=config_digest(settings),
        # Without the section session: it changes no result, and may hold keys of a storage account.
        config=json.dumps(settings.model_dump(mode="json", exclude={"session"}), sort_keys=True),
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

    def rows(table: str) -> list[dict[str, Any]]:
        if run.receipt(table) is None:
            return []
        return [r.asDict(recursive=True) for r in plan.store.read_run(table, run.as_of, run.run_id).collect()]

    # An attempt that was stopped right after its commit has not made them.
    plan.ledger.create_views()
    log.info("%-10s run %s revision %d is published already; nothing to do", "plan", run.run_id, run.revision)
    return Outcome(run.run_id, True, run.receipts, rows("profiles"), rows("candidates"), run.metrics)
