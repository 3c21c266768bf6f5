"""The proofs of platforms that are not here: each command as README names it."""

from __future__ import annotations

import os
import shutil
import sys

import pytest
from proofs.servers import REPOSITORY, ended


@pytest.mark.slow
@pytest.mark.parametrize("name", ["databricks", "container"])
def test_the_proof_ends_well(name: str) -> None:
    rehearsed = os.geteuid() == 0 and shutil.which("debootstrap") is not None
    if name == "container" and not rehearsed and shutil.which("docker") is None:
        pytest.skip("needs a Docker engine, or root and debootstrap")
    done = ended(
        [sys.executable, "-m", "proofs", name],
        REPOSITORY,
        timeout=1800,
        PYTHONPATH=str(REPOSITORY / "scripts"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{name}: proved in ")
