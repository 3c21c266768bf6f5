"""Scoring: customers and a fitted pipeline → labelled customers → assignments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from pyspark.ml import PipelineModel
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.clustering import SCORES, Model, distance_of, score
from spark_seg.config import UNSEGMENTED, UNSEGMENTED_ID
from spark_seg.errors import InputError
from spark_seg.preparation import check_directions, check_finite
from spark_seg.segments import Segment, grid_index, grid_name
from spark_seg.session import keep
from spark_seg.tables import ASSIGNMENTS

#: What customers agreed to, as `features` says it.
PERMISSIONS = ("may_activate", "may_experiment")


@dataclass(frozen=True)
class Labelled:
    """Customers with their features, `cluster` and the columns `SCORES`, kept."""

    frame: DataFrame


def label_customers(model: PipelineModel, customers: DataFrame) -> Labelled:
    """Transform eligible customers with a fitted pipeline (the last stage is the clustering model).

    The geometry is the model's own, whatever the configuration says today. Raises `InputError` when
    the table lacks a feature that the model was trained on, or has values that it cannot score.
    """
    needed = [
        name.removeprefix("prepared_")
        for stage in model.stages
        if isinstance(stage, VectorAssembler)
        for name in stage.getInputCols()
    ]
    missing = [name for name in needed if name not in customers.columns]
    if missing:
        raise InputError(
            f"features: must have {', '.join(missing)}, on which the model was trained; got "
            f"{', '.join(customers.columns)}. Build the features with the configuration of the training run"
        )
    check_finite(customers, needed)
    if distance_of(cast(Model, model.stages[-1])) == "cosine":
        check_directions(PipelineModel(model.stages[:-1]).transform(customers))
    return Labelled(keep(scored(model, customers)))


def scored(model: PipelineModel, customers: DataFrame) -> DataFrame:
    """Checked customers with `cluster` and the columns `SCORES` of a fitted pipeline added."""
    frame = score(cast(Model, model.stages[-1]), model.transform(customers))
    return frame.select(*customers.columns, "cluster", *SCORES)


def mapped_assignments(labelled: DataFrame, segments: Sequence[Segment]) -> DataFrame:
    """Raw clusters as stable segments: the columns of `ASSIGNMENTS` without `as_of` and `run_id`."""
    by_cluster = {s.cluster: s for s in segments}
    known = [by_cluster.get(cluster) for cluster in range(max(by_cluster) + 1)]
    ids = F.array(*(F.lit(s.segment_id if s else None) for s in known))
    names = F.array(*(F.lit(s.name if s else None) for s in known))

    def mapped(values: Column, cluster: str) -> Column:
        return F.get(values, F.col(cluster))

    return labelled.select(
        "customer_id",
        mapped(ids, "cluster").alias("segment_id"),
        mapped(names, "cluster").alias("segment_name"),
        "confidence",
        "distance",
        mapped(ids, "second_cluster").alias("second_segment_id"),
        "second_confidence",
        grid_name(grid_index(F.col("r_score"), F.col("f_score"))).alias("rfm_segment"),
        *PERMISSIONS,
    )


def unsegmented_assignments(others: DataFrame) -> DataFrame:
    """Customers without enough data, in the group that is called so: the same columns."""
    known = {
        "segment_id": F.lit(UNSEGMENTED_ID),
        "segment_name": F.lit(UNSEGMENTED),
        "rfm_segment": grid_name(grid_index(F.col("r_score"), F.col("f_score"))),
    }
    own = {"customer_id", *PERMISSIONS}
    return others.select(
        *(
            F.col(f.name) if f.name in own else known.get(f.name, F.lit(None)).cast(f.type).alias(f.name)
            for f in ASSIGNMENTS.fields
            if f.name not in ASSIGNMENTS.partition_by
        )
    )
