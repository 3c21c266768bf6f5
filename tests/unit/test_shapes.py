"""Figures of shapes against plain formulas, over more rows than are looked at together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from spark_seg.kernels import Centres, Floats, Gaussians, Rows, Tree, screen_bisecting

ROWS, DIMENSIONS = 5_000, 3


@pytest.fixture(scope="module")
def rows() -> Rows:
    rng = np.random.default_rng(3)
    return Rows(rng.normal(size=(ROWS, DIMENSIONS)) * 2 + 5, rng.uniform(0.5, 3, ROWS))


def by_label(rows: Rows, labels: Floats, k: int) -> tuple[Floats, Floats]:
    sizes = np.array([rows.weights[labels == i].sum() for i in range(k)])
    sums = np.array([(rows.weights[:, None] * rows.points)[labels == i].sum(axis=0) for i in range(k)])
    return sizes, sums


def test_figures_of_centres_are_cost_weights_and_sums(rows: Rows) -> None:
    shape = Centres(rows.points[:4].copy())
    apart = ((rows.points[:, None] - shape.centres) ** 2).sum(axis=2)
    figures = shape.figures(rows)
    cost, weights, totals = np.split(figures, [1, 5])
    sizes, sums = by_label(rows, apart.argmin(axis=1), 4)
    assert cost == pytest.approx(apart.min(axis=1) @ rows.weights)
    assert weights == pytest.approx(sizes)
    assert totals.reshape(-1, 4).transpose() == pytest.approx(sums)


def test_rows_as_near_to_several_centres_count_once_and_for_the_first() -> None:
    shape = Centres(np.array([[9.0], [0.0], [0.0], [2.0]]))
    figures = shape.figures(Rows(np.array([[1.0], [0.0], [9.0]]), np.ones(3)))
    assert figures.tolist() == [1.0, 1.0, 2.0, 0.0, 0.0, 9.0, 1.0, 0.0, 0.0]
    assert shape.labels(np.array([[1.0], [0.0], [9.0]])).tolist() == [1, 1, 0]


def test_figures_of_a_tree_are_those_of_its_leaves(rows: Rows) -> None:
    tree = screen_bisecting(rows.points, rows.weights, 5, 1, 1, 20, False)
    assert isinstance(tree, Tree)
    at = tree.nodes_of(rows.points)
    nodes = len(tree.centres)
    cost, weights, totals = np.split(tree.figures(rows), [1, 1 + nodes])
    sizes, sums = by_label(rows, at, nodes)
    assert cost == pytest.approx(((rows.points - tree.centres[at]) ** 2).sum(axis=1) @ rows.weights)
    assert weights == pytest.approx(sizes)
    assert totals.reshape(-1, nodes).transpose() == pytest.approx(sums)


def test_figures_of_gaussians_are_likelihood_and_posterior_sums(rows: Rows) -> None:
    labels = (rows.points[:, 0] > 5).astype(np.int64) + (rows.points[:, 1] > 6)
    shape = Gaussians.of(rows.points, rows.weights, labels, 3)
    densities = np.array(
        [
            weight * multivariate_normal(mean, covariance).pdf(rows.points)
            for weight, mean, covariance in zip(shape.weights, shape.means, shape.covariances, strict=True)
        ]
    )
    shares = densities / densities.sum(axis=0)
    figures = shape.figures(rows)
    assert figures[0] == pytest.approx(-np.log(densities.sum(axis=0)) @ rows.weights)
    sums = figures[1:].reshape(3, -1)
    assert sums[:, 0] == pytest.approx(shares @ rows.weights)
    centred = (shares * rows.weights) @ (rows.points - shape.origin)
    assert sums[:, 1 : 1 + DIMENSIONS] == pytest.approx(centred)
    assert shape.labels(rows.points).tolist() == densities.argmax(axis=0).tolist()
    assert shape.likeliest(rows.expanded(shape.origin)).tolist() == densities.argmax(axis=0).tolist()
    told, logs = shape.posteriors(rows)
    assert told == pytest.approx(shares)
    assert logs == pytest.approx(np.log(densities.sum(axis=0)))
