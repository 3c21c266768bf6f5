"""Raw clusters → segment ids that outlive a refit.

A cluster's number means nothing in the next fit, so ids follow customers: a cluster that shares
enough customers with a segment of the previous run takes over its id, anything else gets a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class Match:
    """A cluster's id, and the Jaccard overlap with the segment it continues (None: a new segment)."""

    segment_id: int
    overlap: float | None


@dataclass(frozen=True)
class Segment:
    """One cluster of a model as consumers see it."""

    cluster: int
    segment_id: int
    name: str
    overlap: float | None


def stable_ids(
    clusters: Sequence[int],
    common: Mapping[tuple[int, int], int],
    next_id: int,
    min_overlap: float,
) -> dict[int, Match]:
    """Id of each cluster.

    `clusters`: in the order in which new ids are given (the most valuable first). `common`: (cluster,
    previous segment id) → customers in both. `next_id`: the first id never used before; retired ids
    are not used again. One-to-one matching with the largest total overlap (Hungarian method).
    """
    previous = sorted({segment for _, segment in common})
    overlap = np.array([[_jaccard(common, c, s) for s in previous] for c in clusters]).reshape(
        len(clusters), len(previous)
    )
    rows, columns = linear_sum_assignment(-overlap)
    matches: dict[int, Match] = {}
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if overlap[row, column] >= min_overlap:
            matches[clusters[row]] = Match(previous[column], float(overlap[row, column]))
    for cluster in clusters:
        if cluster not in matches:
            matches[cluster] = Match(next_id, None)
            next_id += 1
    return matches


def _jaccard(common: Mapping[tuple[int, int], int], cluster: int, segment: int) -> float:
    both = common.get((cluster, segment), 0)
    either = sum(n for (c, s), n in common.items() if c == cluster or s == segment)
    return both / either if either else 0.0
