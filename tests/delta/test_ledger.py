"""The ledger: one row per run, appended by one atomic commit; of two writers of a revision one wins."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from spark_seg.config import PublishingSettings
from spark_seg.errors import PublishConflict
from spark_seg.publishing import (
    CommittedRun,
    Ledger,
    Receipt,
    RunRecord,
    Store,
    current_run,
    read_current,
)
from spark_seg.segments import Segment
from spark_seg.tables import REJECTS, Stamp

DAY = date(2024, 1, 1)


@pytest.fixture
def ledger(spark: SparkSession, tmp_path: Path) -> Ledger:
    return Ledger(Store(spark, PublishingSettings(root=str(tmp_path))), "shop")


def record(
    run_id: str, revision: int = 0, as_of: date = DAY, pipeline: str = "shop", *tables: str
) -> RunRecord:
    return RunRecord(
        as_of=as_of,
        run_id=run_id,
        pipeline=pipeline,
        job="run_all",
        revision=revision,
        definition=f"definition of {run_id}",
        code_version="0",
        spark_version="4",
        config_digest="d",
        config="{}",
        seed=1,
        attempt_id="one",
        inputs=(("orders", "shop.orders", "3", 10), ("events", "shop.events", "1", None)),
        receipts=tuple(Receipt(table, 4, 2) for table in tables or ("assignments",)),
        rejects=(("orders", "amount is zero", 2),),
        cut_points=(("recency_days", [1.0, 2.5]),),
        dropped_features=(("frequency", "the same for all customers"),),
        algorithm="kmeans",
        k=2,
        model_path="/m",
        model_run_id=run_id,
        segments=(Segment(0, 7, "champions", None), Segment(1, 2, "lapsed", 0.5)),
        metrics={"silhouette": 0.5},
    )


def path(ledger: Ledger) -> str:
    return f"{ledger.store.settings.root}/runs"


def test_a_committed_run_comes_back_as_it_went_in(ledger: Ledger) -> None:
    assert ledger.runs() == []
    ledger.commit(record("a"))
    assert ledger.runs() == [
        CommittedRun(
            as_of=DAY,
            run_id="a",
            attempt_id="one",
            job="run_all",
            revision=0,
            definition="definition of a",
            receipts=(Receipt("assignments", 4, 2),),
            algorithm="kmeans",
            k=2,
            model_path="/m",
            model_run_id="a",
            segments=(Segment(0, 7, "champions", None), Segment(1, 2, "lapsed", 0.5)),
            metrics={"silhouette": 0.5},
            inputs=(("orders", "shop.orders", "3", 10), ("events", "shop.events", "1", None)),
            committed_at=ledger.runs()[0].committed_at,
            rejects=(("orders", "amount is zero", 2),),
            code_version="0",
            spark_version="4",
            config="{}",
            seed=1,
            cut_points=(("recency_days", [1.0, 2.5]),),
            dropped_features=(("frequency", "the same for all customers"),),
            config_digest="d",
        )
    ]
    row = DeltaTable(path(ledger)).to_pandas().iloc[0]
    assert row["status"] == "COMMITTED"
    assert [tuple(i.values()) for i in row["inputs"]] == [
        ("orders", "shop.orders", "3", 10), ("events", "shop.events", "1", None),
    ]  # fmt: skip
    assert row["cut_points"][0]["cuts"].tolist() == [1.0, 2.5]


def test_committing_the_same_run_again_changes_nothing(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.commit(record("a"))
    assert [r.run_id for r in ledger.runs()] == ["a"]
    assert DeltaTable(path(ledger)).version() == 0


def test_the_second_writer_of_a_revision_is_refused_and_the_first_stays(ledger: Ledger) -> None:
    ledger.commit(record("a"))
    with pytest.raises(
        PublishConflict, match=r"another run published shop for 2024-01-01 first \(revision 0\)"
    ):
        ledger.commit(record("b"))
    ledger.commit(record("c", revision=1))
    with pytest.raises(PublishConflict):
        ledger.commit(record("late", revision=0))
    assert [(r.run_id, r.revision) for r in ledger.runs()] == [("a", 0), ("c", 1)]


def test_days_and_pipelines_have_their_own_revisions(ledger: Ledger) -> None:
    other = Ledger(ledger.store, "other")
    ledger.commit(record("b", as_of=DAY + timedelta(days=1)))
    ledger.commit(record("a"))
    other.commit(record("c", pipeline="other"))
    assert [r.run_id for r in ledger.runs()] == ["a", "b"], "ordered by as_of"
    assert [r.run_id for r in other.runs()] == ["c"]


def together(*actions: Callable[[], None]) -> list[BaseException]:
    barrier = threading.Barrier(len(actions))
    errors: list[BaseException] = []

    def start(action: Callable[[], None]) -> None:
        barrier.wait()
        try:
            action()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=start, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_of_writers_at_the_same_moment_one_gets_the_revision(ledger: Ledger) -> None:
    ledger.commit(record("first"))
    for revision in (1, 2):
        names = [f"{name}{revision}" for name in "abc"]
        errors = together(*(partial(ledger.commit, record(name, revision)) for name in names))
        assert [type(e) for e in errors] == [PublishConflict] * 2
    assert [r.revision for r in ledger.runs()] == [0, 1, 2]


def test_case_12_writers_who_do_not_concern_each_other_all_get_in_even_into_a_new_table(
    ledger: Ledger,
) -> None:
    days = [DAY + timedelta(days=i) for i in range(3)]
    errors = together(*(partial(ledger.commit, record(f"run of {d}", as_of=d)) for d in days))
    assert errors == []
    assert [r.as_of for r in ledger.runs()] == days


def test_any_other_failure_of_the_commit_is_told_as_it_is(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise AnalysisException("Permission denied")

    from pyspark.sql.classic.dataframe import DataFrameWriter

    monkeypatch.setattr(DataFrameWriter, "save", denied)
    with pytest.raises(AnalysisException, match="Permission denied"):
        ledger.commit(record("a"))


@pytest.fixture
def far_from_utc() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Kolkata"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def test_the_time_of_the_commit_is_right_whatever_the_zone_of_the_machine(
    ledger: Ledger, far_from_utc: None
) -> None:
    ledger.commit(record("a"))
    at = DeltaTable(path(ledger)).to_pandas()["committed_at"].iloc[0]
    assert abs(at.to_pydatetime() - datetime.now(UTC)) < timedelta(minutes=5)


def test_rows_of_the_ledger_cannot_be_changed(spark: SparkSession, ledger: Ledger) -> None:
    ledger.commit(record("a"))
    with pytest.raises(Exception, match="DELTA_CANNOT_MODIFY_APPEND_ONLY"):
        spark.read.format("delta").load(path(ledger)).limit(0).write.format("delta").mode("overwrite").save(
            path(ledger)
        )
    assert [r.run_id for r in ledger.runs()] == ["a"]


def run_of(run_id: str, revision: int, as_of: date, *tables: str) -> CommittedRun:
    receipts = tuple(Receipt(t, 0, 1) for t in tables)
    return CommittedRun(
        as_of, run_id, "one", "run_all", revision, "", receipts, None, None, None, None, (), {}
    )


def test_the_current_run_is_the_last_revision_that_wrote_the_table() -> None:
    later = DAY + timedelta(days=7)
    runs = [
        run_of("a", 0, DAY, "features", "assignments"),
        run_of("b", 1, DAY, "assignments"),
        run_of("c", 0, later, "features"),
    ]
    assert current_run(runs, "features", DAY) == runs[0]
    assert current_run(runs, "assignments", DAY) == runs[1]
    assert current_run(runs, "features") == runs[2]
    assert current_run(runs, "assignments") == runs[1], "the latest day there is"
    assert current_run(runs, "assignments", later) is None
    assert current_run([], "features") is None


def test_rows_that_are_staged_but_not_committed_are_not_current(ledger: Ledger) -> None:
    def rejects(run_id: str) -> DataFrame:
        return ledger.store.spark.createDataFrame(
            [(DAY, run_id, "one", "orders", "t", "0", "amount is zero", "{}")], REJECTS.schema
        )

    ledger.store.stage(rejects("a"), REJECTS, Stamp(DAY, "a", "one"))
    assert read_current(ledger, "rejects") is None
    ledger.commit(record("a", 0, DAY, "shop", "features", "rejects"))
    ledger.store.stage(rejects("b"), REJECTS, Stamp(DAY, "b", "one"))
    frame = read_current(ledger, "rejects")
    assert frame is not None
    assert [r.run_id for r in frame.collect()] == ["a"]


def test_a_table_that_a_later_revision_leaves_empty_has_no_current_rows() -> None:
    first = run_of("a", 0, DAY, "features", "holdout", "candidates", "splits", "assignments")
    second = run_of("b", 1, DAY, "features", "candidates", "assignments")
    scored = run_of("c", 2, DAY, "assignments")
    assert [current_run([first], t, DAY) for t in ("holdout", "splits")] == [first, first]
    assert [current_run([first, second], t, DAY) for t in ("holdout", "splits")] == [None, None]
    # Scoring again with the same model says nothing about its tree.
    assert current_run([first, scored], "splits", DAY) == first


def test_a_ledger_from_before_a_column_was_added_goes_on(ledger: Ledger, spark: SparkSession) -> None:
    ledger.commit(record("a"))
    old = spark.read.format("delta").load(path(ledger)).drop("structure")
    older = Ledger(Store(spark, PublishingSettings(root=f"{ledger.store.settings.root}/o")), "shop")
    old.write.format("delta").save(path(older))
    assert [run.structure for run in older.runs()] == [None]
    older.commit(replace(record("b", 1), structure="clear groups"))
    assert [(run.run_id, run.structure) for run in older.runs()] == [("a", None), ("b", "clear groups")]
