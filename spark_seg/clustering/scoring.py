"""Customers and the numbers of a fitted model → labels, how sure they are, and which cluster comes next.

Nearest centres and trees are plain arithmetic over single columns, several times faster than MLlib's
`transform`. But where it is faster, MLlib computes a squared distance to six digits only, and so may find
the other one of two centres nearer that are as good as equally near: rows where it might are marked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pyspark.ml.clustering import GaussianMixtureModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.clustering.fit import Model, Numbers
from spark_seg.kernels import Centres, Floats, Gaussians, Tree
from spark_seg.preparation import literal

#: What `score` adds to the column `cluster`.
SCORES = ("confidence", "distance", "second_cluster", "second_confidence")
#: The label by plain arithmetic, and whether MLlib's may be another one.
NEAREST, DOUBTFUL = "score_nearest", "score_doubtful"
#: Two losses are as good as equal when they differ by less than this share of the larger one: MLlib puts up
#: with an error of 1e-6 of a squared distance (`MLUtils.fastSquaredDistance`) in each of up to 100 features.
_ALIKE = 1e-4
#: Or by less than this times the length, when they are cosine distances: their error is that of the 1 they
#: are taken from, and a KMeansModel that was loaded ranks squared distances to centres of length 1 instead.
_ROUNDING = 1e-12


def distance_of(model: Model) -> str:
    """euclidean or cosine: the geometry that `model` was fitted in."""
    return "euclidean" if isinstance(model, GaussianMixtureModel) else str(model.getDistanceMeasure())


def with_losses(shape: Centres | Tree, frame: DataFrame, elements: Sequence[str]) -> DataFrame:
    """Add the distances to the clusters' centres, and `NEAREST`: the cluster that these say the row is in.

    `elements`: columns with the elements of the vector, never NULL.
    """
    centres, pairs, leaves = shape.centres, [], list(range(shape.k))
    if isinstance(shape, Tree):
        pairs, leaves = [tuple(shape.children[node].tolist()) for node in shape.inner], list(shape.leaves)
    if shape.unit:
        lengths = np.linalg.norm(centres, axis=1, keepdims=True)
        centres = np.divide(centres, lengths, out=np.zeros_like(centres), where=lengths > 0)
        squares = " + ".join(f"{x} * {x}" for x in elements)
        frame = frame.withColumn("score_length", F.expr(f"sqrt({squares})"))
    distance = _cosine if shape.unit else _squared
    nodes = sorted({*leaves, *(node for pair in pairs for node in pair)})
    loss = {node: distance(centres[node], elements) for node in nodes}
    named = {node: F.col(f"score_{node}") for node in loss}
    # Each loss is said twice in one projection, and so Spark gives it a method of its own: in one method
    # they would outgrow what the JVM compiles (8,000 bytes) and run many times slower.
    gaps = [_apart(loss[a], loss[b], shape.unit) for a, b in pairs] or [F.lit(1.0)]
    again = {"score_gap": _least(gaps), "score_least": _least([loss[leaf] for leaf in leaves])}
    frame = frame.withColumns({f"score_{node}": column for node, column in loss.items()} | again)
    frame = frame.withColumn("score_losses", F.array(*(named[leaf] for leaf in leaves)))
    if isinstance(shape, Tree):
        return frame.withColumn(NEAREST, _descent(shape, named))
    return frame.withColumn(NEAREST, F.array_position("score_losses", F.col("score_least")).cast("int") - 1)


def score(shape: Numbers, frame: DataFrame) -> DataFrame:
    """The columns `SCORES`, and `DOUBTFUL`, for rows that somebody has labelled (`cluster`).

    `frame`: with the columns of `with_losses`; for a mixture with MLlib's `probability` instead.

    For a mixture the confidences are the probabilities of the assigned and of the next component, and
    the distance is NULL. Otherwise confidence is (d2 - d1) / max(d1, d2), with d1 the distance to the own
    centre and d2 to the nearest other one: 1 is sure, 0 is on the border, and below 0 (bisecting only,
    which assigns by its tree) another centre is nearer; the confidence of the second is NULL. With one
    cluster there is no second.
    """
    nothing = F.lit(None).cast("double")
    if isinstance(shape, Gaussians):
        frame = frame.withColumn("score_p", vector_to_array(F.col("probability")))
        losses = F.array(*(-F.get("score_p", F.lit(i)) for i in range(shape.k)))
        frame = frame.withColumn("score_losses", losses)
        frame = _ranked(frame, shape.k)
        return frame.withColumns(
            {
                "confidence": -F.col("score_own"),
                "distance": nothing,
                "second_confidence": -F.col("score_next"),
                DOUBTFUL: F.lit(False),
            }
        )
    frame = _ranked(frame, shape.k)
    near, far = F.col("score_own"), F.col("score_next")
    gap = F.col("score_gap") if isinstance(shape, Tree) else _apart(near, far, shape.unit)
    if not shape.unit:
        near, far = F.sqrt(near), F.sqrt(far)
    return frame.withColumns(
        {
            "confidence": F.coalesce(F.try_divide(far - near, F.greatest(near, far)), F.lit(0.0)),
            "distance": near,
            "second_confidence": nothing,
            DOUBTFUL: F.lit(shape.k > 1) & (gap <= 0),
        }
    )


def _ranked(frame: DataFrame, k: int) -> DataFrame:
    """Add `score_own`, the loss of the own cluster, and `score_next` and `second_cluster`: the best other
    one (of equal ones the first); NULL with one cluster."""
    own, after = F.col("cluster"), F.col("score_next")
    others = [
        F.when(own != i, F.get("score_losses", F.lit(i))).otherwise(F.lit(float("inf"))) for i in range(k)
    ]
    frame = frame.withColumns({"score_own": F.get("score_losses", own), "score_others": F.array(*others)})
    frame = frame.withColumn("score_next", F.when(F.lit(k > 1), F.array_min("score_others")))
    return frame.withColumn("second_cluster", F.array_position("score_others", after).cast("int") - 1)


def _apart(first: Column, second: Column, unit: bool) -> Column:
    """Above zero when two losses are so different that nobody can confuse them."""
    allowed = F.greatest(first, second) * F.lit(_ALIKE)
    if unit:
        allowed += F.lit(_ROUNDING) * (1 + F.col("score_length"))
    return F.abs(first - second) - allowed


def _least(columns: list[Column]) -> Column:
    # Spark asks for two.
    return F.least(*columns, columns[0])


def _descent(tree: Tree, losses: dict[int, Column]) -> Column:
    """The leaf that a row gets to from the root, always to the nearer child (of equal ones the left)."""
    inner, places = set(tree.inner), {leaf: place for place, leaf in enumerate(tree.leaves)}

    def below(node: int) -> Column:
        if node not in inner:
            return F.lit(places[node])
        left, right = tree.children[node].tolist()
        return F.when(losses[left] <= losses[right], below(left)).otherwise(below(right))

    return below(0)


def _squared(centre: Floats, elements: Sequence[str]) -> Column:
    """Squared Euclidean distance. (x - c) (c - x) is minus a square, without saying x - c twice."""
    apart = (f"({x} - {literal(c)}) * ({literal(c)} - {x})" for x, c in zip(elements, centre, strict=True))
    return F.expr(f"0D - ({' + '.join(apart)})")


def _cosine(centre: Floats, elements: Sequence[str]) -> Column:
    """One less the cosine of the angle to a centre of length 1; 1 for the zero vector."""
    products = " + ".join(f"{x} * {literal(c)}" for x, c in zip(elements, centre, strict=True))
    return F.expr(f"coalesce(1D - try_divide({products}, score_length), 1D)")
