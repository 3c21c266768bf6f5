"""One session per run: no adaptive execution, no compiled code, two shuffle partitions, no UI, UTC."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from configured import KEY
from proofs.servers import KEPT_CLASSES
from pyspark.sql import SparkSession

from spark_seg.clustering import prime_lapack
from spark_seg.config import REMOTE, SessionSettings
from spark_seg.session import start_session

#: Before any JVM starts, which hands it on to the workers.
os.environ[KEY] = "a key for tests, and for nothing else"
REPOSITORY = Path(__file__).parents[1]

SPARK_CONF: dict[str, str | int | float | bool] = {
    "spark.sql.adaptive.enabled": False,
    "spark.sql.shuffle.partitions": 2,
    # Compiling code for a handful of rows costs more than it gives back; what is compiled is tested in
    # test_invariances, and in tests/jobs through the real doors.
    "spark.sql.codegen.wholeStage": False,
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.databricks.delta.snapshotPartitions": 1,
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": 2,
    "spark.ui.enabled": False,
    "spark.ui.showConsoleProgress": False,
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "3g",
    "spark.log.level": "ERROR",
}


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    scratch = tmp_path_factory.mktemp("spark")
    conf = SPARK_CONF | {
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        # The quick compiler only: the better one costs more than it gives back. Its cache is too small.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m "
        f"-XX:+UseParallelGC {KEPT_CLASSES} -Dderby.system.home={scratch}/derby",
    }
    session = start_session(SessionSettings(master="local[2]", app_name="spark_seg tests", conf=conf))
    prime_lapack(session)
    yield session
    session.stop()


@pytest.fixture
def classic() -> None:
    """For tests that look at plans or jobs, which Spark Connect shows nobody."""
    if os.environ.get(REMOTE):
        pytest.skip("over Spark Connect there are no plans to look at")


@pytest.fixture
def in_folder(tmp_path: Path) -> Iterator[Path]:
    """A scratch folder as the working directory."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)
