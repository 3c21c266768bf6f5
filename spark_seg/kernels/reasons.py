"""Why customers are where they are: what keeps each in its cluster, and what would move it to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spark_seg.kernels import indices
from spark_seg.kernels.indices import Clusters
from spark_seg.kernels.shapes import Centres, Floats, Gaussians, Ints, Shape, Tree, in_geometry
from spark_seg.kernels.units import Units

#: Along a direction: how far each contest of each row is lost by the rivals, as a quadratic of the step:
#: its coefficients of t², t and 1, rows × contests (or what broadcasts to it). Above 0 a rival has won.
_Contests = Callable[[Floats], tuple[Floats, Floats, Floats]]

#: Densities below this vanish in what `Gaussians.labels` adds to each of them: half of its last bit. A little
#: above it densities that differ are still rounded to the same sum, so a change between two of them can be
#: found a little late: it is right, but not the very smallest.
_LEAST_LOG_DENSITY = -105 * float(np.log(2))
#: What a step is lengthened by, one after the other, while it does not arrive; relative to the longer of
#: the step and the range of the feature.
_LONGER = np.array([0.0, 1e-9, 1e-6, 1e-4, 1e-3, 1e-2])
#: A change must arrive even when it is shorter by this share: others may calculate in another order.
_SLACK = 1e-9
#: Significant digits of a change to a feature that is no whole number.
_DIGITS = 4


@dataclass(frozen=True)
class Changes:
    """One change of one feature for each row.

    `feature` is its place, or -1 where there is no change. `value`: the raw value that the feature would
    have to have; `cluster`: the label then; `size`: how far the point moves. Without a change these are
    0, -1 and 0.
    """

    feature: Ints
    value: Floats
    cluster: Ints
    size: Floats


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


def smallest_change(
    shape: Shape, units: Units, raw: Floats, own: Ints, least: Floats, most: Floats
) -> Changes:
    """Of each row the smallest change of one feature that moves it out of its own cluster.

    `raw`: rows × features, NaN where there is no value. `least`, `most`: per feature the range that a
    change stays in. Whole features change to whole numbers, others to 4 significant digits within the
    decimal places that they have (or to the end of the range), and every change is made and labelled before
    it is believed. None for a row that the shape does not label as its own.
    """
    search = _Search(
        units,
        units.prepared(raw),
        np.where(units.places == 0, np.ceil(least), least),
        np.where(units.places == 0, np.floor(most), most),
    )
    points = units.placed(search.prepared)
    steps, ways = search.steps(_contests(shape, points, own))
    values, sizes = search.changes(steps, ways)
    longer = np.zeros(sizes.shape, dtype=np.int64)

    n = len(raw)
    result = Changes(np.full(n, -1), np.zeros(n), np.full(n, -1), np.zeros(n))
    rows = np.flatnonzero(shape.labels(points) == own)
    # Shortest first, so that the first change which arrives is the answer. One that does not is lengthened,
    # then given up.
    while len(rows):
        at = sizes[rows].argmin(axis=1)
        possible = np.isfinite(sizes[rows, at])
        rows, at = rows[possible], at[possible]
        feature, value = at // search.per_feature(sizes), values[rows, at]
        cluster = search.labels(shape, rows, feature, value)
        arrived = (cluster >= 0) & (cluster != own[rows])
        done, how = rows[arrived], at[arrived]
        result.feature[done], result.cluster[done] = feature[arrived], cluster[arrived]
        result.value[done], result.size[done] = value[arrived], sizes[done, how]
        rows, at, feature = rows[~arrived], at[~arrived], feature[~arrived]
        longer[rows, at] += 1
        values[rows, at], sizes[rows, at] = search.change(
            rows, feature, steps[rows, at], ways[rows, at], longer[rows, at]
        )
    return result


@dataclass(frozen=True)
class _Search:
    """Changes of single features. `prepared`: rows × features; `least`, `most`: raw, per feature.

    Arrays over all changes are rows × (features × changes of each), the first feature's first.
    """

    units: Units
    prepared: Floats
    least: Floats
    most: Floats

    def per_feature(self, changes: Floats) -> int:
        """Changes of each feature."""
        return int(changes.shape[1]) // int(self.prepared.shape[1])

    def steps(self, contests: _Contests) -> tuple[Floats, Floats]:
        """Of all changes: the step of the prepared value at which a rival wins (NaN: none), and its way."""
        features = np.arange(self.prepared.shape[1])
        lowest, highest = (self.units.prepared_of(end, features) for end in (self.least, self.most))
        steps, ways = [], []
        for feature, here in enumerate(self.prepared.T[:, :, None]):
            step, way = _crossings(*contests(self.units.direction(feature)))
            inside = (here + step >= lowest[feature]) & (here + step <= highest[feature])
            # From outside of the range its near end may be enough: a fill can be outside.
            near = np.clip(here, lowest[feature], highest[feature]) - here
            steps += [np.where(inside, step, np.nan), np.where(near == 0, np.nan, near)]
            ways += [way, np.sign(near)]
        return np.hstack(steps), np.hstack(ways)

    def changes(self, steps: Floats, ways: Floats) -> tuple[Floats, Floats]:
        """Values and sizes of all changes; the size is infinite where there is no step."""
        values, sizes = np.zeros(steps.shape), np.full(steps.shape, np.inf)
        rows, at = np.nonzero(np.isfinite(steps))
        values[rows, at], sizes[rows, at] = self.change(
            rows, at // self.per_feature(steps), steps[rows, at], ways[rows, at], np.zeros_like(rows)
        )
        return values, sizes

    def change(
        self, rows: Ints, features: Ints, steps: Floats, ways: Floats, longer: Ints
    ) -> tuple[Floats, Floats]:
        """Values and sizes of single changes, each lengthened `longer` times (infinite: too often)."""
        here = self.prepared[rows, features]
        ends = [self.units.prepared_of(end[features], features) for end in (self.least, self.most)]
        extra = _LONGER[np.minimum(longer, len(_LONGER) - 1)]
        reached = here + steps + ways * extra * np.maximum(np.abs(steps), ends[1] - ends[0])
        value = _outward(self.units.raw_of(reached, features), ways, self.units.places[features])
        value = np.clip(value, self.least[features], self.most[features])
        lengths = np.array([np.linalg.norm(self.units.direction(f)) for f in range(self.prepared.shape[1])])
        size = np.abs(self.units.prepared_of(value, features) - here) * lengths[features]
        return value, np.where(longer < len(_LONGER), size, np.inf)

    def labels(self, shape: Shape, rows: Ints, features: Ints, values: Floats) -> Ints:
        """Label of each row with one feature changed; -1 where it hangs by a hair."""
        changed = self.prepared[rows]
        each = np.arange(len(rows))
        here, there = changed[each, features], self.units.prepared_of(values, features)
        changed[each, features] = there
        exact = shape.labels(self.units.placed(changed))
        changed[each, features] = there - _SLACK * (there - here)
        return np.where(shape.labels(self.units.placed(changed)) == exact, exact, -1)


def _outward(values: Floats, ways: Floats, places: Floats) -> Floats:
    """Values rounded up (way 1) or down (-1): to whole numbers, or to significant digits and `places`."""
    exponent = _DIGITS - 1 - np.floor(np.log10(np.clip(np.abs(values), 1e-100, 1e200)))
    exponent = np.where((places == 0) | (values == 0), 0.0, np.minimum(exponent, places))
    # Powers of ten are exact only above 1: dividing by them gives the decimal number to the last bit.
    up, down = 10.0 ** np.maximum(exponent, 0.0), 10.0 ** np.maximum(-exponent, 0.0)
    # Adding 0 makes 0 of -0.
    return np.asarray(ways * np.ceil(ways * values * up / down) / up * down + 0.0)


def _crossings(a: Floats, b: Floats, c: Floats) -> tuple[Floats, Floats]:
    """Steps t, away from 0, at which a t² + b t + c rises above 0, and their way: 1 or -1; NaN where none.

    Rows × contests → rows × (2 × contests).
    """
    # Where a is 0 or nearly so, one root goes to infinity and the other is right to the last bit.
    with np.errstate(all="ignore"):
        slope = np.copysign(np.sqrt(b * b - 4 * a * c), b)
        middle = -(b + slope) / 2
        steps = np.hstack([middle / a, c / middle])
        slopes = np.hstack([-slope, slope])
        rises = np.isfinite(steps) & (slopes != 0) & (slopes * steps >= 0)
    return np.where(rises, steps, np.nan), np.sign(slopes)


def _centres(shape: Shape) -> tuple[Floats, bool]:
    """Centre of each label, and whether points are brought to length 1."""
    match shape:
        case Centres():
            return shape.centres, shape.unit
        case Tree():
            return shape.centres[list(shape.leaves)], shape.unit
    raise TypeError(f"{type(shape).__name__} has no centres")


def _contests(shape: Shape, points: Floats, own: Ints) -> _Contests:
    """The contests that each row's own cluster has won: when a rival wins one, the row is in another."""
    match shape:
        case Centres():
            return _contests_of_centres(shape, points, own)
        case Tree():
            return _contests_of_tree(shape, points, own)
        case Gaussians():
            return _contests_of_gaussians(shape, points, own)
    raise TypeError(f"{type(shape).__name__} has no contests")


def _constants(centres: Floats) -> Floats:
    """Of the scores c·x - ‖c‖²/2 that the nearest centre has the highest of.

    Centres of length 1 all have the same, so of points on their way to length 1 the scores tell as much.
    """
    return np.asarray(-0.5 * np.einsum("ij,ij->i", centres, centres))


def _contests_of_centres(shape: Centres, points: Floats, own: Ints) -> _Contests:
    """Against each other centre."""
    scores = points @ shape.centres.T + _constants(shape.centres)
    # A rival that is ahead of the own cluster is so by rounding.
    behind = np.minimum(_against(scores, own), 0.0)

    def along(direction: Floats) -> tuple[Floats, Floats, Floats]:
        rise = shape.centres @ direction
        return np.zeros((1, 1)), rise - rise[own, None], behind

    return along


def _contests_of_tree(shape: Tree, points: Floats, own: Ints) -> _Contests:
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


def _contests_of_gaussians(shape: Gaussians, points: Floats, own: Ints) -> _Contests:
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
