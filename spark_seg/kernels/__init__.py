"""Arithmetic on numpy arrays, without Spark: what Python workers run, and what fits a sample.

A worker imports this room and nothing else, so it starts in a fraction of a second.
"""

from spark_seg.kernels.agreement import adjusted_rand
from spark_seg.kernels.blocks import BLOCK_DDL, Accumulator, Block, packed, settle, unpacked
from spark_seg.kernels.change import Changes, smallest_change
from spark_seg.kernels.explain import REASONS_DDL, Adder, Explainer, Totals
from spark_seg.kernels.indices import Clusters, Labeller, first_pass, second_pass
from spark_seg.kernels.naming import Naming, key_in
from spark_seg.kernels.reasons import gains, importances, located, pulls, silhouettes
from spark_seg.kernels.screen import (
    GAIN_PER_CUSTOMER,
    best_of_restarts,
    screen_bisecting,
    screen_kmeans,
    screen_mixture,
)
from spark_seg.kernels.shapes import (
    Centres,
    Floats,
    Gaussians,
    Ints,
    Rows,
    Shape,
    Tree,
    directions,
    in_geometry,
    sums_by_place,
)
from spark_seg.kernels.units import Units

__all__ = [
    "BLOCK_DDL",
    "GAIN_PER_CUSTOMER",
    "REASONS_DDL",
    "Accumulator",
    "Adder",
    "Block",
    "Centres",
    "Changes",
    "Clusters",
    "Explainer",
    "Floats",
    "Gaussians",
    "Ints",
    "Labeller",
    "Naming",
    "Rows",
    "Shape",
    "Totals",
    "Tree",
    "Units",
    "adjusted_rand",
    "best_of_restarts",
    "directions",
    "first_pass",
    "gains",
    "importances",
    "in_geometry",
    "key_in",
    "located",
    "packed",
    "pulls",
    "screen_bisecting",
    "screen_kmeans",
    "screen_mixture",
    "second_pass",
    "settle",
    "silhouettes",
    "smallest_change",
    "sums_by_place",
    "unpacked",
]
