"""Features to points and back, against the same arithmetic one number at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_seg.kernels import Units

UNITS = Units(
    names=("days", "orders", "spend", "margin"),
    fill=np.array([30.0, 0.0, 12.5, -1.0]),
    low=np.array([-np.inf, 1.0, -40.0, -np.inf]),
    high=np.array([np.inf, 50.0, 900.0, np.inf]),
    logged=np.array([False, True, True, True]),
    origin=np.array([2.0, 0.5, -3.0, -4.0]),
    shift=np.array([0.0, 0.25, 0.0, -1.0]),
    scale=np.array([0.1, 2.0, 0.5, -3.0]),
    places=np.array([0.0, 0.0, 4.0, np.inf]),
)
COMPONENTS = np.array([[0.5, -0.5], [0.5, 0.5], [0.1, -0.7], [0.0, 1.0]])
WITH_PCA = Units(**{**vars(UNITS), "components": COMPONENTS})

values = st.one_of(st.just(math.nan), st.floats(-1e6, 1e6))
rows = st.lists(st.tuples(values, values, values, values), min_size=1, max_size=5).map(np.array)


def by_hand(value: float, i: int) -> float:
    """One prepared value."""
    value = float(UNITS.fill[i]) if math.isnan(value) else value
    value = max(float(UNITS.low[i]), min(float(UNITS.high[i]), value))
    if UNITS.logged[i]:
        value = math.copysign(math.log1p(abs(value)), value)
    return value - float(UNITS.origin[i])


@given(rows)
def test_points_are_what_one_number_at_a_time_gives(raw: np.ndarray) -> None:
    prepared = [[by_hand(value, i) for i, value in enumerate(row)] for row in raw.tolist()]
    scaled = [
        [(value - shift) * scale for value, shift, scale in zip(row, UNITS.shift, UNITS.scale, strict=True)]
        for row in prepared
    ]
    turned = [
        [sum(x * float(c) for x, c in zip(row, column, strict=True)) for column in COMPONENTS.T]
        for row in scaled
    ]
    np.testing.assert_allclose(UNITS.prepared(raw), prepared, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(UNITS.points(raw), scaled, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(WITH_PCA.points(raw), turned, rtol=1e-9, atol=1e-9)


@given(st.integers(0, 3), st.floats(0.001, 0.999))
def test_a_prepared_value_comes_from_one_raw_value(i: int, share: float) -> None:
    low, high = max(float(UNITS.low[i]), -1e6), min(float(UNITS.high[i]), 1e6)
    raw = np.array([low + share * (high - low)])
    there_and_back = UNITS.raw_of(UNITS.prepared_of(raw, i), i)
    np.testing.assert_allclose(there_and_back, raw, rtol=1e-9, atol=1e-9)


def test_values_beyond_the_caps_are_at_the_caps() -> None:
    raw = np.array([[1.0, 1e9, -1e9, 1.0], [1.0, 50.0, -40.0, 1.0]])
    prepared = UNITS.prepared(raw)
    assert (prepared[0] == prepared[1]).all()


@settings(max_examples=30)
@given(rows, st.integers(0, 3), st.floats(-5, 5))
def test_a_point_moves_along_the_direction_of_the_feature(raw: np.ndarray, i: int, step: float) -> None:
    for units in (UNITS, WITH_PCA):
        prepared = units.prepared(raw)
        moved = prepared.copy()
        moved[:, i] += step
        expected = units.placed(prepared) + step * units.direction(i)
        np.testing.assert_allclose(units.placed(moved), expected, rtol=1e-9, atol=1e-6)


@pytest.mark.filterwarnings("error")
def test_large_values_without_a_logarithm_overflow_nothing() -> None:
    raw = np.array([[1e100, 1.0, 1.0, 1e100]])
    assert np.isfinite(UNITS.points(raw)).all()
    assert UNITS.raw_of(np.array([1e100]), 0) == 1e100
