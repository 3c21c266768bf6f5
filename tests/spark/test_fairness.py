"""Fairness between groups: what is planted is found, chance and tiny groups are not accused."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_seg.config.monitoring import MonitoringSettings
from spark_seg.errors import InputError
from spark_seg.monitoring import Measure, fairness
from spark_seg.monitoring.fairness import _four_fifths, _Groups, _proxy

NOBODY = MonitoringSettings()
FAIR = MonitoringSettings(protected=("gender",), benefit_segments=("champions",))


def people(spark: SparkSession, *groups: tuple[str | None, int, int], extra: str = "") -> DataFrame:
    """Groups as (gender, customers, of these champions). `spend` is that of the gender, `age` nobody's."""
    rows = []
    for group, (gender, size, inside) in enumerate(groups):
        for i in range(size):
            segment = "champions" if i < inside else "others"
            attributes = {"hobby": extra} if gender is None else {"gender": gender, "hobby": extra}
            rows.append((attributes, segment, float(group * 100 + i % 100), i % 50))
    return spark.createDataFrame(rows, "attributes map<string,string>, segment string, spend double, age int")


def breached(measures: Iterable[Measure]) -> list[str]:
    return [m.subject for m in measures if m.breached]


def judged(frame: DataFrame, settings: MonitoringSettings = FAIR) -> dict[str, dict[str, Measure]]:
    found = fairness(frame, F.col("segment"), ["spend", "age"], settings)
    return {kind: {m.subject: m for m in found if m.measure == kind} for kind in {m.measure for m in found}}


def test_an_unfair_segment_and_a_proxy_are_found_and_fair_ones_are_not(spark: SparkSession) -> None:
    found = judged(people(spark, ("m", 200, 80), ("f", 200, 20), ("d", 100, 38)))
    ratios = {subject: (m.value, m.breached) for subject, m in found["four_fifths"].items()}
    assert ratios == {
        "gender=d in champions": (pytest.approx(0.95), False),
        "gender=f in champions": (pytest.approx(0.25), True),
    }
    unfair = found["four_fifths"]["gender=f in champions"]
    assert unfair.advice == "alert"
    assert unfair.sentence == (
        "10.0% of 200 customers with gender=f are in champions, 40.0% of 200 with m: ratio 0.25 "
        "(at least 0.8), not by chance (z test at 0.01)"
    )
    shares = found["size_share"]
    assert len(shares) == 6
    assert not any(m.breached for m in shares.values())
    assert {m.advice for m in shares.values()} == {"keep"}
    own = shares["gender=f in champions"]
    assert (own.reference, own.value) == (pytest.approx(0.4), pytest.approx(20 / 138))
    assert breached(found["proxy"].values()) == ["spend by gender"]


def test_the_proxy_figure_is_the_variance_of_ranks_between_the_groups(spark: SparkSession) -> None:
    frame = people(spark, ("m", 90, 20), ("f", 60, 20), ("d", 40, 20), ("x", 5, 0), (None, 40, 0))
    spend = np.concatenate([g * 100 + np.arange(n) % 100 for g, n in enumerate((90, 60, 40, 5, 40))])
    deciles = np.quantile(spend, np.arange(1, 10) / 10)
    ranks = np.array([(v > deciles).sum() + (v >= deciles).sum() for v in spend])[:190]
    parts = np.split(ranks, [90, 150])
    between = sum(len(p) * (p.mean() - ranks.mean()) ** 2 for p in parts)
    proxy = judged(frame)["proxy"]["spend by gender"]
    assert proxy.value == pytest.approx(between / (ranks.var() * 190))
    assert (proxy.breached, proxy.advice, proxy.threshold) == (True, "alert", 0.14)


def test_tiny_and_unknown_groups_are_not_accused_and_counted_in_words(spark: SparkSession) -> None:
    found = judged(people(spark, ("m", 100, 40), ("f", 100, 38), ("x", 12, 0), ("y", 3, 3), (None, 7, 0)))
    assert list(found["four_fifths"]) == ["gender=f in champions"]
    told = found["four_fifths"]["gender=f in champions"]
    assert not told.breached
    assert told.sentence.endswith("; not compared: 22 customers without a value or in 2 smaller groups")
    subjects = itertools.chain.from_iterable(found.values())
    assert not any("=x" in subject or "=y" in subject for subject in subjects)


def test_what_cannot_be_compared_is_told(spark: SparkSession) -> None:
    frame = people(spark, ("m", 40, 0), ("f", 20, 5), extra="chess")
    alone = judged(frame)
    assert set(alone) == {"four_fifths", "size_share"}  # no proxy: there is nothing to hold it against
    (one,) = alone["four_fifths"].values()
    assert (one.value, one.breached) == (None, False)
    assert "no two groups are large enough" in one.sentence
    absent = MonitoringSettings(protected=("gender", "faith"), benefit_segments=("royals",), min_group=20)
    found = judged(frame, absent)["four_fifths"]
    assert "nobody is in it" in found["gender in royals"].sentence
    assert breached(found.values()) == ["faith"]
    assert found["faith"].sentence == "nobody has a value of faith: fairness cannot be looked at"


def test_a_low_ratio_that_may_be_chance_accuses_nobody(spark: SparkSession) -> None:
    found = judged(people(spark, ("m", 60, 13), ("f", 60, 9)))
    told = found["four_fifths"]["gender=f in champions"]
    assert told.value == pytest.approx(9 / 13)
    assert not told.breached
    assert "may be by chance" in told.sentence
    # Of the 22 champions no shares are told: there are fewer than min_group.
    assert list(found["size_share"]) == ["gender=f in others", "gender=m in others"]


def test_fair_segments_accuse_nobody_for_two_hundred_seeds() -> None:
    low = accused = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        sizes = {"a": 150, "b": 80, "c": 35, "d": 300}
        inside = {"champions": {v: int(rng.binomial(n, 0.15)) for v, n in sizes.items()}}
        found = _four_fifths(_Groups("gender", sizes, inside, 0, 0), "champions", FAIR)
        low += any(m.value is not None and m.value < 0.8 for m in found)
        accused += bool(breached(found))
    assert low > 100
    assert accused <= 4  # at most 2 in 100 seeds, where one is promised


def test_features_that_have_nothing_to_do_with_the_groups_are_no_proxies() -> None:
    large = accused = 0
    for seed in range(200):
        groups = np.random.default_rng(seed).integers(0, 19, size=(2, 26, 30))
        for feature in range(26):
            parts = [groups[g, feature] for g in (0, 1)]
            rows = [{"n": 30, "sum": int(p.sum()), "squares": int((p * p).sum())} for p in parts]
            found = _proxy("gender", "x", rows, 26, FAIR)  # type: ignore[arg-type]
            large += found.value is not None and found.value >= 0.14
            accused += found.breached
    assert large > 5  # among so few customers the border alone would not do
    assert accused <= 4


def test_fairness_needs_customers_attributes_and_numbers(spark: SparkSession) -> None:
    frame = people(spark, ("m", 2, 1))
    assert fairness(frame, F.col("segment"), ["spend"], NOBODY) == []
    with pytest.raises(InputError, match="the current state must have customers; got none"):
        fairness(frame.limit(0), F.col("segment"), ["spend"], FAIR)
    with pytest.raises(InputError, match="column attributes"):
        fairness(frame.drop("attributes"), F.col("segment"), ["spend"], FAIR)
    with pytest.raises(InputError, match="feature income"):
        fairness(frame, F.col("segment"), ["income"], FAIR)
