"""Scoring: customers and a fitted pipeline → labelled customers → assignments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pyspark.ml import PipelineModel
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.clustering import SCORES, Model, distance_of, score
from spark_seg.config import UNSEGMENTED, UNSEGMENTED_ID, RfmRow
from spark_seg.errors import InputError
from spark_seg.preparation import check_directions, check_finite
from spark_seg.segments import Segment, map_index, map_name
from spark_seg.session import keep

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
    missing = missing_features(model, customers)
    if missing:
        raise InputError(
            f"features: must have {', '.join(missing)}, on which the model was trained; got "
            f"{', '.join(customers.columns)}. Build the features with the configuration of the training run"
        )
    check_finite(customers, _features_of(model))
    if distance_of(cast(Model, model.stages[-1])) == "cosine":
        check_directions(PipelineModel(model.stages[:-1]).transform(customers))
    return Labelled(keep(scored(model, customers)))


def _features_of(model: PipelineModel) -> list[str]:
    return [
        name.removeprefix("prepared_")
        for stage in model.stages
        if isinstance(stage, VectorAssembler)
        for name in stage.getInputCols()
    ]


def missing_features(model: PipelineModel, customers: DataFrame) -> list[str]:
    """Features that the model was trained on and the table has not."""
    return [name for name in _features_of(model) if name not in customers.columns]


def scored(model: PipelineModel, customers: DataFrame) -> DataFrame:
    """Checked customers with `cluster` and the columns `SCORES` of a fitted pipeline added."""
    frame = score(cast(Model, model.stages[-1]), model.transform(customers))
    return frame.select(*customers.columns, "cluster", *SCORES)


def with_expected(
    frame: DataFrame, model: PipelineModel, segments: Sequence[Segment], column: str
) -> DataFrame | None:
    """Labelled customers with the segment that another model gives them; None when it cannot score them."""
    if missing_features(model, frame):
        return None
    other = model.transform(frame.withColumnRenamed("cluster", "own_cluster"))
    expected = of_cluster({s.cluster: s.segment_id for s in segments}, "cluster").cast("int").alias(column)
    own = (F.col("own_cluster").alias("cluster") if n == "cluster" else F.col(n) for n in frame.columns)
    return other.select(*own, expected)


def rfm_index(rows: Sequence[RfmRow]) -> Column:
    """Position of the customer's segment in an RFM map, by the three scores."""
    return map_index(rows, F.col("r_score"), F.col("f_score"), F.col("m_score"))


def raw_segments(model: PipelineModel, customers: DataFrame, segments: Sequence[Segment]) -> DataFrame:
    """`customer_id` and `served`: the segment that a model gives."""
    ids = {s.cluster: s.segment_id for s in segments}
    return model.transform(customers).select("customer_id", of_cluster(ids, "cluster").alias("served"))


def placed(
    labelled: DataFrame,
    others: DataFrame | None,
    segments: Sequence[Segment],
    rfm_map: Sequence[RfmRow],
    beside: Sequence[str],
) -> DataFrame:
    """Everybody and the segment that the model gives: the columns of `ASSIGNMENTS` that need no former run,
    `tenure_days`, and those of `beside`.

    `labelled`: customers with `cluster` and scores. `others`: those without enough data, in the group that
    is called so.
    """
    ids = {s.cluster: s.segment_id for s in segments}
    raw = {
        "raw_segment_id": of_cluster(ids, "cluster").cast("int"),
        "confidence": F.col("confidence"),
        "distance": F.col("distance"),
        "second_segment_id": of_cluster(ids, "second_cluster").cast("int"),
        "second_confidence": F.col("second_confidence"),
    }
    common = {
        "customer_id": F.col("customer_id"),
        "rfm_segment": map_name(rfm_map, rfm_index(rfm_map)),
        "monetary": F.col("monetary"),
        "tenure_days": F.col("tenure_days"),
        **{name: F.col(name) for name in PERMISSIONS},
    }
    extra = {name: F.col(name) for name in beside}
    frame = labelled.select(*(c.alias(name) for name, c in (raw | common | extra).items()))
    if others is None:
        return frame
    kinds = {field.name: field.dataType for field in frame.schema}
    nothing = {name: F.lit(None) for name in (*raw, *beside)} | {"raw_segment_id": F.lit(UNSEGMENTED_ID)}
    rest = (c.cast(kinds[name]).alias(name) for name, c in (nothing | common).items())
    return frame.unionByName(others.select(*rest))


def named(frame: DataFrame, names: Mapping[int, str]) -> DataFrame:
    """Add `segment_name`, by `segment_id`."""
    known = dict(names) | {UNSEGMENTED_ID: UNSEGMENTED}
    return frame.withColumn("segment_name", of_cluster(known, "segment_id"))


def of_cluster(values: Mapping[int, int] | Mapping[int, str], column: str) -> Column:
    """The value of a number; NULL where it has none."""
    pairs = (F.lit(part) for pair in sorted(values.items()) for part in pair)
    return F.try_element_at(F.create_map(*pairs), F.col(column))
