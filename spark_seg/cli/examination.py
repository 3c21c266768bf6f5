"""Everything that `doctor` looks at: this machine, its Spark, and the place where runs are published."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from spark_seg.config import REMOTE, Settings
from spark_seg.errors import ConfigError, SegmentationError
from spark_seg.pipeline import check_key
from spark_seg.publishing import Store, try_to_write
from spark_seg.session import Finding, explained, findings, start_session

_S3 = re.compile(r"^(s3[an]?)://")
_LOG_STORE = "io.delta.storage.S3DynamoDBLogStore"


def looked_at(settings: Settings) -> Iterator[Finding]:
    """What can be told without Spark; and, when that is right, what Spark says."""
    elsewhere = bool(os.environ.get(REMOTE)) or SparkSession.getActiveSession() is not None
    machine = [] if elsewhere else findings(settings.session, "PYSPARK_GATEWAY_PORT" in os.environ)
    yield from machine
    if not all(finding.right for finding in machine):
        return
    try:
        spark = start_session(settings.session)
    except SegmentationError as error:
        yield from (Finding("session", False, problem) for problem in error.problems)
        return
    yield Finding("session", True, f"Spark {spark.version}")
    yield from examined(spark, settings)


def examined(spark: SparkSession, settings: Settings) -> Iterator[Finding]:
    """Every finding about a session, one after the other."""
    packages = ("pyspark", "delta-spark", "pyarrow", "numpy")
    told = f"Python {sys.version.split()[0]}, {', '.join(map(_installed, packages))}"
    yield Finding("packages", True, told)
    yield _workers(spark)
    yield _extension(spark)
    for name, wanted in (
        ("spark.sql.session.timeZone", "UTC"),
        ("spark.sql.ansi.enabled", "true"),
        ("spark.sql.runSQLOnFiles", "false"),
    ):
        found = spark.conf.get(name, "unset")
        told = f"{name} is {found}; it must be {wanted}"
        yield Finding(name.rsplit(".", 1)[-1], found == wanted, told)
    yield _redaction(spark)
    told = "Delta without a catalog is serializable: of two writers of a day one is refused"
    yield Finding("isolation", True, told)
    yield from _log_stores(spark, settings)
    yield _target(spark, settings)
    yield _key(settings)


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} not as a package"


def _workers(spark: SparkSession) -> Finding:
    """Python workers must be able to take Arrow batches, and to import this package."""

    def told(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import spark_seg.kernels

        for batch in batches:
            words = f"Python {sys.version.split()[0]}, pyarrow {pa.__version__}, {spark_seg.kernels.__name__}"
            yield pa.RecordBatch.from_pydict({"told": [words] * batch.num_rows})

    try:
        row = spark.range(1).mapInArrow(told, "told string").first()
    except PySparkException as error:
        known = explained(error)
        words = f"{str(error).splitlines()[-1]}; set PYSPARK_PYTHON to a Python with pyarrow"
        return Finding("workers", False, known.problems[0] if known is not None else words)
    return Finding("workers", row is not None, str(row["told"]) if row is not None else "no answer")


def _extension(spark: SparkSession) -> Finding:
    name = "spark.sql.extensions"
    found = spark.conf.get(name, "unset") or "unset"
    return Finding("extension", "DeltaSparkSessionExtension" in found, f"{name} is {found}")


def _redaction(spark: SparkSession) -> Finding:
    pattern = spark.conf.get("spark.redaction.regex", "") or ""
    shown = [name for name in ("shop.hmac.key", "shop.password", "shop.salt") if not re.search(pattern, name)]
    if not pattern:
        shown = ["every secret"]
    told = f"spark.redaction.regex lets Spark's pages show {', '.join(shown)}" if shown else "hides secrets"
    return Finding("redaction", not shown, told)


def _log_stores(spark: SparkSession, settings: Settings) -> Iterator[Finding]:
    """S3 alone does not tell who was first, and Delta's log needs that."""
    places = settings.publishing
    for place in {path for path in (places.root, places.models) if path is not None}:
        scheme = _S3.match(place)
        if scheme is None:
            continue
        name = f"spark.delta.logStore.{scheme[1]}.impl"
        found = spark.conf.get(name, "unset")
        told = f"{name} is {found}; with two writers it must be {_LOG_STORE}"
        yield Finding("log store", found == _LOG_STORE, told)


def _target(spark: SparkSession, settings: Settings) -> Finding:
    """May whoever runs this write where runs are published?"""
    problem = try_to_write(Store(spark, settings.publishing))
    where = settings.publishing.root or settings.publishing.database
    return Finding("target", problem is None, problem or f"{where} can be written to")


def _key(settings: Settings) -> Finding:
    try:
        variable = check_key(settings)
    except ConfigError as error:
        return Finding("key", False, error.problems[0])
    told = f"in {variable}" if variable else "none: published tables hold the ids themselves"
    return Finding("key", True, told)
