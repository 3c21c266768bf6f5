"""What a run meets on its way: a crash after its commit, late rows, a full disk, readers all the time."""

from __future__ import annotations

import threading
from pathlib import Path

import pandas as pd
import pytest
from configured import settings_for
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from test_pipeline import (
    AS_OF,
    CHEAP,
    SIZE,
    Shop,
    assigned,
    copied,
    current,
    land,
    landed,
    ledger_of,
    published,
    run,
    shop,
)

from spark_seg.errors import PublishConflict
from spark_seg.pipeline import make_plan, run_plan
from spark_seg.publishing import points
from spark_seg.tables import SPARK_FAILURES

__all__ = ["copied", "landed", "published"]


def test_case_06_a_run_whose_commit_is_not_acknowledged_is_published_and_says_so(
    spark: SparkSession, landed: Shop, published: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(passed: str) -> None:
        if passed == "after_commit":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(points, "reached", die)
        with pytest.raises(KeyboardInterrupt):
            run(spark, landed.settings)
    again = run(spark, landed.settings)
    assert again.already_published
    assert [r.run_id for r in ledger_of(spark, landed.settings).runs()] == [again.run_id]
    pd.testing.assert_frame_equal(
        assigned(spark, landed.settings), assigned(spark, published.settings), check_exact=True
    )


def test_case_16_inputs_that_are_overwritten_meanwhile_change_nothing(
    spark: SparkSession, landed: Shop, published: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overwrite(passed: str) -> None:
        if passed == "start":
            land(spark, landed.root, shop().head(50))

    monkeypatch.setattr(points, "reached", overwrite)
    run(spark, landed.settings)
    pd.testing.assert_frame_equal(
        assigned(spark, landed.settings), assigned(spark, published.settings), check_exact=True
    )


def test_case_10_and_25_late_rows_and_a_full_disk_leave_the_old_run_and_the_retry_has_them(
    spark: SparkSession, copied: Shop
) -> None:
    before, published_once = assigned(spark, copied.settings), contents(copied.root, copied.outcome.run_id)
    late = shop(SIZE + 1)
    late = late[late["customer_id"] == f"daily-{SIZE:03}"]
    land(spark, copied.root, pd.concat([shop(), late]))
    with pytest.raises(PublishConflict, match=r"made from another configuration, code version or input"):
        make_plan(spark, copied.settings, "run_all", AS_OF)

    plan = make_plan(spark, copied.settings, "run_all", AS_OF, revise=True)
    # A file where Spark wants to make the folder of the rows: it fails as on a disk that takes no more.
    folder = copied.root / "published" / "assignments" / f"as_of={AS_OF}"
    in_the_way = folder / f"run_id={plan.run_id}"
    in_the_way.write_text("full")
    with pytest.raises(SPARK_FAILURES):
        run_plan(plan)
    assert [r.revision for r in ledger_of(spark, copied.settings).runs()] == [0]
    pd.testing.assert_frame_equal(assigned(spark, copied.settings), before, check_exact=True)

    in_the_way.unlink()
    retried = run(spark, copied.settings, revise=True)
    assert retried.run_id == plan.run_id
    assert [r.revision for r in ledger_of(spark, copied.settings).runs()] == [0, 1]
    for receipt in retried.receipts:
        shown = current(spark, copied.settings, receipt.table)
        assert shown is not None and len(shown) == receipt.rows
    after = assigned(spark, copied.settings)
    assert set(after["customer_id"]) - set(before["customer_id"]) == set(late["customer_id"])
    assert len(after) == len(before) + 1
    assert contents(copied.root, copied.outcome.run_id) == published_once


@pytest.mark.slow
def test_case_14_a_reader_who_looks_all_the_time_never_sees_half_a_run(
    spark: SparkSession, copied: Shop
) -> None:
    root = copied.root / "published"
    seen: list[str] = []
    torn: list[str] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set() or len(seen) < 200:
            run_id = newest(root)
            assignments, profiles = (rows(root, table, run_id) for table in ("assignments", "profiles"))
            clusters = profiles[profiles["scheme"] == "clusters"]
            if not len(assignments) == clusters["customers"].sum() > 0:
                torn.append(run_id)
            seen.append(run_id)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(5):
            other = settings_for(copied.root, **(CHEAP | {"selection.tolerance": 0.03 + number / 1000}))
            run(spark, other, revise=True)
    finally:
        done.set()
        reader.join()
    assert torn == []
    assert len(seen) >= 200
    assert len(set(seen)) >= 5
    assert len(ledger_of(spark, copied.settings).runs()) == 6


def contents(root: Path, run_id: str) -> dict[str, list[str]]:
    """Every row of a run in every table that shows customers."""
    return {
        table: sorted(map(str, rows(root / "published", table, run_id).to_dict("records")))
        for table in ("features", "assignments", "profiles")
    }


def newest(root: Path) -> str:
    """The run that counts, without Spark."""
    runs = DeltaTable(root / "runs").to_pandas(columns=["as_of", "run_id", "revision"])
    runs = runs[runs["as_of"] == AS_OF]
    return str(runs.loc[runs["revision"].idxmax(), "run_id"])


def rows(root: Path, table: str, run_id: str) -> pd.DataFrame:
    frame: pd.DataFrame = DeltaTable(root / table).to_pandas(filters=[("run_id", "=", run_id)])
    return frame
