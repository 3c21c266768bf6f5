"""What the indices of many clusterings need of each customer: the figures of two passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from spark_seg.kernels.blocks import Accumulator, Block
from spark_seg.kernels.shapes import Floats, Ints, in_geometry, sums_by_place

#: Labels of a block's customers.
Labeller = Callable[[Block], Ints]


@dataclass(frozen=True)
class Clusters:
    """n, Σx and Σ‖x‖² per cluster, and the sum of each measure."""

    sizes: Floats
    sums: Floats
    squares: Floats
    measures: Floats

    def around(self, centre: Floats) -> Clusters:
        """The same of points moved by -`centre`."""
        sums = self.sums - self.sizes[:, None] * centre
        squares = self.squares - 2 * self.sums @ centre + self.sizes * (centre @ centre)
        return replace(self, sums=sums, squares=squares)

    @property
    def means(self) -> Floats:
        """Mean of each cluster."""
        return self.sums / np.maximum(self.sizes, 1)[:, None]


def first_pass(
    labellers: Sequence[Labeller], ks: Sequence[int], pivot: Floats, measured: Floats, unit: bool
) -> Accumulator:
    """Per clustering n, Σ‖x‖², Σx and Σ of each measure by cluster; last, Σ of each measure's square."""
    values = 2 + len(pivot) + len(measured)

    def update(figures: Floats, block: Block) -> None:
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


def second_pass(
    labellers: Sequence[Labeller], clusterings: Sequence[Clusters], pivot: Floats, centre: Floats, unit: bool
) -> Accumulator:
    """Per clustering: Σ silhouette, then per cluster Σ distance and Σ squared distance to its mean."""

    def update(figures: Floats, block: Block) -> None:
        points = in_geometry(block.points, unit) - pivot - centre
        squares = np.einsum("ij,ij->i", points, points)
        at = 0
        for j, c in enumerate(clusterings):
            k, own = len(c.sizes), labellers[j](block)
            figures[at] += silhouettes(points, squares, own, c).sum()
            apart = points - c.means[own]
            squared = np.einsum("ij,ij->i", apart, apart)
            figures[at + 1 : at + 1 + k] += np.bincount(own, np.sqrt(squared), k)
            figures[at + 1 + k : at + 1 + 2 * k] += np.bincount(own, squared, k)
            at += 1 + 2 * k

    return Accumulator(sum(1 + 2 * len(c.sizes) for c in clusterings), update)


def silhouettes(points: Floats, squares: Floats, own: Ints, c: Clusters) -> Floats:
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
