"""How far two divisions of the same customers agree."""

from __future__ import annotations

import numpy as np

from spark_seg.kernels.shapes import Floats


def adjusted_rand(table: Floats) -> float:
    """Adjusted Rand index from the table of common members (Hubert and Arabie 1985): 1 is the same
    division, 0 what chance gives."""

    def pairs(counts: Floats) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both, one, other = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    every = pairs(np.array([table.sum()]))
    expected = one * other / every if every else 0.0
    most = (one + other) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)
