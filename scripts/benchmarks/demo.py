"""The demo from a process start, with the local overlay and with Spark's defaults; then by room."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from comparison import ROOT, Comparison, against, part
from deltalake import DeltaTable

AS_OF = "2018-01-01"


def demo() -> list[Comparison]:
    subprocess.run([sys.executable, "scripts/land_demo.py", ".demo/raw"], cwd=ROOT, check=True)
    ours, rooms = _run_demo(["conf/demo.yaml", "conf/local.yaml"])
    other, _ = _run_demo(["conf/demo.yaml"])
    rooms["start_and_rest"] = ours - sum(rooms.values())
    parts = [part(f"demo/{name}", seconds, ours, "s") for name, seconds in rooms.items()]
    return [against("demo/spark_defaults", ours, other, "s"), *parts]


def _run_demo(configs: list[str]) -> tuple[float, dict[str, float]]:
    """Wall seconds of the whole process, and those of each room from the ledger."""
    scratch = Path(tempfile.mkdtemp(prefix="spark_seg_bench_"))
    try:
        command = [sys.executable, "jobs/run_all.py", "--as-of", AS_OF, "--set", f"publishing.root={scratch}"]
        for config in configs:
            command += ["--config", config]
        started = time.monotonic()
        subprocess.run(
            command,
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"SPARK_LOCAL_IP": "127.0.0.1"},
        )
        wall = time.monotonic() - started
        metrics = dict(DeltaTable(str(scratch / "runs")).to_pyarrow_table()["metrics"][0].as_py())
        seconds = {k.removeprefix("seconds_"): v for k, v in metrics.items() if k.startswith("seconds_")}
        return wall, seconds
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
