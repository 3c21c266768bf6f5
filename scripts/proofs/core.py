"""The tests that are run again elsewhere: over Spark Connect, and with other versions of Spark and Python.

They are the ones that hold on any session; the others look at plans or at a session's own insides.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from proofs.demo import must
from proofs.servers import REPOSITORY, ended

CORE = (
    "tests/spark/test_rfm_oracle.py", "tests/spark/test_rfm_grid.py", "tests/spark/test_features.py",
    "tests/spark/test_cleaning.py", "tests/spark/test_clustering.py", "tests/spark/test_indices.py",
    "tests/spark/test_profiles.py", "tests/spark/test_surrogate.py", "tests/spark/test_explanations.py",
    "tests/delta/test_pipeline.py", "tests/delta/test_api.py",
)  # fmt: skip


def core_tests(python: Path, **env: str) -> str:
    """pytest's last line about the core tests. Raises `Failed` when one did not pass."""
    done: subprocess.CompletedProcess[str] = ended(
        [str(python), "-m", "pytest", "-rfE", "--tb=line", "-p", "no:cacheprovider", *CORE],
        REPOSITORY,
        timeout=3600,
        **env,
    )
    return must(done).strip().splitlines()[-1]
