"""Fitted model → labels and memberships, as column arithmetic over the model's numbers.

Whole-stage code that outgrows what the JVM compiles (8,000 bytes a method) runs many times slower. Spark
moves an expression into a method of its own when one projection uses it twice: so each distance stands in
an array and in a minimum, and everything after it works on the array, whatever the number of clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from pyspark.ml.clustering import BisectingKMeansModel, GaussianMixtureModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.clustering.fit import Model
from spark_seg.preparation import literal

#: What `score` adds.
SCORES = ("cluster", "confidence", "distance", "second_cluster", "second_confidence")
#: A customer is left to MLlib itself when another centre is less than this farther than the nearest. MLlib
#: computes sparse vectors to a precision of 1e-6, and its bounds for skipping centres have rounding errors.
_RELATIVE, _ABSOLUTE = 1e-5, 1e-12


def distance_of(model: Model) -> str:
    """euclidean or cosine: the geometry that `model` was fitted in."""
    return "euclidean" if isinstance(model, GaussianMixtureModel) else str(model.getDistanceMeasure())


def score(model: Model, frame: DataFrame, coordinates: Sequence[Column]) -> DataFrame:
    """The columns `SCORES` for rows that `model` has transformed, among other columns.

    `coordinates`: the elements of the vector. Every label is the one of `model.transform`. For a
    mixture the confidences are the probabilities of the best and the second component, and the distance
    is NULL. Otherwise confidence is (d2 - d1) / max(d1, d2), with d1 the distance to the own centre and d2
    to the nearest other one: 1 is sure, 0 is on the border, and below 0 (bisecting only, which assigns by
    its tree) another centre is nearer; the confidence of the second is NULL. So is the second of one cluster.
    """
    if isinstance(model, GaussianMixtureModel):
        frame = frame.withColumn("score_all", vector_to_array(F.col("probability")))
        frame = _ranked(frame.withColumn("score_best", F.array_max("score_all")), F.array_max)
        return frame.withColumns(
            {
                "confidence": F.col("score_own"),
                "distance": F.lit(None).cast("double"),
                "second_confidence": F.col("score_other"),
            }
        )
    frame = frame.withColumns({f"score_x{i}": x for i, x in enumerate(coordinates)})
    centres = np.array([np.asarray(centre) for centre in model.clusterCenters()])
    euclidean = distance_of(model) == "euclidean"
    if not euclidean:
        squares = " + ".join(f"score_x{i} * score_x{i}" for i in range(len(coordinates)))
        # A zero vector is refused before; an underflow is at distance 1 from everything.
        frame = frame.withColumn("score_norm", F.greatest(F.sqrt(F.expr(squares)), F.lit(1e-300)))
        centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    distances = [F.expr((_squared if euclidean else _cosine)(centre)) for centre in centres]
    frame = frame.withColumns(
        {"score_all": F.array(*distances), "score_best": F.least(distances[0], *distances)}
    )
    # MLlib assigns by a tree in the one case, and by looser bounds of long vectors in the other.
    by_transform = isinstance(model, BisectingKMeansModel) or not euclidean
    frame = _ranked(frame, F.array_min, by_transform)
    if euclidean:
        frame = frame.withColumns({name: F.sqrt(name) for name in ("score_own", "score_other")})
    apart = F.try_divide(F.col("score_other") - F.col("score_own"), F.greatest("score_own", "score_other"))
    return frame.withColumns(
        {
            "confidence": F.coalesce(apart, F.lit(0.0)),
            "distance": F.col("score_own"),
            "second_confidence": F.lit(None).cast("double"),
        }
    )


def _squared(centre: np.ndarray) -> str:
    """Squared Euclidean distance, added up in MLlib's order.

    (x - c) (c - x) is minus the square to the last bit, and nothing that is used twice, so that Spark
    makes no method of it.
    """
    apart = [f"(score_x{i} - {literal(c)}) * ({literal(c)} - score_x{i})" for i, c in enumerate(centre)]
    return f"-({' + '.join(apart)})"


def _cosine(centre: np.ndarray) -> str:
    """Cosine distance to a centre of length 1."""
    return f"1D - ({' + '.join(f'score_x{i} * {literal(c)}' for i, c in enumerate(centre))}) / score_norm"


def _ranked(frame: DataFrame, best_of: Callable[[Column], Column], by_transform: bool = True) -> DataFrame:
    """`score_own` and `score_other`: the values of the own and of the best other cluster; `second_cluster`.

    From `score_all`, the value of each cluster, and `score_best`, the best of them. Of equal values the
    first is the best, and the next the second. The own cluster is the one of the transformed rows, or,
    not `by_transform`, the best one where it is the best by far.
    """
    values, best = F.col("score_all"), F.col("score_best")
    frame = frame.withColumns(
        {
            "score_first": (F.array_position(values, best) - 1).cast("int"),
            "score_rest": F.array_remove(values, best),
        }
    )
    first, rest = F.col("score_first"), F.col("score_rest")
    frame = frame.withColumns({"score_next": best_of(rest), "score_tied": F.size(rest) < F.size(values) - 1})
    following, tied = F.col("score_next"), F.col("score_tied")
    if not by_transform:
        clear = ~tied & (following > best * F.lit(1 + _RELATIVE) + F.lit(_ABSOLUTE))
        frame = frame.withColumn("cluster", F.when(clear, first).otherwise(F.col("cluster")))
    own = F.col("cluster")
    equal = F.array_position(F.slice(values, first + 2, F.size(values)), best) + first
    return frame.withColumns(
        {
            "score_own": F.get(values, own),
            "score_other": F.when((own != first) | tied, best).otherwise(following),
            "second_cluster": F.when(own != first, first)
            .when(tied, equal)
            .otherwise(F.array_position(values, following) - 1)
            .cast("int"),
        }
    )
