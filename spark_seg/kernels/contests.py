"""The contests that a customer's own cluster has won, and how they go along a direction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spark_seg.kernels.shapes import Centres, Floats, Gaussians, Ints, Shape, Tree

#: Along a direction: how far each contest of each row is lost by the rivals, as a quadratic of the step:
#: its coefficients of t², t and 1, rows × contests (or what broadcasts to it). Above 0 a rival has won.
Contests = Callable[[Floats], tuple[Floats, Floats, Floats]]
#: Densities below this vanish in what `Gaussians.labels` adds to each of them: half of its last bit. A little
#: above it densities that differ are still rounded to the same sum, so a change between two of them can be
#: found a little late: it is right, but not the very smallest.
_LEAST_LOG_DENSITY = -105 * float(np.log(2))


def contests_of(shape: Shape, points: Floats, own: Ints) -> Contests:
    """The contests that each row's own cluster has won: when a rival wins one, the row is in another."""
    match shape:
        case Centres():
            return _of_centres(shape, points, own)
        case Tree():
            return _of_tree(shape, points, own)
        case Gaussians():
            return _of_gaussians(shape, points, own)
    raise TypeError(f"{type(shape).__name__} has no contests")


def _constants(centres: Floats) -> Floats:
    """Of the scores c·x - ‖c‖²/2 that the nearest centre has the highest of.

    Centres of length 1 all have the same, so of points on their way to length 1 the scores tell as much.
    """
    return np.asarray(-0.5 * np.einsum("ij,ij->i", centres, centres))


def _of_centres(shape: Centres, points: Floats, own: Ints) -> Contests:
    """Against each other centre."""
    scores = points @ shape.centres.T + _constants(shape.centres)
    # A rival that is ahead of the own cluster is so by rounding.
    behind = np.minimum(_against(scores, own), 0.0)

    def along(direction: Floats) -> tuple[Floats, Floats, Floats]:
        rise = shape.centres @ direction
        return np.zeros((1, 1)), rise - rise[own, None], behind

    return along


def _of_tree(shape: Tree, points: Floats, own: Ints) -> Contests:
    """Against the sibling, at each inner node above the own leaf."""
    inner = list(shape.inner)
    left, right = shape.children[inner].T
    normals = shape.centres[right] - shape.centres[left]
    constants = _constants(shape.centres)
    sides = _sides(shape)[own]
    behind = np.minimum(sides * (points @ normals.T + constants[right] - constants[left]), 0.0)

    def along(direction: Floats) -> tuple[Floats, Floats, Floats]:
        return np.zeros((1, 1)), sides * (normals @ direction), behind

    return along


def _sides(shape: Tree) -> Floats:
    """Labels × inner nodes: 1 where the leaf is below the left child, -1 below the right one, else 0."""
    above = {
        int(child): (place, node, side)
        for place, node in enumerate(shape.inner)
        for child, side in zip(shape.children[node], (1.0, -1.0), strict=True)
    }
    sides = np.zeros((shape.k, len(shape.inner)))
    for label, leaf in enumerate(shape.leaves):
        node = leaf
        while node in above:
            place, node, side = above[node]
            sides[label, place] = side
    return sides


def _of_gaussians(shape: Gaussians, points: Floats, own: Ints) -> Contests:
    """Against each other component, and against none: far from all of them a row is in the first."""
    precisions = np.linalg.inv(shape.covariances)
    means, apart = shape.means - shape.origin, points - shape.origin
    ones, first = np.ones((len(points), 1)), (own == 0)[:, None]
    logs = shape.log_densities(points)
    logs = np.hstack([logs, _LEAST_LOG_DENSITY * ones])

    # Where the first is below the least itself, a rival can be ahead of it in earnest: see `hidden`.
    below = first & (logs[:, :1] < _LEAST_LOG_DENSITY)
    behind = np.where(below, _against(logs, own), np.minimum(_against(logs, own), 0.0))
    # In the first component, or in none of them, a row stays until another one is above the least.
    hidden = np.where(first, logs - _LEAST_LOG_DENSITY, np.nan)
    constant = np.hstack([behind, hidden[:, 1:-1]])

    def along(direction: Floats) -> tuple[Floats, Floats, Floats]:
        weighed = precisions @ direction
        bend = np.append(-0.5 * weighed @ direction, 0.0) * ones
        rise = np.einsum("kd,kd->k", means, weighed) - apart @ weighed.T
        rise = np.hstack([rise, 0 * ones])
        return (
            np.hstack([_against(bend, own), bend[:, 1:-1]]),
            np.hstack([_against(rise, own), rise[:, 1:-1]]),
            constant,
        )

    return along


def _against(scores: Floats, own: Ints) -> Floats:
    """Rows × rivals: how far each is ahead of the row's own."""
    return np.asarray(scores - np.take_along_axis(scores, own[:, None], axis=1))
