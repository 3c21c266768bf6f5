"""From vectors to one choice: planted truth is found, and data without structure raise nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from configured import settings_for
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType
from sklearn.metrics import adjusted_rand_score

from spark_seg.config import Settings
from spark_seg.errors import InputError
from spark_seg.pipeline.label import load_model
from spark_seg.preparation import VECTOR, canonical_layout
from spark_seg.selection import BASELINE, Candidate, Sweep, choose, pack, sweep

CHEAP = {
    "clustering.algorithms": "[kmeans, bisecting]",
    "clustering.restarts": "{kmeans: 2, bisecting: 1, mixture: 1}",
    "clustering.max_iterations": "{kmeans: 10, bisecting: 10, mixture: 5}",
    "selection.k_min": 2,
    "selection.k_max": 5,
}


def table(spark: SparkSession, points: np.ndarray) -> DataFrame:
    schema = StructType([StructField("customer_id", StringType()), StructField(VECTOR, VectorUDT())])
    rows = [(f"c{i:04}", Vectors.dense(point.tolist())) for i, point in enumerate(points)]
    return canonical_layout(spark.createDataFrame(rows, schema), len(rows)).persist()


def settings(tmp_path: Path, **changes: Any) -> Settings:
    return settings_for(tmp_path, **(CHEAP | changes))


def groups(centres: list[tuple[float, float]], seed: int, size: int = 25) -> tuple[np.ndarray, np.ndarray]:
    truth = np.repeat(np.arange(len(centres)), size)
    noise = np.random.default_rng(seed).normal(scale=0.4, size=(len(truth), 2))
    return np.array(centres)[truth] + noise + 5, truth


def chosen(candidates: list[Candidate]) -> Candidate:
    (winner,) = [c for c in candidates if c.chosen]
    return winner


def found(swept: Sweep, winner: Candidate, frame: DataFrame, folder: Path) -> list[int]:
    model = swept.model(winner.algorithm, winner.k, frame, str(folder / "model"))
    return [r["cluster"] for r in model.transform(frame).orderBy("customer_id").select("cluster").collect()]


def complete(candidates: list[Candidate]) -> None:
    """Every candidate has all its figures, or says why not."""
    for c in candidates:
        figures = (c.silhouette, c.davies_bouldin, c.calinski_harabasz, c.cost)
        assert c.reason or None not in figures, c
        assert c.chosen <= c.accepted
        if c.effective_k:
            assert sum(c.sizes) > 0 and len(c.sizes) == c.effective_k


@pytest.mark.parametrize(("seed", "mode"), [(1, "coreset"), (2, "coreset"), (1, "exact")])
def test_the_planted_number_of_groups_is_chosen(
    spark: SparkSession, tmp_path: Path, seed: int, mode: str
) -> None:
    points, truth = groups([(0, 0), (14, 1), (2, 15), (17, 18)], seed)
    frame = table(spark, points)
    algorithms = {"clustering.algorithms": "[kmeans, bisecting, mixture]"} if seed == 1 else {}
    chosen_settings = settings(tmp_path, seed=seed, **algorithms, **{"selection.mode": mode})
    progress: list[tuple[int, int]] = []
    swept = sweep(frame, chosen_settings, on_fit=lambda done, total: progress.append((done, total)))
    candidates = choose(swept.candidates, chosen_settings.selection)
    winner = chosen(candidates)
    assert winner.k == 4
    assert adjusted_rand_score(truth, found(swept, winner, frame, tmp_path)) == 1.0
    complete(candidates)
    assert [(c.algorithm, c.k) for c in candidates] == [
        (a, k) for a in chosen_settings.clustering.algorithms for k in (2, 3, 4, 5)
    ]
    assert sorted(progress)[-1] == (len(candidates), len(candidates))
    assert all((c.bic is not None) == (c.algorithm == "mixture") for c in candidates)
    frame.unpersist()


def test_the_published_silhouette_is_that_of_the_evaluator(spark: SparkSession, tmp_path: Path) -> None:
    points, _ = groups([(0, 0), (6, 0), (0, 6)], 3)
    frame = table(spark, points)
    for distance, name in (("euclidean", "squaredEuclidean"), ("cosine", "cosine")):
        config = settings(tmp_path, **{"clustering.distance": distance, "selection.k_max": 3})
        swept = sweep(frame, config)
        for c in swept.candidates:
            labelled = swept.model(c.algorithm, c.k, frame, str(tmp_path / "model")).transform(frame)
            evaluator = ClusteringEvaluator(featuresCol=VECTOR, predictionCol="cluster", distanceMeasure=name)
            assert c.silhouette == pytest.approx(evaluator.evaluate(labelled), abs=1e-9)
    frame.unpersist()


def test_more_clusters_than_distinct_customers_are_reasons_and_no_exception(
    spark: SparkSession, tmp_path: Path
) -> None:
    frame = table(spark, np.repeat([[1.0, 1.0], [1.0, 9.0], [9.0, 5.0]], 12, axis=0))
    config = settings(tmp_path)
    swept = sweep(frame, config)
    candidates = choose(swept.candidates, config.selection)
    complete(candidates)
    for c in candidates:
        if c.k > 3:
            assert c.reason == "only 3 distinct customers, fewer than k"
            assert not c.accepted
            assert (c.algorithm, c.k) not in swept.shapes
        else:
            assert c.effective_k == c.k
    frame.unpersist()


@pytest.mark.parametrize("customers", [1, 20])
def test_customers_who_are_all_the_same_are_reasons_and_no_exception(
    spark: SparkSession, tmp_path: Path, customers: int
) -> None:
    frame = table(spark, np.full((customers, 3), 2.0))
    config = settings(tmp_path, **{"clustering.algorithms": "[kmeans, bisecting, mixture]"})
    swept = sweep(frame, config)
    candidates = choose(swept.candidates, config.selection)
    assert swept.shapes == {}
    assert not any(c.accepted for c in candidates)
    assert {c.reason for c in candidates} == {"only 1 distinct customers, fewer than k"}
    frame.unpersist()


def test_the_highest_silhouette_is_rejected_when_it_breaks_a_rule(
    spark: SparkSession, tmp_path: Path
) -> None:
    # Two groups, and a third one far away: two clusters have the best silhouette.
    points, truth = groups([(0, 0), (0, 6), (200, 0)], 4)
    frame = table(spark, points)
    config = settings(tmp_path)
    swept = sweep(frame, config)
    candidates = choose(swept.candidates, config.selection)
    best = max(candidates, key=lambda c: c.silhouette or -1)
    assert best.k == 2
    assert not best.accepted
    assert (best.reason or "").startswith("fewer than 3 segments")
    winner = chosen(candidates)
    assert winner.k == 3
    assert adjusted_rand_score(truth, found(swept, winner, frame, tmp_path)) == 1.0
    frame.unpersist()


def test_a_sweep_gives_the_same_figures_with_one_and_with_many_threads(
    spark: SparkSession, tmp_path: Path
) -> None:
    frame = table(spark, np.random.default_rng(5).uniform(size=(90, 2)) + 1)
    one, many = (
        sweep(
            frame,
            settings(
                tmp_path,
                **{"clustering.parallel_fits": n, "selection.k_max": 3, "selection.mode": "exact"},
            ),
        ).candidates
        for n in (1, 4)
    )
    assert one == many
    frame.unpersist()


def test_the_baseline_is_measured_beside_the_candidates_and_never_chosen(
    spark: SparkSession, tmp_path: Path
) -> None:
    points, truth = groups([(0, 0), (14, 1), (2, 15)], 6)
    frame = table(spark, points)
    labels = F.floor(F.substring("customer_id", 2, 4).cast("int") / F.lit(25)).cast("int")
    config = settings(tmp_path, **{"selection.k_max": 3})
    swept = sweep(frame.withColumn("planted", labels), config, ("planted", 10))
    baseline = choose(swept.candidates, config.selection)[-1]
    assert (baseline.algorithm, baseline.k, baseline.effective_k) == (BASELINE, 10, 3)
    assert (baseline.accepted, baseline.chosen, baseline.reason) == (False, False, "baseline")
    same = next(c for c in swept.candidates if c.algorithm == "kmeans" and c.k == 3)
    assert adjusted_rand_score(truth, found(swept, same, frame, tmp_path)) == 1.0
    assert baseline.silhouette == pytest.approx(same.silhouette, abs=1e-12)
    frame.unpersist()


def lumps(seed: int, customers: int = 6_000) -> np.ndarray:
    """Five groups of unlike size that touch, and a heavy tail."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(4, 12, size=(5, 3))
    sizes = rng.dirichlet(np.full(5, 3.0))
    points = centres[rng.choice(5, size=customers, p=sizes)] + rng.normal(scale=0.9, size=(customers, 3))
    points[: customers // 100] += rng.exponential(6, size=(customers // 100, 3))
    return np.abs(points)


def test_every_candidate_as_mllib_model_labels_as_it_was_measured(
    spark: SparkSession, tmp_path: Path
) -> None:
    points = lumps(1, 1_500)
    frame = table(spark, points)
    for distance in ("euclidean", "cosine"):
        config = settings(
            tmp_path,
            **{
                "clustering.algorithms": "[kmeans, bisecting]"
                if distance == "cosine"
                else "[kmeans, bisecting, mixture]",
                "clustering.distance": distance,
                "clustering.max_iterations": "{kmeans: 10, bisecting: 10, mixture: 20}",
                "selection.k_min": 3,
                "selection.k_max": 5,
            },
        )
        swept = sweep(frame, config)
        for (algorithm, k), shape in swept.shapes.items():
            candidate = next(c for c in swept.candidates if (c.algorithm, c.k) == (algorithm, k))
            labels = found(swept, candidate, frame, tmp_path)
            # MLlib's KMeans gives its centres numbers of its own.
            assert adjusted_rand_score(shape.labels(points), labels) == 1.0, (algorithm, k, distance)
            assert tuple(sorted(np.bincount(labels), reverse=True)) == candidate.sizes
    frame.unpersist()


def test_a_coreset_that_is_refined_costs_no_more_than_exact_fits(spark: SparkSession, tmp_path: Path) -> None:
    frame = table(spark, lumps(2))
    common = {
        "clustering.restarts": "{kmeans: 3, bisecting: 2, mixture: 1}",
        "clustering.max_iterations": "{kmeans: 20, bisecting: 10, mixture: 5}",
        "selection.k_min": 3,
        "selection.k_max": 5,
    }
    quick = sweep(frame, settings(tmp_path, **common, **{"selection.coreset_customers": 1_000}))
    exact = sweep(frame, settings(tmp_path, **common, **{"selection.mode": "exact"}))
    assert 600 < quick.coreset < 1_500
    for ours, theirs in zip(quick.candidates, exact.candidates, strict=True):
        if ours.algorithm == "kmeans":
            assert ours.cost is not None and theirs.cost is not None
            assert ours.cost <= theirs.cost * 1.005
    frame.unpersist()


def test_partitions_and_row_order_leave_every_bit_of_a_coreset_sweep(
    spark: SparkSession, tmp_path: Path
) -> None:
    points = lumps(3)
    config = settings(
        tmp_path,
        **{
            "clustering.algorithms": "[kmeans, bisecting, mixture]",
            "selection.coreset_customers": 1_000,
            "selection.k_max": 3,
        },
    )
    rows = table(spark, points)
    results = []
    for frame in (rows, canonical_layout(rows.repartition(7, "vector").orderBy(F.rand(1)), len(points))):
        kept = frame.persist()
        results.append(sweep(kept, config).candidates)
        kept.unpersist()
    assert results[0] == results[1]


def test_the_weights_of_a_coreset_stand_for_all_customers(spark: SparkSession) -> None:
    points = lumps(4)
    frame = table(spark, points)
    truth = ((points - points.mean(axis=0)) ** 2).sum()
    estimates, counts = [], []
    for seed in range(8):
        blocks = pack(frame, [], len(points), seed)
        drawn, weights = blocks.coreset(1_000)
        counts.append(weights.sum())
        estimates.append(weights @ ((drawn - points.mean(axis=0)) ** 2).sum(axis=1))
        blocks.release()
    assert np.mean(counts) == pytest.approx(len(points), rel=0.03)
    assert np.mean(estimates) == pytest.approx(truth, rel=0.03)
    assert np.std(estimates) < 0.06 * truth
    frame.unpersist()


def test_a_saved_model_that_is_gone_gets_a_sentence(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"model: must be readable at {tmp_path}/gone; got .*train_segments"):
        load_model(f"{tmp_path}/gone")
