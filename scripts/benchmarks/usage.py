"""What this process and everything below it takes: wall and CPU seconds, and memory at its peak."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from comparison import Comparison, against
from pyspark.sql import DataFrame

T = TypeVar("T")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """`peak`: most resident memory seen at once, in MB; it includes what was there before. `began`: when."""

    wall: float
    cpu: float
    peak: float
    began: float

    def covers(self, milliseconds: float) -> bool:
        """Does a time of Spark's, in milliseconds of the epoch, lie within?"""
        return self.began <= milliseconds / 1000 <= self.began + self.wall


def measured(work: Callable[[], T]) -> tuple[T, Usage]:
    """What `work` returns, and what it took."""
    peak, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.5):
            peak = max(peak, _resident())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    cpu, wall, began = _cpu_seconds(), time.monotonic(), time.time()
    try:
        result = work()
    finally:
        done.set()
        watcher.join()
    return result, Usage(time.monotonic() - wall, _cpu_seconds() - cpu, max(peak, _resident()), began)


def both(name: str, ours: Usage, other: Usage) -> list[Comparison]:
    """CPU and wall seconds, side by side."""
    return [
        against(f"{name}/cpu", ours.cpu, other.cpu, "CPU s"),
        against(f"{name}/wall", ours.wall, other.wall, "s"),
    ]


def nowhere(frame: DataFrame) -> None:
    """Compute all of `frame` and write it nowhere."""
    frame.write.format("noop").mode("overwrite").save()


def _cpu_seconds() -> float:
    """User and system time of the process tree, with children that have ended."""
    return sum(sum(map(int, fields[11:15])) for fields in _tree()) / _TICKS


def _resident() -> float:
    """Resident memory of the process tree in MB; pages that processes share count in each."""
    return sum(int(fields[21]) for fields in _tree()) * _PAGE / 1e6


def _tree() -> list[list[str]]:
    """The fields of /proc/<pid>/stat behind the name, of this process and all below it."""
    found: dict[int, list[str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name in parentheses may hold blanks; the parent is the 2nd field after it.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found[int(entry.name)] = fields
    tree = {os.getpid()}
    grown = True
    while grown:
        children = {pid for pid, fields in found.items() if int(fields[1]) in tree} - tree
        tree |= children
        grown = bool(children)
    return [found[pid] for pid in tree if pid in found]
