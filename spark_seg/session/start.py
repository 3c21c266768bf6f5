"""The one place that starts or attaches to a SparkSession."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pyspark
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

import spark_seg
from spark_seg.config import REMOTE, SessionSettings
from spark_seg.errors import ConfigError
from spark_seg.session.causes import explained
from spark_seg.session.kept import CACHE
from spark_seg.session.machine import findings, jars_beside_spark, unreachable

#: What every session started here needs, whatever the overlay says.
_REQUIRED = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # A table name from a configuration must not be able to open a file.
    "spark.sql.runSQLOnFiles": "false",
}
#: What Spark shows of settings and plans, in its UI, its logs and its event log. Names of settings that hold
#: secrets are left out by Spark itself only when they say "secret", "password", "token" or "access key".
_REDACTED = {
    "spark.redaction.regex": r"(?i)secret|password|passwd|token|access[.]?key|hmac|[._-]key|salt|[._-]sas"
    r"|credential|connection[.]?string",
    # Addresses of e-mail and pseudonyms in plans.
    "spark.sql.redaction.string.regex": r"[\w.+-]+@[\w-]+\.[\w.-]+|\b[0-9a-f]{64}\b",
}
#: Needed for right results; set on an existing session too.
_SEMANTICS = {"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true"}


def start_session(settings: SessionSettings) -> SparkSession:
    """The active session (Databricks, Connect, a notebook), one on the Spark Connect server of
    `SPARK_REMOTE`, or a new one built from `settings`.

    Raises `ConfigError` when an existing session refuses what right results need, and when this machine lacks
    what a new one needs.
    """
    session = SparkSession.getActiveSession()
    if session is None:
        session = _remote(os.environ[REMOTE]) if os.environ.get(REMOTE) else _started(settings)
    _give_semantics(session)
    # Only said where it must be: serverless compute lets nobody set what it does not know.
    if settings.cache != "auto" or session.conf.get(CACHE, "auto") != "auto":
        session.conf.set(CACHE, settings.cache)
    return session


@contextmanager
def semantics(session: SparkSession) -> Iterator[None]:
    """What right results need, on a session of somebody else, and after that what it had before.

    Raises `ConfigError` when the session refuses it.
    """
    before = _give_semantics(session)
    try:
        yield
    finally:
        for key, value in before.items():
            session.conf.set(key, value)


def _give_semantics(session: SparkSession) -> dict[str, str]:
    """Set what right results need; returns what was changed, as it was."""
    before = {key: session.conf.get(key, None) or "" for key in _SEMANTICS}
    changed = {key: value for key, value in before.items() if value != _SEMANTICS[key]}
    for key in changed:
        try:
            session.conf.set(key, _SEMANTICS[key])
        except PySparkException:
            raise ConfigError(
                f"session {key}: must be {_SEMANTICS[key]}; got {before[key]}, and this session "
                "does not let it be changed. Set it where the cluster is configured"
            ) from None
    return changed


def _remote(address: str) -> SparkSession:
    """A session on a Spark Connect server, whose Python workers get this package from here.

    What the server is set to stays as it is: an overlay is for sessions that are started here.
    """
    problem = unreachable(address)
    if problem is not None:
        raise ConfigError(problem)
    try:
        session = SparkSession.builder.remote(address).getOrCreate()
    except (PySparkException, ImportError) as error:
        raise explained(error) or error from error
    folder = tempfile.mkdtemp(prefix="spark_seg-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    session.addArtifacts(_zipped(Path(folder, "spark_seg.zip")), pyfile=True)
    return session


def _zipped(target: Path) -> str:
    """This package as a file that Python workers import."""
    package = Path(spark_seg.__file__).parent
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(package.rglob("*.py")):
            archive.write(file, file.relative_to(package.parent))
    return str(target)


def _started(settings: SessionSettings) -> SparkSession:
    builder = SparkSession.builder.appName(settings.app_name)
    # Under spark-submit the gateway exists already: its master and jars win.
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    master = None
    if submitted:
        master = pyspark.SparkConf().get("spark.master")
    else:
        master = settings.master or "local[*]"
        builder = builder.master(master)
        if master.startswith("local"):
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        for key, value in _delta_packages().items():
            builder = builder.config(key, value)
    wanted: dict[str, str | int | float | bool] = {
        **_SEMANTICS,
        **_REDACTED,
        **settings.conf,
        **_REQUIRED,
    }
    for name, setting in wanted.items():
        builder = builder.config(name, str(setting).lower() if isinstance(setting, bool) else setting)
    # Spark itself asks a master three times, a minute in all, and then ends without a word to Python.
    problem = unreachable(master or "")
    if problem is not None:
        raise ConfigError(problem)
    try:
        return builder.getOrCreate()
    except Exception as error:  # whatever is raised: the machine is looked at for what it lacks
        lacking = [f.told for f in findings(settings, submitted) if not f.right]
        if not lacking and not submitted and not jars_beside_spark():
            lacking.append(
                f"network: Delta's jars ({', '.join(_delta_packages().values())}) must be fetched, and Spark "
                "has ended meanwhile. Give it a way to Maven Central or a mirror (~/.m2/settings.xml or "
                "spark.jars.ivySettings), or put the jars into Spark's folder jars"
            )
        if lacking:
            raise ConfigError(lacking) from error
        raise explained(error) or error from error


def _delta_packages() -> dict[str, str]:
    """Delta's coordinates for Ivy, unless its jars already lie beside Spark's own."""
    if jars_beside_spark():
        return {}
    try:
        delta = version("delta-spark")
    except PackageNotFoundError:
        return {}
    minor = ".".join(pyspark.__version__.split(".")[:2])
    return {"spark.jars.packages": f"io.delta:delta-spark_{minor}_2.13:{delta}"}
