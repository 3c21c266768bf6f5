"""The smallest change of one feature that moves a customer to another cluster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spark_seg.kernels.contests import Contests, contests_of
from spark_seg.kernels.shapes import Floats, Ints, Shape
from spark_seg.kernels.units import Units

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
    steps, ways = search.steps(contests_of(shape, points, own))
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

    def steps(self, contests: Contests) -> tuple[Floats, Floats]:
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
