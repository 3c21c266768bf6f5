"""The demo outside the checkout, from the wheel and the extra `local` alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from proofs.demo import AS_OF, must
from proofs.lakes import snapshot
from proofs.servers import REPOSITORY, ended

_UV = str(Path(sys.executable).parent / "uv")


def install() -> None:
    """A new environment has the wheel with its extra and nothing else, and a home that is empty.

    Beside it lie the demo's configuration and its raw tables.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        must(ended([str(REPOSITORY / "scripts" / "build")], REPOSITORY))
        (wheel,) = (REPOSITORY / "dist").glob("*.whl")
        must(ended([sys.executable, str(REPOSITORY / "scripts" / "land_demo.py"), ".demo/raw"], folder))
        shutil.copy(REPOSITORY / "conf" / "demo.yaml", folder)
        must(ended([_UV, "venv", "--quiet", "--python", sys.executable, "env"], folder))
        # As a user would: no lock file, the newest of everything that the wheel allows.
        to = ["--python", "env/bin/python"]
        must(ended([_UV, "pip", "install", "--quiet", *to, f"{wheel}[local]"], folder, timeout=900))
        for command in (["doctor"], ["run-all", "--as-of", AS_OF]):
            for line in must(_alone(folder, command)).strip().splitlines()[-20:]:
                print(f"install: {line}")
        print(f"install: {len(snapshot(folder / '.demo' / 'published')):,} customers")


def _alone(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """The entry point of the new environment, with nothing of the one that runs this."""
    bin_ = folder / "env" / "bin"
    return ended(
        [str(bin_ / "spark-seg"), *command, "--config", "demo.yaml"],
        folder,
        timeout=1800,
        HOME=str(folder),
        PATH=f"{bin_}:/usr/local/bin:/usr/bin:/bin",
        PYSPARK_PYTHON=str(bin_ / "python"),
    )
