"""Wall and CPU seconds of this process and everything below it: the JVM and Python workers too."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    wall: float
    cpu: float


def measured(work: Callable[[], T]) -> tuple[T, Usage]:
    """What `work` returns, and what it took."""
    cpu, wall = _cpu_seconds(), time.monotonic()
    result = work()
    return result, Usage(time.monotonic() - wall, _cpu_seconds() - cpu)


def _cpu_seconds() -> float:
    """User and system time of the process tree, with children that have ended."""
    figures: dict[int, tuple[int, int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name in parentheses may hold blanks; the parent is the 2nd field after it.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            figures[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    tree = {os.getpid()}
    grown = True
    while grown:
        children = {pid for pid, (parent, _) in figures.items() if parent in tree} - tree
        tree |= children
        grown = bool(children)
    return sum(figures[pid][1] for pid in tree if pid in figures) / _TICKS
