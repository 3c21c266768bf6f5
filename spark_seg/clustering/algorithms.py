"""The table of algorithms, restarts, and how near a customer is to the next cluster."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from pyspark.ml.clustering import GaussianMixtureModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.clustering.bisecting import fit_bisecting
from spark_seg.clustering.fit import Fit, Model
from spark_seg.clustering.kmeans import fit_kmeans
from spark_seg.clustering.mixture import fit_mixture
from spark_seg.config import ClusteringSettings
from spark_seg.preparation import VECTOR

ALGORITHMS: dict[str, Callable[[DataFrame, int, int, ClusteringSettings], Fit]] = {
    "kmeans": fit_kmeans,
    "bisecting": fit_bisecting,
    "mixture": fit_mixture,
}


def best_fit(algorithm: str, frame: DataFrame, k: int, seed: int, settings: ClusteringSettings) -> Fit:
    """The cheapest of several restarts with the seeds `seed`, `seed + 1`, …; ties go to the first.

    `frame` must be in canonical layout, or the same seed gives another model tomorrow.
    """
    restarts = settings.restarts.get(algorithm, 1)  # type: ignore[call-overload]
    fits = [ALGORITHMS[algorithm](frame, k, seed + i, settings) for i in range(restarts)]
    best = min(fits, key=lambda fit: fit.loss if math.isfinite(fit.loss) else math.inf)
    return replace(best, restarts=restarts)


def distance_to_second(model: Model, distance: str) -> tuple[Column, Column, Column]:
    """Columns (confidence, distance, second cluster) of rows that `model` has transformed.

    For a mixture the confidence is the probability of the assigned component and the distance is
    NULL. Otherwise it is (d2 - d1) / max(d1, d2), with d1 the distance to the own centre and d2 to
    the nearest other one: 1 is sure, 0 is on the border, and below 0 (bisecting only, which assigns
    by its tree) another centre is nearer.
    """
    own = F.col("cluster")
    if isinstance(model, GaussianMixtureModel):
        probability = vector_to_array(F.col("probability"))
        ranked = F.transform(probability, lambda p, i: F.struct((-p).alias("loss"), i.alias("cluster")))
        others = F.filter(ranked, lambda c: c["cluster"] != own)
        return F.element_at(probability, own + 1), F.lit(None).cast("double"), _nearest(others)["cluster"]
    centres = np.array([np.asarray(centre) for centre in model.clusterCenters()])
    distances = F.array(*(_distance_to(centre, distance) for centre in centres))
    ranked = F.transform(distances, lambda d, i: F.struct(d.alias("loss"), i.alias("cluster")))
    nearest = _nearest(F.filter(ranked, lambda c: c["cluster"] != own))
    first, second = F.element_at(distances, own + 1), nearest["loss"]
    confidence = F.coalesce(F.try_divide(second - first, F.greatest(first, second)), F.lit(0.0))
    return confidence, first, nearest["cluster"]


def _nearest(ranked: Column) -> Column:
    return F.array_min(ranked)


def _distance_to(centre: np.ndarray, distance: str) -> Column:
    """Distance of the row's vector to a constant centre, in the fitted geometry."""
    vector = vector_to_array(F.col(VECTOR))
    point = F.array(*(F.lit(float(value)) for value in centre))

    def total(values: Column) -> Column:
        return F.aggregate(values, F.lit(0.0), lambda acc, v: acc + v)

    if distance == "cosine":
        dot = total(F.zip_with(vector, point, lambda a, b: a * b))
        norm = F.sqrt(total(F.transform(vector, lambda a: a * a))) * F.lit(float(np.linalg.norm(centre)))
        return F.lit(1.0) - F.coalesce(F.try_divide(dot, norm), F.lit(0.0))
    return F.sqrt(total(F.zip_with(vector, point, lambda a, b: (a - b) * (a - b))))
