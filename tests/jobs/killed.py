"""`python killed.py <point> <root> <arguments of spark-seg>`: a run killed, group and all, at a point.

At `mid_write` the group dies as soon as a new file with rows lies in the folder of the assignments, and
its commit does not.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from spark_seg.cli import main
from spark_seg.publishing import points


def kill() -> None:
    os.killpg(0, signal.SIGKILL)


def kill_when_a_file_appears(folder: Path) -> None:
    before = set(folder.rglob("*.parquet"))
    while not set(folder.rglob("part-*.parquet")) - before:
        time.sleep(0.001)
    kill()


def reached_for(point: str, root: Path) -> None:
    def reached(passed: str) -> None:
        if passed != point:
            return
        if point == "mid_write":
            watch = threading.Thread(
                target=kill_when_a_file_appears, args=(root / "assignments",), daemon=True
            )
            watch.start()
        else:
            kill()

    points.reached = reached


if __name__ == "__main__":
    reached_for(sys.argv[1], Path(sys.argv[2]))
    main(sys.argv[3:])
