"""Fitted models → labels and memberships: row for row what MLlib says, and numpy of the rest."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.clustering import GaussianMixtureModel, KMeansModel
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession

from spark_seg.clustering import Model, mllib_model
from spark_seg.config import PreparationSettings
from spark_seg.errors import InputError
from spark_seg.kernels import Centres, Gaussians, Tree
from spark_seg.pipeline.label import label_customers, scored
from spark_seg.preparation import VECTOR, fit_preparation
from spark_seg.publishing import load_model, models, save_model

RNG = np.random.default_rng(17)


def customers(spark: SparkSession, points: np.ndarray) -> DataFrame:
    names = ["customer_id", *(f"f{i}" for i in range(points.shape[1]))]
    rows = [(f"c{i:05}", *map(float, point)) for i, point in enumerate(points)]
    return spark.createDataFrame(rows, names).coalesce(2)


def prepared(frame: DataFrame, **more: Any) -> PipelineModel:
    features = {name: {"cap": None} for name in frame.columns if name != "customer_id"}
    chosen = {"scale": "none", "max_correlation": 1.0} | more
    return fit_preparation(frame, PreparationSettings(features=features, **chosen)).model


def points_about(centres: np.ndarray, many: int = 700) -> np.ndarray:
    """Noise; centres, their middles and points on a lattice (ties); sparse points; points far away."""
    k, d = centres.shape
    pairs = RNG.integers(0, k, size=(many, 2))
    middles = (centres[pairs[:, 0]] + centres[pairs[:, 1]]) / 2
    noise = centres[pairs[:, 0]] + RNG.normal(size=(many, d))
    sparse = np.where(RNG.uniform(size=(many, d)) < 0.7, 0.0, RNG.integers(0, 4, size=(many, d)))
    sparse[:, 0] += sparse.sum(axis=1) == 0  # no direction
    far = noise[:50] * 10.0 ** RNG.integers(3, 40, size=(50, 1))
    # The preparation starts every feature at 0.
    return np.abs(np.vstack([np.zeros(d) + 1e-3, noise, middles, centres, sparse, far]))


def by_mllib(model: PipelineModel, frame: DataFrame) -> np.ndarray:
    rows = model.transform(frame).orderBy("customer_id").select("cluster").collect()
    return np.array([row["cluster"] for row in rows])


def check(model: PipelineModel, frame: DataFrame) -> tuple[np.ndarray, list[Any]]:
    rows = scored(model, frame).orderBy("customer_id").collect()
    cluster = np.array([row["cluster"] for row in rows])
    assert (cluster == by_mllib(model, frame)).all()
    return cluster, rows


def lattice(k: int, d: int) -> np.ndarray:
    """Whole numbers, so that ties are exact; the last centre is the first one again."""
    centres = RNG.integers(1, 4, size=(k, d)).astype(float)
    centres[-1] = centres[0]
    return centres


def shapes(k: int, d: int, cosine: bool) -> list[Any]:
    centres = lattice(k, d)
    if cosine:
        centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    nodes = np.vstack([np.full(d, 2.0), np.repeat(centres, 2, axis=0)])[: 2 * k - 1]
    children = np.full((2 * k - 1, 2), -1)
    for split in range(k - 1):  # a vine: every second node is split again
        children[2 * split] = (2 * split + 1, 2 * split + 2)
    return [
        Centres(centres, cosine),
        Tree(nodes, children, tuple(2 * i for i in range(k - 1)), k, cosine),
    ]


def fitted(shape: Any, spark: SparkSession, distance: str, folder: Path) -> Model:
    """As `mllib_model`, but for centres with repeats, which a fit of KMeans would leave out."""
    if not isinstance(shape, Centres):
        return mllib_model(shape, spark, distance, str(folder))
    angles = np.linspace(0.1, 1.4, shape.k)
    apart = Centres(np.column_stack([np.cos(angles), np.sin(angles)]))
    mllib_model(apart, spark, distance, "").write().overwrite().save(str(folder))
    schema = spark.read.parquet(f"{folder}/data").schema
    rows = [(i, Vectors.dense(centre.tolist())) for i, centre in enumerate(shape.centres)]
    data = spark.createDataFrame(rows, schema).coalesce(1).write
    data.mode("overwrite").parquet(f"{folder}/data")
    model = KMeansModel.load(str(folder))
    assert len(model.clusterCenters()) == shape.k
    return model


@pytest.mark.parametrize(
    ("k", "d", "distance"), [(2, 1, "euclidean"), (10, 8, "euclidean"), (5, 8, "cosine")]
)
def test_every_label_is_that_of_mllib_and_the_rest_that_of_numpy(
    spark: SparkSession, tmp_path: Path, k: int, d: int, distance: str
) -> None:
    for shape in shapes(k, d, distance == "cosine"):
        points = points_about(shape.centres)
        frame = customers(spark, points).persist()
        preparation = prepared(frame)
        model = fitted(shape, spark, distance, tmp_path / "model")
        cluster, rows = check(PipelineModel([*preparation.stages, model]), frame)
        vectors = np.array(
            [r[VECTOR].toArray() for r in preparation.transform(frame).orderBy("customer_id").collect()]
        )
        frame.unpersist()
        centres = np.array(model.clusterCenters())
        if distance == "cosine":
            lengths = np.linalg.norm(vectors, axis=1)[:, None] * np.linalg.norm(centres, axis=1)
            apart = 1 - vectors @ centres.T / lengths
        else:
            apart = np.linalg.norm(vectors[:, None] - centres, axis=2)
        each = np.arange(len(points))
        first = apart[each, cluster]
        others = apart.copy()
        others[each, cluster] = np.inf
        second = np.array([row["second_cluster"] for row in rows])
        np.testing.assert_allclose(first, [row["distance"] for row in rows], rtol=1e-9, atol=1e-12)
        assert (second != cluster).all()
        np.testing.assert_allclose(others[each, second], others.min(axis=1), rtol=1e-9, atol=1e-12)
        if distance == "euclidean":
            assert (others.argmin(axis=1) == second).mean() > 0.9
            most = np.maximum(first, others.min(axis=1))
            confidence = np.divide(others.min(axis=1) - first, most, where=most > 0, out=np.zeros_like(most))
            np.testing.assert_allclose(confidence, [row["confidence"] for row in rows], atol=1e-9)
        assert {row["second_confidence"] for row in rows} == {None}


@pytest.mark.parametrize(("k", "d"), [(2, 1), (10, 3)])
def test_a_mixture_gives_the_two_best_components_and_their_probabilities(
    spark: SparkSession, tmp_path: Path, k: int, d: int
) -> None:
    means = lattice(k, d)
    weights = np.full(k, 1.0)
    weights[1] = 1e-12
    spread = np.tile(np.eye(d), (k, 1, 1)) * np.linspace(0.2, 1, k)[:, None, None]
    shape = Gaussians(weights / weights.sum(), means, spread, means.mean(axis=0), 1e-6)
    frame = customers(spark, points_about(means)).persist()
    model = mllib_model(shape, spark, "euclidean", str(tmp_path / "model"))
    assert isinstance(model, GaussianMixtureModel)
    pipeline = PipelineModel([*prepared(frame).stages, model])
    cluster, rows = check(pipeline, frame)
    transformed = pipeline.transform(frame).orderBy("customer_id").collect()
    frame.unpersist()
    probability = np.array([row["probability"].toArray() for row in transformed])
    each = np.arange(len(rows))
    assert [row["confidence"] for row in rows] == probability[each, cluster].tolist()
    probability[each, cluster] = -1
    assert [row["second_cluster"] for row in rows] == probability.argmax(axis=1).tolist()
    assert [row["second_confidence"] for row in rows] == probability.max(axis=1).tolist()
    assert {row["distance"] for row in rows} == {None}


@pytest.mark.parametrize("mixture", [False, True])
def test_a_mixture_that_is_loaded_has_one_task_go_first(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mixture: bool
) -> None:
    points = np.array([[1.0, 2.0], [2.0, 1.0], [1.5, 2.5], [9.0, 7.0], [8.0, 9.0], [8.5, 7.5]])
    components = Gaussians.of(points, np.ones(6), np.array([0, 0, 0, 1, 1, 1]), 2)
    shape = components if mixture else Centres(components.means)
    model = mllib_model(shape, spark, "euclidean", str(tmp_path / "scratch"))
    pipeline = PipelineModel([*prepared(customers(spark, points)).stages, model])
    digest = save_model(spark, pipeline, str(tmp_path / "model"))
    primed: list[SparkSession] = []
    monkeypatch.setattr(models, "prime_lapack", primed.append)
    load_model(spark, str(tmp_path / "model"), digest)
    assert primed == [spark] * mixture


@pytest.mark.parametrize("mixture", [False, True])
def test_case_30_customers_who_cannot_be_measured_are_refused_and_put_into_no_segment(
    spark: SparkSession, tmp_path: Path, mixture: bool
) -> None:
    points = np.array([[1.0, 2.0], [2.0, 1.0], [1.5, 2.5], [9.0, 7.0], [8.0, 9.0], [8.5, 7.5]])
    frame = customers(spark, points)
    placed = points - points.min(axis=0)  # the preparation starts every feature at 0
    components = Gaussians.of(placed, np.ones(6), np.array([0, 0, 0, 1, 1, 1]), 2)
    shape = components if mixture else Centres(components.means)
    model = mllib_model(shape, spark, "euclidean", str(tmp_path / "model"))
    pipeline = PipelineModel([*prepared(frame).stages, model])
    for bad in (math.nan, math.inf, -math.inf, 1e155):
        broken = customers(spark, np.vstack([points, [bad, 1.0]]))
        with pytest.raises(InputError, match=r"features\.f0: must be finite; got 1 values that are not"):
            label_customers(pipeline, broken)
    labelled = label_customers(pipeline, frame).frame
    assert sorted(row["cluster"] for row in labelled.collect()) == [0, 0, 0, 1, 1, 1]
    labelled.unpersist()


def test_wide_code_stays_small_enough_to_be_compiled(
    spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = customers(spark, RNG.uniform(size=(60, 12)))
    preparation = prepared(frame, scale="standard")
    shape = Centres(RNG.uniform(size=(20, 12)))
    model = mllib_model(shape, spark, "euclidean", "")
    compiled = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "CODEGEN_ONLY"}
    before = {name: spark.conf.get(name) for name in compiled}
    for name, value in compiled.items():
        spark.conf.set(name, value)
    try:
        scored(PipelineModel([*preparation.stages, model]), frame).explain("codegen")
    finally:
        for name, value in before.items():
            spark.conf.set(name, str(value))
    sizes = [int(line.split(":")[1].split(";")[0]) for line in capsys.readouterr().out.splitlines()
             if "maxMethodCodeSize" in line]  # fmt: skip
    assert sizes and max(sizes) < 8000
