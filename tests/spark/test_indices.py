"""Indices of many clusterings at once, against Spark's evaluator, scikit-learn and numpy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

from spark_seg.errors import InputError
from spark_seg.preparation import VECTOR
from spark_seg.selection import Indices, measure, pack


def table(spark: SparkSession, points: np.ndarray, *labels: np.ndarray, partitions: int = 2) -> DataFrame:
    rows = [
        (point.tolist(), [int(own[i]) for own in labels]) for i, point in enumerate(np.asarray(points, float))
    ]
    return spark.createDataFrame(rows, "point array<double>, labels array<int>").repartition(partitions)


def indices_of(frame: DataFrame, ks: list[int], distance: str) -> list[Indices]:
    """Of the clusterings that are stored in `labels`."""
    vectors = frame.select(F.lit("c").alias("customer_id"), array_to_vector("point").alias(VECTOR), "labels")
    blocks = pack(vectors, [F.col("labels")[i] for i in range(len(ks))], 0)
    try:
        return measure(blocks, [lambda b, i=i: b.labels[:, i] for i in range(len(ks))], ks, distance)
    finally:
        blocks.release()


def measured(
    spark: SparkSession, points: np.ndarray, labels: np.ndarray, k: int, distance: str = "euclidean"
) -> Indices:
    (result,) = indices_of(table(spark, points, labels), [k], distance)
    return result


def evaluator(frame: DataFrame, which: int, distance: str) -> float:
    return float(
        ClusteringEvaluator(featuresCol="vector", predictionCol="own", distanceMeasure=distance).evaluate(
            frame.select(
                array_to_vector("point").alias("vector"), F.col("labels")[which].cast("double").alias("own")
            )
        )
    )


def unit(points: np.ndarray) -> np.ndarray:
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def cost(points: np.ndarray, labels: np.ndarray) -> float:
    return float(
        sum(((points[labels == c] - points[labels == c].mean(axis=0)) ** 2).sum() for c in set(labels))
    )


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, list[np.ndarray], list[int]]:
    """Points without structure, and clusterings of them: balanced, skewed, with an empty cluster."""
    rng = np.random.default_rng(1)
    points = rng.lognormal(size=(160, 4))
    ks = [2, 5, 9, 6]
    labels = [rng.integers(0, k, size=160) for k in ks[:3]]
    labels.append(np.where(rng.random(160) < 0.9, 0, rng.choice([2, 3, 5], size=160)))
    return points, labels, ks


@pytest.mark.parametrize("partitions", [1, 5])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_several_clusterings_at_once_agree_with_every_oracle(
    spark: SparkSession,
    sample: tuple[np.ndarray, list[np.ndarray], list[int]],
    distance: str,
    partitions: int,
) -> None:
    points, labels, ks = sample
    frame = table(spark, points, *labels, partitions=partitions).persist()
    results = indices_of(frame, ks, distance)
    assert len(results) == len(ks)
    space = unit(points) if distance == "cosine" else points
    for i, (result, own) in enumerate(zip(results, labels, strict=True)):
        spark_name = "cosine" if distance == "cosine" else "squaredEuclidean"
        assert result.silhouette == pytest.approx(evaluator(frame, i, spark_name), abs=1e-9)
        assert result.silhouette == pytest.approx(
            silhouette_score(space, own, metric="sqeuclidean"), abs=1e-9
        )
        assert result.davies_bouldin == pytest.approx(davies_bouldin_score(space, own), rel=1e-9)
        assert result.calinski_harabasz == pytest.approx(calinski_harabasz_score(space, own), rel=1e-9)
        assert result.cost == pytest.approx(cost(space, own), rel=1e-9)
        assert result.sizes == tuple(sorted(np.unique(own, return_counts=True)[1].tolist(), reverse=True))
        assert result.effective_k == len(set(own))
    frame.unpersist()


def test_partitions_and_row_order_do_not_change_a_figure(
    spark: SparkSession, sample: tuple[np.ndarray, list[np.ndarray], list[int]]
) -> None:
    points, labels, ks = sample
    few, many = (indices_of(table(spark, points, *labels, partitions=n), ks, "euclidean") for n in (1, 7))
    for a, b in zip(few, many, strict=True):
        assert a.sizes == b.sizes
        for name in ("silhouette", "davies_bouldin", "calinski_harabasz", "cost"):
            assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-12)


def test_partitions_without_rows_count_nothing(spark: SparkSession) -> None:
    points, labels = np.array([[0.0], [1.0], [10.0], [12.0]]), np.array([0, 0, 1, 1])
    expected = measured(spark, points, labels, 2)
    (result,) = indices_of(table(spark, points, labels, partitions=16), [2], "euclidean")
    assert result.sizes == (2, 2)
    assert result.silhouette == pytest.approx(expected.silhouette, rel=1e-12)


def test_a_customer_alone_in_a_cluster_has_silhouette_zero(spark: SparkSession) -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.5], [9.0, 9.0]])
    labels = np.array([0, 0, 0, 1])
    result = measured(spark, points, labels, 2)
    assert result.silhouette == pytest.approx(
        silhouette_score(points, labels, metric="sqeuclidean"), abs=1e-12
    )
    assert result.davies_bouldin == pytest.approx(davies_bouldin_score(points, labels), rel=1e-12)
    assert result.sizes == (3, 1)


def test_case_32_one_cluster_has_no_indices_but_a_cost(spark: SparkSession) -> None:
    points = np.array([[0.0], [2.0], [4.0]])
    result = measured(spark, points, np.zeros(3, int), 3)
    assert result == Indices(1, (3,), pytest.approx(8.0), None, None, None)


def test_duplicates_without_any_spread_leave_calinski_harabasz_undefined(spark: SparkSession) -> None:
    points = np.array([[0.1, 0.7], [0.1, 0.7], [5.3, 5.9], [5.3, 5.9]])
    result = measured(spark, points, np.array([0, 0, 1, 1]), 2)
    assert result.cost == pytest.approx(0, abs=1e-12)
    assert result.calinski_harabasz is None or result.calinski_harabasz > 1e12
    assert result.silhouette == pytest.approx(1.0, abs=1e-9)
    assert result.davies_bouldin == pytest.approx(0.0, abs=1e-7)


def test_as_many_clusters_as_customers_leave_calinski_harabasz_undefined(spark: SparkSession) -> None:
    result = measured(spark, np.array([[0.0], [1.0], [5.0]]), np.array([0, 1, 2]), 3)
    assert result.calinski_harabasz is None
    assert result.silhouette == 0.0


def test_one_place_split_into_two_clusters_is_as_bad_as_it_gets(spark: SparkSession) -> None:
    result = measured(spark, np.full((6, 2), 3.0), np.array([0, 1, 0, 1, 0, 1]), 2)
    assert result.silhouette == 0.0
    assert result.calinski_harabasz is None
    assert result.cost == 0.0


@pytest.mark.parametrize("offset", [1e6, -1e8])
def test_a_large_offset_costs_no_digits(spark: SparkSession, offset: float) -> None:
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1, 2], 40)
    # Multiples of a power of two: the shifted points are exact, so every digit lost would be ours.
    points = np.round((labels[:, None] * [1.0, 0.3] + rng.normal(scale=0.3, size=(120, 2))) * 1024) / 1024
    near, far = (measured(spark, points + shift, labels, 3) for shift in (0.0, offset))
    assert near.silhouette == pytest.approx(silhouette_score(points, labels, metric="sqeuclidean"), abs=1e-9)
    for name in ("silhouette", "davies_bouldin", "calinski_harabasz", "cost"):
        assert getattr(far, name) == pytest.approx(getattr(near, name), rel=1e-9)


@pytest.mark.parametrize("first", [True, False])
def test_zero_vectors_have_no_direction_and_get_a_sentence(spark: SparkSession, first: bool) -> None:
    points = np.array([[1.0, 2.0], [0.0, 0.0], [2.0, 1.0]])
    frame = table(spark, points[[1, 0, 2]] if first else points, np.array([0, 1, 1]), partitions=1)
    with pytest.raises(InputError, match="vectors: must be finite and, for distance cosine, not all zero"):
        indices_of(frame, [2], "cosine")
    assert indices_of(frame, [2], "euclidean")[0].silhouette is not None


def test_vectors_that_are_not_finite_get_a_sentence(spark: SparkSession) -> None:
    frame = table(spark, np.array([[1.0], [np.nan], [3.0]]), np.array([0, 1, 1]))
    with pytest.raises(InputError, match="vectors: must be finite"):
        indices_of(frame, [2], "euclidean")


@contextmanager
def counted_jobs(spark: SparkSession, group: str) -> Iterator[list[int]]:
    jobs: list[int] = []
    spark.sparkContext.setJobGroup(group, group)
    try:
        yield jobs
    finally:
        spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)
    time.sleep(0.2)
    jobs += spark.sparkContext.statusTracker().getJobIdsForGroup(group)


@pytest.mark.usefixtures("classic")
def test_the_number_of_jobs_does_not_grow_with_the_number_of_clusterings(spark: SparkSession) -> None:
    rng = np.random.default_rng(3)
    points, own = rng.normal(size=(40, 2)), rng.integers(0, 2, size=40)
    one, many = table(spark, points, own).persist(), table(spark, points, *[own] * 12).persist()
    for frame in (one, many):
        frame.count()
    with counted_jobs(spark, "one clustering") as few:
        indices_of(one, [2], "euclidean")
    with counted_jobs(spark, "twelve clusterings") as several:
        indices_of(many, [2] * 12, "euclidean")
    assert 2 <= len(few) == len(several) <= 6
    one.unpersist()
    many.unpersist()
