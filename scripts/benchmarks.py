"""Benchmarks that can be rerun. Each comparison is measured side by side in one run.

With --json one object a line: name, ours, other, ratio (other / ours, or the share for a part), unit.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from deltalake import DeltaTable
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
AS_OF = "2018-01-01"


@dataclass(frozen=True)
class Comparison:
    name: str
    ours: float
    other: float
    ratio: float
    unit: str


def demo() -> list[Comparison]:
    """The demo from a process start, with the local overlay and with Spark's defaults; then by room."""
    subprocess.run([sys.executable, "scripts/land_demo.py", ".demo/raw"], cwd=ROOT, check=True)
    ours, rooms = _run_demo(["conf/demo.yaml", "conf/local.yaml"])
    other, _ = _run_demo(["conf/demo.yaml"])
    rooms["start_and_rest"] = ours - sum(rooms.values())
    parts = [Comparison(f"demo/{name}", s, ours, s / ours, "s") for name, s in rooms.items()]
    return [Comparison("demo/spark_defaults", ours, other, other / ours, "s"), *parts]


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


BENCHMARKS: dict[str, Callable[[], list[Comparison]]] = {"demo": demo}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = BENCHMARKS[arguments.name]()
    if arguments.json:
        for result in results:
            print(json.dumps(asdict(result)))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("comparison", "ours", "other", "ratio", "unit"):
        table.add_column(column, justify="left" if column in ("comparison", "unit") else "right")
    for r in results:
        table.add_row(r.name, f"{r.ours:.1f}", f"{r.other:.1f}", f"{r.ratio:.2f}", r.unit)
    Console().print(table)


if __name__ == "__main__":
    main()
