"""Every proof of scripts/prove, when it is asked for: minutes each, and some need what is not everywhere."""

from __future__ import annotations

import os
import shutil
import sys

import pytest
from proofs.__main__ import PROOFS
from proofs.servers import REPOSITORY, ended

_FOLDERS = (REPOSITORY / "scripts", REPOSITORY / "tests" / "jobs")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PROOFS))
def test_the_proof_ends_well(name: str) -> None:
    rehearsed = os.geteuid() == 0 and shutil.which("debootstrap") is not None
    if name == "container" and not rehearsed and shutil.which("docker") is None:
        pytest.skip("needs a Docker engine, or root and debootstrap")
    if name == "versions" and shutil.which("python3.12") is None:
        pytest.skip("needs Python 3.12 beside 3.11")
    done = ended(
        [sys.executable, "-m", "proofs", name],
        REPOSITORY,
        timeout=7200,
        PYTHONPATH=os.pathsep.join(map(str, _FOLDERS)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{name}: proved in ")
