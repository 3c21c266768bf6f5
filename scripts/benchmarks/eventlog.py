"""How often Spark went over the data: jobs, scans, exchanges and bytes, from its event log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comparison import Comparison, against
from usage import Usage

_SHUFFLE = "internal.metrics.shuffle.write.recordsWritten"


@dataclass(frozen=True)
class Work:
    """`scans`: reads of files; `read`: their MB. `exchanges`: shuffles that were written."""

    jobs: int
    scans: int
    exchanges: int
    read: float


def logging(folder: Path) -> dict[str, str | int | float | bool]:
    """Session settings that leave an event log in `folder`, which must exist."""
    return {
        "spark.eventLog.enabled": True,
        "spark.eventLog.dir": folder.as_uri(),
        "spark.eventLog.compress": False,
    }


def side_by_side(name: str, log: Path, ours: Usage, other: Usage) -> list[Comparison]:
    """What the event log in `log` tells of two pieces of work. The session must have been stopped."""
    events = [json.loads(line) for file in log.rglob("events_*") for line in file.read_text().splitlines()]
    mine, theirs = work_of(events, ours), work_of(events, other)
    return [
        against(f"{name}/jobs", mine.jobs, theirs.jobs, "jobs"),
        against(f"{name}/scans", mine.scans, theirs.scans, "scans"),
        against(f"{name}/exchanges", mine.exchanges, theirs.exchanges, "exchanges"),
        against(f"{name}/read", mine.read, theirs.read, "MB"),
    ]


def work_of(events: list[dict[str, Any]], usage: Usage) -> Work:
    """What began while `usage` was measured."""
    sizes, jobs, scans, exchanges, read = set(), 0, 0, 0, 0
    began: dict[int, float] = {}
    for event in events:
        kind = event["Event"].rpartition(".")[2]
        if kind in ("SparkListenerSQLExecutionStart", "SparkListenerSQLAdaptiveExecutionUpdate"):
            metrics = _metrics(event["sparkPlanInfo"])
            sizes |= {m["accumulatorId"] for m in metrics if m["name"] == "size of files read"}
            began.setdefault(event["executionId"], event.get("time", 0))
        elif kind == "SparkListenerDriverAccumUpdates" and usage.covers(began.get(event["executionId"], 0)):
            found = [value for id_, value in event["accumUpdates"] if id_ in sizes]
            scans, read = scans + len(found), read + sum(found)
        elif kind == "SparkListenerJobStart":
            jobs += usage.covers(event["Submission Time"])
        elif kind == "SparkListenerStageCompleted" and usage.covers(event["Stage Info"]["Submission Time"]):
            totals = event["Stage Info"]["Accumulables"]
            exchanges += any(a.get("Name") == _SHUFFLE and a["Value"] for a in totals)
    return Work(jobs, scans, exchanges, read / 1e6)


def _metrics(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from plan["metrics"]
    for child in plan["children"]:
        yield from _metrics(child)
