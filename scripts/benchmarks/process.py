"""A job as a process of its own, timed from its start, and what its ledger says of its rooms."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from comparison import ROOT, Comparison, part
from deltalake import DeltaTable


def seconds(*arguments: str) -> float:
    """Wall seconds of a Python process."""
    started = time.monotonic()
    subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"SPARK_LOCAL_IP": "127.0.0.1"},
    )
    return time.monotonic() - started


def by_room(name: str, published: Path, whole: float) -> list[Comparison]:
    """The rooms of the only run in `published` as parts of a process that took `whole` seconds."""
    (metrics,) = DeltaTable(str(published / "runs")).to_pyarrow_table()["metrics"].to_pylist()
    rooms = {k.removeprefix("seconds_"): v for k, v in dict(metrics).items() if k.startswith("seconds_")}
    rooms["start_and_rest"] = whole - sum(rooms.values())
    return [part(f"{name}/{room}", spent, whole, "s") for room, spent in rooms.items()]
