"""Shapes → fitted MLlib models that are saved, loaded and applied like any other; and a mixture back.

KMeans on k rows has these rows as its centres. The other two have no public door for given numbers: a
model of the right size is saved, its table of numbers replaced, and the whole loaded. The table's
layout is MLlib's own; a test holds every label of the loaded model against the shape's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pyspark.ml.clustering import (
    BisectingKMeans,
    BisectingKMeansModel,
    GaussianMixture,
    GaussianMixtureModel,
    KMeans,
)
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.mllib.linalg import DenseMatrix
from pyspark.mllib.linalg import Vectors as OldVectors
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.types import StructField, StructType

from spark_seg.clustering.fit import Model
from spark_seg.kernels import Centres, Floats, Gaussians, Shape, Tree, in_geometry
from spark_seg.preparation import VECTOR

#: Least share of a component's widest direction that its narrowest must have, to be counted as one.
_LEAST_SPREAD = 1e-12


def mllib_model(shape: Shape, spark: SparkSession, distance: str, folder: str) -> Model:
    """The model that labels every vector as `shape` does (columns `vector` → `cluster`).

    `folder` is written to for bisecting and mixture, and is not needed afterwards.
    """
    if isinstance(shape, Centres):
        return KMeans(
            k=shape.k, seed=0, featuresCol=VECTOR, predictionCol="cluster", distanceMeasure=distance
        ).fit(rows_of(spark, shape.centres))
    if isinstance(shape, Tree):
        return _bisecting(shape, spark, distance, folder)
    assert isinstance(shape, Gaussians)  # noqa: S101 - there are three
    return _mixture(shape, spark, folder)


def shape_of(model: Model, spark: SparkSession, folder: str) -> Shape:
    """The shape that labels every vector as a fitted model does.

    `folder` is written to for bisecting, whose tree MLlib tells to its files alone, and is not needed
    afterwards.
    """
    if isinstance(model, GaussianMixtureModel):
        means, covariances = _components(model)
        shape = Gaussians.given(np.array(model.weights), means, covariances)
        spread = np.linalg.eigvalsh(covariances)
        # As they are, unless one has shrunk to a plane: then MLlib leaves that direction out.
        sound = bool((spread[:, 0] > _LEAST_SPREAD * spread[:, -1]).all())
        return replace(shape, covariances=covariances) if sound else shape
    unit = model.getDistanceMeasure() == "cosine"
    if isinstance(model, BisectingKMeansModel):
        model.write().overwrite().save(folder)
        return _tree(spark.read.parquet(f"{folder}/data/data").collect(), unit)
    return Centres(in_geometry(np.array(model.clusterCenters()), unit), unit)


def _tree(rows: Sequence[Row], unit: bool) -> Tree:
    """The tree that MLlib has saved, its splits in MLlib's order: by level, and the largest first.

    Leaves are numbered by their label, inner nodes below zero.
    """
    nodes = {row["index"]: row for row in rows}
    children = {index: list(row["children"]) for index, row in nodes.items()}
    below = {child for own in children.values() for child in own}
    (root,) = nodes.keys() - below
    order, stack, levels = [], [root], {root: 0}
    while stack:
        order.append(stack.pop())
        own = children[order[-1]]
        stack += reversed(own)
        levels |= dict.fromkeys(own, levels[order[-1]] + 1)
    places = {index: place for place, index in enumerate(order)}
    centres = np.array([nodes[index]["center"].toArray() for index in order])
    pairs = [[places[c] for c in children[i]] or [-1, -1] for i in order]
    split = sorted((i for i in order if children[i]), key=lambda i: (levels[i], -nodes[i]["size"]))
    inner = tuple(places[i] for i in split)
    return Tree(in_geometry(centres, unit), np.array(pairs, dtype=np.int64), inner, len(inner) + 1, unit)


def gaussians_of(model: GaussianMixtureModel) -> Gaussians:
    """The shape of a mixture that MLlib has fitted."""
    return Gaussians.given(np.array(model.weights), *_components(model))


def _components(model: GaussianMixtureModel) -> tuple[Floats, Floats]:
    """Means and covariances."""
    components = model.gaussiansDF.collect()
    means = np.array([row["mean"].toArray() for row in components])
    return means, np.array([row["cov"].toArray() for row in components])


def rows_of(spark: SparkSession, points: Floats) -> DataFrame:
    """Points as `vector`, in one partition."""
    schema = StructType([StructField(VECTOR, VectorUDT())])
    return spark.createDataFrame([(Vectors.dense(p.tolist()),) for p in points], schema).coalesce(1)


def _bisecting(tree: Tree, spark: SparkSession, distance: str, folder: str) -> BisectingKMeansModel:
    inner = set(tree.inner)
    # As MLlib numbers them: leaves by their label, inner nodes downwards from the root, which is -1.
    numbers = {node: i for i, node in enumerate(tree.leaves)}
    numbers |= {node: -1 - i for i, node in enumerate(tree.inner)}
    rows = [
        (
            number,
            0,
            OldVectors.dense(tree.centres[node].tolist()),
            float(np.linalg.norm(tree.centres[node])),
            0.0,
            0.0,
            [numbers[int(child)] for child in tree.children[node]] if node in inner else [],
        )
        for node, number in numbers.items()
    ]
    # Directions that differ, so that both distances can tell the rows apart.
    angles = np.linspace(0.1, 1.4, tree.k)
    spread = np.ones((tree.k, max(2, tree.centres.shape[1])))
    spread[:, 0], spread[:, 1] = 10 * np.cos(angles), 10 * np.sin(angles)
    template = BisectingKMeans(
        k=tree.k, seed=0, featuresCol=VECTOR, predictionCol="cluster", distanceMeasure=distance
    ).fit(rows_of(spark, spread))
    template.write().overwrite().save(folder)
    _replace(spark, f"{folder}/data/data", rows)
    return BisectingKMeansModel.load(folder)


def _mixture(shape: Gaussians, spark: SparkSession, folder: str) -> GaussianMixtureModel:
    d = shape.means.shape[1]
    row = (
        [float(w) for w in shape.weights],
        [OldVectors.dense(mean.tolist()) for mean in shape.means],
        [DenseMatrix(d, d, covariance.ravel(order="F").tolist()) for covariance in shape.covariances],
    )
    points = np.arange(2.0 * shape.k)[:, None] + np.eye(2 * shape.k, d)
    template = GaussianMixture(
        k=shape.k,
        seed=0,
        maxIter=1,
        featuresCol=VECTOR,
        predictionCol="cluster",
        probabilityCol="probability",
    ).fit(rows_of(spark, points))
    template.write().overwrite().save(folder)
    _replace(spark, f"{folder}/data", [row])
    return GaussianMixtureModel.load(folder)


def _replace(spark: SparkSession, path: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Other rows in the schema that stands there."""
    schema = spark.read.parquet(path).schema
    spark.createDataFrame(rows, schema).coalesce(1).write.mode("overwrite").parquet(path)
