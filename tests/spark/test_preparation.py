"""Features → vectors: every number against numpy or scikit-learn, and nothing changes by saving."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.decomposition import PCA
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from spark_seg.config import PreparationSettings
from spark_seg.errors import InputError, NoAcceptableCandidate
from spark_seg.preparation import (
    MAX_PARTITIONS,
    ROWS_PER_PARTITION,
    VECTOR,
    canonical_layout,
    check_directions,
    check_finite,
    fit_preparation,
)

Value = float | None


def features(spark: SparkSession, kind: str = "double", **columns: Sequence[Any]) -> DataFrame:
    names = list(columns)
    schema = ", ".join(["customer_id string", *(f"{name} {kind}" for name in names)])
    rows = zip(*columns.values(), strict=True)
    return spark.createDataFrame([(f"c{i:04}", *row) for i, row in enumerate(rows)], schema).coalesce(1)


def plain(*names: str, **how: Any) -> dict[str, dict[str, Any]]:
    """Features that are neither capped nor logged."""
    return {name: {"cap": None, "log": False, **how} for name in names}


def settings(features_: dict[str, Any], **more: Any) -> PreparationSettings:
    return PreparationSettings(features=features_, **({"scale": "none", "max_correlation": 1.0} | more))


def vectors(frame: DataFrame) -> np.ndarray:
    return np.array([row[VECTOR].toArray() for row in frame.orderBy("customer_id").collect()])


def prepared(frame: DataFrame, chosen: PreparationSettings) -> np.ndarray:
    return vectors(fit_preparation(frame, chosen).transform(frame))


def random_values(seed: int, n: int = 101) -> list[float]:
    return np.random.default_rng(seed).lognormal(2, 1, n).tolist()


WITH_GAPS: list[Value] = [None, 3.0, 1.0, None, 8.0, 2.5, 40.0]
FILLS: dict[Any, Callable[[list[float]], float]] = {
    "median": lambda v: float(np.median(v)),
    "mean": lambda v: float(np.mean(v)),
    "min": min,
    "max": max,
    7.25: lambda v: 7.25,
}


@pytest.mark.parametrize("how", FILLS)
def test_a_missing_value_takes_the_statistic_of_the_others_or_the_given_number(
    spark: SparkSession, how: Any
) -> None:
    known = [v for v in WITH_GAPS if v is not None]
    fill = FILLS[how](known)
    result = prepared(features(spark, a=WITH_GAPS), settings(plain("a", impute=how)))
    expected = np.array([fill if v is None else v for v in WITH_GAPS]) - min(known)
    np.testing.assert_allclose(result[:, 0], expected, rtol=1e-12)


def test_values_beyond_the_quantiles_are_pulled_in(spark: SparkSession) -> None:
    values = random_values(1)
    low, high = np.quantile(values, [0.1, 0.9])
    result = prepared(features(spark, a=values), settings({"a": {"cap": [0.1, 0.9]}}))
    np.testing.assert_allclose(result[:, 0], np.clip(values, low, high) - low, rtol=1e-12, atol=1e-12)
    assert result.max() == pytest.approx(high - low)


def test_logarithms_are_mirrored_for_negative_values(spark: SparkSession) -> None:
    values = [-100.0, -1.0, 0.0, 0.5, 1.0, 100.0]
    result = prepared(features(spark, a=values), settings({"a": {"cap": None, "log": True}}))
    logged = np.sign(values) * np.log1p(np.abs(values))
    np.testing.assert_allclose(result[:, 0], logged - logged.min(), rtol=1e-12)


def test_cap_comes_before_the_logarithm_and_a_gap_is_filled_before_both(spark: SparkSession) -> None:
    values: list[Value] = [None, *random_values(2, 40), -50.0]
    known = [v for v in values if v is not None]
    low, high = np.quantile(known, [0.05, 0.95])
    result = prepared(
        features(spark, a=values), settings({"a": {"impute": "max", "cap": [0.05, 0.95], "log": True}})
    )
    clipped = np.clip([max(known) if v is None else v for v in values], low, high)
    logged = np.sign(clipped) * np.log1p(np.abs(clipped))
    np.testing.assert_allclose(
        result[:, 0], logged - np.sign(low) * np.log1p(abs(low)), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize(
    ("kind", "reference"),
    [
        ("standard", lambda x: StandardScaler(with_mean=False).fit_transform(x) * math.sqrt(100 / 101)),
        ("robust", RobustScaler(with_centering=False).fit_transform),
        ("min_max", MinMaxScaler().fit_transform),
        ("none", lambda x: x),
    ],
)
def test_scales_agree_with_scikit_learn(
    spark: SparkSession, kind: str, reference: Callable[[np.ndarray], np.ndarray]
) -> None:
    a, b = random_values(3), [1000 * v for v in random_values(4)]
    result = prepared(features(spark, a=a, b=b), settings(plain("a", "b"), scale=kind))
    raw = np.column_stack([np.array(a) - min(a), np.array(b) - min(b)])
    np.testing.assert_allclose(result, reference(raw), rtol=1e-9, atol=1e-12)


def test_the_vectors_start_at_zero_and_never_lie_around_the_origin(spark: SparkSession) -> None:
    values = [-3.0, -1.0, 1.0, 3.0]
    result = prepared(features(spark, a=values), settings(plain("a"), scale="standard"))
    assert result.min() == 0.0
    assert (result >= 0).all()


def test_case_29_a_constant_feature_is_dropped_with_its_reason(spark: SparkSession) -> None:
    frame = features(spark, a=[1.0, 2.0, 3.0], flat=[5.0] * 3, tiny=[0.0, 1e-9, 0.0])
    fitted = fit_preparation(frame, settings(plain("a", "flat", "tiny")))
    assert fitted.features == ("a",)
    assert dict(fitted.dropped) == dict.fromkeys(("flat", "tiny"), "the same for all customers")


def test_min_deviation_is_the_border_of_constant(spark: SparkSession) -> None:
    frame = features(spark, a=[1.0, 2.0, 3.0], b=[0.0, 0.02, 0.0])
    deviation = float(np.std([0.0, 0.02, 0.0]))
    above = fit_preparation(frame, settings(plain("a", "b"), min_deviation=deviation * 1.01))
    below = fit_preparation(frame, settings(plain("a", "b"), min_deviation=deviation * 0.99))
    assert (above.features, below.features) == (("a",), ("a", "b"))


def test_case_29_of_two_correlated_features_the_later_one_is_dropped_and_names_its_partner(
    spark: SparkSession,
) -> None:
    rng = np.random.default_rng(5)
    a, other = rng.normal(size=80), rng.normal(size=80)
    twin = -2 * a + 0.1 * rng.normal(size=80)
    frame = features(spark, other=other.tolist(), a=a.tolist(), twin=twin.tolist())
    fitted = fit_preparation(frame, settings(plain("other", "a", "twin"), max_correlation=0.95))
    assert fitted.features == ("other", "a")
    design = np.column_stack([other, a, np.ones(80)])
    explained = design @ np.linalg.lstsq(design, twin, rcond=None)[0]
    joint = np.corrcoef(explained, twin)[0, 1]
    assert fitted.dropped == (("twin", f"correlated {joint:.3f} with the features before it (most with a)"),)
    kept_first = fit_preparation(frame, settings(plain("twin", "a", "other"), max_correlation=0.95))
    assert kept_first.features == ("twin", "other")


def test_a_feature_that_several_others_determine_together_is_dropped(spark: SparkSession) -> None:
    rng = np.random.default_rng(6)
    a, b, c = rng.normal(size=(3, 60))
    total = a + b + c
    pairwise = max(abs(np.corrcoef(total, x)[0, 1]) for x in (a, b, c))
    assert pairwise < 0.9, "no pair alone may give it away"
    frame = features(spark, a=a.tolist(), b=b.tolist(), c=c.tolist(), total=total.tolist())
    fitted = fit_preparation(frame, settings(plain("a", "b", "c", "total"), max_correlation=0.95))
    assert fitted.features == ("a", "b", "c")
    assert fitted.dropped[0][1].startswith("correlated 1.000 with the features before it")


def test_correlation_below_the_limit_keeps_both(spark: SparkSession) -> None:
    rng = np.random.default_rng(7)
    a = rng.normal(size=200)
    b = 0.8 * a + 0.6 * rng.normal(size=200)
    r = abs(np.corrcoef(a, b)[0, 1])
    frame = features(spark, a=a.tolist(), b=b.tolist())
    assert fit_preparation(frame, settings(plain("a", "b"), max_correlation=r + 0.001)).features == ("a", "b")
    assert fit_preparation(frame, settings(plain("a", "b"), max_correlation=r - 0.001)).features == ("a",)


@pytest.mark.parametrize("impute", ["median", "max", 3.0])
def test_a_feature_that_nobody_has_is_dropped_with_its_reason(spark: SparkSession, impute: Any) -> None:
    frame = features(spark, nothing=[None] * 3, a=[1.0, 2.0, 4.0])
    fitted = fit_preparation(frame, settings(plain("nothing", "a", impute=impute)))
    assert fitted.features == ("a",)
    assert fitted.dropped == (("nothing", "no customer has a value"),)


def test_a_feature_with_equal_quartiles_is_dropped_when_the_scale_is_robust(spark: SparkSession) -> None:
    mostly_one = [1.0] * 18 + [5.0, 9.0]
    frame = features(spark, a=[float(i) for i in range(20)], mostly=mostly_one)
    chosen = settings(plain("a", "mostly"), scale="robust")
    fitted = fit_preparation(frame, chosen)
    assert fitted.features == ("a",)
    assert fitted.dropped == (("mostly", "its quartiles are the same, so scale robust cannot measure it"),)
    assert vectors(fitted.transform(frame)).shape == (20, 1)
    with pytest.raises(NoAcceptableCandidate, match="quartiles are the same"):
        fit_preparation(frame, settings(plain("mostly"), scale="robust"))


def test_components_explain_the_wanted_share_of_variance(spark: SparkSession) -> None:
    rng = np.random.default_rng(8)
    base = rng.normal(size=(120, 2))
    table = np.column_stack(
        [base[:, 0] * 5, base[:, 0] * 5 + rng.normal(size=120), base[:, 1] * 2, rng.normal(size=120) * 0.1]
    )
    names = ["a", "b", "c", "d"]
    frame = features(spark, **{n: table[:, i].tolist() for i, n in enumerate(names)})
    reference = PCA().fit(table)
    shares = np.cumsum(reference.explained_variance_ratio_)
    for k in (1, 3):
        wanted = (shares[k - 2] if k > 1 else 0) * 0.5 + shares[k - 1] * 0.5
        result = prepared(frame, settings(plain(*names), pca_variance=wanted))
        assert result.shape == (120, k)
        centred = result - result.mean(axis=0)
        np.testing.assert_allclose(np.abs(centred), np.abs(reference.transform(table)[:, :k]), atol=1e-9)


def test_components_are_taken_of_the_scaled_features(spark: SparkSession) -> None:
    a, b = random_values(9), [1e6 * v for v in random_values(10)]
    result = prepared(
        features(spark, a=a, b=b), settings(plain("a", "b"), scale="standard", pca_variance=0.999)
    )
    scaled = StandardScaler().fit_transform(np.column_stack([a, b])) * math.sqrt(100 / 101)
    expected = PCA().fit_transform(scaled)
    np.testing.assert_allclose(np.abs(result - result.mean(axis=0)), np.abs(expected), atol=1e-9)


@pytest.mark.parametrize("more", [{"scale": "standard"}, {"scale": "robust", "pca_variance": 0.9}])
def test_a_saved_preparation_gives_the_same_bits_for_old_and_new_customers(
    spark: SparkSession, tmp_path: Path, more: dict[str, Any]
) -> None:
    frame = features(spark, a=[None, *random_values(11, 40)], b=[*random_values(12, 40), None])
    chosen = settings({"a": {"log": True}, "b": {"impute": "mean", "cap": [0.1, 0.8]}}, **more)
    fitted = fit_preparation(frame, chosen)
    fitted.model.write().save(str(tmp_path / "model"))
    loaded = PipelineModel.load(str(tmp_path / "model"))
    new = features(spark, a=[None, -1e9, 1e9, 0.1], b=[1e50, None, -3.0, 1 / 3])
    for rows in (frame, new):
        before, after = vectors(fitted.transform(rows)), vectors(loaded.transform(rows))
        assert before.tobytes() == after.tobytes()
        assert np.isfinite(after).all()


def test_new_customers_are_prepared_with_the_statistics_of_the_training_ones(spark: SparkSession) -> None:
    values = random_values(13)
    frame = features(spark, a=values)
    low, high = np.quantile(values, [0.1, 0.9])
    fitted = fit_preparation(frame, settings({"a": {"cap": [0.1, 0.9], "impute": "median"}}))
    new = features(spark, a=[None, -1e6, 1e6, float(high)])
    np.testing.assert_allclose(
        vectors(fitted.transform(new))[:, 0],
        np.array([np.median(values), low, high, high]) - low,
        rtol=1e-12,
        atol=1e-12,
    )


def test_transform_adds_the_vector_and_what_it_was_scaled_from(spark: SparkSession) -> None:
    frame = features(spark, a=[1.0, 2.0, 5.0], b=[3.0, 1.0, 2.0]).withColumn("other", F.lit("x"))
    for more in ({}, {"scale": "min_max", "pca_variance": 0.5}):
        result = fit_preparation(frame, settings(plain("a", "b"), **more)).transform(frame)
        assert result.columns == ["customer_id", "a", "b", "other", VECTOR, "prepared"]
        assert result.select("prepared.*").columns == ["a", "b"]


@pytest.mark.parametrize("fill", [1e-7, 1e22, -3.5, 1 / 3, 123456789.123456789, -1e-300, 5e15])
def test_every_number_survives_as_a_literal_bit_for_bit(spark: SparkSession, fill: float) -> None:
    values: list[Value] = [0.0, 1.0, None]
    result = prepared(features(spark, a=values), settings(plain("a", impute=fill), min_deviation=1e-320))
    origin = min(0.0, fill)
    assert result[:, 0].tolist() == [0.0 - origin, 1.0 - origin, fill - origin]


def test_amounts_may_be_decimals(spark: SparkSession) -> None:
    amounts = [Decimal("1.2500"), None, Decimal("-7.1234"), Decimal("100.0001")]
    result = prepared(
        features(spark, "decimal(28,4)", a=amounts), settings(plain("a", impute=0.0), scale="none")
    )
    np.testing.assert_allclose(result[:, 0], np.array([1.25, 0, -7.1234, 100.0001]) + 7.1234, rtol=1e-12)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e155, -1e200])
def test_case_30_values_that_cannot_be_measured_are_refused(spark: SparkSession, bad: float) -> None:
    frame = features(spark, good=[1.0, 2.0, 3.0], a=[1.0, bad, bad])
    with pytest.raises(InputError) as refused:
        fit_preparation(frame, settings({"good": {}, "a": {}}))
    assert [p.split(". ")[0] for p in refused.value.problems] == [
        "features.a: must be finite; got 2 values that are not"
    ]
    with pytest.raises(InputError, match=r"features\.a: must be finite; got 2 values"):
        check_finite(frame, ["good", "a"])
    check_finite(frame, ["good"])


def test_a_missing_value_is_not_a_bad_one(spark: SparkSession) -> None:
    check_finite(features(spark, a=[None, 1.0, -1e99]), ["a"])


def test_a_feature_that_the_table_lacks_is_refused_by_name(spark: SparkSession) -> None:
    with pytest.raises(InputError, match=r"features: must have missing \(preparation\.features\)"):
        fit_preparation(features(spark, a=[1.0, 2.0]), settings(plain("a", "missing")))


def test_case_29_when_nobody_differs_there_is_nothing_to_segment_by(spark: SparkSession) -> None:
    frame = features(spark, a=[4.0] * 5, b=[None] * 5)
    with pytest.raises(NoAcceptableCandidate) as refused:
        fit_preparation(frame, settings(plain("a", "b")))
    assert "a: the same for all customers" in str(refused.value)
    assert "b: no customer has a value" in str(refused.value)


def test_one_customer_differs_from_nobody(spark: SparkSession) -> None:
    with pytest.raises(NoAcceptableCandidate):
        fit_preparation(features(spark, a=[4.0]), PreparationSettings(features={"a": {"log": True}}))


def test_a_zero_vector_has_no_direction(spark: SparkSession) -> None:
    frame = features(spark, a=[0.0, 1.0, 2.0], b=[0.0, 5.0, 1.0])
    chosen = settings(plain("a", "b"))
    both = fit_preparation(frame, chosen).transform(frame)
    with pytest.raises(InputError, match="got 1 customers who are lowest"):
        check_directions(both)
    check_directions(both.where("customer_id != 'c0000'"))


@pytest.mark.parametrize(
    ("rows", "partitions"),
    [(0, 1), (1, 1), (ROWS_PER_PARTITION, 1), (ROWS_PER_PARTITION + 1, 2), (10**9, MAX_PARTITIONS)],
)
def test_the_layout_follows_from_the_row_count_alone(spark: SparkSession, rows: int, partitions: int) -> None:
    assert (
        canonical_layout(spark.range(3).withColumn("customer_id", F.col("id")), rows)
        .select("customer_id")
        .withColumn("partition", F.spark_partition_id())
        .rdd.getNumPartitions()
        == partitions
    )


def test_the_layout_is_the_same_for_every_order_and_number_of_files(spark: SparkSession) -> None:
    frame = spark.range(60).select(F.concat(F.lit("c"), "id").alias("customer_id"))

    def layout(source: DataFrame) -> list[tuple[int, str]]:
        placed = canonical_layout(source, 3 * ROWS_PER_PARTITION).select(
            F.spark_partition_id(), "customer_id"
        )
        return [tuple(row) for row in placed.collect()]

    expected = layout(frame)
    assert {partition for partition, _ in expected} == {0, 1, 2}
    for partitions in (1, 3, 7):
        # Kept, or the optimizer would leave out a shuffle before a shuffle.
        shuffled = (
            frame.orderBy(F.xxhash64("customer_id", F.lit(partitions))).repartition(partitions).persist()
        )
        assert layout(shuffled) == expected
        shuffled.unpersist()
