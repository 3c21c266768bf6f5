"""Names by data: each segment takes the archetype whose signature its profile is nearest to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from spark_seg.config import Archetype

#: Position of a segment's customers among all customers: -1 is the lowest, 1 the highest.
LEVELS = {"very_low": -0.8, "low": -0.4, "middle": 0.0, "high": 0.4, "very_high": 0.8}

#: Farther than any two positions can be.
_FAR = 4.0

Positions = Mapping[str, float | None]


def name_clusters(
    positions: Mapping[int, Positions], archetypes: Sequence[Archetype], max_distance: float
) -> dict[int, tuple[str, Archetype | None]]:
    """Cluster → (name, archetype).

    One archetype per cluster and one cluster per archetype, with the smallest total distance. A
    cluster farther than `max_distance` from what is left for it gets a name that describes it, and no
    archetype.
    """
    clusters = sorted(positions)
    distances = np.array([[_distance(positions[c], a) for a in archetypes] for c in clusters])
    # Too far is the same as none: it must not push another cluster off its archetype.
    rows, columns = linear_sum_assignment(np.minimum(distances, max_distance * 2))
    names: dict[int, tuple[str, Archetype | None]] = {}
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if distances[row, column] <= max_distance:
            names[clusters[row]] = (archetypes[column].name, archetypes[column])
    for cluster in clusters:
        if cluster not in names:
            taken = {name for name, _ in names.values()}
            names[cluster] = (_describe(positions[cluster], taken), None)
    return names


def _distance(positions: Positions, archetype: Archetype) -> float:
    """Root mean squared difference over the features of the signature that the run has."""
    differences = [
        LEVELS[level] - position
        for feature, level in archetype.signature.items()
        if (position := positions.get(feature)) is not None
    ]
    # A signature of which less than half is known says too little.
    if 2 * len(differences) < len(archetype.signature) or not differences:
        return _FAR
    return math.sqrt(sum(d * d for d in differences) / len(differences))


def _describe(positions: Positions, taken: set[str]) -> str:
    known = sorted(((abs(p), f, p) for f, p in positions.items() if p is not None), reverse=True)
    base = "_".join(f"{'high' if p > 0 else 'low'}_{f}" for _, f, p in known[:2]) or "mixed"
    name, n = base, 2
    while name in taken:
        name, n = f"{base}_{n}", n + 1
    return name
