"""The tree of BisectingKMeans as a table: which cluster splits from which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spark_seg.kernels import Accumulator, Block, Floats, Tree, in_geometry, sums_by_place
from spark_seg.selection.blocks import Blocks


@dataclass(frozen=True)
class Split:
    """One node: `splits_at_k` is the number of clusters from which on it is split, None for a leaf."""

    node: int
    parent: int | None
    splits_at_k: int | None
    customers: int
    cost: float


def measure_splits(blocks: Blocks, tree: Tree) -> list[Split]:
    """Every node of the tree with its customers and its cost, in one pass."""
    nodes, dimensions = len(tree.centres), blocks.dimensions
    pivot = in_geometry(blocks.pivot[None], tree.unit)[0]

    def update(figures: Floats, block: Block) -> None:
        at = tree.nodes_of(block.points)
        points = in_geometry(block.points, tree.unit) - pivot
        columns = np.vstack([np.ones(len(points)), np.einsum("ij,ij->i", points, points), points.T])
        figures += sums_by_place(columns, at, nodes).ravel()

    figures = blocks.totals(lambda: Accumulator(nodes * (2 + dimensions), update)).reshape(-1, nodes)
    parents: dict[int, int] = {}
    for node in reversed(tree.splits):
        for child in tree.children[node]:
            parents[int(child)] = node
            figures[:, node] += figures[:, child]
    sizes = np.maximum(figures[0], 1)
    costs = np.maximum(figures[1] - (figures[2:] ** 2).sum(axis=0) / sizes, 0.0)
    at_k = {node: k for k, node in enumerate(tree.splits, start=2)}
    return [
        Split(node, parents.get(node), at_k.get(node), int(figures[0, node]), float(costs[node]))
        for node in range(nodes)
    ]
