"""From vectors to one choice: planted truth is found, and data without structure raise nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from configured import settings_for
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.stats import norm
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from vectors import customers_at

from spark_seg.config import Settings
from spark_seg.errors import InputError
from spark_seg.kernels import Gaussians
from spark_seg.preparation import VECTOR, canonical_layout
from spark_seg.publishing import load_model
from spark_seg.selection import BASELINE, Blocks, Candidate, Sweep, choose, pack, sweep
from spark_seg.selection.sweep import _with_elbows

CHEAP = {
    "clustering.algorithms": "[kmeans, bisecting]",
    "clustering.restarts": "{kmeans: 2, bisecting: 1, mixture: 1}",
    "clustering.max_iterations": "{kmeans: 10, bisecting: 10, mixture: 5}",
    "selection.k_min": 2,
    "selection.k_max": 5,
}


def table(spark: SparkSession, points: np.ndarray) -> DataFrame:
    return canonical_layout(customers_at(spark, points), len(points)).persist()


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
    assert all(c.bic is not None for c in candidates)
    told = [c for c in candidates if c.algorithm == "mixture"]
    assert all(c.collapsed is not None and 0 < (c.posterior or 0) <= 1 for c in told)
    if mode == "exact" and told:
        # What MLlib itself says of the components.
        fit = swept.fits["mixture", 4].model.transform(frame)
        own = fit.agg(F.mean(F.array_max(vector_to_array("probability")))).first()
        assert told[2].posterior == pytest.approx(own[0], abs=1e-6)
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


def test_case_28_more_clusters_than_distinct_customers_are_reasons_and_no_exception(
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
def test_case_28_customers_who_are_all_the_same_are_reasons_and_no_exception(
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


def test_a_sweep_reads_all_customers_the_same_few_times_whatever_the_grid(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pass lays them out in blocks, one draws the sample, two refine candidates, two measure them."""
    frame = table(spark, lumps(2))
    passes: list[str] = []
    totals, coreset = Blocks.totals, Blocks.coreset
    monkeypatch.setattr(Blocks, "totals", lambda *a: (passes.append("totals"), totals(*a))[1])
    monkeypatch.setattr(Blocks, "coreset", lambda *a: (passes.append("coreset"), coreset(*a))[1])
    for k_max, restarts in ((3, 1), (6, 4)):
        passes.clear()
        grid = {
            "clustering.algorithms": "[kmeans]",
            "clustering.restarts": f"{{kmeans: {restarts}}}",
            "selection.k_max": k_max,
            "selection.coreset_customers": 1_000,
            "selection.resamples": 0,
        }
        group = f"grid to {k_max}"
        spark.sparkContext.setJobGroup(group, group)
        swept = sweep(frame, settings(tmp_path, **grid))
        jobs = spark.sparkContext.statusTracker().getJobIdsForGroup(group)
        spark.sparkContext.setJobGroup("others", "others")
        assert len(swept.candidates) == k_max - 1
        assert passes == ["totals", "coreset", *["totals"] * 4]
        # And a look at the first block for a point near the data.
        assert len(jobs) == 7
    frame.unpersist()


def test_case_33_partitions_and_row_order_leave_every_bit_of_a_coreset_sweep(
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
        blocks = pack(frame, [], seed)
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
        load_model(spark, f"{tmp_path}/gone", None)


# ---------------------------------------------------------------- what else is said of candidates


@pytest.fixture(scope="module")
def told(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Sweep, np.ndarray, np.ndarray]:
    """A sweep of overlapping groups with two measures, the points, and the measures."""
    points, truth = groups([(0, 0), (3, 1), (1, 3)], seed=4, size=40)
    measures = np.c_[truth + np.random.default_rng(1).normal(size=len(truth)), np.full(len(truth), 7.0)]
    frame = table(spark, points)
    place = F.substring("customer_id", 2, 9).cast("int")
    values = F.array(*(F.array(*(F.lit(float(x)) for x in row)) for row in measures))
    frame = frame.withColumn("own", F.get(values, place)).select(
        "customer_id", VECTOR, F.col("own")[0].alias("varies"), F.col("own")[1].alias("constant")
    )
    every = settings(
        tmp_path_factory.mktemp("told"),
        **{"clustering.algorithms": "[kmeans, bisecting, mixture]", "selection.resamples": 0},
    )
    return sweep(frame, every, measures=("varies", "constant")), points, measures


def test_separation_is_the_share_of_variance_between_the_clusters(
    told: tuple[Sweep, np.ndarray, np.ndarray],
) -> None:
    swept, points, measures = told
    for c in swept.candidates:
        labels, value = swept.shapes[c.algorithm, c.k].labels(points), measures[:, 0]
        inside = sum(((value[labels == j] - value[labels == j].mean()) ** 2).sum() for j in set(labels))
        expected = 1 - inside / ((value - value.mean()) ** 2).sum()
        # Of a constant there is nothing to separate.
        assert c.separation == {"varies": pytest.approx(expected, abs=1e-9)}


def test_likelihood_criteria_and_posteriors_of_a_mixture_are_those_of_scikit_learn(
    told: tuple[Sweep, np.ndarray, np.ndarray],
) -> None:
    swept, points, _ = told
    mixtures = [c for c in swept.candidates if c.algorithm == "mixture"]
    assert len(mixtures) == 4
    for c in mixtures:
        shape = swept.shapes["mixture", c.k]
        assert isinstance(shape, Gaussians)
        theirs = GaussianMixture(c.k)
        theirs.weights_, theirs.means_, theirs.covariances_ = shape.weights, shape.means, shape.covariances
        theirs.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(shape.covariances))
        assert c.bic == pytest.approx(theirs.bic(points), rel=1e-9)
        assert c.aic == pytest.approx(theirs.aic(points), rel=1e-9)
        assert c.posterior == pytest.approx(theirs.predict_proba(points).max(axis=1).mean(), rel=1e-9)
    assert all(c.posterior is None for c in swept.candidates if c.algorithm != "mixture")


def test_criteria_of_hard_clusters_are_those_of_round_gaussians_of_one_variance(
    told: tuple[Sweep, np.ndarray, np.ndarray],
) -> None:
    swept, points, _ = told
    hard = [c for c in swept.candidates if (c.algorithm, c.k) in swept.shapes and c.algorithm != "mixture"]
    assert {c.algorithm for c in hard} == {"kmeans", "bisecting"}
    for c in hard:
        labels = swept.shapes[c.algorithm, c.k].labels(points)
        means = np.array([points[labels == i].mean(axis=0) for i in range(c.k)])[labels]
        scale = np.sqrt(((points - means) ** 2).mean())
        shares = np.bincount(labels)[labels] / len(points)
        likelihood = np.log(shares).sum() + norm.logpdf(points, means, scale).sum()
        parameters = (c.k - 1) + c.k * points.shape[1] + 1
        assert c.bic == pytest.approx(parameters * np.log(len(points)) - 2 * likelihood, rel=1e-9)
        assert c.aic == pytest.approx(2 * parameters - 2 * likelihood, rel=1e-9)
    assert all(c.bic is None for c in swept.candidates if c.algorithm == BASELINE)


def test_the_bisecting_tree_tells_which_cluster_splits_from_which(
    told: tuple[Sweep, np.ndarray, np.ndarray],
) -> None:
    swept, points, _ = told
    nodes = {split.node: split for split in swept.splits}
    assert nodes[0].parent is None and nodes[0].customers == len(points)
    assert nodes[0].cost == pytest.approx(((points - points.mean(axis=0)) ** 2).sum())
    for k in (2, 3, 4, 5):
        labels = swept.shapes["bisecting", k].labels(points)
        leaves = swept.leaves(k)
        assert sorted(leaves.values()) == list(range(k))
        for node, cluster in leaves.items():
            own = points[labels == cluster]
            assert nodes[node].customers == len(own)
            assert nodes[node].cost == pytest.approx(((own - own.mean(axis=0)) ** 2).sum())
        # The node that is split at k was a leaf before it, and its children are leaves at k.
        (parent,) = set(swept.leaves(k - 1)) - set(leaves) if k > 2 else {0}
        assert nodes[parent].splits_at_k == k
        children = [s for s in swept.splits if s.parent == parent]
        assert sum(s.customers for s in children) == nodes[parent].customers
        assert {s.node for s in children} <= set(leaves)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_in_mode_exact_the_tree_is_that_of_the_model_that_is_published(
    spark: SparkSession, tmp_path: Path, distance: str
) -> None:
    points, _ = groups([(0, 0), (6, 1), (2, 7), (9, 9), (-3, 12)], seed=4, size=30)
    frame = table(spark, points)
    config = settings(
        tmp_path, **{"selection.mode": "exact", "clustering.distance": distance, "selection.resamples": 0}
    )
    swept = sweep(frame, config)
    assert not swept.splits
    for chosen in (Candidate("bisecting", 4), Candidate("kmeans", 3)):
        with_tree = swept.with_tree(chosen, frame, config.seed, str(tmp_path / "tree"))
        k = chosen.k if chosen.algorithm == "bisecting" else config.selection.k_max
        labels = found(swept, Candidate("bisecting", k), frame, tmp_path)
        sizes = np.bincount(labels, minlength=k)
        nodes = {split.node: split for split in with_tree.splits}
        assert {c: nodes[n].customers for n, c in with_tree.leaves(k).items()} == dict(enumerate(sizes))
        # By level, and of a level the largest first.
        by_k = sorted((s for s in with_tree.splits if s.splits_at_k), key=lambda s: s.splits_at_k or 0)
        assert [s.splits_at_k for s in by_k] == list(range(2, k + 1))
        assert [s.parent for s in by_k[:2]] == [None, 0]
        siblings = [s for s in by_k if s.parent == 0]
        assert [s.customers for s in siblings] == sorted((s.customers for s in siblings), reverse=True)
    frame.unpersist()


def test_the_elbow_is_marked_where_the_cost_bends() -> None:
    costs = [100.0, 50.0, 20.0, 17.0, 15.0, 14.0]
    candidates = [Candidate("kmeans", k, cost=cost) for k, cost in enumerate(costs, start=2)]
    candidates += [Candidate("bisecting", 2, cost=10.0), Candidate("bisecting", 3, reason="impossible")]
    assert [(c.algorithm, c.k) for c in _with_elbows(candidates) if c.elbow] == [("kmeans", 4)]


@pytest.mark.parametrize("mode", ["coreset", "exact"])
def test_case_32_of_two_kinds_of_customers_two_segments_are_chosen_and_no_emptied_ones(
    spark: SparkSession, tmp_path: Path, mode: str
) -> None:
    frame = table(spark, np.repeat([[1.0, 1.0], [5.0, 9.0]], 12, axis=0))
    config = settings(
        tmp_path,
        **{
            "clustering.algorithms": "[kmeans, bisecting, mixture]",
            "selection.k_max": 4,
            "selection.mode": mode,
            "selection.rules.min_segments": 2,
        },
    )
    candidates = choose(sweep(frame, config).candidates, config.selection)
    winner = chosen(candidates)
    assert (winner.k, winner.effective_k, winner.sizes) == (2, 2, (12, 12))
    for c in candidates:
        if c.k > 2:
            assert (c.accepted, c.reason) == (False, "only 2 distinct customers, fewer than k")
    frame.unpersist()
