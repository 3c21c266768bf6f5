"""The whole pipeline over Spark Connect, and the core tests again."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from proofs.core import core_tests
from proofs.demo import CONFIGS, RUN_ALL, arguments, in_local_mode, must
from proofs.lakes import compared
from proofs.servers import REPOSITORY, connect_server, ended


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
            told = core_tests(Path(sys.executable), SPARK_REMOTE=server.address)
            print(f"connect: the core tests: {told}")
