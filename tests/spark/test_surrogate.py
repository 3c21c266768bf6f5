"""Labelled customers → rules: row for row what MLlib's tree says, in Spark, in DuckDB and in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.ml.classification import DecisionTreeClassificationModel, DecisionTreeClassifier
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_seg.preparation import canonical_layout
from spark_seg.profiles.rules import RULE_PHRASES, Condition, Rule, Surrogate
from spark_seg.profiles.surrogate import RuleFigures, fidelity, fit_surrogate, measure_rules
from spark_seg.profiles.tree import Leaf, Split, parse_tree, shortest

FILLS = {"recency_days": 180.0, "frequency": 2.5, "monetary": 58.25, "spend_trend": 0.0, "tiny": 1e-9}
SCHEMA = (
    "customer_id string, label int, recency_days int, frequency bigint, monetary decimal(28,4), "
    "spend_trend double, tiny double"
)
NAMES = {7: 'Bob\'s "best"', -3: "at\\risk", 12: "''; DROP TABLE x --"}


def rows(n: int = 600) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(3)
    made = []
    for i in range(n):
        recency, frequency = int(rng.integers(0, 200)), int(rng.poisson(4))
        money = Decimal(int(rng.lognormal(5, 1.5) * 10_000) - 400_000).scaleb(-4)
        trend, tiny = float(rng.normal()), float(rng.exponential(1e-8))
        label = 7 if recency < 60 and money > 100 else -3 if trend < -0.3 else 12
        if label == 12 and tiny > 1e-8:
            label = 7 if frequency > 4 else -3
        if rng.random() < 0.05:
            label = int(rng.choice([7, -3, 12]))
        empty = rng.random(5) < 0.15
        values = [
            None if gone else value
            for gone, value in zip(empty, (recency, frequency, money, trend, tiny), strict=True)
        ]
        made.append((f"c{i:04}", label, *values))
    return made


def fitted(frame: DataFrame, features: Mapping[str, float] = FILLS, **changes: int) -> Surrogate | None:
    how = {"seed": 1, "max_depth": 5, "smallest": 10, "sample": 100_000} | changes
    return fit_surrogate(canonical_layout(frame, frame.count()), "label", features, **how)


@dataclass(frozen=True)
class World:
    """Customers with their rule, and the tree that the rules were read from."""

    frame: DataFrame
    surrogate: Surrogate
    model: DecisionTreeClassificationModel
    told: pd.DataFrame


@pytest.fixture(scope="module")
def world(spark: SparkSession) -> Iterator[World]:
    frame = spark.createDataFrame(rows(), SCHEMA).coalesce(2).persist()
    models: list[DecisionTreeClassificationModel] = []
    fit = DecisionTreeClassifier.fit
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            DecisionTreeClassifier, "fit", lambda self, data: models.append(fit(self, data)) or models[-1]
        )
        surrogate = fitted(frame)
    assert surrogate is not None
    (model,) = models
    told = frame.withColumns(
        {
            "rule": surrogate.column(),
            "segment": F.expr(surrogate.case_sql()),
            "name": F.expr(surrogate.case_sql(NAMES)),
            "true_rules": F.expr(" + ".join(f"int({rule.sql()})" for rule in surrogate.rules)),
        }
    ).toPandas()
    yield World(frame, surrogate, model, told)
    frame.unpersist()


def test_every_customer_is_in_the_leaf_and_the_segment_that_mllib_says(world: World) -> None:
    values = [F.coalesce(F.col(n).cast("double"), F.lit(fill)).alias(n) for n, fill in FILLS.items()]
    vectors = VectorAssembler(inputCols=list(FILLS), outputCol="vector").transform(
        world.frame.select("customer_id", *values)
    )
    mllib = world.model.copy().setLeafCol("leaf").transform(vectors).toPandas()
    both = world.told.merge(mllib[["customer_id", "leaf", "prediction"]], on="customer_id")
    assert len(both) == 600
    assert (both["rule"] == both["leaf"] + 1).all()
    assert (both["segment"] == both["prediction"].map(dict(enumerate(sorted(NAMES))))).all()
    assert both["rule"].nunique() == len(world.surrogate.rules) >= 6
    assert both["segment"].nunique() == 3


def test_thresholds_are_short(world: World) -> None:
    bounds = [b for rule in world.surrogate.rules for c in rule.conditions for b in (c.low, c.high) if b]
    assert any(f" <= {b!r}" not in world.model.toDebugString for b in bounds)
    assert all(float(f"{b:.3e}") == b for b in bounds)
    whole = {
        c.feature: (c.low, c.high)
        for rule in world.surrogate.rules
        for c in rule.conditions
        if c.feature == "recency_days"
    }
    assert all(b is None or b == int(b) for pair in whole.values() for b in pair)
    assert whole


def test_the_rules_ask_for_every_kind_of_number_and_a_leaf_is_no_smaller_than_allowed(world: World) -> None:
    asked = {c.feature for rule in world.surrogate.rules for c in rule.conditions}
    assert asked >= {"recency_days", "monetary", "spend_trend", "tiny"}
    assert world.told.groupby("rule").size().min() >= 10


def test_exactly_one_rule_is_true_of_every_customer(world: World) -> None:
    assert (world.told["true_rules"] == 1).all()


def test_duckdb_reads_the_same_rules(world: World) -> None:
    types = {
        "customer_id": pa.string(),
        "label": pa.int32(),
        "recency_days": pa.int32(),
        "frequency": pa.int64(),
        "monetary": pa.decimal128(28, 4),
        "spend_trend": pa.float64(),
        "tiny": pa.float64(),
    }
    columns = zip(*rows(), strict=True)
    customers = pa.table(
        {name: pa.array(c, of) for (name, of), c in zip(types.items(), columns, strict=True)}
    )
    ids = "CASE " + " ".join(f"WHEN {r.sql()} THEN {r.rule_id}" for r in world.surrogate.rules) + " END"
    with duckdb.connect() as database:
        database.register("customers", customers)
        answers = database.sql(
            f"SELECT customer_id, {ids} AS rule, {world.surrogate.case_sql()} AS segment, "
            f"{world.surrogate.case_sql(NAMES)} AS name FROM customers ORDER BY customer_id"
        ).df()
    told = world.told.sort_values("customer_id")
    for column in ("customer_id", "rule", "segment", "name"):
        assert answers[column].tolist() == told[column].tolist(), column
    assert (told["name"] == told["segment"].map(NAMES)).all()


def evaluated(text: str, row: Any) -> bool:
    """Whether a rule in words is true of a row: read from the words alone."""
    phrases = {
        "recency_days": r"last order (.*) days? ago",
        "frequency": r"(.*) orders?",
        "monetary": r"spend (.*)",
        "spend_trend": r"spend trend \(-1 to 1\) (.*)",
        "tiny": r"tiny (.*)",
    }
    for part in text.split(", "):
        stated = part.removesuffix(" (or unknown)")
        feature, match = next(
            (name, m)
            for name, pattern in reversed(phrases.items())
            if (m := re.fullmatch(pattern, stated)) is not None
        )
        value = getattr(row, feature)
        if value is None or pd.isna(value):
            if stated == part:
                return False
        elif not within(match[1], float(value)):
            return False
    return True


def within(words: str, value: float) -> bool:
    """Whether `value` is in a range such as `above 3 and at most 1,250`."""
    number = r"(-?[\d,]+(?:\.\d+)?(?:e-?\d+)?)"
    pattern = rf"(?:between {number} and {number}|exactly {number}|at least {number}|"
    pattern += rf"(?:above {number})?(?: and )?(?:at most {number})?)"
    match = re.fullmatch(pattern, words)
    assert match is not None, words
    low, high, same, least, above, most = (
        None if text is None else float(text.replace(",", "")) for text in match.groups()
    )
    assert any(bound is not None for bound in (low, same, least, above, most))
    return (
        (low is None or high is None or low <= value <= high)
        and (same is None or value == same)
        and (least is None or value >= least)
        and (above is None or value > above)
        and (most is None or value <= most)
    )


def test_the_words_say_what_the_rule_says(world: World) -> None:
    rules = [(rule.rule_id, rule.text()) for rule in world.surrogate.rules]
    assert any("unknown" in text for _, text in rules)
    assert len({text for _, text in rules}) == len(rules)
    for row in world.told.itertuples():
        assert [rule_id for rule_id, text in rules if evaluated(text, row)] == [row.rule]


def unseen(frame: DataFrame) -> set[str]:
    bucket = "pmod(xxhash64(customer_id, 'surrogate'), 10000)"
    return {row[0] for row in frame.where(f"{bucket} >= 7000").select("customer_id").collect()}


def test_figures_are_those_of_pandas(world: World) -> None:
    told, hidden = world.told, unseen(world.frame)
    assert 130 < len(hidden) < 230
    figures = measure_rules(world.frame, "label", world.surrogate)
    assert [(f.rule_id, f.label) for f in figures] == [(r.rule_id, r.label) for r in world.surrogate.rules]
    for f in figures:
        mine, segment = told[told["rule"] == f.rule_id], told[told["label"] == f.label]
        tested = mine[mine["customer_id"].isin(hidden)]
        assert (f.customers, f.tested) == (len(mine), len(tested))
        assert f.precision == pytest.approx((mine["label"] == f.label).mean())
        assert f.tested_precision == pytest.approx((tested["label"] == f.label).mean())
        assert f.coverage == pytest.approx((mine["label"] == f.label).sum() / len(segment))
    tested = told[told["customer_id"].isin(hidden)]
    assert fidelity(figures) == pytest.approx((tested["segment"] == tested["label"]).mean())
    assert fidelity(figures) > 0.7


def test_the_tree_follows_from_the_seen_customers_alone_and_from_no_order(
    spark: SparkSession, world: World
) -> None:
    hidden = unseen(world.frame)
    shuffled = [
        (r[0], 12, *r[2:]) if r[0] in hidden else r
        for r in np.random.default_rng(5).permutation(np.array(rows(), dtype=object)).tolist()
    ]
    again = fitted(spark.createDataFrame(shuffled, SCHEMA).repartition(7))
    assert again == world.surrogate


def test_where_mllib_samples_the_tree_follows_from_the_customers_alone(spark: SparkSession) -> None:
    frame = spark.range(30_000).selectExpr(
        "string(id) AS customer_id", "pmod(xxhash64(id), 1000003) / 7 AS value", "int(value > 70000) AS label"
    )
    first, second = (
        fit_surrogate(rows, "label", {"value": 0.0}, seed=1, max_depth=2, smallest=20, sample=100_000)
        for rows in (frame.coalesce(1), frame.repartition(5, "value"))
    )
    assert first == second
    assert first is not None
    assert 2 <= len(first.rules) <= 4


def test_customers_without_a_segment_count_nowhere_and_the_sample_is_bounded(
    spark: SparkSession, world: World
) -> None:
    seen = []
    fit = DecisionTreeClassifier.fit
    nobody = [(f"x{i}", None, *r[2:]) for i, r in enumerate(rows(100))]
    frame = spark.createDataFrame([*rows(), *nobody], SCHEMA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            DecisionTreeClassifier, "fit", lambda s, data: seen.append(data.count()) or fit(s, data)
        )
        surrogate = fitted(frame, sample=150, max_depth=2)
    assert surrogate is not None
    assert 140 <= seen[0] <= 150
    figures = measure_rules(frame, "label", surrogate)
    assert sum(f.customers for f in figures) == 600
    assert len(surrogate.rules) <= 4


def small(spark: SparkSession, labels: list[int], value: list[float | None]) -> DataFrame:
    made = [(f"c{i:03}", label, v, None, 4.0) for i, (label, v) in enumerate(zip(labels, value, strict=True))]
    return spark.createDataFrame(
        made, "customer_id string, label int, value double, empty double, same double"
    )


FEW = {"value": 0.0, "empty": 1.0, "same": 0.0}


@pytest.mark.parametrize(
    ("labels", "value", "said"),
    [([5] * 10, [float(i) for i in range(10)], 5), ([9, 4, 4] * 10, [1.0] * 30, 4), ([3], [1.0], 3)],
    ids=["one segment", "nothing differs", "one customer"],
)
def test_without_a_difference_there_is_one_rule_for_all(
    spark: SparkSession, labels: list[int], value: list[float | None], said: int
) -> None:
    frame = small(spark, labels, value)
    surrogate = fitted(frame, FEW, smallest=1)
    assert surrogate == Surrogate(FEW, Leaf(said), (Rule(1, said, ()),))
    assert surrogate.rules[0].text() == "all customers"
    assert surrogate.case_sql({said: "it's"}) == "CASE\n  WHEN TRUE THEN 'it' || chr(39) || 's'\nEND"
    (row,) = frame.select(surrogate.column().alias("rule")).distinct().collect()
    assert row["rule"] == 1
    (figures,) = measure_rules(frame, "label", surrogate)
    assert (figures.customers, figures.hits) == (len(labels), labels.count(said))
    assert figures.coverage == 1.0


def test_where_there_is_nobody_to_see_but_those_kept_back_nobody_is_unseen(spark: SparkSession) -> None:
    everybody = small(spark, [9, 4, 4] * 10, [1.0, 2.0, 3.0] * 10)
    frame = everybody.where(F.col("customer_id").isin(unseen(everybody)))
    labels = [row["label"] for row in frame.collect()]
    said = max(sorted(set(labels)), key=labels.count)
    assert 0 < len(labels) < 30
    surrogate = fitted(frame, FEW, smallest=1)
    assert surrogate == Surrogate(FEW, Leaf(said), (Rule(1, said, ()),), saw_everybody=True)
    (figures,) = measure_rules(frame, "label", surrogate)
    assert (figures.customers, figures.hits) == (len(labels), labels.count(said))
    assert (figures.tested, figures.tested_hits) == (0, 0)
    assert fidelity([figures]) is None


def test_without_customers_there_are_no_rules(spark: SparkSession) -> None:
    assert fitted(small(spark, [1], [1.0]).limit(0), FEW) is None


def test_ten_customers_and_more_segments_than_points(spark: SparkSession) -> None:
    frame = small(spark, [0, 1, 2, 3, 4, 5, 0, 5, 0, 5], [None, 9.5] * 5)
    surrogate = fitted(frame, FEW, smallest=1)
    assert surrogate is not None
    assert [rule.text() for rule in surrogate.rules] == ["value at most 4.8 (or unknown)", "value above 4.8"]
    figures = measure_rules(frame, "label", surrogate)
    assert [f.customers for f in figures] == [5, 5]
    assert [f.label for f in figures] == [0, 5]


def test_a_whole_feature_is_not_rounded_past_a_fill_that_is_not_whole(spark: SparkSession) -> None:
    made = [(f"c{i:03}", int(i % 3 == 1), [27, None, 28][i % 3]) for i in range(60)]
    frame = spark.createDataFrame(made, "customer_id string, label int, recency_days int")
    surrogate = fitted(frame, {"recency_days": 27.5}, smallest=1)
    assert surrogate is not None
    assert [(rule.label, rule.text()) for rule in surrogate.rules] == [
        (0, "last order at most 27 days ago"),
        (1, "recency_days unknown"),
        (0, "last order at least 28 days ago"),
    ]
    assert {f.precision for f in measure_rules(frame, "label", surrogate)} == {1.0}
    told = F.expr(surrogate.case_sql())
    assert frame.where(told != F.col("label")).count() == 0


def test_names_that_are_no_plain_identifiers_are_refused(spark: SparkSession) -> None:
    with pytest.raises(ValueError, match="plain identifiers"):
        fitted(small(spark, [1], [1.0]), {"value) OR (1=1": 0.0})


def test_without_unseen_customers_nothing_is_tested() -> None:
    figures = RuleFigures(1, 0, customers=3, hits=2, tested=0, tested_hits=0, segment_customers=4)
    assert (figures.precision, figures.coverage, figures.tested_precision) == (2 / 3, 0.5, None)
    assert fidelity([figures]) is None
    nobody = replace(figures, customers=0, hits=0, segment_customers=0)
    assert (nobody.precision, nobody.coverage) == (None, None)


TREE = """\
DecisionTreeClassificationModel: uid=Tree_c3, depth=2, numNodes=5, numClasses=2, numFeatures=2
  If (feature 1 <= -5.5E-8)
   If (feature 0 <= 30.5)
    Predict: 1.0
   Else (feature 0 > 30.5)
    Predict: 0.0
  Else (feature 1 > -5.5E-8)
   Predict: 1.0
"""


def test_a_tree_is_read_from_its_description() -> None:
    expected = Split("b", -5.5e-8, Split("a", 30.5, Leaf(9), Leaf(-4)), Leaf(9))
    assert parse_tree(TREE, ["a", "b"], [-4, 9]) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("DecisionTreeClassificationModel", "DecisionTreeRegressionModel"),
        ("feature 0 <= 30.5", "feature 0 in {1.0,2.0}"),
        ("feature 0 <= 30.5", "feature 0 <= NaN"),
        ("feature 0 <= 30.5", "feature 2 <= 30.5"),
        ("feature 0 <= 30.5", "feature 0 < 30.5"),
        ("feature 0 > 30.5", "feature 0 > 30.6"),
        ("   Else", "    Else"),
        ("  Else (feature 1 > -5.5E-8)\n   Predict: 1.0\n", ""),
        ("    Predict: 0.0\n", ""),
        ("    Predict: 0.0", "    Predict: 2.0"),
        ("    Predict: 0.0", "    Predict: 0.0 (impurity = 0.1)"),
        ("   Predict: 1.0\n", "   Predict: 1.0\n   Predict: 1.0\n"),
        ("numNodes=5", "numNodes=7"),
        ("depth=2", "depth=3"),
        ("numClasses=2", "numClasses=3"),
        ("numFeatures=2", "numFeatures=3"),
        (TREE, ""),
    ],
)
def test_a_description_of_another_form_is_refused(old: str, new: str) -> None:
    assert old in TREE
    with pytest.raises(ValueError, match="decision tree: must be described"):
        parse_tree(TREE.replace(old, new), ["a", "b"], [-4, 9])


@pytest.mark.parametrize(
    ("threshold", "low", "high", "rounded"),
    [
        (1234.5, 1100.0, 1300.0, 1200.0),
        (1234.5, 1210.0, 1300.0, 1230.0),
        (1234.5, 1234.0, 1235.0, 1234.0),
        (-0.0123456, -0.0124, -0.0123, -0.01235),
        (0.0, -1.0, 1.0, 0.0),
        (2.0 / 3, 2.0 / 3, np.nextafter(2.0 / 3, 1), 2.0 / 3),
        (0.95, 0.95, 1.0, 0.95),
        (99.96, 99.9, 100.0, 99.96),
    ],
)
def test_a_threshold_is_as_short_as_the_customers_on_both_sides_allow(
    threshold: float, low: float, high: float, rounded: float
) -> None:
    assert shortest(threshold, low, high) == rounded
    assert low <= rounded < high


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (Condition("recency_days", None, 27, 0, whole=True), "last order at most 27 days ago"),
        (Condition("recency_days", 27, 84, 0, whole=True), "last order between 28 and 84 days ago"),
        (Condition("recency_days", 0, 1, 0, whole=True), "last order exactly 1 day ago"),
        (Condition("recency_days", None, 27.5, 27.25), "last order at most 27.5 days ago"),
        (Condition("frequency", 0, None, 0, whole=True), "at least 1 order"),
        (Condition("frequency_90d", 11, None, 0, whole=True), "at least 12 orders in the last 90 days"),
        (Condition("frequency_90d", -1, 1, 0, whole=True), "between 0 and 1 orders in the last 90 days"),
        (Condition("monetary", 1250.0, None, 0), "spend above 1,250"),
        (
            Condition("monetary_28d", -0.5, 1250.5, 0),
            "spend in the last 28 days above -0.5 and at most 1,250.5",
        ),
        (Condition("category_breadth", None, 1, 0, whole=True), "at most 1 category"),
        (Condition("visit_count", 2, None, 0, whole=True), "visit_count at least 3"),
        (Condition("visit_count", None, 2.5, 2.2, whole=True), "visit_count at most 2"),
        (Condition("tenure_days", 999, 1999, 0, whole=True), "first order between 1,000 and 1,999 days ago"),
        (
            Condition("response_rate", None, 0.2, 0.1, unknown=True),
            "share of campaigns answered at most 0.2 (or unknown)",
        ),
    ],
)
def test_conditions_in_words(condition: Condition, words: str) -> None:
    assert condition.text() == words


@pytest.mark.parametrize("feature", RULE_PHRASES)
def test_every_phrase_can_be_told(feature: str) -> None:
    name = feature.replace("<n>", "90")
    text = Condition(name, 1.5, 2250.0, 0.0).text()
    assert "above 1.5 and at most 2,250" in text
    assert name not in text or name == feature == "contacts"
    assert not set("{}<>_") & set(text)
    assert ("90" in text) == (name != feature)


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (27.0, "27"),
        (-1234.5, "-1234.5"),
        (0.0, "0"),
        (1.5e-7, "1.5E-07"),
        (1e16, "1E+16"),
        (0.30000000000000004, "0.30000000000000004E0"),
    ],
)
def test_numbers_in_sql(number: float, written: str, spark: SparkSession) -> None:
    condition = Condition("x", None, number, 0.0)
    assert condition.sql() == f"coalesce(x, 0.0E0) <= {written}"
    above, below = np.nextafter(number, np.inf), np.nextafter(number, -np.inf)
    values = [float(below), number, float(above)]
    frame = spark.createDataFrame([(v,) for v in values], "x double")
    assert [row[0] for row in frame.select(F.expr(condition.sql())).collect()] == [True, True, False]
    with duckdb.connect() as database:
        database.register("numbers", pa.table({"x": values}))
        answers = database.sql(f"SELECT {condition.sql()} FROM numbers").fetchall()
    assert [answer for (answer,) in answers] == [True, True, False]
