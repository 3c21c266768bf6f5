"""What publishing, and following on from a former run, cost the demo: parts of a run by step.

Any job must write its results (write, model); read_back, look_for_erasures and commit are the price of a
retry that is always safe. What is staged for lineage and migration counts in write and read_back as well.
The former run is that of a week before, which also warms the JVM up.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from comparison import ROOT, Comparison, part
from demo import AS_OF

from spark_seg.config import load_settings
from spark_seg.pipeline import make_plan, run, run_plan, segmentation
from spark_seg.publishing import Ledger, Store
from spark_seg.session import start_session

#: Step → where the functions stand that it is made of.
STEPS: dict[str, tuple[tuple[Any, str], ...]] = {
    "write": ((Store, "_replace"),),
    "model": ((segmentation, "save_model"),),
    "read_back": ((Store, "_audit"),),
    "look_for_erasures": ((run, "suppressions"),),
    "commit": ((Ledger, "commit"), (Ledger, "create_views")),
    "lineage": ((segmentation, "ask_formers"), (segmentation, "continued")),
    "migration": ((segmentation, "stage_migrations"),),
    "parity": ((segmentation, "must_serve_alike"),),
}


def protocol() -> list[Comparison]:
    subprocess.run([sys.executable, "scripts/land_demo.py", ".demo/raw"], cwd=ROOT, check=True)
    scratch = Path(tempfile.mkdtemp(prefix="spark_seg_bench_"))
    files = [ROOT / "conf/demo.yaml", ROOT / "conf/local.yaml"]
    settings = load_settings(files, [f"publishing.root={scratch}"])
    spark = start_session(settings.session)
    spent = dict.fromkeys(STEPS, 0.0)
    patches = [
        mock.patch.object(place, name, _timed(getattr(place, name), step, spent))
        for step, functions in STEPS.items()
        for place, name in functions
    ]
    try:
        as_of = date.fromisoformat(AS_OF)
        run_plan(make_plan(spark, settings, "run_all", as_of - timedelta(days=7)))
        started = time.monotonic()
        plan = make_plan(spark, settings, "run_all", as_of)
        for patch in patches:
            patch.start()
        run_plan(plan)
        whole = time.monotonic() - started
        mock.patch.stopall()
        started = time.monotonic()
        run_plan(make_plan(spark, settings, "monitor_segments", as_of))
        parts = spent | {"monitor_segments, a job of its own": time.monotonic() - started}
        return [part(f"protocol/{step}", seconds, whole, "s") for step, seconds in parts.items()]
    finally:
        mock.patch.stopall()
        spark.stop()
        shutil.rmtree(scratch, ignore_errors=True)


def _timed(function: Callable[..., Any], step: str, spent: dict[str, float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        started = time.monotonic()
        try:
            return function(*arguments, **named)
        finally:
            spent[step] += time.monotonic() - started

    return timed
