"""What keeps customers in their cluster: how surely each is in it, and which features decide."""

from __future__ import annotations

import numpy as np

from spark_seg.kernels import indices
from spark_seg.kernels.indices import Clusters
from spark_seg.kernels.shapes import Centres, Floats, Gaussians, Ints, Shape, Tree, in_geometry
from spark_seg.kernels.units import Units


def located(shape: Shape, units: Units, raw: Floats) -> Floats:
    """Rows × features → rows × dimensions, in the geometry that `shape` divides."""
    return in_geometry(units.points(raw), isinstance(shape, (Centres, Tree)) and shape.unit)


def silhouettes(points: Floats, own: Ints, clusters: Clusters) -> Floats:
    """Silhouette of each row by mean squared distances; 0 in a cluster of one.

    `points` are in the geometry, and around the origin, of `clusters`.
    """
    return indices.silhouettes(points, np.einsum("ij,ij->i", points, points), own, clusters)


def gains(shape: Shape, points: Floats, own: Ints, second: Ints) -> Floats:
    """How much better each row's own cluster fits than its second (-1: none, the gain is 0).

    Squared distance to the second centre less that to the own one; for a mixture the difference of the
    logarithms of weight times density. A component without weight is no second.
    """
    rows = np.arange(len(points))
    if isinstance(shape, Gaussians):
        logs = shape.log_densities(points)
        result = logs[rows, own] - logs[rows, second]
    else:
        centres, unit = _centres(shape)
        near, far = centres[own], centres[second]
        result = np.einsum("ij,ij->i", near - far, 2 * in_geometry(points, unit) - near - far)
    return np.where((second >= 0) & np.isfinite(result), result, 0.0)


def pulls(shape: Shape, units: Units, raw: Floats, own: Ints, second: Ints, typical: Floats) -> Floats:
    """Rows × features: what of the gain is lost when the feature has its typical value instead.

    Above 0 the feature keeps the customer here, below 0 it pulls to the second cluster.
    """
    prepared = units.prepared(raw)
    points = units.placed(prepared)
    steps = units.prepared(typical) - prepared
    gain = gains(shape, points, own, second)
    without = [
        gains(shape, points + step[:, None] * units.direction(feature), own, second)
        for feature, step in enumerate(steps.T)
    ]
    return gain[:, None] - np.column_stack(without)


def importances(shape: Shape, units: Units, raw: Floats, seed: int, rounds: int = 5) -> Floats:
    """Per feature: share of the rows that change their label when its values are shuffled among them."""
    rng = np.random.default_rng(seed)
    prepared = units.prepared(raw)
    own = shape.labels(units.placed(prepared))
    changed = np.zeros((rounds, prepared.shape[1]))
    for round_, feature in np.ndindex(*changed.shape):
        shuffled = prepared.copy()
        shuffled[:, feature] = rng.permutation(prepared[:, feature])
        changed[round_, feature] = (shape.labels(units.placed(shuffled)) != own).sum()
    return np.asarray(changed.mean(axis=0) / max(len(raw), 1))


def _centres(shape: Shape) -> tuple[Floats, bool]:
    """Centre of each label, and whether points are brought to length 1."""
    match shape:
        case Centres():
            return shape.centres, shape.unit
        case Tree():
            return shape.centres[list(shape.leaves)], shape.unit
    raise TypeError(f"{type(shape).__name__} has no centres")
