"""Drift of features and distances: a planted one is found, and chance is not taken for one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.stats import chi2

from spark_seg.config.monitoring import MonitoringSettings
from spark_seg.errors import InputError
from spark_seg.monitoring import (
    Measure,
    distance_drift,
    feature_drift,
    population_stability,
    stability_noise,
)
from spark_seg.monitoring.bins import place, starts
from spark_seg.monitoring.drift import _measure

DEFAULTS = MonitoringSettings()
FEATURES = ["spend", "orders", "rare", "gaps", "flat"]
SCHEMA = "spend double, orders int, rare int, gaps double, flat decimal(10,2)"
Columns = dict[str, np.ndarray]


def customers(seed: int, n: int) -> Columns:
    """Continuous and skewed, counts, 5 % zeros, a third missing, constant."""
    rng = np.random.default_rng(seed)
    return {
        "spend": rng.lognormal(3, 1, n),
        "orders": rng.poisson(2, n).astype(float),
        "rare": (rng.random(n) > 0.05).astype(float),
        "gaps": np.where(rng.random(n) < 0.33, np.nan, rng.normal(size=n)),
        "flat": np.full(n, 7.0),
    }


def table(spark: SparkSession, columns: Columns) -> DataFrame:
    rows = [[None if np.isnan(v) else float(v) for v in row] for row in zip(*columns.values(), strict=True)]
    frame = spark.createDataFrame(rows, ", ".join(f"{name} double" for name in columns))
    types = dict(part.split(" ") for part in SCHEMA.split(", "))
    return frame.withColumns({name: F.col(name).cast(types[name]) for name in columns if name in types})


def rounded(values: np.ndarray) -> np.ndarray:
    """To 12 significant bits."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(mantissa * 4096), exponent - 12)


def counted(reference: np.ndarray, current: np.ndarray) -> tuple[list[int], list[int]]:
    """Customers per bin, in another way: how many deciles are below a value, and is it several of them?"""
    reference, current = rounded(reference), rounded(current)
    known = reference[~np.isnan(reference)]
    deciles = np.quantile(known, np.arange(1, 10) / 10)

    def bins(values: np.ndarray) -> list[tuple[int, bool]]:
        here = values[~np.isnan(values)]
        found = [(int((deciles < v).sum()), int((deciles == v).sum()) > 1) for v in here]
        return found + [(-1, False)] * int(np.isnan(values).sum())

    old, new = bins(reference), bins(current)
    every = sorted({*old, *new})
    return [old.count(b) for b in every], [new.count(b) for b in every]


def psi(expected: list[int], actual: list[int]) -> float:
    """In numpy, for bins of which none is empty on both sides."""
    e = np.maximum(expected, 0.5) / np.sum(expected)
    a = np.maximum(actual, 0.5) / np.sum(actual)
    return float(np.sum((a - e) * np.log(a / e)))


def breached(measures: list[Measure]) -> list[str]:
    return [m.subject for m in measures if m.breached]


@pytest.mark.parametrize(
    ("expected", "actual", "by_hand"),
    [
        ([50, 30, 20], [50, 30, 20], 0.0),
        ([50, 30, 20], [500, 300, 200], 0.0),
        # -0.1 ln 0.8 + 0 + 0.1 ln 1.5
        ([50, 30, 20], [40, 30, 30], 0.0223144 + 0.0405465),
        # -0.1 ln 0.8 + 0.095 ln 20: the empty bin holds half a customer
        ([50, 50, 0], [50, 40, 10], 0.0223144 + 0.2845946),
        ([50, 50, 0, 0], [50, 40, 10, 0], 0.0223144 + 0.2845946),
    ],
)
def test_the_index_by_hand(expected: list[int], actual: list[int], by_hand: float) -> None:
    assert population_stability(expected, actual) == pytest.approx(by_hand, abs=1e-6)
    assert population_stability(actual, expected) == pytest.approx(by_hand, abs=1e-6)
    assert psi(expected[:3], actual[:3]) == pytest.approx(by_hand, abs=1e-6)


def test_the_index_needs_customers_on_both_sides_and_the_same_bins() -> None:
    with pytest.raises(InputError, match="the reference must have customers"):
        population_stability([0, 0], [1, 1])
    with pytest.raises(InputError, match="the current state must have customers"):
        population_stability([1, 1], [0, 0])
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        population_stability([1, 1], [1])


def test_what_chance_gives_is_a_quantile_of_chi_squared() -> None:
    assert stability_noise(10, 200, 100) == pytest.approx((1 / 200 + 1 / 100) * chi2.ppf(0.999, 9))
    assert stability_noise(4, 50, 50, tests=5) == pytest.approx(0.04 * chi2.ppf(0.9998, 3))
    assert stability_noise(1, 200, 100) == 0.0


@pytest.mark.parametrize("n", [60, 200, 2000])
def test_no_shift_raises_nothing_for_twenty_seeds(n: int) -> None:
    above = 0
    for seed in range(20):
        reference, current = customers(seed, n), customers(seed + 1000, n)
        for name in FEATURES:
            before, now = counted(reference[name], current[name])
            found = _measure("psi", name, before, now, [0.0] * len(before), len(FEATURES), DEFAULTS)
            assert not found.breached, (seed, found)
            above += found.value is not None and found.value >= DEFAULTS.max_psi
    assert (above > 0) == (n == 60)  # there the border alone would not do


@pytest.mark.parametrize(("seed", "n"), [(1, 200), (2, 200), (3, 2000)])
def test_no_shift_raises_nothing_on_spark_and_the_figures_are_those_of_numpy(
    spark: SparkSession, seed: int, n: int
) -> None:
    reference, current = customers(seed, n), customers(seed + 100, n + 50)
    found = feature_drift(table(spark, reference), table(spark, current), FEATURES, DEFAULTS)
    assert [m.subject for m in found] == FEATURES
    assert breached(found) == []
    for m in found:
        assert m.value == pytest.approx(psi(*counted(reference[m.subject], current[m.subject])))
    assert found[-1].value == 0.0


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("spend", lambda v, _: v * 3, r"from [\d.]+ up went from 10% to [45]\d%"),
        ("orders", lambda v, _: v + 2, "the share .* went from"),
        ("rare", lambda v, g: np.where(g.random(len(v)) < 0.5, 0.0, v), "at 1 went from 9[2-8]% to [45]"),
        ("gaps", lambda v, g: np.where(g.random(len(v)) < 0.6, np.nan, v), "without a value went from 3"),
        ("flat", lambda v, _: v + 1, "at 7 went from 100% to 0%"),
    ],
)
def test_a_planted_shift_is_found_and_named_and_only_it(
    spark: SparkSession, name: str, change: Callable[..., np.ndarray], told: str
) -> None:
    reference, current = customers(5, 400), customers(6, 400)
    current[name] = change(current[name], np.random.default_rng(7))
    found = feature_drift(table(spark, reference), table(spark, current), FEATURES, DEFAULTS)
    assert breached(found) == [name]
    (drifted,) = (m for m in found if m.breached)
    assert (drifted.measure, drifted.advice, drifted.threshold) == ("psi", "refit", 0.25)
    before, now = counted(reference[name], current[name])
    assert drifted.value == pytest.approx(psi(before, now))
    assert f"chance {stability_noise(len(before), 400, 400, tests=len(FEATURES)):.2f}" in drifted.sentence
    assert re.search(told, drifted.sentence), drifted.sentence


def test_who_has_no_value_is_a_bin_and_no_number_is_no_value(spark: SparkSession) -> None:
    def frame(values: list[float | None]) -> DataFrame:
        return spark.createDataFrame([(v,) for v in values], "x double")

    nobody, somebody = frame([None] * 50), frame([float(i) for i in range(50)])
    assert breached(feature_drift(frame([0.0] * 50), nobody, ["x"], DEFAULTS)) == ["x"]
    odd = frame([math.nan] * 20 + [math.inf] * 20 + [-math.inf] * 10)
    for empty in (nobody, odd):
        (same,) = feature_drift(nobody, empty, ["x"], DEFAULTS)
        (gone,) = feature_drift(somebody, empty, ["x"], DEFAULTS)
        (come,) = feature_drift(empty, somebody, ["x"], DEFAULTS)
        assert (same.value, same.breached, gone.breached, come.breached) == (0.0, False, True, True)
    assert "without a value went from 0% to 100%" in gone.sentence


def test_bins_hold_what_the_words_say() -> None:
    borders = starts([1.0, 2.0, 2.0, 3.0])
    assert [place(borders, i) for i in range(-1, len(borders) + 1)] == [
        "without a value",
        "up to 1",
        "from 1 to 2",
        "at 2",
        "from 2 to 3",
        "from 3 up",
    ]
    assert starts([]) == []
    assert place([], 0) == "with a value"


def test_a_side_without_customers_or_features_is_refused_in_words(spark: SparkSession) -> None:
    frame = table(spark, customers(1, 20))
    with pytest.raises(InputError, match="monitoring: the current state must have customers; got none"):
        feature_drift(frame, frame.limit(0), FEATURES, DEFAULTS)
    with pytest.raises(InputError, match="monitoring: the reference must have customers; got none"):
        feature_drift(frame.limit(0), frame, FEATURES, DEFAULTS)
    with pytest.raises(InputError) as caught:
        feature_drift(
            frame.drop("spend"), frame.withColumn("orders", F.lit("many")), ["spend", "orders"], DEFAULTS
        )
    assert [p.split("; ")[0] for p in caught.value.problems] == [
        "monitoring: the reference must have the feature spend",
        "monitoring: the current state must have numbers as orders",
    ]
    assert feature_drift(frame, frame, [], DEFAULTS) == []


def test_the_number_of_passes_does_not_grow_with_the_number_of_features(spark: SparkSession) -> None:
    reference, current = table(spark, customers(1, 20)), table(spark, customers(2, 20))
    jobs = {}
    for features in (FEATURES[:1], FEATURES):
        group = f"drift of {len(features)}"
        spark.sparkContext.setJobGroup(group, group)
        feature_drift(reference, current, features, DEFAULTS)
        jobs[len(features)] = len(spark.sparkContext.statusTracker().getJobIdsForGroup(group))
    spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]
    assert jobs == {1: 2, 5: 2}


def test_distances_that_grow_are_found(spark: SparkSession) -> None:
    rng = np.random.default_rng(3)
    near = table(spark, {"distance": rng.gamma(2, 1, 400)})
    far = near.withColumn("distance", F.col("distance") * 2)
    (same,) = distance_drift(near, near, "distance", DEFAULTS)
    (moved,) = distance_drift(near, far, "distance", DEFAULTS)
    assert (same.measure, same.value, same.breached) == ("distance_psi", 0.0, False)
    assert (moved.subject, moved.breached, moved.advice) == ("distance", True, "refit")
    with pytest.raises(InputError, match="feature confidence"):
        distance_drift(near, far, "confidence", DEFAULTS)
