"""Stability and structure: what is judged in memory, on a sample."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from spark_seg.config import ClusteringSettings
from spark_seg.kernels import Centres, Floats, adjusted_rand, screen_bisecting, screen_kmeans, screen_mixture
from spark_seg.selection.stability import _crossed, stability
from spark_seg.selection.structure import CLEAR, FAINT, find_structure
from spark_seg.selection.sweep import _fit

KS = range(2, 8)


def blobs(seed: int, groups: int, apart: float, rows: int = 800, dimensions: int = 4) -> Floats:
    rng = np.random.default_rng(seed)
    while True:
        centres = rng.uniform(-apart, apart, size=(groups, dimensions))
        gaps = np.linalg.norm(centres[:, None] - centres, axis=2)[np.triu_indices(groups, 1)]
        if gaps.min() > apart * 0.8:
            break
    return centres[rng.integers(0, groups, rows)] + rng.normal(size=(rows, dimensions))


def scaled(points: Floats) -> Floats:
    return points / points.std(axis=0)


def kmeans(k: int, points: Floats, seed: int) -> Centres:
    fits = [screen_kmeans(points, np.ones(len(points)), k, seed + i, 50, False) for i in range(3)]
    return min(fits, key=lambda fit: fit[1])[0]


NOISE = {
    "uniform": lambda g: g.uniform(size=(900, 4)),
    "normal": lambda g: g.normal(size=(900, 4)) @ g.normal(size=(4, 4)),
}


@pytest.mark.parametrize("kind", NOISE)
def test_noise_is_called_noise_for_nineteen_of_twenty_seeds(kind: str) -> None:
    verdicts = [
        find_structure(scaled(NOISE[kind](np.random.default_rng(seed))), np.ones(900), range(2, 6), seed)
        for seed in range(20)
    ]
    assert sum(v is not None and not v.found for v in verdicts) >= 19
    assert all(v is not None and v.margin < CLEAR for v in verdicts)


@pytest.mark.parametrize("groups", [3, 5, 8])
def test_planted_groups_are_clear(groups: int) -> None:
    for seed in range(3):
        verdict = find_structure(scaled(blobs(seed, groups, 6)), np.ones(800), range(2, 10), seed)
        assert verdict is not None and verdict.margin > CLEAR > FAINT
        assert verdict.sentence.startswith("clear groups")


def test_two_customers_have_no_verdict() -> None:
    assert find_structure(np.array([[0.0], [1.0]]), np.ones(2), KS, 1) is None


def test_the_agreement_of_two_labellings_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for k in (2, 3, 7):
        one, other = rng.integers(0, k, 200), rng.integers(0, 4, 200)
        assert adjusted_rand(_crossed(one, other, k, 4)) == pytest.approx(adjusted_rand_score(one, other))


def test_planted_groups_come_back_and_too_many_clusters_do_not() -> None:
    points = blobs(1, 4, 8)
    ones = np.ones(len(points))
    right = stability(kmeans(4, points, 0), lambda p, _, seed: kmeans(4, p, seed), points, ones, 10, 1)
    wrong = stability(kmeans(7, points, 0), lambda p, _, seed: kmeans(7, p, seed), points, ones, 10, 1)
    assert right.agreement > 0.99 and right.weakest > 0.98
    assert wrong.weakest < 0.75


@pytest.mark.parametrize("seed", range(4))
def test_a_mixture_finds_long_groups_that_kmeans_cuts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.repeat([0, 1, 2], 400)
    points = scaled(rng.normal(size=(1200, 2)) * [9, 0.5] + np.array([[0, 0], [0, 5], [0, 10]])[truth])
    points = points @ np.array([[0.8, -0.6], [0.6, 0.8]])
    ones = np.ones(1200)
    settings = ClusteringSettings()
    best, kmeans = (
        min(
            (_fit(name, 3, points, ones, settings, i, seed) for i in range(settings.restarts[name])),
            key=lambda fit: fit[1],
        )[0]
        for name in ("mixture", "kmeans")
    )
    assert adjusted_rand_score(truth, best.labels(points)) > 0.98
    assert adjusted_rand_score(truth, kmeans.labels(points)) < 0.7


def test_case_29_a_mixture_survives_a_flat_direction_and_counts_the_collapse() -> None:
    rng = np.random.default_rng(4)
    points = np.vstack([np.c_[rng.normal(size=300), np.zeros(300)], rng.normal(8, 1, size=(300, 2))])
    shape, loss = screen_mixture(points, np.ones(600), Centres(np.array([[0.0, 0.0], [8.0, 8.0]])), 100)
    assert np.isfinite(loss)
    assert shape.collapsed == 1
    assert shape.labels(points).tolist() == [0] * 300 + [1] * 300
    np.testing.assert_allclose(shape.weights, [0.5, 0.5], atol=0.05)


@pytest.mark.parametrize("shift", [0.0, 50.0])
def test_case_31_bisecting_does_not_collapse_on_centred_features(shift: float) -> None:
    points = blobs(5, 4, 8)
    points = points - points.mean(axis=0) + shift
    tree = screen_bisecting(points, np.ones(len(points)), 6, 0, 2, 20, False)
    assert [len(np.unique(tree.cut(k).labels(points))) for k in range(1, 7)] == [1, 2, 3, 4, 5, 6]
    for k in range(2, 7):
        coarse, fine = tree.cut(k - 1).labels(points), tree.cut(k).labels(points)
        assert all(len(set(coarse[fine == label])) == 1 for label in range(k))
