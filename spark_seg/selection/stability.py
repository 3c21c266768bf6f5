"""Does a clustering come back when the customers are drawn again?

Bootstrap as in Hennig's clusterboot (2007): the same algorithm and k on resampled customers; the
adjusted Rand index says how much of the whole comes back, the mean Jaccard similarity of each cluster
with its best counterpart how much of that cluster. Hennig reads the latter as: below 0.6 unstable,
above 0.75 stable, above 0.85 highly stable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spark_seg.kernels import Floats, Ints, Shape, adjusted_rand

#: Refits are on at most so many customers: enough for shares of a few per cent.
_CUSTOMERS = 4_000


@dataclass(frozen=True)
class Stability:
    """`agreement`: mean adjusted Rand index. `weakest`: smallest of the clusters' mean Jaccards."""

    agreement: float
    weakest: float


def stability(
    shape: Shape,
    refit: Callable[[Floats, Floats, int], Shape],
    points: Floats,
    weights: Floats,
    resamples: int,
    seed: int,
) -> Stability:
    """`shape` against refits of the same kind. `refit(points, weights, seed)` fits resampled customers."""
    rng = np.random.default_rng([seed, shape.k, 2007])
    agreements, jaccards = [], []
    size = min(len(points), _CUSTOMERS)
    for resample in range(resamples):
        # Drawn by weight, so every drawn customer counts once.
        drawn = points[rng.choice(len(points), size, p=weights / weights.sum())]
        again = refit(drawn, np.ones(size), seed + resample)
        table = _crossed(shape.labels(drawn), again.labels(drawn), shape.k, again.k)
        agreements.append(adjusted_rand(table))
        either = table.sum(axis=1, keepdims=True) + table.sum(axis=0) - table
        jaccards.append((table / np.maximum(either, 1.0)).max(axis=1))
    return Stability(float(np.mean(agreements)), float(np.mean(jaccards, axis=0).min()))


def _crossed(one: Ints, other: Ints, rows: int, columns: int) -> Floats:
    counts = np.bincount(one * columns + other, minlength=rows * columns)
    return counts.reshape(rows, columns).astype(np.float64)
