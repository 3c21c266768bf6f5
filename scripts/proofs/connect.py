"""The whole pipeline over Spark Connect, and a part of the tests again."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from proofs.demo import CONFIGS, RUN_ALL, arguments, in_local_mode, must
from proofs.lakes import compared
from proofs.servers import REPOSITORY, connect_server, ended

#: Tests that hold on a server too; the others look at plans or at a session's own insides.
PARITY = (
    "tests/spark/test_rfm_oracle.py", "tests/spark/test_features.py", "tests/spark/test_clustering.py",
    "tests/spark/test_sweep.py", "tests/spark/test_profiles.py", "tests/spark/test_surrogate.py",
    "tests/delta/test_pipeline.py",
)  # fmt: skip


def connect() -> None:
    """Assignments over Connect are those of local mode, with frames kept and without; tests pass again."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        in_local_mode(folder / "local")
        print("connect: local mode has published")
        with connect_server(folder / "server") as server:
            for name, more in (("kept", []), ("never", ["--set", "session.cache=never"])):
                job = [sys.executable, str(RUN_ALL), *arguments(folder / name, *more, configs=CONFIGS[:1])]
                must(ended(job, REPOSITORY, timeout=1800, SPARK_REMOTE=server.address))
                print(f"connect: {name}: {compared(folder / name, folder / 'local')}")
            tests = [sys.executable, "-m", "pytest", "-q", *PARITY]
            told = must(ended(tests, REPOSITORY, timeout=3600, SPARK_REMOTE=server.address))
            print(f"connect: {told.strip().splitlines()[-1]}")
