"""The indices of all candidates in two passes over the customers, without pairwise distances.

With squared Euclidean distances everything follows from n, Σx and Σ‖x‖² of each cluster (first
pass); silhouettes and distances to the means need one more look at each customer (second pass).
Silhouette: Rousseeuw (1987), with squared distances as MLlib's `ClusteringEvaluator` has it.
Davies-Bouldin: Davies and Bouldin (1979). Calinski-Harabasz: Caliński and Harabasz (1974).
Cosine geometry is the same on vectors of length 1: there ‖a-b‖² = 2 (1 - cos), and a silhouette is a
ratio of distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pyspark.sql import Column, DataFrame

from spark_seg.errors import InputError
from spark_seg.kernels import Clusters, Floats, Labeller, first_pass, in_geometry, second_pass
from spark_seg.selection.blocks import Blocks, pack


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
    first = blocks.totals(lambda: first_pass(labellers, ks, pivot, measured, unit))
    clusters = _split_first(first, ks, len(pivot), len(measured))
    if not np.isfinite(first).all():
        raise InputError(
            "vectors: must be finite and, for distance cosine, not all zero; some are not. "
            "Check preparation.features, or use distance euclidean"
        )
    centre = sum(c.sums.sum(axis=0) for c in clusters[:1]) / max(1.0, clusters[0].sizes.sum())
    moved = [c.around(centre) for c in clusters]
    second = blocks.totals(lambda: second_pass(labellers, moved, pivot, centre, unit))
    squares = first[len(first) - len(measured) :]
    return [
        replace(figures, separation=_separation(c, squares))
        for figures, c in zip(_figures(moved, second), clusters, strict=True)
    ]


def measure_labels(frame: DataFrame, label: Column, k: int, distance: str, seed: int) -> Indices:
    """Indices of the labels (0 ≤ label < k) that customers have: `frame` has `customer_id` and `vector`."""
    blocks = pack(frame, [label], seed)
    try:
        return measure(blocks, [lambda block: block.labels[:, 0]], [k], distance)[0]
    finally:
        blocks.release()


def _split_first(figures: Floats, ks: Sequence[int], dimensions: int, measures: int) -> list[Clusters]:
    clusters, at, values = [], 0, 2 + dimensions + measures
    for k in ks:
        block = figures[at : at + values * k].reshape(values, k)
        sums, measured = block[2 : 2 + dimensions].T, block[2 + dimensions :].T
        clusters.append(Clusters(block[0], sums, block[1], measured))
        at += values * k
    return clusters


def _separation(c: Clusters, squares: Floats) -> tuple[float, ...]:
    n = c.sizes.sum()
    mean = c.measures.sum(axis=0) / n
    between = (c.measures**2 / np.maximum(c.sizes, 1)[:, None]).sum(axis=0) - n * mean**2
    total = squares - n * mean**2
    varies = total > 1e-12 * squares
    shares = np.divide(np.clip(between, 0.0, total), total, out=np.full(len(total), np.nan), where=varies)
    return tuple(float(share) for share in shares)


def _figures(clusterings: Sequence[Clusters], figures: Floats) -> list[Indices]:
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


def _davies_bouldin(means: Floats, spreads: Floats) -> float:
    """Mean over clusters of the worst (spread + spread) / distance of means."""
    apart = np.linalg.norm(means[:, None] - means[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(spreads[:, None] + spreads > 0, (spreads[:, None] + spreads) / apart, 0.0)
    return float(ratios.max(axis=1).mean())
