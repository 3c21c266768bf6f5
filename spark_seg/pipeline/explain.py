"""A segmentation → rules in words and SQL, and reasons customer by customer, staged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql.types import DecimalType, IntegralType

from spark_seg.clustering import Model, shape_of
from spark_seg.pipeline.draft import Draft, stage, stage_rows
from spark_seg.pipeline.label import of_cluster
from spark_seg.pipeline.plan import Plan
from spark_seg.preparation import units_of
from spark_seg.profiles import (
    Profile,
    RuleFigures,
    Surrogate,
    feature_importance,
    fidelity,
    fit_surrogate,
    measure_rules,
    reasons,
)
from spark_seg.publishing import discard_model
from spark_seg.segments import Segment
from spark_seg.sources import resolved
from spark_seg.tables import EXPLANATIONS, RULES


def explain(
    plan: Plan,
    draft: Draft,
    model: PipelineModel,
    labelled: DataFrame,
    segments: Sequence[Segment],
    everybody: Profile,
) -> None:
    """Stage `rules` and `explanations` of the segments that the model gives."""
    settings = plan.settings.explanations
    ids = {s.cluster: s.segment_id for s in segments}
    units = units_of(model, _places(labelled))
    # A tree is known by its files alone.
    folder = resolved(f"{plan.settings.publishing.models_path}/{plan.run_id}/{draft.attempt_id}")
    shape = shape_of(cast(Model, model.stages[-1]), plan.store.spark, folder)
    if folder != draft.facts.get("model_path"):
        discard_model(folder)
    with draft.room("explain") as said:
        customers = labelled.withColumn("segment", of_cluster(ids, "cluster"))
        surrogate = fit_surrogate(
            customers,
            "segment",
            dict(zip(units.names, units.fill.tolist(), strict=True)),
            plan.settings.seed,
            settings.max_depth,
            plan.settings.privacy.min_group,
            settings.sample,
        )
        assert surrogate is not None  # noqa: S101 - there are eligible customers
        figures = measure_rules(customers, "segment", surrogate)
        stage_rows(plan, draft, _rule_rows(surrogate, figures, segments), RULES)
        faithful = fidelity(figures)
        if faithful is not None:
            draft.metrics["surrogate_fidelity"] = faithful
        draft.metrics["surrogate_tested"] = sum(f.tested for f in figures)
        shuffled = feature_importance(labelled, shape, units, plan.settings.seed)
        draft.metrics |= {f"importance_{name}": share for name, share in shuffled.items()}
        said.append(f"{len(figures)} rules")
        if faithful is not None:
            said.append(f"place {faithful:.0%} of unseen customers as the model does")
        if settings.customers:
            told = reasons(labelled, shape, units, ids, surrogate.column(), everybody)
            said.append(f"{stage(plan, draft, told, EXPLANATIONS).rows:,} customers explained")


def _places(frame: DataFrame) -> dict[str, float]:
    """Decimal places of the columns that have so many."""
    scales: dict[str, float] = {
        f.name: f.dataType.scale for f in frame.schema if isinstance(f.dataType, DecimalType)
    }
    return scales | {f.name: 0.0 for f in frame.schema if isinstance(f.dataType, IntegralType)}


def _rule_rows(
    surrogate: Surrogate, figures: Sequence[RuleFigures], segments: Sequence[Segment]
) -> list[dict[str, Any]]:
    names: Mapping[int, str] = {s.segment_id: s.name for s in segments}
    return [
        {
            "rule_id": rule.rule_id,
            "segment_id": rule.label,
            "segment_name": names[rule.label],
            "text": rule.text(),
            "condition": rule.sql(),
            "customers": of_rule.customers,
            "precision": of_rule.precision,
            "coverage": of_rule.coverage,
            "tested": of_rule.tested,
            "tested_precision": of_rule.tested_precision,
        }
        for rule, of_rule in zip(surrogate.rules, figures, strict=True)
    ]
