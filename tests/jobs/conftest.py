"""Fixtures of the tests that go through the command line."""

from __future__ import annotations

import pytest
from landed import Cli, Ended
from pyspark.sql import SparkSession

from spark_seg.cli import main


@pytest.fixture
def cli(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line in this process, on the session of the tests."""

    def run(arguments: list[str]) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        said = capsys.readouterr()
        code = caught.value.code
        return Ended(code if isinstance(code, int) else 0 if code is None else 1, said.out, said.err)

    return run
