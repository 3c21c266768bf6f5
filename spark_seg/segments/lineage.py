"""What became of each segment in the next fit, and which id every cluster of it gets.

A cluster's number means nothing in the next fit. So segments are followed by the customers they hold, as
MONIC follows clusters (Spiliopoulou, Ntoutsi, Theodoridis and Schult 2006, MONIC: modeling and monitoring
cluster transitions, KDD): a segment *survives* in the cluster that holds most of it; several that survive in
one cluster have *merged*; one that survives only in several parts together has *split*; otherwise it has
*died*. A cluster in which nothing survives is *born*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

Positions = Mapping[str, float | None]

SURVIVED, MERGED, SPLIT, DIED, BORN = "survived", "merged", "split", "died", "born"
#: Which relation hands an id on before others do.
_PRECEDENCE = {SURVIVED: 2.0, MERGED: 1.0, SPLIT: 0.0}


@dataclass(frozen=True)
class Relation:
    """What became of a former segment (`former` None: the cluster is born; `cluster` None: it has died).

    `common`: customers of both. `share_of_former` and `share_of_cluster`: of the customers that both fits
    know. `overlap`: their Jaccard similarity. `basis`: what they were matched by.
    """

    former: int | None
    cluster: int | None
    event: str
    basis: str
    common: int
    share_of_former: float | None
    share_of_cluster: float | None
    overlap: float | None
    distance: float | None = None


def by_customers(
    clusters: Sequence[int],
    formers: Sequence[int],
    common: Mapping[tuple[int, int], int],
    survival: float,
    split: float,
) -> list[Relation]:
    """Relations by `common`: (cluster, former segment) → customers in both.

    `survival` (above a half, so that a segment survives once at most) and `split` are MONIC's thresholds.
    """
    of_former = {f: sum(n for (_, s), n in common.items() if s == f) for f in formers}
    of_cluster = {c: sum(n for (d, _), n in common.items() if d == c) for c in clusters}

    def relation(former: int, cluster: int, event: str) -> Relation:
        n = common.get((cluster, former), 0)
        either = of_former[former] + of_cluster[cluster] - n
        return Relation(
            former,
            cluster,
            event,
            "customers",
            n,
            n / of_former[former],
            n / of_cluster[cluster] if of_cluster[cluster] else 0.0,
            n / either,
        )

    def share(former: int, cluster: int) -> float:
        return common.get((cluster, former), 0) / of_former[former] if of_former[former] else 0.0

    heirs = {f: c for f in formers for c in clusters if share(f, c) >= survival}
    found = []
    for former in formers:
        parts = [c for c in clusters if share(former, c) >= split]
        if former in heirs:
            alone = sum(heir == heirs[former] for heir in heirs.values()) == 1
            found.append(relation(former, heirs[former], SURVIVED if alone else MERGED))
        elif len(parts) > 1 and sum(share(former, c) for c in parts) >= survival:
            found += [relation(former, c, SPLIT) for c in parts]
        else:
            found.append(_died(former, "customers"))
    return found + _born(clusters, found, "customers")


def by_centres(
    clusters: Mapping[int, Positions], formers: Mapping[int, Positions], max_distance: float
) -> list[Relation]:
    """Relations by where segments lie among all customers: feature → mean position, -1 to 1.

    One to one, with the smallest total distance (Hungarian method); farther ones are not the same.
    """
    found = []
    names, ids = sorted(clusters), sorted(formers)
    distances = np.array([[_distance(clusters[c], formers[f]) for f in ids] for c in names])
    rows, columns = linear_sum_assignment(distances.reshape(len(names), len(ids)))
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        distance = float(distances[row, column])
        if distance <= max_distance:
            one = Relation(ids[column], names[row], SURVIVED, "centres", 0, None, None, None, distance)
            found.append(one)
    gone = set(ids) - {r.former for r in found}
    found += [_died(former, "centres") for former in sorted(gone)]
    return found + _born(names, found, "centres")


def inherited_ids(relations: Sequence[Relation]) -> dict[int, int]:
    """Cluster → id of the segment that it continues; clusters that are left out are new.

    Whoever survives keeps its id. A merged cluster takes that of the segment it has most in common with,
    and of the parts of a split the one with the largest overlap keeps the id (Hungarian method).
    """
    links = [r for r in relations if r.former is not None and r.cluster is not None]
    formers = sorted({r.former for r in links if r.former is not None})
    clusters = sorted({r.cluster for r in links if r.cluster is not None})
    worth = np.zeros((len(clusters), len(formers)))
    for r in links:
        assert r.cluster is not None and r.former is not None  # noqa: S101 - links have both
        place = clusters.index(r.cluster), formers.index(r.former)
        # A hair above nothing: where no customers are common, the relation still counts.
        worth[place] = _PRECEDENCE[r.event] + (r.overlap or 0.0) + 1e-6
    rows, columns = linear_sum_assignment(-worth)
    return {
        clusters[row]: formers[column]
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if worth[row, column] > 0
    }


def _died(former: int, basis: str) -> Relation:
    return Relation(former, None, DIED, basis, 0, None, None, None)


def _born(clusters: Sequence[int], found: Sequence[Relation], basis: str) -> list[Relation]:
    known = {r.cluster for r in found}
    return [Relation(None, c, BORN, basis, 0, None, None, None) for c in clusters if c not in known]


def _distance(one: Positions, other: Positions) -> float:
    """Root mean squared difference over the features both know; infinitely far without any."""
    pairs = [(one[f], other[f]) for f in one if f in other]
    differences = [a - b for a, b in pairs if a is not None and b is not None]
    # Larger than any distance there is, and finite, as the Hungarian method needs it.
    return float(np.sqrt(np.mean(np.square(differences)))) if differences else 1e6
