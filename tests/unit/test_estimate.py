"""What a coreset says of all customers, drawn a hundred times."""

from __future__ import annotations

import numpy as np
import pytest

from spark_seg.kernels import Floats, screen_kmeans
from spark_seg.selection.estimate import estimated_cost

CUSTOMERS, SIZE, K = 20_000, 1_500, 5


def drawn(points: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A lightweight coreset, as `Blocks.coreset` draws it."""
    apart = ((points - points.mean(axis=0)) ** 2).sum(axis=1)
    chance = np.minimum(1.0, SIZE * (0.5 / len(points) + 0.5 * apart / apart.sum()))
    taken = rng.random(len(points)) < chance
    return points[taken], 1 / chance[taken]


@pytest.mark.parametrize("kind", ["heavy tails", "uniform", "lumps"])
def test_the_error_bar_covers_the_cost_of_all_customers_in_95_of_100_draws(kind: str) -> None:
    rng = np.random.default_rng(3)
    points = {
        "heavy tails": rng.standard_t(3, size=(CUSTOMERS, 4)) ** 2,
        "uniform": rng.uniform(size=(CUSTOMERS, 4)),
        "lumps": rng.normal(size=(CUSTOMERS, 4)) + rng.integers(0, 2, size=(CUSTOMERS, 4)) * 4,
    }[kind]
    covered, widths = 0, []
    for seed in range(100):
        sample, weights = drawn(points, np.random.default_rng([7, seed]))
        shape, _ = screen_kmeans(sample, weights, K, seed, 20, False)
        cost, error = estimated_cost(sample, weights, shape)
        labels = shape.labels(points)
        means = np.array([points[labels == j].mean(axis=0) for j in range(K)])
        truth = float(((points - means[labels]) ** 2).sum())
        covered += abs(truth - cost) <= error
        widths.append(error / truth)
    assert covered >= 95
    # A bar that covers everything because it is wide says nothing.
    assert np.median(widths) < 0.25


def test_a_sample_of_everybody_has_no_error() -> None:
    points = np.random.default_rng(0).normal(size=(400, 3))
    shape, loss = screen_kmeans(points, np.ones(400), 3, 1, 100, False)
    cost, error = estimated_cost(points, np.ones(400), shape)
    assert error == 0
    assert cost == pytest.approx(loss, rel=1e-4)
