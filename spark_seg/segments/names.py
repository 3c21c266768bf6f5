"""Names by data: each new segment takes the archetype whose signature its profile is nearest to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from spark_seg.config import Archetype
from spark_seg.segments.lineage import Positions

#: Position of a segment's customers among all customers: -1 is the lowest, 1 the highest.
LEVELS = {"very_low": -0.8, "low": -0.4, "middle": 0.0, "high": 0.4, "very_high": 0.8}

#: Farther than any two positions can be.
_FAR = 4.0

Names = Mapping[int, str]


def name_clusters(
    positions: Mapping[int, Positions],
    archetypes: Sequence[Archetype],
    max_difference: float,
    kept: Mapping[int, str] | None = None,
) -> dict[int, str]:
    """Cluster → name. `kept`: names that clusters have already, because they continue a segment.

    One archetype per cluster and one cluster per archetype, with the smallest total distance. An
    archetype is out of the question for a cluster that differs from it by more than `max_difference` in
    any feature of its signature; a cluster left without one gets a name that describes it.
    """
    names = dict(kept or {})
    free = [a for a in archetypes if a.name not in names.values()]
    clusters = sorted(positions.keys() - names.keys())
    if clusters and free:
        distances = np.array([[_distance(positions[c], a, max_difference) for a in free] for c in clusters])
        rows, columns = linear_sum_assignment(distances)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            if distances[row, column] < _FAR:
                names[clusters[row]] = free[column].name
    for cluster in clusters:
        if cluster not in names:
            names[cluster] = _describe(positions[cluster], set(names.values()))
    return names


def misfits(
    positions: Mapping[int, Positions], archetypes: Sequence[Archetype], max_difference: float, names: Names
) -> list[str]:
    """A sentence for each cluster whose archetype is out of the question for it by now."""
    known = {a.name: a for a in archetypes}
    told = []
    for cluster, name in sorted(names.items(), key=lambda item: item[1]):
        archetype, own = known.get(name), positions.get(cluster, {})
        if archetype is None:
            continue
        off = [
            f"{feature} is at {position:+.1f}, where {level} means {LEVELS[level]:+.1f}"
            for feature, level in archetype.signature.items()
            if (position := own.get(feature)) is not None and abs(LEVELS[level] - position) > max_difference
        ]
        if off:
            told.append(
                f"segment {name}: must lie where its archetype says, within {max_difference:g}; got "
                f"{' and '.join(off)}. It keeps its id and its name: look whether its play still holds, and "
                "change the archetype if the name does not"
            )
    return told


def _distance(positions: Positions, archetype: Archetype, max_difference: float) -> float:
    """Root mean squared difference over the signature; `_FAR` when the archetype is out of the question.

    It is, when the run lacks a feature of the signature (who is new cannot be told without a tenure),
    or when one feature alone contradicts it.
    """
    differences = []
    for feature, level in archetype.signature.items():
        position = positions.get(feature)
        if position is None or abs(LEVELS[level] - position) > max_difference:
            return _FAR
        differences.append(LEVELS[level] - position)
    return math.sqrt(sum(d * d for d in differences) / len(differences))


def _describe(positions: Positions, taken: set[str]) -> str:
    known = sorted(((abs(p), f, p) for f, p in positions.items() if p is not None), reverse=True)
    base = "_".join(f"{'high' if p > 0 else 'low'}_{f}" for _, f, p in known[:2]) or "mixed"
    name, n = base, 2
    while name in taken:
        name, n = f"{base}_{n}", n + 1
    return name
