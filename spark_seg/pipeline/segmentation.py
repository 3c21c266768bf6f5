"""Features → a segmentation, staged: a new one (`train`), or one that is there already (`assign`)."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.config import HOLDOUT_MEASURES, UNSEGMENTED, UNSEGMENTED_ID
from spark_seg.errors import InputError, NoAcceptableCandidate, SegmentationError
from spark_seg.features import feature_names
from spark_seg.pipeline.draft import Draft, stage, stage_rows
from spark_seg.pipeline.label import (
    PERMISSIONS,
    Labelled,
    label_customers,
    mapped_assignments,
    unsegmented_assignments,
)
from spark_seg.pipeline.plan import Plan
from spark_seg.pipeline.rows import candidate_row, profile_rows, split_rows
from spark_seg.preparation import (
    VECTOR,
    Preparation,
    canonical_layout,
    check_directions,
    fit_preparation,
)
from spark_seg.profiles import Profile, left_out, profile
from spark_seg.publishing import current_run, load_model, points, save_model
from spark_seg.segments import GRID, Segment, grid_index, name_clusters, stable_ids
from spark_seg.selection import Candidate, Sweep, choose, sweep
from spark_seg.sources import resolved
from spark_seg.tables import ASSIGNMENTS, CANDIDATES, HOLDOUT, PROFILES, SPLITS

#: Called as progress(done, total) while candidates are fitted.
Progress = Callable[[int, int], None]


def train(plan: Plan, draft: Draft, features: DataFrame, progress: Progress) -> None:
    """Features → model, candidates, assignments and profiles, staged."""
    settings = plan.settings
    with draft.room("prepare") as said:
        customers = _eligible(plan, draft, _with_holdout(plan, draft, features))
        preparation = fit_preparation(customers, settings.preparation)
        draft.facts["dropped_features"] = preparation.dropped
        said.append(
            f"{int(draft.metrics['eligible']):,} eligible customers × {len(preparation.features)} features"
        )
        if preparation.dropped:
            said.append("dropped " + ", ".join(f"{name} ({reason})" for name, reason in preparation.dropped))
    with draft.room("select") as said:
        swept, winner, vectors = _select(plan, draft, preparation, customers, progress)
        said.append(f"{winner.label} of {len(draft.candidates)} candidates")
        if winner.silhouette is not None:
            said.append(f"silhouette {winner.silhouette:.3f}")
        if winner.agreement is not None:
            said.append(f"stability {winner.agreement:.2f}")
        said.append(winner.reason or "")
        if swept.structure is not None:
            said.append(swept.structure.sentence)
        unmeasured = sorted(set(settings.selection.rules.min_separation) - set(winner.separation))
        if unmeasured:
            said.append(f"min_separation could not be judged for {', '.join(unmeasured)}")
        if "holdout_spend" in winner.separation:
            said.append(f"explains {winner.separation['holdout_spend']:.0%} of the spend that followed")
    model_path = resolved(f"{settings.publishing.models_path}/{plan.run_id}/{draft.attempt_id}")
    with draft.room("segments") as said:
        clustering = swept.model(winner.algorithm, winner.k, vectors, model_path)
        model = PipelineModel([*preparation.model.stages, clustering])
        labelled = _labelled(draft, model, customers)
        profiles, grid = _profiled(plan, labelled)
        segments = _segments(plan, labelled, profiles)
        continued = sum(s.overlap is not None for s in segments)
        said.append(f"{len(segments)} segments")
        said.append(f"{continued} continue a segment of the previous run" if continued else "all new")
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
    _publish(plan, draft, labelled, features, profiles, grid, segments, model)


def _select(
    plan: Plan, draft: Draft, preparation: Preparation, customers: DataFrame, progress: Progress
) -> tuple[Sweep, Candidate, DataFrame]:
    """What was swept, the candidate that won, and the vectors. Raises `NoAcceptableCandidate`."""
    settings = plan.settings
    grid = grid_index(F.col("r_score"), F.col("f_score"))
    # A customer without scores (no order, if `active` customers are segmented) counts as hibernating.
    baseline = F.coalesce(grid, F.lit(len(GRID) - 1)).alias("rfm_index")
    later = [name for name in HOLDOUT_MEASURES if name in customers.columns]
    vectors = preparation.transform(customers).select("customer_id", VECTOR, baseline, "prepared.*", *later)
    if settings.selection.mode == "exact":
        vectors = draft.keep(vectors)
    if settings.clustering.distance == "cosine":
        check_directions(vectors)
    swept = sweep(vectors, settings, ("rfm_index", len(GRID)), progress, (*preparation.prepared, *later))
    candidates = choose(swept.candidates, settings.selection)
    draft.candidates = [candidate_row(c) for c in candidates]
    draft.metrics["coreset"] = swept.coreset
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
    return swept, winner, vectors


def assign(plan: Plan, draft: Draft, features: DataFrame) -> None:
    """Features of a new as_of and a saved model → assignments and profiles, staged. Nothing is fitted."""
    run = plan.model_run
    assert run is not None and run.model_path is not None  # noqa: S101 - make_plan found a trained model
    with draft.room("score") as said:
        customers = _eligible(plan, draft, features)
        labelled = _labelled(draft, load_model(plan.store.spark, run.model_path, run.model_digest), customers)
        profiles, grid = _profiled(plan, labelled)
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
    _publish(plan, draft, labelled, features, profiles, grid, list(run.segments), None)


def _labelled(draft: Draft, model: PipelineModel, customers: DataFrame) -> Labelled:
    labelled = label_customers(model, customers)
    draft.kept.append(labelled.frame)
    return labelled


def _profiled(plan: Plan, labelled: Labelled) -> tuple[list[Profile], list[Profile]]:
    """Profiles of the clusters and of the RFM grid."""
    grid = grid_index(F.col("r_score"), F.col("f_score"))
    schemes = {"clusters": F.col("cluster"), "rfm_grid": grid}
    profiles = profile(labelled.frame, schemes, feature_names(plan.settings.features))
    return profiles["clusters"], profiles["rfm_grid"]


def _eligible(plan: Plan, draft: Draft, features: DataFrame) -> DataFrame:
    """Eligible customers in canonical layout, kept."""
    needed = (*feature_names(plan.settings.features), *PERMISSIONS)
    missing = [name for name in needed if name not in features.columns]
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


def _with_holdout(plan: Plan, draft: Draft, customers: DataFrame) -> DataFrame:
    """With the columns `HOLDOUT_MEASURES`, where the holdout period was observed.

    Raises `InputError` when the features were built with another `holdout_days`.
    """
    wanted, built = plan.settings.features.holdout_days, plan.features_run
    days = (built.metrics if built is not None else draft.metrics).get("holdout_days")
    if days != wanted:
        raise InputError(
            f"features: must be built with features.holdout_days {wanted}; got "
            f"{None if days is None else int(days)} in run {plan.inputs[0][2]}. "
            f"Run build_features --as-of {plan.as_of} with this configuration"
        )
    stamp, receipts = (
        (built.stamp, built.receipts) if built is not None else (draft.stamp(plan), tuple(draft.receipts))
    )
    receipt = next((r for r in receipts if r.table == HOLDOUT.name), None)
    if receipt is None:
        return customers
    rows = plan.store.read_run(HOLDOUT.name, stamp, receipt.version)
    later = rows.select("customer_id", F.col("orders").alias("_orders"), F.col("spend").alias("_spend"))
    spend = F.coalesce(F.col("_spend").cast("double"), F.lit(0.0))
    active = F.coalesce(F.col("_orders") > 0, F.lit(False))
    return (
        customers.join(later, on="customer_id", how="left")
        # As a logarithm: a few large customers would be all the variance there is.
        .withColumns(
            {"holdout_spend": F.log1p(F.greatest(spend, F.lit(0.0))), "holdout_active": active.cast("double")}
        )
        .drop("_orders", "_spend")
    )


def _segments(plan: Plan, labelled: Labelled, profiles: list[Profile]) -> list[Segment]:
    """Stable ids from the customers of the previous run, names from the profiles."""
    settings = plan.settings.segments
    earlier = [r for r in plan.history if r.as_of <= plan.as_of]
    previous = current_run(earlier, "assignments")
    common: dict[tuple[int, int], int] = {}
    if previous is not None:
        before = plan.store.read_run("assignments", previous.stamp)
        before = before.where(F.col("segment_id") != UNSEGMENTED_ID)
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
    draft: Draft,
    labelled: Labelled,
    features: DataFrame,
    profiles: list[Profile],
    grid: list[Profile],
    segments: list[Segment],
    model: PipelineModel | None,
) -> None:
    """Stage the tables of a segmentation, and save its model when it is new."""
    with draft.room("publish") as said:
        if model is not None:
            stage_rows(plan, draft, draft.candidates, CANDIDATES)
        others = features.where(~F.col("eligible"))
        left_over = left_out(others)
        assigned = mapped_assignments(labelled.frame, segments)
        if left_over.customers:
            assigned = assigned.unionByName(unsegmented_assignments(others))
            said.append(f"{left_over.customers:,} customers {UNSEGMENTED}")
        draft.metrics["unsegmented"] = left_over.customers
        rows = stage(plan, draft, assigned, ASSIGNMENTS).rows
        points.reached("after_assignments")
        draft.profiles = profile_rows(plan, profiles, segments, grid, left_over)
        stage_rows(plan, draft, draft.profiles, PROFILES)
        points.reached("after_profiles")
        draft.facts["segments"] = tuple(segments)
        profiled = sum(p.customers for p in profiles)
        if profiled != draft.metrics["eligible"] or rows != profiled + left_over.customers:
            raise SegmentationError(
                f"assignments: must have one row for each of {int(draft.metrics['eligible']):,} eligible "
                f"customers and {left_over.customers:,} others; got {rows:,} rows, and {profiled:,} "
                "customers in profiles. Nothing was committed; this is a fault of spark_seg"
            )
        if model is not None:
            # Last, because rows can be taken back and a folder cannot.
            draft.facts["model_digest"] = save_model(plan.store.spark, model, draft.facts["model_path"])
        points.reached("after_model")
        said.append(" · ".join(f"{r.table} {r.rows:,}" for r in draft.receipts))
