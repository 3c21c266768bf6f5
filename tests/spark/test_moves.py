"""Who is held back in a segment, and who went where and why."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from spark_seg.config import HoldSettings
from spark_seg.monitoring import migration
from spark_seg.pipeline.continuity import remembered
from spark_seg.segments import settled

DAY = date(2024, 1, 1)
RAW = (
    "customer_id string, raw_segment_id int, second_segment_id int, confidence double, "
    "second_confidence double"
)
MEMORY = "customer_id string, segment_id int, since date, raw_segment_id int, raw_since date"


def says(segment: int, second: int, confidence: float, other: float | None = None) -> tuple[Any, ...]:
    return ("x", segment, second, confidence, other)


def history(
    spark: SparkSession, said: list[tuple[Any, ...]], hold: HoldSettings, there: tuple[int, ...] = (1, 2, 3)
) -> list[tuple[int, date]]:
    """The published segment of one customer, and since when, for what the model said week by week."""
    before, published = None, []
    for week, row in enumerate(said):
        frame = settled(
            spark.createDataFrame([row], RAW), before, DAY + timedelta(days=7 * week), there, hold
        )
        (now,) = frame.collect()
        published.append((now.segment_id, now.since))
        memory = ("x", now.segment_id, now.since, now.raw_segment_id, now.raw_since)
        before = spark.createDataFrame([memory], MEMORY)
    return published


def changes(published: list[tuple[int, date]]) -> int:
    return sum(a[0] != b[0] for a, b in pairwise(published))


OSCILLATES = [says(1 + week % 2, 2 - week % 2, 0.05) for week in range(10)]


def test_who_oscillates_around_a_border_changes_once_at_most_and_without_a_margin_each_time(
    spark: SparkSession,
) -> None:
    assert changes(history(spark, OSCILLATES, HoldSettings(margin=0.1))) == 0
    assert changes(history(spark, OSCILLATES, HoldSettings(dwell_days=14))) == 0
    assert changes(history(spark, OSCILLATES, HoldSettings())) == 9


def test_a_real_jump_counts_at_once_with_a_margin(spark: SparkSession) -> None:
    jump = [says(1, 2, 0.9), says(3, 2, 0.9), says(3, 2, 0.9)]
    assert [s for s, _ in history(spark, jump, HoldSettings(margin=0.1))] == [1, 3, 3]
    # Near a border, but not that of the segment it comes from: that one is far behind.
    far = [says(1, 2, 0.9), says(3, 2, 0.01)]
    assert [s for s, _ in history(spark, far, HoldSettings(margin=0.1))] == [1, 3]


def test_an_unsure_move_counts_once_it_has_been_said_for_long_enough(spark: SparkSession) -> None:
    drifts = [says(1, 2, 0.5), *(says(2, 1, 0.05) for _ in range(4))]
    both = HoldSettings(margin=0.1, dwell_days=14)
    assert [s for s, _ in history(spark, drifts, both)] == [1, 1, 1, 2, 2]
    assert [s for s, _ in history(spark, drifts, HoldSettings(dwell_days=14))] == [1, 1, 1, 2, 2]
    assert [s for s, _ in history(spark, drifts, HoldSettings(margin=0.1))] == [1] * 5
    sure = [says(1, 2, 0.5), says(2, 1, 0.5)]
    assert [s for s, _ in history(spark, sure, both)] == [1, 2]
    assert [s for s, _ in history(spark, sure, HoldSettings(dwell_days=14))] == [1, 1]


def test_since_tells_the_day_from_which_on_somebody_has_been_there(spark: SparkSession) -> None:
    said = [says(1, 2, 0.9), says(1, 2, 0.9), says(2, 1, 0.9), says(2, 1, 0.9)]
    second = DAY + timedelta(days=14)
    assert history(spark, said, HoldSettings()) == [(1, DAY), (1, DAY), (2, second), (2, second)]


def test_a_mixture_is_sure_by_the_difference_of_its_probabilities(spark: SparkSession) -> None:
    unsure, sure = says(2, 1, 0.52, 0.48), says(2, 1, 0.6, 0.3)
    hold = HoldSettings(margin=0.1)
    assert [s for s, _ in history(spark, [says(1, 2, 0.9, 0.1), unsure], hold)] == [1, 1]
    assert [s for s, _ in history(spark, [says(1, 2, 0.9, 0.1), sure], hold)] == [1, 2]


def test_nobody_is_held_in_a_segment_that_is_gone_or_for_want_of_data(spark: SparkSession) -> None:
    hold = HoldSettings(margin=0.5, dwell_days=300)
    assert [s for s, _ in history(spark, OSCILLATES[:2], hold, there=(2, 3))] == [1, 2]
    lapses = [says(1, 2, 0.9), ("x", 0, None, None, None), says(2, 1, 0.01)]
    assert [s for s, _ in history(spark, lapses, hold)] == [1, 0, 2]


@pytest.mark.parametrize("columns", ["", ", since date, raw_since date, raw_segment_id int, monetary double"])
def test_assignments_of_an_earlier_version_count_from_their_own_day_on(
    spark: SparkSession, columns: str
) -> None:
    row = ("x", 3, *(None for _ in range(4 if columns else 0)))
    (known,) = remembered(
        spark.createDataFrame([row], f"customer_id string, segment_id int{columns}"), DAY
    ).collect()
    assert (known.since, known.raw_since, known.raw_segment_id) == (DAY, DAY, 3)
    assert (known.previous_segment_id, known.monetary) == (None, None)


# ---------------------------------------------------------------- who went where

NOW = "customer_id string, segment_id int, monetary decimal(28,4), tenure_days int, expected int"
BEFORE = "customer_id string, segment_id int, previous_segment_id int, monetary decimal(28,4)"


def ways(
    spark: SparkSession, now: list[tuple[Any, ...]], before: list[tuple[Any, ...]], elapsed: int = 30
) -> dict[tuple[Any, ...], tuple[int, int]]:
    """Way → customers and revenue."""
    frames: tuple[DataFrame, DataFrame] = (
        spark.createDataFrame([(c, s, m, t, e) for c, s, m, t, e in now], _text(NOW)),
        spark.createDataFrame(before, _text(BEFORE)),
    )
    typed = (f.withColumn("monetary", f["monetary"].cast("decimal(28,4)")) for f in frames)
    rows = migration(*typed, elapsed).collect()
    key = ("from_segment_id", "to_segment_id", "kind", "cause")
    return {tuple(r[k] for k in key): (r.customers, int(r.revenue or 0)) for r in rows}


def _text(ddl: str) -> str:
    return ddl.replace("decimal(28,4)", "double")


def test_each_way_has_its_kind_and_its_cause_and_all_add_up(spark: SparkSession) -> None:
    before = [
        ("stays", 1, 1, 10.0),
        ("acts", 1, 1, 10.0),
        ("refit", 1, 1, 10.0),
        ("unknown", 1, 1, 10.0),
        ("lapses", 2, 2, 10.0),
        ("returns", 0, 2, 0.0),
        ("gone", 2, 2, 10.0),
    ]
    now = [
        ("stays", 1, 11.0, 400, 1),
        ("acts", 2, 50.0, 400, 2),
        ("refit", 2, 10.0, 400, 1),
        ("unknown", 2, 10.0, 400, None),
        ("lapses", 0, 0.0, 400, None),
        ("returns", 2, 7.0, 400, 2),
        ("fresh", 1, 5.0, 12, 1),
        ("late", 1, 5.0, 90, 1),
    ]
    found = ways(spark, now, before)
    assert found == {
        (1, 1, "stayed", None): (1, 11),
        (1, 2, "moved", "behaviour"): (1, 50),
        (1, 2, "moved", "model"): (1, 10),
        (1, 2, "moved", "unknown"): (1, 10),
        (2, 0, "lapsed", "behaviour"): (1, 0),
        (0, 2, "returned", "behaviour"): (1, 7),
        (2, None, "gone", "correction"): (1, 0),
        (None, 1, "new", "behaviour"): (1, 5),
        # The first order lies before the former day: it has come to light since.
        (None, 1, "new", "correction"): (1, 5),
    }
    for side, rows in ((0, before), (1, now)):
        sizes: dict[Any, int] = {}
        for way, (customers, _) in found.items():
            if way[side] is not None:
                sizes[way[side]] = sizes.get(way[side], 0) + customers
        assert sizes == {s: sum(r[1] == s for r in rows) for s in {r[1] for r in rows}}


def test_between_two_runs_of_one_day_nothing_is_behaviour(spark: SparkSession) -> None:
    before = [("a", 1, 1, 1.0), ("b", 1, 1, 1.0), ("c", 1, 1, 1.0)]
    now = [("a", 2, 1.0, 9, 2), ("b", 2, 1.0, 9, 1), ("c", 0, 1.0, 9, None), ("d", 1, 1.0, 9, 1)]
    causes = {(kind, cause) for _, _, kind, cause in ways(spark, now, before, elapsed=0)}
    assert causes == {
        ("moved", "correction"),
        ("moved", "model"),
        ("lapsed", "correction"),
        ("new", "correction"),
    }


@pytest.mark.parametrize(("earlier", "back"), [(2, 1), (3, 0), (None, 0)])
def test_who_returns_to_where_they_were_before_is_counted(
    spark: SparkSession, earlier: int | None, back: int
) -> None:
    before = spark.createDataFrame([("a", 1, earlier, 1.0)], _text(BEFORE))
    now = spark.createDataFrame([("a", 2, 1.0, 9, 2)], _text(NOW))
    (row,) = migration(now, before, 30).collect()
    assert row.back == back
