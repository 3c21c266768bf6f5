"""Staging: twice equals once, one run never touches another, and an empty frame deletes nothing."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from chispa import assert_df_equality
from deltalake import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StringType

from spark_seg.config import PublishingSettings
from spark_seg.errors import InputError, PublishConflict, SegmentationError
from spark_seg.publishing import Store
from spark_seg.tables import ASSIGNMENTS, FEATURES, PUBLISHED, REJECTS, Field, Stamp

DAY, NEXT = date(2024, 1, 1), date(2024, 1, 2)
ONE, TWO = "1" * 20, "2" * 20
TRY = "a" * 32


def by(run_id: str, as_of: date = DAY, attempt: str = TRY) -> Stamp:
    return Stamp(as_of, run_id, attempt)


@pytest.fixture
def store(spark: SparkSession, tmp_path: Path) -> Store:
    return Store(spark, PublishingSettings(root=str(tmp_path)))


@pytest.fixture(scope="module")
def schema(spark: SparkSession) -> Iterator[str]:
    spark.sql("DROP SCHEMA IF EXISTS store_test CASCADE")
    spark.sql("CREATE SCHEMA store_test")
    yield "store_test"
    spark.sql("DROP SCHEMA store_test CASCADE")


def rows(store: Store, *ids: str, as_of: date = DAY, run_id: str = ONE, segment: int = 1) -> DataFrame:
    return store.spark.createDataFrame(
        [
            (
                *(as_of, run_id, TRY, i, segment, "a", as_of, None, segment, as_of),
                *(0.5, 1.0, 2, 0.3, "champions", Decimal(9), True, None),
            )
            for i in ids
        ],
        ASSIGNMENTS.schema,
    )


def stage(store: Store, *ids: str, as_of: date = DAY, run_id: str = ONE, segment: int = 1) -> tuple[int, int]:
    frame = rows(store, *ids, as_of=as_of, run_id=run_id, segment=segment)
    receipt = store.stage(frame, ASSIGNMENTS, by(run_id, as_of))
    assert receipt.table == "assignments"
    return receipt.version, receipt.rows


def content(store: Store) -> list[tuple[str, str, str, int]]:
    frame = store.read("assignments")
    assert frame is not None
    found = frame.select(F.col("as_of").cast("string"), "run_id", "customer_id", "segment_id").collect()
    return sorted(tuple(row) for row in found)


@pytest.fixture(params=["path", "catalog"])
def any_store(request: pytest.FixtureRequest, spark: SparkSession, tmp_path: Path, schema: str) -> Store:
    if request.param == "path":
        return Store(spark, PublishingSettings(root=str(tmp_path)))
    spark.sql(f"DROP TABLE IF EXISTS {schema}.assignments")
    return Store(spark, PublishingSettings(database=schema, models=str(tmp_path / "models")))


def test_staging_twice_equals_once_and_never_touches_another_run(any_store: Store) -> None:
    store = any_store
    assert store.read("assignments") is None
    assert stage(store, "x", "y") == (0, 2)
    assert stage(store, "x", run_id=TWO)[1] == 1
    assert stage(store, "z", as_of=NEXT)[1] == 1
    assert stage(store, "y", "w", segment=2)[1] == 2
    assert content(store) == [
        ("2024-01-01", ONE, "w", 2),
        ("2024-01-01", ONE, "y", 2),
        ("2024-01-01", TWO, "x", 1),
        ("2024-01-02", ONE, "z", 1),
    ]


def test_taking_back_removes_the_rows_of_one_run_only(any_store: Store) -> None:
    store = any_store
    store.discard("assignments", by(ONE))  # nothing there: nothing happens
    assert store.read("assignments") is None
    stage(store, "x", "y")
    stage(store, "x", run_id=TWO)
    version, _ = stage(store, "z", as_of=NEXT)
    store.discard("assignments", by(ONE))
    assert content(store) == [("2024-01-01", TWO, "x", 1), ("2024-01-02", ONE, "z", 1)]
    store.discard("assignments", by(ONE))
    table = store.spark.sql(
        f"DESCRIBE HISTORY {store.ref('assignments').table or repr(store.ref('assignments').path)}"
    )
    assert table.count() == version + 2, "taking back nothing commits nothing"


def test_a_frame_is_read_back_as_it_was_written(store: Store) -> None:
    frame = rows(store, "x", "y")
    receipt = store.stage(frame, ASSIGNMENTS, by(ONE))
    back = store.read_run("assignments", by(ONE), receipt.version)
    assert_df_equality(back, frame, ignore_row_order=True, ignore_metadata=True, ignore_nullable=True)


def test_a_version_is_read_as_it_was(store: Store) -> None:
    first, _ = stage(store, "x")
    stage(store, "x", "y", segment=2)
    old = store.read("assignments", first)
    assert old is not None
    assert [r.segment_id for r in old.collect()] == [1]
    with pytest.raises(AnalysisException, match="DELTA_VERSION_NOT_FOUND"):
        store.read("assignments", 99)


def test_an_empty_frame_is_refused_and_deletes_nothing_of_other_attempts(any_store: Store) -> None:
    store = any_store
    with pytest.raises(SegmentationError, match=r"assignments: staged rows .* got 0 rows"):
        stage(store)
    stage(store, "x", "y")
    with pytest.raises(
        SegmentationError, match="must be some and unique by as_of, run_id, attempt_id, customer_id; got 0"
    ):
        store.stage(rows(store), ASSIGNMENTS, by(ONE, attempt="b" * 32))
    assert len(content(store)) == 2


def test_attempts_of_one_run_share_no_rows(any_store: Store) -> None:
    store = any_store
    stage(store, "x", "y")
    late = by(ONE, attempt="b" * 32)
    frame = rows(store, "x", segment=9).withColumns(late.columns)
    assert store.stage(frame, ASSIGNMENTS, late).rows == 1
    assert store.read_run("assignments", by(ONE)).count() == 2
    store.discard("assignments", late)
    assert [(c, s) for _, _, c, s in content(store)] == [("x", 1), ("y", 1)]


def test_the_sum_over_the_content_depends_on_neither_order_nor_run(store: Store) -> None:
    there = store.stage(rows(store, "x", "y", "z"), ASSIGNMENTS, by(ONE))
    back = rows(store, "z", "y", "x", run_id=TWO).repartition(3)
    again = store.stage(back, ASSIGNMENTS, by(TWO))
    other = store.stage(rows(store, "x", "y", "z", segment=2), ASSIGNMENTS, by(ONE))
    assert there.content == again.content != other.content
    assert there.content is not None


def test_repeated_keys_are_refused_and_not_left_behind(store: Store) -> None:
    stage(store, "x", run_id=TWO)
    with pytest.raises(SegmentationError, match="got 3 rows and 2 keys"):
        stage(store, "x", "x", "y")
    assert content(store) == [("2024-01-01", TWO, "x", 1)]


def test_rows_of_another_run_cannot_be_smuggled_in(any_store: Store) -> None:
    store = any_store
    stage(store, "x", run_id=TWO)
    with pytest.raises(Exception, match="DELTA_REPLACE_WHERE_MISMATCH"):
        store.stage(rows(store, "y", run_id=TWO), ASSIGNMENTS, by(ONE))
    assert content(store) == [("2024-01-01", TWO, "x", 1)]


def test_rejects_may_repeat_because_they_have_no_key(store: Store) -> None:
    twice = [(DAY, ONE, TRY, "orders", "t", "0", "amount is zero", "{}")] * 2
    frame = store.spark.createDataFrame(twice, REJECTS.schema)
    assert store.stage(frame, REJECTS, by(ONE)).rows == 2


def test_a_table_of_before_attempts_is_refused_with_a_sentence(store: Store) -> None:
    old = rows(store, "x").drop("attempt_id")
    old.write.format("delta").partitionBy("as_of", "run_id").save(store.ref("assignments").path)
    with pytest.raises(PublishConflict, match=r"got a table without attempt_id in .* spark-seg migrate"):
        stage(store, "y")


def test_a_type_that_changed_is_refused_with_a_sentence_before_anything_is_written(store: Store) -> None:
    other = rows(store, "x").withColumn("segment_id", F.lit("one")).withColumn("distance", F.lit(1))
    other.write.format("delta").partitionBy("as_of", "run_id", "attempt_id").save(
        store.ref("assignments").path
    )
    with pytest.raises(PublishConflict) as refused:
        stage(store, "y")
    assert [p.split(";")[0] for p in refused.value.problems] == [
        "assignments.segment_id: must be int",
        "assignments.distance: must be double",
    ]
    assert "got string in" in refused.value.problems[0]
    assert DeltaTable(str(store.ref("assignments").path)).version() == 0


def test_assignments_from_before_the_second_confidence_have_none(store: Store) -> None:
    old = rows(store, "x").drop("second_confidence")
    old.write.format("delta").partitionBy("as_of", "run_id", "attempt_id").save(store.ref("assignments").path)
    stage(store, "y", run_id=TWO)
    frame = store.read("assignments")
    assert frame is not None
    assert {r.customer_id: r.second_confidence for r in frame.collect()} == {"x": None, "y": 0.3}


@pytest.mark.parametrize("place", ["path", "catalog"])
def test_new_features_become_columns_and_old_rows_have_none_of_them(
    spark: SparkSession, tmp_path: Path, schema: str, place: str
) -> None:
    settings = (
        PublishingSettings(root=str(tmp_path))
        if place == "path"
        else PublishingSettings(database=schema, models=str(tmp_path))
    )
    store = Store(spark, settings)
    plain = FEATURES.extended((Field("lifecycle_stage", StringType(), "stage"),))
    wider = plain.extended((Field("frequency_9d", IntegerType(), "orders"),))
    old = spark.createDataFrame([(DAY, ONE, TRY, "x", "new")], plain.schema)
    store.stage(old, plain, by(ONE))
    store.stage(spark.createDataFrame([(NEXT, ONE, TRY, "x", "new", 7)], wider.schema), wider, by(ONE, NEXT))
    store.stage(spark.createDataFrame([(NEXT, TWO, TRY, "x", "new")], plain.schema), plain, by(TWO, NEXT))
    frame = store.read("features")
    assert frame is not None
    found = {(r.as_of, r.run_id): r.frequency_9d for r in frame.collect()}
    assert found == {(DAY, ONE): None, (NEXT, ONE): 7, (NEXT, TWO): None}


def test_a_table_is_created_so_that_others_can_read_it_and_no_customer_gets_into_its_log(
    store: Store,
) -> None:
    planted = [f"planted-customer-{i}" for i in range(3)]
    for n in range(11):  # past a checkpoint
        frame = rows(store, *planted, run_id=f"{n:020}").coalesce(1)
        store.stage(frame, ASSIGNMENTS, by(f"{n:020}"))
    path = Path(store.ref("assignments").path or "")
    table = DeltaTable(path)
    configuration = table.metadata().configuration
    assert configuration["delta.enableDeletionVectors"] == "false"
    assert configuration["delta.dataSkippingStatsColumns"] == "segment_id"
    assert table.metadata().partition_columns == ["as_of", "run_id", "attempt_id"]
    assert not set(table.protocol().reader_features or []) & {
        "deletionVectors",
        "columnMapping",
        "v2Checkpoint",
    }
    log = [p for p in (path / "_delta_log").iterdir() if p.is_file()]
    assert any(p.suffix == ".parquet" for p in log)
    statistics = [
        json.loads(action["add"]["stats"])
        for p in log
        if p.suffix == ".json"
        for action in map(json.loads, p.read_text().splitlines())
        if "add" in action
    ]
    assert sum(s["numRecords"] for s in statistics) == 33
    assert {name for s in statistics for name in s["minValues"]} == {"segment_id"}
    checkpoint = next(p for p in log if p.suffix == ".parquet")
    decoded = store.spark.read.parquet(str(checkpoint)).select(F.to_json(F.struct("*"))).collect()
    texts = [p.read_bytes().decode("utf-8", "replace") for p in log] + [str(row) for row in decoded]
    assert not [text for text in texts if "planted-customer" in text]
    theirs = table.to_pandas()
    ours = store.read("assignments")
    assert ours is not None
    order = ["run_id", "customer_id"]
    pd.testing.assert_frame_equal(
        theirs[ours.columns].sort_values(order, ignore_index=True),
        ours.toPandas().sort_values(order, ignore_index=True),
        check_dtype=False,
    )
    assert pa.table(table.to_pyarrow_table()).num_rows == 33


def test_statistics_are_chosen_for_every_published_table_and_name_no_customer() -> None:
    from spark_seg.publishing.store import table_properties

    for spec in PUBLISHED.values():
        chosen = table_properties(spec)["delta.dataSkippingStatsColumns"].split(",")
        assert chosen
        assert not {"customer_id", "row"} & set(chosen)
        known = {*spec.columns, "lifecycle_stage"}
        assert set(chosen) <= known


def test_a_missing_table_is_nothing_to_read_and_a_sentence_where_rows_are_needed(store: Store) -> None:
    assert store.read("assignments") is None
    assert store.read("assignments", 0) is None
    with pytest.raises(InputError, match="assignments: not found at"):
        store.read_run("assignments", by(ONE))


def test_a_table_that_cannot_be_read_is_not_taken_for_a_missing_one(store: Store) -> None:
    for segment in (1, 2):
        stage(store, "x", segment=segment)
    log = Path(store.ref("assignments").path or "") / "_delta_log"
    for file in [log / "00000000000000000000.json", *log.glob("*.crc"), *log.glob(".*.crc")]:
        file.unlink(missing_ok=True)
    moved = log.parent.parent / "assignments_moved"
    log.parent.rename(moved)
    broken = Store(store.spark, PublishingSettings(root=str(moved.parent)))
    moved.rename(moved.parent / "profiles")  # a name that no cached log knows
    with pytest.raises((AnalysisException, Py4JJavaError), match="DELTA_TRUNCATED_TRANSACTION_LOG"):
        broken.read("profiles")


def test_case_15_a_table_that_is_altered_meanwhile_is_written_all_the_same(store: Store) -> None:
    stage(store, "other", run_id=TWO)
    receipts: list[object] = []

    def slowly(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        time.sleep(3)
        yield from batches

    def attempt() -> None:
        slow = rows(store, "x", "y").coalesce(1).mapInArrow(slowly, ASSIGNMENTS.schema)
        receipts.append(store.stage(slow, ASSIGNMENTS, by(ONE)))

    thread = threading.Thread(target=attempt)
    thread.start()
    time.sleep(1.5)
    table = DeltaTable(store.ref("assignments").path or "")
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 20 days"})
    table.optimize.compact()
    thread.join()
    assert len(receipts) == 1
    assert [c for _, run, c, _ in content(store) if run == ONE] == ["x", "y"]
    # The attempt that lost, and the one that came after the change of the table.
    history = DeltaTable(store.ref("assignments").path or "").history()
    assert [h["operation"] for h in reversed(history)].count("SET TBLPROPERTIES") == 1


def test_a_table_that_others_always_change_is_given_up_with_a_sentence(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def conflict(*_: object, **__: object) -> None:
        tries.append(1)
        raise AnalysisException("[DELTA_CONCURRENT_APPEND.WITH_PARTITION_HINT] Transaction conflict")

    monkeypatch.setattr(Store, "_replace", conflict)
    monkeypatch.setattr("spark_seg.publishing.store.wait", lambda _: None)
    with pytest.raises(PublishConflict, match="assignments: must not be changed by others") as one:
        stage(store, "x")
    assert one.value.exit_code == 6
    assert len(tries) == 5


def test_any_other_failure_of_a_write_is_told_as_it_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise AnalysisException("No space left on device")

    monkeypatch.setattr(Store, "_replace", full)
    with pytest.raises(AnalysisException, match="No space left"):
        stage(store, "x")
