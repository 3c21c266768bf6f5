"""The demo's lake, and runs over it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from proofs.servers import REPOSITORY, ended

AS_OF = "2018-01-01"
LAKE = REPOSITORY / ".demo"
CONFIGS = (REPOSITORY / "conf" / "demo.yaml", REPOSITORY / "conf" / "local.yaml")
RUN_ALL = REPOSITORY / "jobs" / "run_all.py"


class Failed(Exception):
    """A command did not end as it must; the text has its last words."""


def land() -> None:
    """The raw tables, unless they are there."""
    landing = [sys.executable, "scripts/land_demo.py", str(LAKE / "raw")]
    must(ended(landing, REPOSITORY))


def arguments(root: Path, *more: str, configs: Sequence[Path] = CONFIGS) -> list[str]:
    """Of run_all over the demo, published to `root`."""
    files = [part for config in configs for part in ("--config", str(config))]
    return [*files, "--as-of", AS_OF, "--set", f"publishing.root={root}", *more]


def in_local_mode(root: Path) -> None:
    """The run that every other one is compared with."""
    land()
    must(ended([sys.executable, str(RUN_ALL), *arguments(root)], REPOSITORY, timeout=1800))


def must(done: subprocess.CompletedProcess[str], code: int = 0) -> str:
    """Its standard output, when it ended with `code`. Raises `Failed`."""
    if done.returncode != code:
        raise Failed(f"{' '.join(done.args)}\nended with {done.returncode}, not {code}:\n"
                     f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}")  # fmt: skip
    return done.stdout
