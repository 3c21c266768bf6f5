"""Rows that a fitted model has labelled → how sure the label is, and which cluster comes next."""

from __future__ import annotations

import numpy as np
from pyspark.ml.clustering import GaussianMixtureModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.clustering.fit import Model
from spark_seg.preparation import VECTOR, literal

#: What `score` adds to the column `cluster`.
SCORES = ("confidence", "distance", "second_cluster", "second_confidence")


def distance_of(model: Model) -> str:
    """euclidean or cosine: the geometry that `model` was fitted in."""
    return "euclidean" if isinstance(model, GaussianMixtureModel) else str(model.getDistanceMeasure())


def score(model: Model, frame: DataFrame) -> DataFrame:
    """The columns `SCORES` for rows that `model` has transformed (`vector`, `cluster`, `probability`).

    For a mixture the confidences are the probabilities of the assigned and of the next component, and
    the distance is NULL. Otherwise confidence is (d2 - d1) / max(d1, d2), with d1 the distance to the own
    centre and d2 to the nearest other one: 1 is sure, 0 is on the border, and below 0 (bisecting only,
    which assigns by its tree) another centre is nearer; the confidence of the second is NULL. With one
    cluster there is no second.
    """
    nothing = F.lit(None).cast("double")
    if isinstance(model, GaussianMixtureModel):
        frame = frame.withColumn("score_p", vector_to_array(F.col("probability")))
        losses = [-F.get("score_p", F.lit(i)) for i in range(len(model.weights))]
        frame = _ranked(frame, losses)
        return frame.withColumns(
            {
                "confidence": -F.col("score_own"),
                "distance": nothing,
                "second_confidence": -F.col("score_next"),
            }
        )
    centres = np.array([np.asarray(centre) for centre in model.clusterCenters()])
    # Plain arithmetic over single numbers: functions over arrays are interpreted, one call for each element.
    frame = frame.withColumn("score_v", vector_to_array(F.col(VECTOR)))
    elements = {f"score_x{i}": F.get("score_v", F.lit(i)) for i in range(centres.shape[1])}
    frame = frame.withColumns(elements)
    if distance_of(model) == "cosine":
        lengths = np.linalg.norm(centres, axis=1, keepdims=True)
        centres = np.divide(centres, lengths, out=np.zeros_like(centres), where=lengths > 0)
        squares = " + ".join(f"{x} * {x}" for x in elements)
        frame = frame.withColumn("score_length", F.expr(f"sqrt({squares})"))
        losses = [F.expr(f"coalesce(1D - {_dot(c)}, 1D)") for c in centres]
        frame = _ranked(frame, losses)
        near, far = F.col("score_own"), F.col("score_next")
    else:
        frame = _ranked(frame, [F.expr(_squared(c)) for c in centres])
        near, far = F.sqrt("score_own"), F.sqrt("score_next")
    return frame.withColumns(
        {
            "confidence": F.coalesce(F.try_divide(far - near, F.greatest(near, far)), F.lit(0.0)),
            "distance": near,
            "second_confidence": nothing,
        }
    )


def _ranked(frame: DataFrame, losses: list[Column]) -> DataFrame:
    """Add `score_own`, the loss of the own cluster, and `score_next` and `second_cluster`: the best other one
    (of equal ones the first); NULL with one cluster.

    Each loss stands in two arrays of one projection, and so Spark gives it a method of its own: in one
    method they would outgrow what the JVM compiles (8,000 bytes) and run many times slower.
    """
    own = F.col("cluster")
    others = [
        loss + F.when(own == i, F.lit(float("inf"))).otherwise(F.lit(0.0)) for i, loss in enumerate(losses)
    ]
    frame = frame.withColumns({"score_all": F.array(*losses), "score_others": F.array(*others)})
    several = F.lit(len(losses) > 1)
    frame = frame.withColumns(
        {"score_own": F.get("score_all", own), "score_next": F.when(several, F.array_min("score_others"))}
    )
    place = F.array_position("score_others", F.col("score_next")) - 1
    return frame.withColumn("second_cluster", place.cast("int"))


def _squared(centre: np.ndarray) -> str:
    """Squared Euclidean distance. (x - c) (c - x) is minus a square, without saying x - c twice."""
    apart = (f"(score_x{i} - {literal(c)}) * ({literal(c)} - score_x{i})" for i, c in enumerate(centre))
    return f"0D - ({' + '.join(apart)})"


def _dot(centre: np.ndarray) -> str:
    """Cosine of the angle to a centre of length 1; NULL for the zero vector."""
    products = " + ".join(f"score_x{i} * {literal(c)}" for i, c in enumerate(centre))
    return f"try_divide({products}, score_length)"
