"""The demo from a process start, with the local overlay and with Spark's defaults; then by room."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from comparison import ROOT, Comparison, against
from process import by_room, seconds

AS_OF = "2018-01-01"


def demo() -> list[Comparison]:
    subprocess.run([sys.executable, "scripts/land_demo.py", ".demo/raw"], cwd=ROOT, check=True)
    scratch = Path(tempfile.mkdtemp(prefix="spark_seg_bench_"))
    try:
        ours = _run_demo(scratch / "ours", "--config", "conf/local.yaml")
        other = _run_demo(scratch / "other")
        return [against("demo/spark_defaults", ours, other, "s"), *by_room("demo", scratch / "ours", ours)]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run_demo(target: Path, *overlay: str) -> float:
    """Wall seconds of the whole process."""
    place = ("--as-of", AS_OF, "--set", f"publishing.root={target}")
    return seconds("jobs/run_all.py", "--config", "conf/demo.yaml", *overlay, *place)
