"""Labelled customers → profiles, against pandas."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_seg.profiles import PHRASES, FeatureStat, Profile, differences, profile

FEATURES = ["recency_days", "frequency", "spend_trend"]


def customers(n: int = 48) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "label": rng.integers(0, 3, n),
            "monetary": [Decimal(int(x * 10_000)).scaleb(-4) for x in rng.lognormal(3, 1, n)],
            "recency_days": rng.integers(1, 200, n),
            "frequency": rng.poisson(4, n) + 1,
            "spend_trend": np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
        }
    )


def table(spark: SparkSession, rows: pd.DataFrame) -> DataFrame:
    schema = "label int, monetary decimal(28,4), recency_days int, frequency bigint, spend_trend double"
    values = [
        (
            None if pd.isna(r.label) else int(r.label),
            r.monetary,
            int(r.recency_days),
            int(r.frequency),
            None if pd.isna(r.spend_trend) else float(r.spend_trend),
        )
        for r in rows.itertuples()
    ]
    # One partition: sums of doubles depend on the order in which they are added.
    return spark.createDataFrame(values, schema).coalesce(1)


def profiled(frame: DataFrame, label: str, features: list[str]) -> list[Profile]:
    """The profiles by one column, with another scheme beside it."""
    schemes = {"beside": F.when(F.col("frequency") > 3, 1).otherwise(7), "own": F.col(label)}
    return profile(frame, schemes, features)["own"]


def test_schemes_side_by_side_know_nothing_of_each_other(spark: SparkSession) -> None:
    frame = table(spark, customers())
    schemes = {"parity": F.col("recency_days") % 2, "few": F.when(F.col("label") > 0, F.col("label"))}
    together = profile(frame, schemes, FEATURES)
    assert together == {name: profile(frame, {name: schemes[name]}, FEATURES)[name] for name in schemes}
    assert [p.label for p in together["few"]] == [1, 2]


def test_every_figure_is_that_of_pandas(spark: SparkSession) -> None:
    rows = customers()
    profiles = profiled(table(spark, rows), "label", FEATURES)
    assert [p.label for p in profiles] == [0, 1, 2]
    total = sum(rows["monetary"])
    for p in profiles:
        mine = rows[rows["label"] == p.label]
        assert (p.customers, p.customer_share) == (len(mine), pytest.approx(len(mine) / len(rows)))
        assert p.revenue == sum(mine["monetary"])
        assert p.revenue_share == pytest.approx(float(sum(mine["monetary"]) / total))
        assert [s.feature for s in p.stats] == FEATURES
        for s in p.stats:
            values = mine[s.feature].dropna().astype(float)
            assert s.mean == pytest.approx(values.mean())
            assert (s.p10, s.median, s.p90) == pytest.approx(tuple(np.quantile(values, [0.1, 0.5, 0.9])))
            assert s.lift == pytest.approx(values.mean() / rows[s.feature].astype(float).mean())
    assert sum(p.customer_share for p in profiles) == pytest.approx(1)
    assert sum(p.revenue for p in profiles) == total


def reference_position(rows: pd.DataFrame, feature: str, label: int) -> float:
    """Mean over the segment of how many deciles of everybody a value is above (half for a tie)."""
    everybody = rows[feature].dropna().astype(float)
    deciles = np.quantile(everybody, np.arange(1, 10) / 10)
    mine = rows.loc[rows["label"] == label, feature].dropna().astype(float)
    rank = [((v > deciles).sum() + (v >= deciles).sum()) / 18 for v in mine]
    return float(2 * np.mean(rank) - 1)


def test_the_position_is_the_mean_decile_among_all_customers(spark: SparkSession) -> None:
    rows = customers()
    for p in profiled(table(spark, rows), "label", FEATURES):
        for name, position in p.positions.items():
            assert position == pytest.approx(reference_position(rows, name, p.label), abs=1e-12)
            assert -1 <= position <= 1


def test_the_lowest_customers_are_at_minus_one_the_highest_at_one_and_equal_ones_in_the_middle(
    spark: SparkSession,
) -> None:
    rows = pd.DataFrame(
        {
            "label": [0] * 2 + [1] * 20 + [2] * 2,
            "monetary": [Decimal(1)] * 24,
            "recency_days": [1] * 2 + list(range(10, 30)) + [99] * 2,
            "frequency": [7] * 24,
            "spend_trend": [0.0] * 24,
        }
    )
    positions = {p.label: p.positions for p in profiled(table(spark, rows), "label", FEATURES)}
    assert positions[0]["recency_days"] == -1
    assert positions[2]["recency_days"] == 1
    assert positions[1]["recency_days"] == pytest.approx(0, abs=0.05)
    assert {p["frequency"] for p in positions.values()} == {0}


@pytest.mark.parametrize(
    "change", [lambda v: v * 1000 + 5, F.log, lambda v: v * v * v], ids=["linear", "log", "cube"]
)
def test_positions_do_not_change_with_a_rising_transformation(
    spark: SparkSession, change: Callable[..., object]
) -> None:
    frame = table(spark, customers())
    before = profiled(frame, "label", ["recency_days"])
    moved = frame.withColumn("recency_days", change(F.col("recency_days").cast("double")))
    after = profiled(moved, "label", ["recency_days"])
    assert [p.positions for p in after] == [p.positions for p in before]
    assert after[0].stats[0].mean != before[0].stats[0].mean


def test_customers_without_a_label_count_nowhere(spark: SparkSession) -> None:
    rows = customers()
    rows["label"] = rows["label"].where(rows["label"] > 0)
    with_gaps = profiled(table(spark, rows), "label", FEATURES)
    assert with_gaps == profiled(table(spark, rows.dropna(subset="label")), "label", FEATURES)
    assert sum(p.customer_share for p in with_gaps) == pytest.approx(1)


def test_a_feature_that_nobody_in_the_segment_has_says_nothing(spark: SparkSession) -> None:
    rows = customers()
    rows.loc[rows["label"] == 1, "spend_trend"] = np.nan
    by_label = {p.label: p for p in profiled(table(spark, rows), "label", FEATURES)}
    assert by_label[1].stats[2] == FeatureStat("spend_trend", None, None, None, None, None, None)
    assert by_label[1].mean_of("spend_trend") == 0.0
    assert by_label[0].stats[2].mean is not None
    assert not any("trend" in text for text in differences(by_label[1]))


def test_a_feature_that_nobody_at_all_has_says_nothing(spark: SparkSession) -> None:
    rows = customers()
    rows["spend_trend"] = np.nan
    for p in profiled(table(spark, rows), "label", FEATURES):
        assert p.positions["spend_trend"] is None
        assert p.positions["frequency"] is not None


def test_a_segment_in_which_nobody_has_spent_has_no_revenue(spark: SparkSession) -> None:
    frame = table(spark, customers())
    some = frame.withColumn("monetary", F.when(F.col("label") > 0, F.col("monetary")))
    first, *others = profiled(some, "label", ["frequency"])
    assert (first.revenue, first.revenue_share) == (Decimal(0), 0.0)
    assert sum(p.revenue_share or 0 for p in others) == pytest.approx(1)
    nobody = profiled(frame.withColumn("monetary", F.lit(None).cast("decimal(28,4)")), "label", ["frequency"])
    assert {(p.revenue, p.revenue_share) for p in nobody} == {(Decimal(0), None)}


def test_a_feature_whose_mean_is_zero_has_no_lift(spark: SparkSession) -> None:
    rows = customers(4).assign(label=[0, 0, 1, 1], spend_trend=[1.0, 1.0, -1.0, -1.0])
    for p in profiled(table(spark, rows), "label", ["spend_trend"]):
        assert p.stats[0].lift is None
        assert len(differences(p)) == 1  # the phrase of spend_trend needs no lift


def test_without_customers_there_are_no_profiles(spark: SparkSession) -> None:
    assert profiled(table(spark, customers()).limit(0), "label", FEATURES) == []


def stat(feature: str, position: float | None, lift: float | None = 2.0) -> FeatureStat:
    return FeatureStat(feature, mean=0.25, median=12.4, p10=1.0, p90=20.0, lift=lift, position=position)


def told(*stats: FeatureStat) -> list[str]:
    return differences(Profile(0, 1, 1.0, Decimal(1), 1.0, stats))


def test_differences_are_told_in_words_strongest_first_and_at_most_three() -> None:
    assert told(
        stat("frequency", 0.2),
        stat("recency_days", -0.9),
        stat("response_rate", 0.5),
        stat("monetary", 0.6, lift=4.06),
        stat("something_else", 1.0),
    ) == ["12 days since last order", "4.1 × spend", "answers 25% of campaigns"]


def test_equal_differences_are_told_in_alphabetical_order() -> None:
    assert told(stat("monetary", -0.5), stat("frequency", 0.5)) == ["2.0 × orders", "2.0 × spend"]


def test_what_is_unknown_is_not_told() -> None:
    assert told(stat("monetary", None), stat("frequency", 0.5, lift=None)) == []


@pytest.mark.parametrize("feature", PHRASES)
def test_every_phrase_can_be_told(feature: str) -> None:
    (text,) = told(stat(feature, 0.7))
    assert "{" not in text
    assert "None" not in text
