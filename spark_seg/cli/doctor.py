"""Is this the place that runs need? Looked at once, before the night on which it matters."""

from __future__ import annotations

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

app = typer.Typer()

#: A finding: what was looked at, whether it is right, and what was found.
Finding = tuple[str, bool, str]
_S3 = re.compile(r"^(s3[an]?)://")
_LOG_STORE = "io.delta.storage.S3DynamoDBLogStore"


@app.command()
def doctor(config: ConfigOption, set_: SetOption = None) -> None:
    """Look whether this machine and its Spark are what runs of a configuration need."""
    from spark_seg.session import start_session

    settings = load_settings(config, set_ or [])
    log_to_terminal()
    findings = list(examined(start_session(settings.session), settings))
    for name, right, told in findings:
        console.print(f"{'ok' if right else 'WRONG':<6} {name:<14} {told}", markup=False, soft_wrap=True)
    wrong = sum(not right for _, right, _ in findings)
    if wrong:
        raise ConfigError(f"doctor: everything must be right; got {wrong} that is not (above)")


def examined(spark: SparkSession, settings: Settings) -> Iterator[Finding]:
    """Every finding, one after the other."""
    packages = ("pyspark", "delta-spark", "pyarrow", "numpy")
    yield "packages", True, f"Python {sys.version.split()[0]}, {', '.join(map(_installed, packages))}"
    yield _workers(spark)
    yield _extension(spark)
    for name, wanted in (
        ("spark.sql.session.timeZone", "UTC"),
        ("spark.sql.ansi.enabled", "true"),
        ("spark.sql.runSQLOnFiles", "false"),
    ):
        found = spark.conf.get(name, "unset")
        yield name.rsplit(".", 1)[-1], found == wanted, f"{name} is {found}; it must be {wanted}"
    yield _redaction(spark)
    yield "isolation", True, "Delta without a catalog is serializable: of two writers of a day one is refused"
    yield from _log_stores(spark, settings)
    yield _key(settings)


def _installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} not as a package"


def _workers(spark: SparkSession) -> Finding:
    """Python workers must be able to take Arrow batches."""
    import pyarrow as pa
    from pyspark.errors import PySparkException

    def told(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            words = f"Python {sys.version.split()[0]}, pyarrow {pa.__version__}"
            yield pa.RecordBatch.from_pydict({"told": [words] * batch.num_rows})

    try:
        row = spark.range(1).mapInArrow(told, "told string").first()
    except PySparkException as error:
        return "workers", False, f"{str(error).splitlines()[-1]}; set PYSPARK_PYTHON to a Python with pyarrow"
    return "workers", row is not None, str(row["told"]) if row is not None else "no answer"


def _extension(spark: SparkSession) -> Finding:
    name = "spark.sql.extensions"
    found = spark.conf.get(name, "unset") or "unset"
    return "delta", "DeltaSparkSessionExtension" in found, f"{name} is {found}"


def _redaction(spark: SparkSession) -> Finding:
    pattern = spark.conf.get("spark.redaction.regex", "") or ""
    shown = [name for name in ("shop.hmac.key", "shop.password", "shop.salt") if not re.search(pattern, name)]
    if not pattern:
        shown = ["every secret"]
    told = f"spark.redaction.regex lets Spark's pages show {', '.join(shown)}" if shown else "hides secrets"
    return "redaction", not shown, told


def _log_stores(spark: SparkSession, settings: Settings) -> Iterator[Finding]:
    """S3 alone does not tell who was first, and Delta's log needs that."""
    places = settings.publishing
    for place in {path for path in (places.root, places.models) if path is not None}:
        scheme = _S3.match(place)
        if scheme is None:
            continue
        name = f"spark.delta.logStore.{scheme[1]}.impl"
        found = spark.conf.get(name, "unset")
        yield "log store", found == _LOG_STORE, f"{name} is {found}; with two writers it must be {_LOG_STORE}"


def _key(settings: Settings) -> Finding:
    from spark_seg.pipeline import check_key

    try:
        variable = check_key(settings)
    except ConfigError as error:
        return "key", False, error.problems[0]
    return "key", True, f"in {variable}" if variable else "none: published tables hold the ids themselves"
