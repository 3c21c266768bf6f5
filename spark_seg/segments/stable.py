"""One cluster of a model as consumers see it: an id that outlives refits, and a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spark_seg.segments.lineage import Relation, inherited_ids


@dataclass(frozen=True)
class Segment:
    """One cluster of a model as consumers see it.

    `overlap`: Jaccard similarity with the segment that it continues; None for a new one, and where centres
    decided.
    """

    cluster: int
    segment_id: int
    name: str
    overlap: float | None


def stable_ids(
    clusters: Sequence[int], relations: Sequence[Sequence[Relation]], next_id: int
) -> dict[int, int]:
    """Id of each cluster: that of the segment it continues, or a new one.

    `relations`: with each former run; what continues nothing of the first may continue something of the next
    that the first does not know. `clusters`: in the order in which new ids are given (the most valuable
    first). `next_id`: the first id that was never used; ids of segments that have died are not used again.
    """
    ids: dict[int, int] = {}
    for related in relations:
        # What the runs before have decided stays.
        free = [r for r in related if r.cluster not in ids and r.former not in ids.values()]
        ids |= inherited_ids(free)
    for cluster in clusters:
        if cluster not in ids:
            ids[cluster] = next_id
            next_id += 1
    return ids


def overlaps(relations: Sequence[Relation], ids: Mapping[int, int]) -> dict[int, float | None]:
    """Cluster → overlap with the segment whose id it has; clusters of new segments are left out."""
    return {
        r.cluster: r.overlap for r in relations if r.cluster is not None and ids.get(r.cluster) == r.former
    }
