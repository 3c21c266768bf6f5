"""What Databricks does for Python wheel tasks: a session first, then the entry point of the installed wheel.

Usage: python wheel_task.py WHAT, a JSON object. conf: Spark's settings of a session that is there before the
tasks are ({"spark.remote": "sc://…"} for Spark Connect); without any, the tasks start their own. statements:
SQL to be run in it first. tasks: lists of package, entry point and arguments. The last line tells their exit
codes.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from typing import Any

from pyspark.sql import SparkSession

import spark_seg


def main(what: dict[str, Any]) -> None:
    print(f"spark_seg of {spark_seg.__file__}")
    if what["conf"]:
        builder = SparkSession.builder
        for key, value in what["conf"].items():
            builder = builder.config(key, value)
        session = builder.getOrCreate()
        for statement in what["statements"]:
            session.sql(statement)
    codes = [_code(*task) for task in what["tasks"]]
    print(json.dumps(codes))


def _code(package: str, name: str, arguments: list[str]) -> int:
    (entry,) = [point for point in metadata.distribution(package).entry_points if point.name == name]
    sys.argv = [name, *arguments]
    try:
        entry.load()()
    except SystemExit as ended:
        # Databricks takes every exit for a failure, so one that means success must not happen.
        if not isinstance(ended.code, int) or ended.code == 0:
            raise AssertionError(f"{arguments[0]} ends by an exit with {ended.code}") from ended
        return ended.code
    return 0


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
