"""RFM scores by stored cut points, and maps from scores to segments; the standard one is as published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import product

import numpy as np
import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from spark_seg.config import DEFAULT_MAP, RfmRow, names_of
from spark_seg.errors import InputError
from spark_seg.features import RFM_FEATURES, rescore, score_rfm
from spark_seg.segments import map_index, map_name
from spark_seg.tables import RUNS

#: Row r (5 at the top), column f (1 at the left): the table marketers know.
PUBLISHED = {
    5: ["new_customers", "potential_loyalists", "potential_loyalists", "champions", "champions"],
    4: ["promising", "potential_loyalists", "potential_loyalists", "loyal_customers", "loyal_customers"],
    3: ["about_to_sleep", "about_to_sleep", "need_attention", "loyal_customers", "loyal_customers"],
    2: ["hibernating", "hibernating", "at_risk", "at_risk", "cant_lose"],
    1: ["hibernating", "hibernating", "at_risk", "at_risk", "cant_lose"],
}


# ---------------------------------------------------------------- any map


def mapped(
    spark: SparkSession, rows: Sequence[RfmRow], scores: Sequence[tuple[int | None, ...]]
) -> dict[tuple[int | None, ...], tuple[int | None, str | None]]:
    """Scores → index and name of their segment."""
    frame = spark.createDataFrame(list(scores), "r int, f int, m int")
    index = map_index(rows, F.col("r"), F.col("f"), F.col("m"))
    found = frame.select("r", "f", "m", index.alias("i"), map_name(rows, index).alias("name")).collect()
    return {(row.r, row.f, row.m): (row.i, row.name) for row in found}


CELLS = list(product(range(1, 6), repeat=3))


def test_the_default_map_gives_all_125_cells_their_published_segment(spark: SparkSession) -> None:
    names = names_of(DEFAULT_MAP)
    expected = {(r, f, m): PUBLISHED[r][f - 1] for r, f, m in CELLS}
    assert mapped(spark, DEFAULT_MAP, CELLS) == {
        cell: (names.index(name), name) for cell, name in expected.items()
    }
    # Positions are ids of what is published: they stay.
    assert list(names) == [
        "champions", "loyal_customers", "potential_loyalists", "new_customers", "promising",
        "need_attention", "about_to_sleep", "at_risk", "cant_lose", "hibernating",
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_the_first_row_that_matches_wins_in_any_map(spark: SparkSession, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def scores() -> tuple[int, ...]:
        return tuple(sorted(rng.choice(range(1, 6), rng.integers(1, 5), replace=False).tolist()))

    rows = [RfmRow(name=str(rng.choice(list("abcd"))), r=scores(), f=scores(), m=scores()) for _ in range(8)]
    names = names_of(rows)
    expected: dict[tuple[int | None, ...], tuple[int | None, str | None]] = dict.fromkeys(CELLS, (None, None))
    for cell in CELLS:
        first = next(
            (row.name for row in rows if cell[0] in row.r and cell[1] in row.f and cell[2] in row.m), None
        )
        if first is not None:
            expected[cell] = (names.index(first), first)
    assert {(None, None), (0, names[0])} < set(expected.values())
    assert mapped(spark, rows, CELLS) == expected


def test_rows_of_one_name_make_one_segment_at_the_place_of_the_first(spark: SparkSession) -> None:
    rows = [RfmRow(name="b", r=(5,)), RfmRow(name="a", r=(4,)), RfmRow(name="b", m=(5,)), RfmRow(name="c")]
    found = mapped(spark, rows, [(5, 1, 1), (4, 1, 5), (3, 1, 5), (3, 1, 4)])
    assert list(found.values()) == [(0, "b"), (1, "a"), (0, "b"), (2, "c")]


def test_without_the_three_scores_there_is_no_segment_even_in_a_map_of_everybody(spark: SparkSession) -> None:
    scores = [(None, 3, 3), (3, None, 3), (3, 3, None), (None, None, None), (0, 3, 3), (3, 6, 3)]
    assert mapped(spark, [RfmRow(name="everybody")], scores) == dict.fromkeys(scores, (None, None))
    assert mapped(spark, [RfmRow(name="everybody")], [(1, 5, 3)]) == {(1, 5, 3): (0, "everybody")}


# ---------------------------------------------------------------- scores by stored cut points

SCORES = [score for score, _ in RFM_FEATURES.values()]


def customers(spark: SparkSession, seed: int, n: int = 300) -> DataFrame:
    """Features with many ties; of some customers who are not eligible or have not ordered."""
    rng = np.random.default_rng(seed)
    rows = [
        (
            i,
            int(rng.integers(1, 12)),
            int(rng.geometric(0.4)) - 1,
            Decimal(int(rng.integers(-2, 9))) / 4,
            i % 7 > 0,
        )
        for i in range(n)
    ]
    return spark.createDataFrame(
        rows, "id int, recency_days int, frequency long, monetary decimal(28,4), eligible boolean"
    )


def by_id(frame: DataFrame) -> dict[int, tuple[int | None, ...]]:
    return {row["id"]: tuple(row[score] for score in SCORES) for row in frame.collect()}


def as_stored(spark: SparkSession, cuts: Mapping[str, Sequence[float]]) -> list[Row]:
    """Cut points as they come back from the table of runs."""
    field = next(field for field in RUNS.fields if field.name == "cut_points")
    rows = [([(name, list(points)) for name, points in cuts.items()],)]
    frame = spark.createDataFrame(rows, f"cut_points {field.type.simpleString()}")
    row = frame.first()
    assert row is not None
    return list(row["cut_points"])


@pytest.mark.parametrize("seed", range(3))
def test_rescoring_by_the_stored_cut_points_gives_the_same_scores(spark: SparkSession, seed: int) -> None:
    features = customers(spark, seed)
    scored = score_rfm(features)
    again = rescore(features, as_stored(spark, scored.cut_points))
    assert again.schema == scored.customers.schema
    assert again.columns == scored.customers.columns
    assert by_id(again) == by_id(scored.customers)
    unscored = features.where("not eligible or frequency = 0").count()
    assert 0 < unscored == list(by_id(again).values()).count((None, None, None))


def test_a_customer_keeps_the_score_whoever_else_is_there_and_published_scores_are_replaced(
    spark: SparkSession,
) -> None:
    features = customers(spark, 3)
    scored = score_rfm(features)
    few = features.where("id < 20 and recency_days > 5")
    kept = by_id(scored.customers)
    assert by_id(score_rfm(few).customers) != {
        i: kept[i] for i in by_id(rescore(few, scored.cut_points.items()))
    }
    published = few.withColumns({score: F.lit(9) for score in SCORES})
    again = rescore(published, scored.cut_points.items())
    assert again.columns == published.columns
    found = by_id(again)
    assert len(found) > 5
    assert found == {i: kept[i] for i in found}


def test_without_buyers_the_stored_cut_points_are_empty_and_so_are_the_scores(spark: SparkSession) -> None:
    features = customers(spark, 4, 30)
    stored = as_stored(spark, score_rfm(features.where("frequency = 0")).cut_points)
    assert set(by_id(rescore(features, stored)).values()) == {(None, None, None)}


FOUR = [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("stored", "got"),
    [
        ([], "nothing"),
        ([("recency_days", FOUR), ("frequency", FOUR)], "recency_days (4), frequency (4)"),
        (
            [("recency_days", FOUR), ("frequency", FOUR), ("tenure_days", FOUR)],
            "recency_days (4), frequency (4), tenure_days (4)",
        ),
        (
            [("recency_days", FOUR), ("frequency", FOUR), ("monetary", FOUR), ("monetary", FOUR)],
            "recency_days (4), frequency (4), monetary (4), monetary (4)",
        ),
        (
            [("recency_days", FOUR), ("frequency", FOUR[:3]), ("monetary", FOUR)],
            "recency_days (4), frequency (3), monetary (4)",
        ),
    ],
)
def test_cut_points_that_are_not_of_the_three_features_are_refused(
    spark: SparkSession, stored: list[tuple[str, list[float]]], got: str
) -> None:
    with pytest.raises(InputError) as caught:
        rescore(customers(spark, 0, 5), stored)
    assert caught.value.problems == (
        "cut_points: must be four cuts, or none, of each of recency_days, frequency, monetary; got "
        f"{got}. Take those of the run that built the features (run_all or build_features)",
    )


@pytest.mark.parametrize("seed", range(3))
def test_nobody_who_is_at_least_as_good_scores_lower_and_equal_values_score_equally(
    spark: SparkSession, seed: int
) -> None:
    """All pairs of customers, by their own cut points and by those of others."""
    features = customers(spark, seed).where("eligible and frequency > 0")
    values = {
        row["id"]: (-row["recency_days"], row["frequency"], row["monetary"]) for row in features.collect()
    }
    own = score_rfm(features)
    for scores in (
        own.customers,
        rescore(features, score_rfm(customers(spark, seed + 9)).cut_points.items()),
    ):
        found = np.array([by_id(scores)[i] for i in sorted(values)])
        known = np.array([[float(v) for v in values[i]] for i in sorted(values)])
        assert len({tuple(v) for v in known.tolist()}) < len(known)  # whole customers are tied
        better = known[:, None, :] >= known[None, :, :]
        higher = found[:, None, :] >= found[None, :, :]
        dominates = better.all(axis=2)
        assert dominates.sum() > 2 * len(known)
        assert higher[dominates].all()
        # Each score follows from its own feature alone, so this holds feature by feature too.
        assert higher[better].all()
        assert (found[:, None, :] == found[None, :, :])[known[:, None, :] == known[None, :, :]].all()
        assert all(len(set(column)) > 2 for column in found.T.tolist())
