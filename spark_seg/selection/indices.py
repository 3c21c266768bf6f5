"""The indices of all candidates in two passes over the customers, without pairwise distances.

With squared Euclidean distances everything follows from n, Σx and Σ‖x‖² of each cluster (first
pass); silhouettes and distances to the means need one more look at each customer (second pass).
Silhouette: Rousseeuw (1987), with squared distances as MLlib's `ClusteringEvaluator` has it.
Davies-Bouldin: Davies and Bouldin (1979). Calinski-Harabasz: Caliński and Harabasz (1974).
Cosine geometry is the same on vectors of length 1: there ‖a-b‖² = 2 (1 - cos), and a silhouette is a
ratio of distances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spark_seg.clustering import in_geometry, sums_by_place
from spark_seg.errors import InputError
from spark_seg.selection.blocks import Accumulator, Block, Blocks

Array = NDArray[np.float64]
Labeller = Callable[[Block], NDArray[np.int64]]


@dataclass(frozen=True)
class Indices:
    """Figures of one clustering. Indices are None with fewer than two clusters.

    `separation`: per measure the share of its variance that lies between the clusters (the correlation
    ratio η², Pearson 1905; Cohen calls 0.06 a medium and 0.14 a large effect); NaN for a constant.
    """

    effective_k: int
    sizes: tuple[int, ...]
    cost: float
    silhouette: float | None
    davies_bouldin: float | None
    calinski_harabasz: float | None
    separation: tuple[float, ...] = ()


def measure(blocks: Blocks, labellers: Sequence[Labeller], ks: Sequence[int], distance: str) -> list[Indices]:
    """Indices of several clusterings of the same customers.

    Each labeller gives the labels (0 ≤ label < its k) of a block from its points and its stored labels.
    Two Spark jobs whatever the number of clusterings; the driver receives one row per partition.
    """
    # Figures are taken around a point of the data, then around the overall mean: differences of large
    # squares would lose digits.
    unit = distance == "cosine"
    pivot = in_geometry(blocks.pivot[None], unit)[0]
    measured = blocks.measured
    first = blocks.totals(lambda: _first_pass(labellers, ks, pivot, measured, unit))
    clusters = _split_first(first, ks, len(pivot), len(measured))
    if not np.isfinite(first).all():
        raise InputError(
            "vectors: must be finite and, for distance cosine, not all zero; some are not. "
            "Check preparation.features, or use distance euclidean"
        )
    centre = sum(c.sums.sum(axis=0) for c in clusters[:1]) / max(1.0, clusters[0].sizes.sum())
    moved = [c.around(centre) for c in clusters]
    second = blocks.totals(lambda: _second_pass(labellers, moved, pivot, centre, unit))
    squares = first[len(first) - len(measured) :]
    return [
        replace(figures, separation=_separation(c, squares))
        for figures, c in zip(_figures(moved, second), clusters, strict=True)
    ]


@dataclass(frozen=True)
class _Clusters:
    """n, Σx and Σ‖x‖² per cluster, and the sum of each measure."""

    sizes: Array
    sums: Array
    squares: Array
    measures: Array

    def around(self, centre: Array) -> _Clusters:
        sums = self.sums - self.sizes[:, None] * centre
        squares = self.squares - 2 * self.sums @ centre + self.sizes * (centre @ centre)
        return replace(self, sums=sums, squares=squares)

    @property
    def means(self) -> Array:
        """Mean of each cluster."""
        return self.sums / np.maximum(self.sizes, 1)[:, None]


def _first_pass(
    labellers: Sequence[Labeller], ks: Sequence[int], pivot: Array, measured: Array, unit: bool
) -> Accumulator:
    """Per clustering n, Σ‖x‖², Σx and Σ of each measure by cluster; last, Σ of each measure's square."""
    values = 2 + len(pivot) + len(measured)

    def update(figures: Array, block: Block) -> None:
        points = in_geometry(block.points, unit) - pivot
        measures = block.measures - measured
        squares = np.einsum("ij,ij->i", points, points)
        columns = np.vstack([np.ones(len(points)), squares, points.T, measures.T])
        at = 0
        for labeller, k in zip(labellers, ks, strict=True):
            figures[at : at + values * k] += sums_by_place(columns, labeller(block), k).ravel()
            at += values * k
        figures[at:] += np.einsum("ij,ij->j", measures, measures)

    return Accumulator(sum(ks) * values + len(measured), update)


def _split_first(figures: Array, ks: Sequence[int], dimensions: int, measures: int) -> list[_Clusters]:
    clusters, at, values = [], 0, 2 + dimensions + measures
    for k in ks:
        block = figures[at : at + values * k].reshape(values, k)
        sums, measured = block[2 : 2 + dimensions].T, block[2 + dimensions :].T
        clusters.append(_Clusters(block[0], sums, block[1], measured))
        at += values * k
    return clusters


def _separation(c: _Clusters, squares: Array) -> tuple[float, ...]:
    n = c.sizes.sum()
    mean = c.measures.sum(axis=0) / n
    between = (c.measures**2 / np.maximum(c.sizes, 1)[:, None]).sum(axis=0) - n * mean**2
    total = squares - n * mean**2
    varies = total > 1e-12 * squares
    shares = np.divide(np.clip(between, 0.0, total), total, out=np.full(len(total), np.nan), where=varies)
    return tuple(float(share) for share in shares)


def _second_pass(
    labellers: Sequence[Labeller], clusterings: Sequence[_Clusters], pivot: Array, centre: Array, unit: bool
) -> Accumulator:
    """Per clustering: Σ silhouette, then per cluster Σ distance and Σ squared distance to its mean."""

    def update(figures: Array, block: Block) -> None:
        points = in_geometry(block.points, unit) - pivot - centre
        squares = np.einsum("ij,ij->i", points, points)
        at = 0
        for j, c in enumerate(clusterings):
            k, own = len(c.sizes), labellers[j](block)
            figures[at] += _silhouettes(points, squares, own, c).sum()
            apart = points - c.means[own]
            squared = np.einsum("ij,ij->i", apart, apart)
            figures[at + 1 : at + 1 + k] += np.bincount(own, np.sqrt(squared), k)
            figures[at + 1 + k : at + 1 + 2 * k] += np.bincount(own, squared, k)
            at += 1 + 2 * k

    return Accumulator(sum(1 + 2 * len(c.sizes) for c in clusterings), update)


def _silhouettes(points: Array, squares: Array, own: NDArray[np.int64], c: _Clusters) -> Array:
    """Silhouette of each point from mean squared distances; 0 for a cluster of one."""
    if (c.sizes > 0).sum() < 2:
        return np.zeros(len(points))
    n = np.maximum(c.sizes, 1)
    # Clusters × points: the smallest of a few rows is found faster than that of a few columns.
    mean_squared = (c.squares / n)[:, None] + (-2 * c.means) @ points.T
    mean_squared += squares
    mean_squared[c.sizes == 0] = np.inf
    rows = np.arange(len(points))
    inside = mean_squared[own, rows] * (n[own] / np.maximum(n[own] - 1, 1))
    mean_squared[own, rows] = np.inf
    outside = mean_squared.min(axis=0)
    larger = np.maximum(inside, outside)
    result = np.divide(outside - inside, larger, out=np.zeros(len(points)), where=larger > 0)
    return np.where(c.sizes[own] > 1, result, 0.0)


def _figures(clusterings: Sequence[_Clusters], figures: Array) -> list[Indices]:
    result, at = [], 0
    for c in clusterings:
        k = len(c.sizes)
        silhouette = float(figures[at])
        distances, squared = figures[at + 1 : at + 1 + k], figures[at + 1 + k : at + 1 + 2 * k]
        at += 1 + 2 * k
        filled = c.sizes > 0
        n, effective_k, cost = float(c.sizes.sum()), int(filled.sum()), float(squared.sum())
        sizes = tuple(sorted((int(x) for x in c.sizes[filled]), reverse=True))
        if effective_k < 2:
            result.append(Indices(effective_k, sizes, cost, None, None, None))
            continue
        means, counts = c.means[filled], c.sizes[filled]
        between = float((counts * np.einsum("ij,ij->i", means, means)).sum())
        defined = cost > 0 and n > effective_k
        result.append(
            Indices(
                effective_k,
                sizes,
                cost,
                silhouette / n,
                _davies_bouldin(means, distances[filled] / counts),
                between / (effective_k - 1) / (cost / (n - effective_k)) if defined else None,
            )
        )
    return result


def _davies_bouldin(means: Array, spreads: Array) -> float:
    """Mean over clusters of the worst (spread + spread) / distance of means."""
    apart = np.linalg.norm(means[:, None] - means[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(spreads[:, None] + spreads > 0, (spreads[:, None] + spreads) / apart, 0.0)
    return float(ratios.max(axis=1).mean())
