"""What a Spark event log says of executors, results, spill and skew."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Stages whose tasks take less than this on average say nothing about skew.
_LONG_ENOUGH_S = 0.5


@dataclass(frozen=True)
class Told:
    """Of one application. `busy`: executor → seconds of its tasks; `results`: bytes that came to the driver,
    by stage, largest first, with the stage's name; `spilled`: bytes on disk; `skew`: the slowest task of a
    stage as a multiple of the stage's median, largest first, with the seconds of the slowest."""

    busy: dict[str, float]
    results: list[tuple[int, str]]
    spilled: int
    skew: list[tuple[float, float, str]]


def logging(folder: Path) -> dict[str, str]:
    """Settings that leave an event log in `folder`, which must exist."""
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": folder.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
    }


def told_by(folder: Path) -> Told:
    """The only application that has logged to `folder`."""
    (log,) = [path for path in folder.iterdir() if path.is_file()]
    busy: dict[str, float] = defaultdict(float)
    results: dict[int, int] = defaultdict(int)
    times: dict[int, list[float]] = defaultdict(list)
    names: dict[int, str] = {}
    spilled = 0
    for event in _events(log):
        kind = event["Event"]
        if kind == "SparkListenerStageCompleted":
            names[event["Stage Info"]["Stage ID"]] = event["Stage Info"]["Stage Name"]
        elif kind == "SparkListenerTaskEnd" and event.get("Task Metrics"):
            metrics, stage = event["Task Metrics"], event["Stage ID"]
            seconds = metrics["Executor Run Time"] / 1000
            busy[event["Task Info"]["Executor ID"]] += seconds
            times[stage].append(seconds)
            spilled += metrics["Disk Bytes Spilled"]
            if event["Task Type"] == "ResultTask":
                results[stage] += metrics["Result Size"]
    skew = []
    for stage, own in times.items():
        ordered = sorted(own)
        median = ordered[len(ordered) // 2]
        if len(own) > 1 and sum(own) / len(own) >= _LONG_ENOUGH_S and median > 0:
            skew.append((ordered[-1] / median, ordered[-1], names.get(stage, "")))
    return Told(
        dict(busy),
        sorted(((size, names.get(stage, "")) for stage, size in results.items()), reverse=True),
        spilled,
        sorted(skew, reverse=True),
    )


def _events(log: Path) -> Iterator[dict[str, Any]]:
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
