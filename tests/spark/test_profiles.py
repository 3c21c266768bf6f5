"""Labelled customers → profiles, against pandas."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_seg.profiles import (
    EVERYBODY,
    KPIS,
    PHRASES,
    FeatureStat,
    Kpi,
    Profile,
    differences,
    nearest_of,
    profile,
    sentences,
)
from spark_seg.profiles.words import number

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
    assert together == {
        EVERYBODY: together[EVERYBODY],
        **{name: profile(frame, {name: schemes[name]}, FEATURES)[name] for name in schemes},
    }
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
            values, of_all = (r[s.feature].dropna().astype(float) for r in (mine, rows))
            assert (s.known, s.mean, s.sd) == (
                len(values), pytest.approx(values.mean()), pytest.approx(values.std(ddof=0))
            )  # fmt: skip
            # Quantiles are rounded to five digits, which changes whole numbers of this size not at all.
            close = 0 if s.feature in ("recency_days", "frequency") else 5e-5
            expected = np.quantile(values, [0.1, 0.5, 0.9], method="inverted_cdf")
            assert (s.p10, s.median, s.p90) == pytest.approx(tuple(expected), rel=close, abs=0)
            assert s.lift == pytest.approx(values.mean() / of_all.mean())
            assert s.difference == pytest.approx((values.mean() - of_all.mean()) / of_all.std(ddof=0))
    assert sum(p.customer_share for p in profiles) == pytest.approx(1)
    assert sum(p.revenue for p in profiles) == total


def reference_position(rows: pd.DataFrame, feature: str, label: int) -> float:
    """Mean over the segment of how many deciles of everybody a value is above (half for a tie)."""
    everybody = rows[feature].dropna().astype(float)
    deciles = np.quantile(everybody, [q / 10 for q in range(1, 10)], method="inverted_cdf")
    mine = rows.loc[rows["label"] == label, feature].dropna().astype(float)
    rank = [((v > deciles).sum() + (v >= deciles).sum()) / 18 for v in mine]
    return float(2 * np.mean(rank) - 1)


def test_the_position_is_the_mean_decile_among_all_customers(spark: SparkSession) -> None:
    rows = customers()
    for p in profiled(table(spark, rows), "label", FEATURES):
        for name, position in p.positions.items():
            # Of two hundred steps of the segment's distribution.
            assert position == pytest.approx(reference_position(rows, name, p.label), abs=0.01)
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


def test_customers_without_a_label_count_for_everybody_alone(spark: SparkSession) -> None:
    rows = customers()
    rows["label"] = rows["label"].where(rows["label"] > 0)
    with_gaps = profile(table(spark, rows), {"own": F.col("label")}, FEATURES)
    assert [p.label for p in with_gaps["own"]] == [1, 2]
    assert sum(p.customers for p in with_gaps["own"]) == rows["label"].notna().sum()
    assert sum(p.customer_share for p in with_gaps["own"]) == pytest.approx(1)
    assert sum(p.revenue_share or 0 for p in with_gaps["own"]) == pytest.approx(1)
    assert with_gaps[EVERYBODY][0].customers == len(rows)


def test_a_feature_that_nobody_in_the_segment_has_says_nothing(spark: SparkSession) -> None:
    rows = customers()
    rows.loc[rows["label"] == 1, "spend_trend"] = np.nan
    by_label = {p.label: p for p in profiled(table(spark, rows), "label", FEATURES)}
    assert by_label[1].stats[2] == FeatureStat("spend_trend", 0, *(None,) * 8)
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
    return FeatureStat(feature, 9, 0.25, 1.0, 12.4, 1.0, 20.0, lift, 0.5, position)


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


# ---------------------------------------------------------------- who is in a segment


def people(spark: SparkSession) -> tuple[pd.DataFrame, DataFrame]:
    """Customers with attributes, scores and contacts."""
    rng = np.random.default_rng(5)
    rows = customers(400)
    rows["income"] = np.where(rng.random(400) < 0.2, None, rng.choice(["low", "middle", "high"], 400))
    rows["postcode"] = [f"{int(x):03d}" for x in rng.geometric(0.05, 400)]
    rows["top_category"] = np.where(rows["label"] == 1, "wine", rng.choice(["wine", "bread"], 400))
    rows["r_score"], rows["f_score"] = rng.integers(1, 6, 400), rng.integers(1, 6, 400)
    rows["contacts"] = rng.integers(0, 4, 400)
    answered = [rng.integers(0, n + 1) for n in rows["contacts"]]
    rows["response_rate"] = [a / n if n else np.nan for a, n in zip(answered, rows["contacts"], strict=True)]
    rows["holdout_active"] = rng.integers(0, 2, 400).astype(float)
    schema = (
        "label int, monetary decimal(28,4), recency_days int, frequency bigint, "
        "attributes map<string,string>, top_category string, r_score int, f_score int, contacts int, "
        "response_rate double, holdout_active double"
    )
    values = [
        (
            int(r.label), r.monetary, int(r.recency_days), int(r.frequency),
            {"postcode": r.postcode, **({"income": r.income} if r.income else {})}, r.top_category,
            int(r.r_score), int(r.f_score) if r.f_score < 5 else None, int(r.contacts),
            None if pd.isna(r.response_rate) else float(r.response_rate), float(r.holdout_active),
        )
        for r in rows.itertuples()
    ]  # fmt: skip
    return rows, spark.createDataFrame(values, schema).repartition(3)


def test_makeup_cells_and_kpis_are_those_of_pandas(spark: SparkSession) -> None:
    rows, frame = people(spark)
    profiles = profile(frame, {"own": F.col("label")}, ["frequency"])
    for p, mine in [(profiles[EVERYBODY][0], rows)] + [
        (p, rows[rows["label"] == p.label]) for p in profiles["own"]
    ]:
        assert p.makeup["income"] == mine["income"].dropna().value_counts().to_dict()
        assert p.makeup["top_category"] == mine["top_category"].value_counts().to_dict()
        known = mine[mine["f_score"] < 5].groupby(["r_score", "f_score"])["monetary"]
        assert p.cells == {cell: (len(values), sum(values)) for cell, values in known}
        contacted = mine[mine["contacts"] > 0]
        answers = (contacted["response_rate"] * contacted["contacts"]).sum()
        kpis = {kpi.kpi: (kpi.value, kpi.customers) for kpi in p.kpis}
        assert kpis == {
            "average_order_value": (
                pytest.approx(float(mine["monetary"].sum()) / mine["frequency"].sum()), len(mine)
            ),
            "repeat_rate": (pytest.approx((mine["frequency"] > 1).mean()), len(mine)),
            "retention": (pytest.approx(mine["holdout_active"].mean()), len(mine)),
            "conversion": (pytest.approx((contacted["response_rate"] > 0).mean()), len(contacted)),
            "campaign_response": (pytest.approx(answers / contacted["contacts"].sum()), len(contacted)),
        }  # fmt: skip
    assert set(KPIS) == set(kpis)


def test_of_many_values_the_commonest_are_told_and_the_others_are_counted(spark: SparkSession) -> None:
    rows, frame = people(spark)
    profiles = profile(frame, {"own": F.col("label")}, ["frequency"])
    counts = rows["postcode"].value_counts()
    told = profiles[EVERYBODY][0].makeup["postcode"]
    assert len(told) == 13
    assert {told[v] for v in told if v is not None} == set(counts.iloc[:12])
    assert sum(told.values()) == len(rows)
    for p in profiles["own"]:
        mine = rows.loc[rows["label"] == p.label, "postcode"]
        own = p.makeup["postcode"]
        assert {v for v in own if v is not None} <= set(told)
        assert all(own[v] == (mine == v).sum() for v in own if v is not None)
        assert sum(own.values()) == len(mine)


@pytest.mark.parametrize("features", [["frequency"], ["recency_days", "frequency", "contacts"]])
def test_it_is_one_aggregation_over_the_customers(
    spark: SparkSession, features: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from spark_seg.profiles.summary import _added_up, _facts

    _, frame = people(spark)
    schemes = {"own": F.col("label"), "parity": F.col("recency_days") % 2}
    _added_up(_facts(frame, schemes, features)).explain()
    head = capsys.readouterr().out
    assert head.count("Scan ExistingRDD") + head.count("LocalTableScan") == 1
    # Partial and final: one aggregation. What follows it are windows over its rows.
    assert head.count("ObjectHashAggregate") + head.count("SortAggregate") == 2


def test_rounding_for_quantiles_keeps_five_digits_and_whole_numbers(spark: SparkSession) -> None:
    from spark_seg.profiles.summary import _rounded

    values = [0.0, 1.0, 99_999.0, 123_456.0, 12_345_678.9, 0.000123456, -54.32109, 1e-300, 7e250]
    frame = spark.createDataFrame([(v,) for v in values], "value double")
    got = [row[0] for row in frame.select(_rounded(F.col("value"))).collect()]
    assert got[:4] == [0.0, 1.0, 99_999.0, 123_460.0]
    assert got == pytest.approx(values, rel=5e-5)
    assert got[4] == 12_346_000.0


def test_the_nearest_segment_is_the_one_whose_positions_are_most_alike() -> None:
    def at(label: int, *positions: float | None) -> Profile:
        stats = tuple(stat(f, p) for f, p in zip("abc", positions, strict=True))
        return Profile(label, 1, 1.0, Decimal(1), 1.0, stats)

    segments = [at(1, -0.9, 0.0, None), at(2, -0.5, 0.2, 0.3), at(3, 0.9, 0.9, 0.9), at(4, 0.5, None, 0.8)]
    assert nearest_of(segments, ["a", "b", "c"]) == {1: 2, 2: 1, 3: 4, 4: 3}
    assert nearest_of(segments, ["b"])[3] == 2
    assert nearest_of(segments[:1], ["a"]) == {}


def test_a_segment_is_told_in_sentences_made_from_its_numbers() -> None:
    def segment(label: int, n: int, share: float, days: float, spend: float) -> Profile:
        stats = (
            FeatureStat("recency_days", n, days, 5.0, days, 1.0, 90.0, days / 20, 0.1, days / 100 - 0.5),
            FeatureStat("monetary", n, spend, 400.0, spend, 1.0, 9000.0, spend / 800, 0.2, spend / 4000),
            FeatureStat("engagement_score", n, 2.0, 1.0, 2.0, 0.0, 4.0, 1.0, 0.0, 0.0),
        )
        return Profile(label, n, share, Decimal(int(n * spend)), share * spend / 800, stats)

    everybody, own, near = (
        segment(0, 1000, 1.0, 20, 800),
        segment(1, 250, 0.25, 3, 2400),
        segment(2, 90, 0.09, 5, 1234),
    )
    makeup = [
        {"attribute": "income", "value": "high", "customers": 60, "share": 0.5, "lift": 1.84},
        {"attribute": "income", "value": "low", "customers": 60, "share": 0.5, "lift": 0.5},
        {"attribute": "income", "value": None, "customers": 60, "share": 0.5, "lift": None},
    ]
    assert sentences(own, everybody, ("loyal_customers", near), makeup) == [
        "250 customers are 25.0% of all and bring 75.0% of revenue and 25.0% of engagement.",
        "Against all customers: 3.0 × spend, 3 days since last order (20 for all), 1.0 × engagement.",
        "The nearest segment is loyal_customers; against it: monetary 2,400 instead of 1,234, "
        "recency days 3 instead of 5.",
        "More often than others: income high (1.8 ×).",
    ]
    assert len(sentences(own, everybody, None, [])) == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3, "3"),
        (1234.4, "1,234"),
        (0.1234, "0.123"),
        (12.345, "12.3"),
        (-2.5, "-2.5"),
        (100, "100"),
    ],
)
def test_figures_in_sentences_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_kpi_of_nobody_has_no_value(spark: SparkSession) -> None:
    _, frame = people(spark)
    nobody = frame.withColumn("contacts", F.lit(0))
    kpis = {kpi.kpi: kpi for kpi in profile(nobody, {}, ["frequency"])[EVERYBODY][0].kpis}
    assert kpis["conversion"] == Kpi("conversion", None, 0)
