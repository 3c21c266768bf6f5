"""Vectors → models: every algorithm recovers what was planted, and gives the same bits every time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from pyspark.ml.clustering import GaussianMixtureModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from vectors import customers_at

from spark_seg.clustering import ALGORITHMS, Fit, Model, best_fit, mixture_parameters, score
from spark_seg.config import ClusteringSettings, PreparationSettings
from spark_seg.preparation import ROWS_PER_PARTITION, VECTOR, canonical_layout, fit_preparation

FEW = {"kmeans": 10, "bisecting": 10, "mixture": 6}


def settings(distance: str = "euclidean", **more: Any) -> ClusteringSettings:
    algorithms = [a for a in ALGORITHMS if distance == "euclidean" or a != "mixture"]
    return ClusteringSettings(distance=distance, algorithms=algorithms, **more)


def table(spark: SparkSession, points: np.ndarray) -> DataFrame:
    return customers_at(spark, points).coalesce(1)


def blobs(centres: list[tuple[float, ...]], size: int, spread: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(len(centres) * size)
    truth = np.repeat(np.arange(len(centres)), size)
    return np.array(centres)[truth] + rng.normal(scale=spread, size=(len(truth), len(centres[0]))), truth


def labels(model: Model, frame: DataFrame) -> list[int]:
    rows = model.transform(frame).orderBy("customer_id").select("cluster").collect()
    return [row["cluster"] for row in rows]


def parameters(model: Model) -> bytes:
    """All numbers of a model, as bits."""
    if isinstance(model, GaussianMixtureModel):
        gaussians = [(g.mean.toArray(), g.cov.toArray().ravel()) for g in model.gaussians]
        return np.concatenate([np.array(model.weights), *(x for pair in gaussians for x in pair)]).tobytes()
    return np.array(model.clusterCenters()).tobytes()


@contextmanager
def configured(spark: SparkSession, **conf: str) -> Iterator[None]:
    names = {name: f"spark.sql.{name.replace('__', '.')}" for name in conf}
    before = {key: spark.conf.get(key) for key in names.values()}
    try:
        for name, value in conf.items():
            spark.conf.set(names[name], value)
        yield
    finally:
        for key, value in before.items():
            spark.conf.set(key, value)


@pytest.fixture(scope="module")
def four_blobs(spark: SparkSession) -> Iterator[tuple[DataFrame, np.ndarray]]:
    points, truth = blobs([(1.0, 1.0), (1.0, 12.0), (30.0, 2.0), (31.0, 18.0)], 30)
    frame = canonical_layout(table(spark, points), len(points)).persist()
    yield frame, truth
    frame.unpersist()


@pytest.mark.parametrize("seed", [1, 42])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_planted_groups_are_found_with_every_seed(
    four_blobs: tuple[DataFrame, np.ndarray], algorithm: str, seed: int
) -> None:
    frame, truth = four_blobs
    fit = best_fit(algorithm, frame, 4, seed, settings(restarts={"kmeans": 3, "bisecting": 3, "mixture": 4}))
    assert adjusted_rand_score(truth, labels(fit.model, frame)) == 1.0
    assert (fit.algorithm, fit.k) == (algorithm, 4)
    assert seed <= fit.seed < seed + fit.restarts


@pytest.mark.parametrize("algorithm", ["kmeans", "bisecting"])
def test_the_loss_is_the_sum_of_squared_distances_to_the_centres(
    four_blobs: tuple[DataFrame, np.ndarray], algorithm: str
) -> None:
    frame, _ = four_blobs
    fit = ALGORITHMS[algorithm](frame, 3, 7, settings())
    points = np.array([row[VECTOR].toArray() for row in frame.orderBy("customer_id").collect()])
    centres = np.array(fit.model.clusterCenters())
    cost = ((points - centres[labels(fit.model, frame)]) ** 2).sum()
    assert fit.loss == pytest.approx(cost, rel=1e-9)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_case_33_the_same_customers_give_the_same_bits_however_they_come(
    spark: SparkSession, algorithm: str
) -> None:
    points = np.random.default_rng(3).uniform(size=(150, 3))  # no structure: every tie and start counts
    frame = table(spark, points)
    rows = 2 * ROWS_PER_PARTITION  # two partitions
    chosen = settings(max_iterations=FEW)

    def bits(source: DataFrame) -> tuple[bytes, float]:
        fit = ALGORITHMS[algorithm](canonical_layout(source, rows), 5, 42, chosen)
        return parameters(fit.model), fit.loss

    expected = bits(frame)
    for partitions, adaptive, shuffles in ((1, "true", "8"), (3, "false", "8"), (7, "true", "2")):
        # Kept, or the optimizer would leave out a shuffle before a shuffle.
        shuffled = (
            frame.orderBy(F.xxhash64("customer_id", F.lit(partitions))).repartition(partitions).persist()
        )
        with configured(spark, adaptive__enabled=adaptive, shuffle__partitions=shuffles):
            assert bits(shuffled) == expected
        shuffled.unpersist()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_seed_may_give_another_model_but_the_same_seed_never_does(
    spark: SparkSession, algorithm: str
) -> None:
    points = np.random.default_rng(4).uniform(size=(60, 2))
    frame = canonical_layout(table(spark, points), 60).persist()
    chosen = settings(max_iterations=FEW)
    first, again, *others = (ALGORITHMS[algorithm](frame, 6, seed, chosen) for seed in (5, 5, 6, 7))
    frame.unpersist()
    assert parameters(first.model) == parameters(again.model)
    assert any(parameters(first.model) != parameters(other.model) for other in others)


def restarted(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> Fit:
    """`best_fit` over fits that only have these losses."""
    fits = iter(losses)

    def fake(frame: Any, k: int, seed: int, _: ClusteringSettings) -> Fit:
        return Fit("kmeans", k, seed, model=frame, loss=next(fits))

    monkeypatch.setitem(ALGORITHMS, "kmeans", fake)
    chosen = settings(restarts={"kmeans": len(losses), "bisecting": 1, "mixture": 1})
    return best_fit("kmeans", None, 3, 100, chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("losses", "winner"),
    [
        ([3.0, 1.0, 2.0], 101),
        ([2.0, 1.0, 1.0], 101),
        ([1.0, 1.0], 100),
        ([math.nan, 5.0], 101),
        ([5.0, math.nan, -math.inf], 100),
        ([math.inf, 1e300], 101),
        ([math.nan, math.nan], 100),
        ([-3.0, -4.0], 101),
    ],
)
def test_the_cheapest_restart_is_kept_and_ties_go_to_the_first(
    monkeypatch: pytest.MonkeyPatch, losses: list[float], winner: int
) -> None:
    best = restarted(monkeypatch, losses)
    assert best.seed == winner
    assert best.restarts == len(losses)


@pytest.mark.parametrize("scale", ["none", "standard"])
def test_case_31_bisecting_splits_data_whose_mean_is_exactly_zero(spark: SparkSession, scale: str) -> None:
    centres = np.array([-9.0, -5.0, 5.0, 9.0])
    points = (centres[:, None] + [-0.5, -0.25, 0.25, 0.5]).ravel().repeat(4)
    assert points.sum() == 0
    rows = [(f"c{i:03}", float(x)) for i, x in enumerate(points)]
    features = spark.createDataFrame(rows, "customer_id string, x double")
    chosen = PreparationSettings(features={"x": {"cap": None}}, scale=scale)
    frame = canonical_layout(fit_preparation(features, chosen).transform(features), len(rows)).persist()
    for seed in (1, 42):
        found = labels(ALGORITHMS["bisecting"](frame, 4, seed, settings()).model, frame)
        assert adjusted_rand_score(np.arange(4).repeat(16), found) == 1.0
    frame.unpersist()


@pytest.fixture(scope="module")
def rays(spark: SparkSession) -> Iterator[tuple[DataFrame, np.ndarray]]:
    """Three directions at very different lengths: Euclid cannot tell them, cosine can."""
    rng = np.random.default_rng(9)
    truth = np.repeat(np.arange(3), 25)
    angles = np.radians(np.array([5.0, 45.0, 85.0])[truth] + rng.normal(size=75))
    lengths = rng.lognormal(0, 2, size=75)
    points = np.column_stack([np.cos(angles), np.sin(angles)]) * lengths[:, None]
    frame = canonical_layout(table(spark, points), 75).persist()
    yield frame, truth
    frame.unpersist()


@pytest.mark.parametrize("algorithm", ["kmeans", "bisecting"])
def test_cosine_groups_by_direction_whatever_the_length(
    rays: tuple[DataFrame, np.ndarray], algorithm: str
) -> None:
    frame, truth = rays
    fit = best_fit(algorithm, frame, 3, 11, settings("cosine"))
    assert adjusted_rand_score(truth, labels(fit.model, frame)) == 1.0
    euclidean = best_fit(algorithm, frame, 3, 11, settings())
    assert adjusted_rand_score(truth, labels(euclidean.model, frame)) < 0.9


def scored(fit: Fit, frame: DataFrame) -> tuple[np.ndarray, ...]:
    """(points, cluster, confidence, distance, second) of every row."""
    rows = score(fit.model, fit.model.transform(frame)).collect()
    points = np.array([row[VECTOR].toArray() for row in rows])
    names = ("cluster", "confidence", "distance", "second_cluster")
    return points, *(np.array([row[name] for row in rows]) for name in names)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("algorithm", ["kmeans", "bisecting"])
def test_distances_and_confidence_agree_with_numpy(
    rays: tuple[DataFrame, np.ndarray], algorithm: str, distance: str
) -> None:
    fit = ALGORITHMS[algorithm](rays[0], 5, 3, settings(distance))
    points, cluster, confidence, near, second = scored(fit, rays[0])
    centres = np.array(fit.model.clusterCenters())
    if distance == "cosine":
        norms = np.linalg.norm(points, axis=1)[:, None] * np.linalg.norm(centres, axis=1)
        apart = 1 - points @ centres.T / norms
    else:
        apart = np.linalg.norm(points[:, None] - centres, axis=2)
    rows = np.arange(len(points))
    d1 = apart[rows, cluster].copy()
    others = apart.copy()
    others[rows, cluster] = np.inf
    d2 = others.min(axis=1)
    assert (second == others.argmin(axis=1)).all()
    np.testing.assert_allclose(near, d1, atol=1e-12)
    np.testing.assert_allclose(confidence, (d2 - d1) / np.maximum(d1, d2), atol=1e-9)
    assert (second != cluster).all()
    if algorithm == "kmeans":
        assert (confidence >= 0).all()


def test_a_mixture_is_confident_by_probability_and_has_no_distance(
    rays: tuple[DataFrame, np.ndarray],
) -> None:
    frame = rays[0]
    fit = ALGORITHMS["mixture"](frame, 4, 3, settings(max_iterations=FEW))
    _, cluster, confidence, near, second = scored(fit, frame)
    probability = np.array([r["probability"].toArray() for r in fit.model.transform(frame).collect()])
    rows = np.arange(len(probability))
    assert (confidence == probability[rows, cluster]).all()
    assert (confidence == probability.max(axis=1)).all()
    probability[rows, cluster] = -1
    assert (second == probability.argmax(axis=1)).all()
    assert all(value is None for value in near)


def test_a_customer_on_all_centres_at_once_has_no_confidence(spark: SparkSession) -> None:
    points = np.array([[0.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, 2.0]])
    frame = canonical_layout(table(spark, points), 4)
    fit = ALGORITHMS["kmeans"](frame, 2, 1, settings())
    middle = table(spark, np.array([[0.0, 1.0], [0.0, 0.0]]))
    _, _, confidence, near, _ = scored(fit, middle)
    assert confidence.tolist() == [0.0, 1.0]
    assert near.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("algorithm", ["kmeans", "bisecting"])
def test_a_model_that_found_one_cluster_only_has_no_second(spark: SparkSession, algorithm: str) -> None:
    frame = canonical_layout(table(spark, np.full((6, 2), 3.0)), 6)
    fit = ALGORITHMS[algorithm](frame, 2, 1, settings())
    _, cluster, confidence, near, second = scored(fit, frame)
    assert set(cluster) == {0}
    assert set(confidence) == {0.0}
    assert set(near) == {0.0}
    assert set(second) == {None}


@pytest.mark.parametrize(("k", "dimensions"), [(2, 1), (3, 2), (5, 4)])
def test_free_parameters_of_a_mixture_are_those_of_scikit_learn(k: int, dimensions: int) -> None:
    points = np.random.default_rng(0).normal(size=(50, dimensions))
    reference = GaussianMixture(k, covariance_type="full", random_state=0).fit(points)
    assert mixture_parameters(k, dimensions) == reference._n_parameters()
