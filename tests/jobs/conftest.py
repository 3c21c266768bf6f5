"""Fixtures of the tests that go through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from landed import Cli, Ended, write_settings
from proofs.servers import QUICK_JVM
from pyspark.sql import SparkSession

from spark_seg.cli import main

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def overlay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Spark settings of the tests as an overlay, for a smaller process, with compiled code."""
    shared = request.config.pluginmanager.get_plugin(str(REPOSITORY / "tests" / "conftest.py"))
    assert shared is not None
    conf = {name: value for name, value in shared.SPARK_CONF.items() if "codegen" not in name}
    conf |= {"spark.driver.memory": "1g", "spark.driver.extraJavaOptions": QUICK_JVM}
    folder = tmp_path_factory.mktemp("overlay")
    return write_settings(folder, {"session": {"master": "local[2]", "conf": conf}}, "local.yaml")


@pytest.fixture
def cli(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line in this process, on the session of the tests."""

    def run(arguments: list[str]) -> Ended:
        capsys.readouterr()
        code: object = 0
        try:
            main(arguments)
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return Ended(code if isinstance(code, int) else 1, said.out, said.err)

    return run
