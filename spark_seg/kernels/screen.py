"""Fits of weighted points in memory: what screens candidates on a sample.

KMeans: Lloyd's iterations from greedy k-means++ starts (Arthur and Vassilvitskii 2007). Bisecting: as
MLlib splits, level by level and the largest clusters first, each split a 2-means. Mixture: EM from
given centres. Nothing here depends on threads or on the order of the calls.
"""

from __future__ import annotations

import numpy as np

from spark_seg.kernels.shapes import Centres, Floats, Gaussians, Ints, Rows, Tree, directions

#: EM stops when the log-likelihood gains less than this per customer, as scikit-learn's does. MLlib's
#: own limit is on the sum: the same number would mean sooner on few customers and never on many.
GAIN_PER_CUSTOMER = 1e-3
#: A fit has converged when a step gains less than this share of the loss.
_GAIN = 1e-6
#: Iterations after which restarts are compared, and how many of them go on.
_TRIAL, _FINALISTS = 8, 4


def screen_kmeans(
    points: Floats,
    weights: Floats,
    k: int,
    seed: int,
    iterations: int,
    unit: bool,
) -> tuple[Centres, float]:
    """One fit and its cost. `points` are directions when `unit`."""
    rows = Rows(points, weights)
    return _lloyd(rows, _start(rows, k, seed, unit), iterations)


def _start(rows: Rows, k: int, seed: int, unit: bool) -> Centres:
    return Centres(_spread(rows.points, rows.weights, k, np.random.default_rng([seed, k])), unit)


def _lloyd(rows: Rows, shape: Centres, iterations: int) -> tuple[Centres, float]:
    loss = np.inf
    for _ in range(iterations):
        figures = shape.figures(rows)
        if not figures[0] < loss * (1 - _GAIN):
            return shape, float(figures[0])
        loss, shape = float(figures[0]), shape.improved(figures)
    return shape, float(shape.figures(rows)[0])


def best_of_restarts(
    points: Floats, weights: Floats, k: int, seed: int, restarts: int, iterations: int, unit: bool
) -> tuple[Centres, int]:
    """The cheapest of several fits, and which it was.

    All have a few iterations; the cheapest by then go on to the end.
    """
    first = min(iterations, _TRIAL)
    rows = Rows(points, weights)
    tried = [_lloyd(rows, _start(rows, k, seed + i, unit), first) for i in range(restarts)]
    promising = sorted(range(restarts), key=lambda i: tried[i][1])[:_FINALISTS]
    ended = {i: _lloyd(rows, tried[i][0], iterations - first) for i in promising}
    best = min(promising, key=lambda i: ended[i][1])
    return ended[best][0], best


def _spread(points: Floats, weights: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Starting centres: each next one far from those before it, the best of a few draws."""
    squares = np.einsum("ij,ij->i", points, points)
    draws = 2 + int(np.log(k))
    first = int(rng.choice(len(points), p=weights / weights.sum()))
    chosen = [first]
    nearest = np.maximum(squares - 2 * points @ points[first] + squares[first], 0.0)
    while len(chosen) < k:
        odds = np.cumsum(nearest * weights)
        tried = np.minimum(np.searchsorted(odds, rng.random(draws) * odds[-1]), len(points) - 1)
        apart = np.maximum(squares[:, None] - 2 * points @ points[tried].T + squares[tried], 0.0)
        after = np.minimum(nearest[:, None], apart)
        best = int(np.argmin(weights @ after))
        chosen.append(int(tried[best]))
        nearest = after[:, best]
    return points[chosen]


def screen_bisecting(
    points: Floats, weights: Floats, k: int, seed: int, restarts: int, iterations: int, unit: bool
) -> Tree:
    """The whole tree with k leaves, or as many as distinct points allow."""
    centres: list[Floats] = [_mean(points, weights, unit)]
    children: list[tuple[int, int]] = [(-1, -1)]
    members: dict[int, Ints] = {0: np.arange(len(points))}
    splits: list[int] = []
    level = [0]
    while level and len(splits) + 1 < k:
        divisible = [node for node in level if _differ(points[members[node]])]
        divisible.sort(key=lambda node: (-weights[members[node]].sum(), node))
        level = []
        for node in divisible[: k - len(splits) - 1]:
            rows = members[node]
            fits = [
                screen_kmeans(points[rows], weights[rows], 2, seed + 7919 * node + i, iterations, unit)
                for i in range(restarts)
            ]
            shape = min(fits, key=lambda fit: fit[1])[0]
            labels = shape.labels(points[rows])
            splits.append(node)
            children[node] = (len(centres), len(centres) + 1)
            for side in (0, 1):
                own = rows[labels == side]
                members[len(centres)] = own
                level.append(len(centres))
                centres.append(_mean(points[own], weights[own], unit))
                children.append((-1, -1))
    return Tree(np.array(centres), np.array(children), tuple(splits), len(splits) + 1, unit)


def _mean(points: Floats, weights: Floats, unit: bool) -> Floats:
    mean = weights @ points / weights.sum()
    return np.asarray(directions(mean[None])[0]) if unit else np.asarray(mean)


def _differ(points: Floats) -> bool:
    return len(points) > 1 and bool((points != points[0]).any())


def screen_mixture(
    points: Floats, weights: Floats, start: Centres, iterations: int
) -> tuple[Gaussians, float]:
    """EM from the clustering `start`, and its negative log-likelihood."""
    shape = Gaussians.of(points, weights, start.labels(points), start.k)
    rows = Rows(points, weights)
    gain = GAIN_PER_CUSTOMER * weights.sum()
    loss = np.inf
    for _ in range(iterations):
        figures = shape.figures(rows)
        if not figures[0] < loss - gain:
            return shape, float(figures[0])
        loss, shape = float(figures[0]), shape.improved(figures)
    return shape, float(shape.figures(rows)[0])
