"""Is this the place that runs need? Looked at once, before the night on which it matters."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import typer

from spark_seg.cli.terminal import ConfigOption, SetOption, console, log_to_terminal
from spark_seg.config import Settings, load_settings
from spark_seg.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from spark_seg.session import Finding

app = typer.Typer()

_S3 = re.compile(r"^(s3[an]?)://")
_LOG_STORE = "io.delta.storage.S3DynamoDBLogStore"


@app.command()
def doctor(config: ConfigOption, set_: SetOption = None) -> None:
    """Look whether this machine and its Spark are what runs of a configuration need."""
    settings = load_settings(config, set_ or [])
    log_to_terminal()
    wrong = 0
    for finding in _looked_at(settings):
        state = "ok" if finding.right else "WRONG"
        told = finding.told.removeprefix(f"{finding.name}: ")
        console.print(f"{state:<6} {finding.name:<14} {told}", markup=False, soft_wrap=True)
        wrong += not finding.right
    if wrong:
        raise ConfigError(f"doctor: everything must be right; got {wrong} that is not (above)")


def _looked_at(settings: Settings) -> Iterator[Finding]:
    """What can be told without Spark; and, when that is right, what Spark says."""
    from pyspark.sql import SparkSession

    from spark_seg.session import Finding, findings, start_session

    elsewhere = bool(os.environ.get("SPARK_REMOTE")) or SparkSession.getActiveSession() is not None
    machine = [] if elsewhere else findings(settings.session, "PYSPARK_GATEWAY_PORT" in os.environ)
    yield from machine
    if not all(finding.right for finding in machine):
        return
    try:
        spark = start_session(settings.session)
    except ConfigError as error:
        yield from (Finding("session", False, problem) for problem in error.problems)
        return
    yield Finding("session", True, f"Spark {spark.version}")
    yield from examined(spark, settings)


def examined(spark: SparkSession, settings: Settings) -> Iterator[Finding]:
    """Every finding about a session, one after the other."""
    from spark_seg.session import Finding

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
    import pyarrow as pa
    from pyspark.errors import PySparkException

    from spark_seg.session import Finding, explained

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
    from spark_seg.session import Finding

    name = "spark.sql.extensions"
    found = spark.conf.get(name, "unset") or "unset"
    return Finding("extension", "DeltaSparkSessionExtension" in found, f"{name} is {found}")


def _redaction(spark: SparkSession) -> Finding:
    from spark_seg.session import Finding

    pattern = spark.conf.get("spark.redaction.regex", "") or ""
    shown = [name for name in ("shop.hmac.key", "shop.password", "shop.salt") if not re.search(pattern, name)]
    if not pattern:
        shown = ["every secret"]
    told = f"spark.redaction.regex lets Spark's pages show {', '.join(shown)}" if shown else "hides secrets"
    return Finding("redaction", not shown, told)


def _log_stores(spark: SparkSession, settings: Settings) -> Iterator[Finding]:
    """S3 alone does not tell who was first, and Delta's log needs that."""
    from spark_seg.session import Finding

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
    from spark_seg.publishing import Store, try_to_write
    from spark_seg.session import Finding

    problem = try_to_write(Store(spark, settings.publishing))
    where = settings.publishing.root or settings.publishing.database
    return Finding("target", problem is None, problem or f"{where} can be written to")


def _key(settings: Settings) -> Finding:
    from spark_seg.pipeline import check_key
    from spark_seg.session import Finding

    try:
        variable = check_key(settings)
    except ConfigError as error:
        return Finding("key", False, error.problems[0])
    told = f"in {variable}" if variable else "none: published tables hold the ids themselves"
    return Finding("key", True, told)
