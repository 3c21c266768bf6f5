"""Features against a table worked by hand, their edges, and customers who break naive formulas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from shop import trusted_events, trusted_orders

from spark_seg.activity import daily_activity
from spark_seg.config import FeatureSettings, PreparationSettings
from spark_seg.errors import ConfigError
from spark_seg.features import (
    RFM_FEATURES,
    build_features,
    cut_points,
    feature_names,
    feature_spec,
    rfm_scores,
    score_rfm,
    unknown_features,
)
from spark_seg.features.build import catalogue
from spark_seg.features.lifecycle import STAGES, lifecycle_stage
from spark_seg.preparation import fit_preparation
from spark_seg.tables import FEATURES

GOLDEN = yaml.safe_load((Path(__file__).parents[1] / "golden" / "features.yaml").read_text("utf-8"))
AS_OF = GOLDEN["as_of"]
SETTINGS = FeatureSettings.model_validate(GOLDEN["settings"])
CUSTOMERS: dict[str, Any] = GOLDEN["customers"]


def features_of(
    spark: SparkSession,
    orders: list[tuple[Any, ...]],
    events: list[tuple[Any, ...]],
    settings: FeatureSettings = SETTINGS,
    customers: DataFrame | None = None,
    as_of: date = AS_OF,
) -> dict[str, Row]:
    activity = daily_activity(
        trusted_orders(spark, orders), trusted_events(spark, events), settings.engagement
    )
    return {r["customer_id"]: r for r in build_features(activity, customers, as_of, settings).collect()}


@pytest.fixture(scope="module")
def golden(spark: SparkSession) -> dict[str, Row]:
    orders = [
        (name, o, str(at), amount, category)
        for name, customer in CUSTOMERS.items()
        for o, at, amount, category in customer["orders"]
    ]
    events = [
        (name, str(at), kind, subject)
        for name, customer in CUSTOMERS.items()
        for at, kind, subject in customer["events"]
    ]
    return features_of(spark, orders, events)


# ---------------------------------------------------------------- worked by hand


@pytest.mark.parametrize("name", CUSTOMERS)
def test_the_features_of_a_customer_are_those_worked_by_hand(golden: dict[str, Row], name: str) -> None:
    expected = CUSTOMERS[name]["expected"]
    found = {feature: golden[name][feature] for feature in expected}
    assert found == {
        feature: pytest.approx(value, rel=1e-12, abs=0)
        if isinstance(found[feature], float)
        else value
        if not isinstance(found[feature], Decimal)
        else Decimal(str(value))
        for feature, value in expected.items()
    }


PERMISSIONS = {"may_activate", "may_experiment"}


def test_the_golden_table_covers_every_feature_and_every_stage() -> None:
    spec = set(feature_spec(SETTINGS).columns) - set(FEATURES.columns)
    apart = {"attributes", "r_score", "f_score", "m_score", *PERMISSIONS}  # tested on their own
    for customer in CUSTOMERS.values():
        assert set(customer["expected"]) == spec - apart
    assert {c["expected"]["lifecycle_stage"] for c in CUSTOMERS.values()} == set(STAGES)


def test_every_customer_with_activity_has_one_row_and_nobody_else(golden: dict[str, Row]) -> None:
    assert set(golden) == set(CUSTOMERS)


# ---------------------------------------------------------------- the catalogue


def test_every_feature_has_a_type_and_a_comment_and_stands_in_the_contract(golden: dict[str, Row]) -> None:
    spec = feature_spec(SETTINGS)
    types = {f.name: f.type for f in spec.fields}
    for name, feature in catalogue(SETTINGS).items():
        assert types[name] == feature.type
        assert feature.comment.strip() == feature.comment != ""
    assert len({f.comment for f in spec.fields}) == len(spec.fields)
    built = set(golden["ann"].asDict()) | {"r_score", "f_score", "m_score", *PERMISSIONS}
    assert built | set(FEATURES.partition_by) == set(spec.columns)


def test_built_features_have_the_types_of_the_contract(spark: SparkSession) -> None:
    activity = daily_activity(
        trusted_orders(spark, [("a", "o", "2024-06-01", "1", None)]), None, SETTINGS.engagement
    )
    built = build_features(activity, None, AS_OF, SETTINGS)
    types = {f.name: f.type.simpleString() for f in feature_spec(SETTINGS).fields}
    assert {f.name: f.dataType.simpleString() for f in built.schema}.items() <= types.items()


def test_features_that_can_be_clustered_are_the_numeric_ones() -> None:
    names = feature_names(SETTINGS)
    assert {"recency_days", "monetary_30d", "click_days", "category_breadth"} <= set(names)
    assert not {"customer_id", "top_category", "lifecycle_stage", "eligible", "r_score"} & set(names)
    assert names[:3] == ["recency_days", "frequency", "monetary"]


def test_an_unknown_feature_gets_the_closest_known_one() -> None:
    assert unknown_features(["monetary", "monetry"], SETTINGS) == [
        "unknown feature 'monetry'; did you mean 'monetary'?"
    ]
    [sentence] = unknown_features(["zzz"], SETTINGS)
    assert sentence.startswith("unknown feature 'zzz'; known: average_order_value, category_breadth, ")


def with_kinds(*kinds: str, **more: Any) -> FeatureSettings:
    return FeatureSettings.model_validate({"engagement": {"kinds": dict.fromkeys(kinds, 1), **more}})


@pytest.mark.parametrize(
    ("kinds", "taken"),
    [
        (["recency"], "recency_days"),
        (["Tenure"], "tenure_days"),
        (["visit", "engagement_recency"], "engagement_recency_days"),
    ],
)
def test_a_kind_that_would_replace_a_feature_is_refused(kinds: list[str], taken: str) -> None:
    with pytest.raises(ConfigError) as error:
        catalogue(with_kinds(*kinds))
    assert error.value.problems == (
        f"features.engagement.kinds.{kinds[-1]}: must give new features; got {taken}, which exists already. "
        "Give the kind another name",
    )


def test_kinds_that_differ_in_case_alone_are_refused() -> None:
    with pytest.raises(ConfigError) as error:
        catalogue(with_kinds("visit", "Visit"))
    assert len(error.value.problems) == 2


def test_features_follow_the_configuration() -> None:
    plain = FeatureSettings(lookbacks_days=(7,))
    assert "frequency_7d" in catalogue(plain)
    assert not [name for name in catalogue(plain) if name.startswith(("engagement", "contacts"))]
    assert "response_rate" not in catalogue(with_kinds("visit"))
    assert list(catalogue(with_kinds("visit")))[-5:] == [
        "visit_count",
        "visit_days",
        "engagement_score",
        "engagement_score_decayed",
        "engagement_recency_days",
    ]


DEGENERATE: dict[str, tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]] = {
    "one order": ([("o1", "2024-06-01", "10", "food")], []),
    "an order of nothing": ([("o1", "2024-06-01", "0", "food")], []),
    "only returns": ([("r1", "2024-06-01", "-10", "food"), ("r2", "2024-06-20", "-5", None)], []),
    "only events": ([], [("2024-06-01", "click", None), ("2024-06-02", "mail", "s1")]),
    "everything came back": ([("o1", "2024-06-01", "10", "food"), ("r1", "2024-06-01", "-10", "food")], []),
    "more came back": ([("o1", "2024-06-01", "10", "food"), ("r1", "2024-05-01", "-30", "food")], []),
    "long ago": ([("o1", "1990-01-01", "10", "food")], [("1990-01-01", "click", "s1")]),
    "tiny and huge": (
        [("o1", "2024-06-01", "0.0001", "a"), ("o2", "2024-06-02", "99999999999999.9999", "b")],
        [],
    ),
}


@pytest.mark.parametrize("name", list(catalogue(SETTINGS)))
def test_case_21_a_feature_is_finite_or_null_for_customers_who_break_naive_formulas(
    degenerate: dict[str, Row], name: str
) -> None:
    assert set(degenerate) == set(DEGENERATE)
    for row in degenerate.values():
        assert row[name] is None or math.isfinite(row[name])


@pytest.fixture(scope="module")
def degenerate(spark: SparkSession) -> dict[str, Row]:
    orders = [(name, *order) for name, (rows, _) in DEGENERATE.items() for order in rows]
    events = [(name, *event) for name, (_, rows) in DEGENERATE.items() for event in rows]
    return features_of(spark, orders, events)


def test_case_21_refunds_and_zeros_are_net_spend_and_no_logarithm_of_them_is_missing(
    spark: SparkSession, degenerate: dict[str, Row]
) -> None:
    spend = {name: row["monetary"] for name, row in degenerate.items()}
    assert spend | {"only returns": -15, "an order of nothing": 0, "everything came back": 0} == spend
    assert spend | {"more came back": -20, "only events": 0, "long ago": 0} == spend
    chosen = ("recency_days", "frequency", "monetary", "average_order_value", "spend_trend", "returned_share")
    rows = [(n, *(None if r[c] is None else float(r[c]) for c in chosen)) for n, r in degenerate.items()]
    frame = spark.createDataFrame(rows, "customer_id string, " + ", ".join(f"{c} double" for c in chosen))
    settings = PreparationSettings(
        features={name: {"cap": None, "log": True} for name in chosen}, max_correlation=1.0
    )
    found = {r["customer_id"]: r for r in fit_preparation(frame, settings).transform(frame).collect()}
    assert set(found) == set(DEGENERATE)
    for row in found.values():
        assert all(math.isfinite(x) for x in row["vector"])
        assert set(row["prepared"].asDict()) == set(chosen)
        assert all(math.isfinite(x) for x in row["prepared"])
    # The logarithm is mirrored: who got more back than was bought lies below who spent nothing.
    logged = {name: row["prepared"]["monetary"] for name, row in found.items()}
    assert logged["more came back"] < logged["only returns"] < logged["everything came back"]
    assert logged["everything came back"] == pytest.approx(math.log1p(20))


def test_shares_and_trends_keep_their_limits(degenerate: dict[str, Row], golden: dict[str, Row]) -> None:
    for row in (*degenerate.values(), *golden.values()):
        for name in ("spend_trend", "order_trend"):
            assert row[name] is None or -1 <= row[name] <= 1
        for name in ("response_rate", "top_category_share"):
            assert row[name] is None or 0 <= row[name] <= 1
    assert degenerate["more came back"]["returned_share"] == 3.0


def test_amounts_are_exact_to_the_last_place(degenerate: dict[str, Row]) -> None:
    assert degenerate["tiny and huge"]["monetary"] == Decimal("100000000000000.0000")


def test_ten_dimes_are_one_dollar(spark: SparkSession) -> None:
    orders = [("a", f"o{i}", "2024-06-01", "0.10", "food") for i in range(10)]
    row = features_of(spark, [*orders, ("a", "r", "2024-06-02", "-0.30", "food")], [])["a"]
    assert row["monetary"] == Decimal("0.7000")
    assert (row["average_order_value"], row["returned_share"]) == (0.7 / 10, 0.3)


# ---------------------------------------------------------------- edges


@pytest.mark.parametrize(
    ("day", "observed"),
    [("2024-01-02", False), ("2024-01-03", True), ("2024-06-30", True), ("2024-07-01", None)],
)
def test_the_observation_begins_with_its_first_day_and_ends_before_as_of(
    spark: SparkSession, day: str, observed: bool | None
) -> None:
    found = features_of(
        spark,
        [("buyer", "o1", f"{day} 00:00", "10", "food"), ("late", "o2", f"{day} 23:59:59", "10", "food")],
        [("reader", day, "click", "s1")],
    )
    if observed is None:  # on as_of there is nobody yet
        assert found == {}
        return
    for name in ("buyer", "late"):
        row = found[name]
        assert (row["frequency"], row["monetary"], row["category_breadth"]) == (
            (1, 10, 1) if observed else (0, 0, 0)
        )
        assert row["tenure_days"] == (AS_OF - date.fromisoformat(day)).days
        assert (row["recency_days"] is not None) == row["eligible"] == observed
    assert found["reader"]["click_count"] == found["reader"]["engagement_score"] == (1 if observed else 0)


def test_what_happens_after_as_of_changes_nothing(spark: SparkSession) -> None:
    orders = [("a", "o1", "2024-06-01", "10", "food"), ("a", "o2", "2024-06-11", "5", "toys")]
    events = [("a", "2024-06-01", "mail", "s1")]
    later = [("a", "o3", "2024-07-01", "99", "zoo"), ("b", "o4", "2024-08-01", "99", "zoo")]
    answered = [("a", "2024-07-01", "click", "s1")]
    assert features_of(spark, orders, events) == features_of(spark, orders + later, events + answered)


def test_features_of_an_earlier_as_of_come_from_the_same_activity(spark: SparkSession) -> None:
    orders = [("a", "o1", "2024-05-01", "10", "food"), ("a", "o2", "2024-06-11", "5", "toys")]
    row = features_of(spark, orders, [], as_of=date(2024, 6, 1))["a"]
    assert (row["recency_days"], row["frequency"], row["top_category"]) == (31, 1, "food")


# ---------------------------------------------------------------- who is segmented


@pytest.mark.parametrize(
    ("eligible", "expected"),
    [("buyers", {"buyer"}), ("active", {"buyer", "reader"})],
)
def test_buyers_or_all_active_customers_are_eligible(
    spark: SparkSession, eligible: str, expected: set[str]
) -> None:
    settings = SETTINGS.model_copy(update={"eligible": eligible})
    found = features_of(
        spark,
        [
            ("buyer", "o1", "2024-06-01", "10", None),
            ("once", "o2", "2023-06-01", "10", None),
            ("returner", "r1", "2024-06-01", "-10", None),
        ],
        [("reader", "2024-06-01", "mail", None), ("gone", "2023-06-01", "click", None)],
        settings,
    )
    assert set(found) == {"buyer", "once", "returner", "reader", "gone"}
    assert {name for name, row in found.items() if row["eligible"]} == expected


def test_attributes_come_along_and_add_nobody(spark: SparkSession) -> None:
    customers = spark.sql(
        "select 'a' as customer_id, map('town', 'Bonn') as attributes "
        "union all select 'x', map('town', 'Ulm')"
    )
    orders = [("a", "o1", "2024-06-01", "10", None), ("b", "o2", "2024-06-01", "10", None)]
    found = features_of(spark, orders, [], customers=customers)
    assert {name: row["attributes"] for name, row in found.items()} == {"a": {"town": "Bonn"}, "b": None}
    without = features_of(spark, orders, [])
    assert {name: row["attributes"] for name, row in without.items()} == {"a": {}, "b": {}}


@pytest.mark.parametrize(
    ("recency", "tenure", "gap", "stage"),
    [
        (None, None, None, "prospect"),
        (None, 400, None, "lapsed"),
        (61, 61, None, "lapsed"),
        (61, 400, 400, "lapsed"),
        (60, 90, 30, "cooling"),
        (30, 30, None, "new"),
        (1, 30, 29, "new"),
        (1, 31, 30, "active"),
        (20, 31, 11, "active"),
        (21, 31, 10, "cooling"),
        (20, 200, 60, "active"),
        (20, 200, 61, "reactivated"),
        (20, 200, None, "active"),
        (21, 200, 150, "cooling"),
    ],
)
def test_the_stages_have_these_borders(
    spark: SparkSession, recency: int | None, tenure: int | None, gap: int | None, stage: str
) -> None:
    frame = spark.createDataFrame(
        [(recency, tenure, gap)], "recency_days int, tenure_days int, last_gap_days int"
    )
    row = frame.select(lifecycle_stage(SETTINGS.lifecycle)).first()
    assert row is not None
    assert row[0] == stage


# ---------------------------------------------------------------- RFM scores


def random_table(seed: int) -> dict[str, np.ndarray]:
    """Recency, frequency and monetary of up to 400 customers; every other table has heavy ties."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 400))
    ties = seed % 2 == 0
    return {
        "recency_days": rng.integers(1, 4 if ties else 366, n),
        "frequency": 1 + rng.geometric(0.8 if ties else 0.1, n),
        "monetary": np.round(rng.choice([5.0, 7.5], n) if ties else rng.normal(100, 80, n), 4),
    }


def frame_of(spark: SparkSession, table: Mapping[str, np.ndarray]) -> DataFrame:
    rows = [
        (i, int(r), int(f), Decimal(str(m)), True)
        for i, (r, f, m) in enumerate(zip(*(table[name] for name in RFM_FEATURES), strict=True))
    ]
    schema = "id int, recency_days int, frequency long, monetary decimal(28,4), eligible boolean"
    return spark.createDataFrame(rows, schema)


@pytest.mark.parametrize("seed", range(6))
def test_scores_are_those_that_numpy_gives(spark: SparkSession, seed: int) -> None:
    table = random_table(seed)
    scored = score_rfm(frame_of(spark, table))
    rows = sorted(scored.customers.collect(), key=lambda row: row["id"])
    for name, (score, small_is_good) in RFM_FEATURES.items():
        values = table[name].astype(float)
        cuts = np.quantile(values, [0.2, 0.4, 0.6, 0.8])
        assert scored.cut_points[name] == pytest.approx(list(cuts), rel=1e-12)
        # Counted from the values alone: how many of the four borders lie below a value.
        below = np.array([sum(value > cut + 1e-9 for cut in cuts) for value in values])
        expected = 5 - below if small_is_good else 1 + below
        found = np.array([row[score] for row in rows])
        assert (found == expected).all()
        assert found.min() >= 1
        assert found.max() <= 5
        # Ties share a score, and a better value never scores worse.
        order = np.argsort(-values if small_is_good else values, kind="stable")
        steps, rises = np.diff(found[order]), np.diff(values[order])
        assert (steps[rises == 0] == 0).all()
        assert (steps >= 0).all()


def test_five_is_best_in_each_score(spark: SparkSession) -> None:
    n = np.arange(1, 101)
    table = {"recency_days": n, "frequency": n, "monetary": n.astype(float)}
    rows = {row["id"] + 1: row for row in score_rfm(frame_of(spark, table)).customers.collect()}
    assert [rows[1][s] for s in ("r_score", "f_score", "m_score")] == [5, 1, 1]
    assert [rows[100][s] for s in ("r_score", "f_score", "m_score")] == [1, 5, 5]
    for score in ("r_score", "f_score", "m_score"):
        assert np.bincount([row[score] for row in rows.values()])[1:].tolist() == [20] * 5


def test_customers_who_are_all_alike_share_one_score(spark: SparkSession) -> None:
    same = np.full(50, 3)
    table = {"recency_days": same, "frequency": same, "monetary": same.astype(float)}
    rows = score_rfm(frame_of(spark, table)).customers.collect()
    assert {(row["r_score"], row["f_score"], row["m_score"]) for row in rows} == {(5, 1, 1)}


def test_only_eligible_buyers_are_scored_and_only_they_make_the_borders(spark: SparkSession) -> None:
    n = np.arange(1, 11)
    buyers = frame_of(spark, {"recency_days": n, "frequency": n, "monetary": n.astype(float)})
    others = spark.sql(
        "select 100 as id, cast(null as int) as recency_days, 0L as frequency, 1e6bd as monetary, "
        "true as eligible union all select 101, 1, 1000L, 1e6bd, false"
    )
    alone, together = score_rfm(buyers), score_rfm(buyers.unionByName(others))
    assert alone.cut_points == together.cut_points
    rows = {
        row["id"]: (row["r_score"], row["f_score"], row["m_score"]) for row in together.customers.collect()
    }
    assert rows[100] == rows[101] == (None, None, None)
    assert None not in rows[0]


def test_without_buyers_there_are_no_borders_and_no_scores(spark: SparkSession) -> None:
    frame = frame_of(spark, random_table(1)).withColumn("eligible", F.lit(False))
    scored = score_rfm(frame)
    assert scored.cut_points == {name: [] for name in RFM_FEATURES}
    assert scored.customers.where("r_score is not null or f_score is not null").isEmpty()


def test_published_borders_give_the_same_scores_again(spark: SparkSession) -> None:
    frame = frame_of(spark, random_table(3))
    scored = score_rfm(frame)
    again = frame.withColumns(rfm_scores(scored.cut_points))
    assert sorted(again.collect()) == sorted(scored.customers.collect())
    assert cut_points(frame) == scored.cut_points
