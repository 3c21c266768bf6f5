"""Customers whose groups are known: the whole way from vectors to a choice must find them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from configured import settings_for
from pyspark.sql import DataFrame, SparkSession
from sklearn.metrics import adjusted_rand_score
from vectors import customers_at

from spark_seg.config import Settings
from spark_seg.preparation import VECTOR, canonical_layout, fit_preparation
from spark_seg.selection import Candidate, Sweep, choose, sweep


def chosen(frame: DataFrame, settings: Settings) -> tuple[Candidate, Sweep, list[Candidate]]:
    """What is chosen of customers in canonical layout, what was fitted, and what is said of all."""
    swept = sweep(frame, settings)
    candidates = choose(swept.candidates, settings.selection)
    (winner,) = [c for c in candidates if c.chosen]
    return winner, swept, candidates


def found(
    spark: SparkSession, folder: Path, points: np.ndarray, **changes: object
) -> tuple[Candidate, Sweep]:
    """What is chosen of customers at `points`, and what was fitted."""
    frame = canonical_layout(customers_at(spark, points), len(points))
    return chosen(frame, settings_for(folder, **changes))[:2]


def labels(winner: Candidate, swept: Sweep, points: np.ndarray) -> np.ndarray:
    return swept.shapes[winner.algorithm, winner.k].labels(points)


def separated(groups: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Round groups of unequal size whose centres are eight deviations apart, or up to thirty."""
    rng = np.random.default_rng([groups, seed])
    centres = [rng.uniform(-10, 10, size=3)]
    while len(centres) < groups:
        centre = rng.uniform(-10, 10, size=3)
        if min(np.linalg.norm(centre - other) for other in centres) >= 8:
            centres.append(centre)
    truth = np.repeat(np.arange(groups), rng.integers(40, 90, size=groups))
    return np.array(centres)[truth] + rng.normal(size=(len(truth), 3)), truth


@pytest.mark.parametrize(("seed", "index"), [(0, "silhouette"), (1, "silhouette"), (2, "bic"), (3, "bic")])
@pytest.mark.parametrize("groups", range(3, 9))
def test_three_to_eight_separated_groups_are_found(
    spark: SparkSession, tmp_path: Path, groups: int, seed: int, index: str
) -> None:
    points, truth = separated(groups, seed)
    changes = {"clustering.algorithms": "[kmeans, bisecting]", "selection.k_max": 9}
    # A tolerance would rather have one segment of the two groups that lie closest.
    decides = {"selection.index": index, "selection.tolerance": 0.0}
    winner, swept = found(spark, tmp_path, points, **changes, **decides)
    assert winner.k == groups
    assert adjusted_rand_score(truth, labels(winner, swept, points)) > 0.98


@pytest.mark.parametrize("seed", range(4))
def test_long_groups_are_found_by_a_mixture_and_by_nothing_else(
    spark: SparkSession, tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    truth = np.repeat([0, 1, 2], 300)
    points = rng.normal(size=(900, 2)) * [9, 0.5] + np.array([[0, 0], [0, 5], [0, 10]])[truth]
    points = (points / points.std(axis=0)) @ np.array([[0.8, -0.6], [0.6, 0.8]])
    winner, swept = found(
        spark, tmp_path, points, **{"selection.index": "bic", "selection.k_max": 4, "selection.resamples": 0}
    )
    assert (winner.algorithm, winner.k) == ("mixture", 3)
    assert adjusted_rand_score(truth, labels(winner, swept, points)) > 0.98
    kmeans = swept.shapes["kmeans", 3].labels(points)
    assert adjusted_rand_score(truth, kmeans) < 0.7


@pytest.mark.parametrize("seed", range(3))
def test_twenty_outliers_among_heavy_tails_are_no_segment_when_rules_forbid_it(
    spark: SparkSession, tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    truth = np.repeat([0, 1, 2], 300)
    logs = np.array([[1.5, 6.5], [4.0, 3.0], [5.5, 6.5]])[truth] + rng.normal(scale=0.4, size=(900, 2))
    # Twenty who spent a thousand times as much as the best of the others usually do.
    whales = np.array([1.5, 13.5]) + rng.normal(scale=0.4, size=(20, 2))
    spent = np.expm1(np.vstack([logs, whales]))
    rows = [(f"c{i:05}", float(recency), float(money)) for i, (recency, money) in enumerate(spent)]
    customers = spark.createDataFrame(rows, "customer_id string, recency_days double, monetary double")
    settings = settings_for(
        tmp_path,
        **{
            "preparation.features": "{recency_days: {log: true}, monetary: {log: true}}",
            "clustering.algorithms": "[kmeans, bisecting]",
            "selection.k_max": 6,
            "selection.rules.min_segment_share": 0.05,
        },
    )
    laid_out = canonical_layout(customers, len(rows))
    frame = fit_preparation(laid_out, settings.preparation).transform(laid_out)
    winner, swept, candidates = chosen(frame.select("customer_id", VECTOR), settings)
    assert winner.k == 3
    vectors = np.array([r[VECTOR].toArray() for r in frame.orderBy("customer_id").select(VECTOR).collect()])
    own = labels(winner, swept, vectors)
    assert adjusted_rand_score(truth, own[:900]) > 0.98
    assert len(set(own[900:])) == 1
    # There is a candidate that sets them apart, and it is told why it is not taken.
    apart = [c for c in candidates if 20 in c.sizes]
    assert apart
    assert all("smallest segment has 2.2% of customers" in (c.reason or "") for c in apart)
