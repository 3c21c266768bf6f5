"""Features → a segmentation, staged: a new one (`train`), or one that is there already (`assign`)."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.clustering import Model, distance_of
from spark_seg.config import UNSEGMENTED
from spark_seg.errors import SegmentationError
from spark_seg.features import feature_names
from spark_seg.pipeline.choice import Progress, choose_candidate
from spark_seg.pipeline.continuity import (
    Formers,
    ask_formers,
    continued,
    former_runs,
    place_customers,
    stage_migrations,
)
from spark_seg.pipeline.draft import Draft, stage, stage_rows
from spark_seg.pipeline.eligible import eligible_customers, with_holdout
from spark_seg.pipeline.explain import explain
from spark_seg.pipeline.gates import hold_to_contract, must_serve_alike
from spark_seg.pipeline.label import Labelled, label_customers, rfm_index
from spark_seg.pipeline.plan import Plan
from spark_seg.pipeline.rows import profile_rows, split_rows
from spark_seg.preparation import VECTOR, fit_preparation
from spark_seg.profiles import EVERYBODY, Profile, left_out, profile
from spark_seg.publishing import load_model, points, save_model
from spark_seg.segments import Segment
from spark_seg.selection import Candidate, Sweep, measure_labels
from spark_seg.sources import resolved
from spark_seg.tables import ASSIGNMENTS, CANDIDATES, PROFILES, SPLITS


def train(plan: Plan, draft: Draft, features: DataFrame, progress: Progress) -> None:
    """Features → model, candidates, assignments and profiles, staged."""
    settings = plan.settings
    with draft.room("prepare") as said:
        customers = eligible_customers(plan, draft, with_holdout(plan, draft, features))
        preparation = fit_preparation(customers, settings.preparation)
        draft.facts["dropped_features"] = preparation.dropped
        said.append(
            f"{int(draft.metrics['eligible']):,} eligible customers × {len(preparation.features)} features"
        )
        if preparation.dropped:
            said.append("dropped " + ", ".join(f"{name} ({reason})" for name, reason in preparation.dropped))
    with draft.room("select") as said:
        swept, winner, vectors = choose_candidate(plan, draft, preparation, customers, progress)
        said.extend(_told(plan, draft, swept, winner))
    model_path = resolved(f"{settings.publishing.models_path}/{plan.run_id}/{draft.attempt_id}")
    with draft.room("segments") as said:
        swept = swept.with_tree(winner, vectors, settings.seed, model_path)
        clustering = swept.model(winner.algorithm, winner.k, vectors, model_path)
        model = PipelineModel([*preparation.model.stages, clustering])
        labelled = _labelled(draft, model, customers)
        profiled = _profiled(plan, labelled)
        formers = former_runs(plan)
        asked = ask_formers(plan, labelled, formers, plan.run_id)
        segments = continued(plan, draft, asked, profiled["clusters"], formers)
        said.append(f"{len(segments)} segments")
        said.append(_what_became(draft))
    draft.facts |= {
        "structure": swept.structure.sentence if swept.structure is not None else None,
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
    if swept.splits:
        ids = {s.cluster: s.segment_id for s in segments}
        leaves = swept.leaves(winner.k) if winner.algorithm == "bisecting" else {}
        published = {node: ids[cluster] for node, cluster in leaves.items() if cluster in ids}
        stage_rows(plan, draft, split_rows(swept.splits, published), SPLITS)
    _publish(plan, draft, asked, features, profiled, segments, formers, model)


def _told(plan: Plan, draft: Draft, swept: Sweep, winner: Candidate) -> list[str]:
    said = [f"{winner.label} of {len(draft.candidates)} candidates"]
    if winner.silhouette is not None:
        said.append(f"silhouette {winner.silhouette:.3f}")
    if winner.agreement is not None:
        said.append(f"stability {winner.agreement:.2f}")
    said.append(winner.reason or "")
    if swept.structure is not None:
        said.append(swept.structure.sentence)
    unmeasured = sorted(set(plan.settings.selection.rules.min_separation) - set(winner.separation))
    if unmeasured:
        said.append(f"min_separation could not be judged for {', '.join(unmeasured)}")
    if "holdout_spend" in winner.separation:
        said.append(f"explains {winner.separation['holdout_spend']:.0%} of the spend that followed")
    return said


def _what_became(draft: Draft) -> str:
    """What became of the former segments, in counts."""
    if not draft.lineage:
        return "all new"
    events = [row["event"] for row in draft.lineage]
    return ", ".join(f"{events.count(event)} {event}" for event in dict.fromkeys(sorted(events)))


def assign(plan: Plan, draft: Draft, features: DataFrame) -> None:
    """Features of a new as_of and a saved model → assignments and profiles, staged. Nothing is fitted."""
    run = plan.model_run
    assert run is not None and run.model_path is not None  # noqa: S101 - make_plan found a trained model
    with draft.room("score") as said:
        customers = eligible_customers(plan, draft, features)
        model = load_model(plan.store.spark, run.model_path, run.model_digest)
        labelled = _labelled(draft, model, customers)
        _measured(plan, draft, model, customers)
        profiled = _profiled(plan, labelled)
        said.append(
            f"{int(draft.metrics['eligible']):,} customers with the model of {run.as_of} ({run.run_id})"
        )
    draft.facts |= {
        "algorithm": run.algorithm,
        "k": run.k,
        "model_path": run.model_path,
        "model_digest": run.model_digest,
        "model_run_id": run.run_id,
    }
    formers = former_runs(plan)
    asked = ask_formers(plan, labelled, formers, run.run_id)
    _publish(plan, draft, asked, features, profiled, list(run.segments), formers, model)


def _measured(plan: Plan, draft: Draft, model: PipelineModel, customers: DataFrame) -> None:
    """How well the model divides the customers of this day: indices, for comparison with its own day's."""
    run, clustering = plan.model_run, cast(Model, model.stages[-1])
    assert run is not None and run.k is not None  # noqa: S101 - the caller looked
    vectors = model.transform(customers).select("customer_id", VECTOR, "cluster")
    distance = distance_of(clustering)
    indices = measure_labels(vectors, F.col("cluster"), run.k, distance, plan.settings.seed)
    draft.metrics |= {
        name: value
        for name in ("silhouette", "davies_bouldin", "calinski_harabasz", "cost")
        if (value := getattr(indices, name)) is not None
    }


def _labelled(draft: Draft, model: PipelineModel, customers: DataFrame) -> Labelled:
    labelled = label_customers(model, customers)
    draft.kept.append(labelled.frame)
    return labelled


def _profiled(plan: Plan, labelled: Labelled) -> dict[str, list[Profile]]:
    """Profiles of the clusters, of the RFM grid, and of everybody."""
    schemes = {"clusters": F.col("cluster"), "rfm_grid": rfm_index(plan.settings.segments.rfm_map)}
    return profile(labelled.frame, schemes, feature_names(plan.settings.features))


def _of_segments(
    plan: Plan, labelled: DataFrame, profiles: list[Profile], segments: list[Segment], everybody: DataFrame
) -> list[Profile]:
    """Profiles by segment id: those of the clusters, unless some customers are held elsewhere."""
    if everybody.where(F.col("segment_id") != F.col("raw_segment_id")).isEmpty():
        ids = {s.cluster: s.segment_id for s in segments}
        return [replace(p, label=ids[p.label]) for p in profiles if p.label in ids]
    held = labelled.join(everybody.select("customer_id", "segment_id"), on="customer_id")
    scheme = {"clusters": F.col("segment_id")}
    return profile(held, scheme, feature_names(plan.settings.features))["clusters"]


def _publish(
    plan: Plan,
    draft: Draft,
    asked: DataFrame,
    features: DataFrame,
    profiled: dict[str, list[Profile]],
    segments: list[Segment],
    formers: Formers,
    model: PipelineModel,
) -> None:
    """Stage the tables of a segmentation, save a new model, and hold both to what is promised."""
    trained = draft.facts["model_run_id"] == plan.run_id
    (of_all,) = profiled[EVERYBODY]
    explain(plan, draft, model, asked, segments, of_all)
    with draft.room("publish") as said:
        if trained:
            stage_rows(plan, draft, draft.candidates, CANDIDATES)
        others = features.where(~F.col("eligible"))
        left_over = left_out(others)
        if left_over.customers:
            said.append(f"{left_over.customers:,} customers {UNSEGMENTED}")
        draft.metrics["unsegmented"] = left_over.customers
        rest = others if left_over.customers else None
        everybody = place_customers(plan, draft, asked, rest, segments, formers)
        rows = stage(plan, draft, everybody, ASSIGNMENTS).rows
        points.reached("after_assignments")
        by_segment = _of_segments(plan, asked, profiled["clusters"], segments, everybody)
        draft.profiles = profile_rows(plan, by_segment, segments, profiled["rfm_grid"], of_all, left_over)
        stage_rows(plan, draft, draft.profiles, PROFILES)
        points.reached("after_profiles")
        draft.facts["segments"] = tuple(segments)
        counted = sum(p.customers for p in by_segment)
        if counted != draft.metrics["eligible"] or rows != counted + left_over.customers:
            raise SegmentationError(
                f"assignments: must have one row for each of {int(draft.metrics['eligible']):,} eligible "
                f"customers and {left_over.customers:,} others; got {rows:,} rows, and {counted:,} "
                "customers in profiles. Nothing was committed; this is a fault of spark_seg"
            )
        if trained:
            # Last, because rows can be taken back and a folder cannot.
            draft.facts["model_digest"] = save_model(plan.store.spark, model, draft.facts["model_path"])
        points.reached("after_model")
        said.append(" · ".join(f"{r.table} {r.rows:,}" for r in draft.receipts))
    with draft.room("migrate") as said:
        stage_migrations(plan, draft, everybody, segments, formers)
        if "moved" in draft.metrics:
            said.append(f"{int(draft.metrics['moved']):,} customers moved since {formers.all[0].run.as_of}")
        else:
            said.append("no former run")
    with draft.room("gates") as said:
        hold_to_contract(plan, draft, features, by_segment, segments)
        if trained:
            said.append(must_serve_alike(plan, draft, features, segments))
