"""What proofs rest on: the event log as it is read, and two places as they are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from deltalake import write_deltalake
from proofs.eventlog import told_by
from proofs.lakes import Different, compared
from proofs.servers import free_port
from pyarrow import Table

from spark_seg.session.machine import unreachable


def task(stage: int, executor: str, ms: int, size: int, kind: str = "ResultTask", spilled: int = 0) -> Any:
    return {
        "Event": "SparkListenerTaskEnd",
        "Stage ID": stage,
        "Task Type": kind,
        "Task Info": {"Executor ID": executor},
        "Task Metrics": {"Executor Run Time": ms, "Result Size": size, "Disk Bytes Spilled": spilled},
    }


def test_an_event_log_tells_who_worked_what_came_to_the_driver_and_what_was_slow(tmp_path: Path) -> None:
    named = {"Event": "SparkListenerStageCompleted", "Stage Info": {"Stage ID": 1, "Stage Name": "collect"}}
    events = [
        task(0, "0", 1000, 10**9, "ShuffleMapTask", spilled=7),  # its size goes to other executors
        task(0, "1", 1000, 10**9, "ShuffleMapTask"),
        task(0, "1", 4000, 10**9, "ShuffleMapTask"),
        task(1, "0", 100, 30),
        task(1, "1", 100, 12),
        named,
        {"Event": "SparkListenerTaskEnd", "Stage ID": 1, "Task Metrics": None},
    ]
    (tmp_path / "app").write_text("\n".join(json.dumps(event) for event in events), encoding="utf-8")
    told = told_by(tmp_path)
    assert told.busy == {"0": 1.1, "1": 5.1}
    assert told.results == [(42, "collect")]
    assert told.spilled == 7
    assert told.skew == [(4.0, 4.0, "")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "2 customers, all in the same segment; 1 of 2 figures equal to the bit"),
        ({"segment_id": [1, 1]}, r"assignments.segment_id of b: 1 and 2"),
        ({"confidence": [0.5, 0.26]}, r"assignments.confidence of b: 0.26 and 0.25"),
        ({"customer_id": ["a", "c"]}, r"assignments.customer_id of c: c and b"),
    ],
)
def test_two_places_are_compared_customer_by_customer(tmp_path: Path, change: Any, told: str) -> None:
    rows = {"customer_id": ["a", "b"], "segment_id": [1, 2], "confidence": [0.5, 0.25]}
    close = rows | {"confidence": [0.5 + 1e-12, 0.25], "run_id": ["x", "x"]}
    write_deltalake(str(tmp_path / "other" / "assignments"), Table.from_pydict(rows | {"run_id": ["y", "y"]}))
    write_deltalake(str(tmp_path / "ours" / "assignments"), Table.from_pydict(close | change))
    if change:
        with pytest.raises(Different, match=told):
            compared(tmp_path / "ours", tmp_path / "other")
    else:
        assert compared(tmp_path / "ours", tmp_path / "other") == told


def test_only_masters_and_servers_are_asked_whether_they_answer() -> None:
    closed = free_port()
    assert unreachable("local[2]") is None
    assert unreachable("yarn") is None
    assert f"spark://127.0.0.1:{closed}" in (unreachable(f"spark://127.0.0.1:{closed}") or "")
    assert "a Spark Connect server" in (unreachable(f"sc://[::1]:{closed}/;x=y") or "")
