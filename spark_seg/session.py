"""The one place that starts or attaches to a SparkSession."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pyspark
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from spark_seg.config import SessionSettings
from spark_seg.errors import ConfigError

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
    """The active session (Databricks, Connect, a notebook) or a new one built from `settings`.

    Raises `ConfigError` when an existing session refuses what right results need.
    """
    session = SparkSession.getActiveSession()
    if session is None:
        session = _build(settings)
    for key, value in _SEMANTICS.items():
        if session.conf.get(key, None) != value:
            try:
                session.conf.set(key, value)
            except PySparkException:
                raise ConfigError(
                    f"session {key}: must be {value}; got {session.conf.get(key, None)}, and this session "
                    "does not let it be changed. Set it where the cluster is configured"
                ) from None
    return session


def keep(frame: DataFrame) -> DataFrame:
    """`frame`, computed once and kept where the session allows it.

    Serverless compute refuses persisting: there the frame is computed again at each use.
    """
    try:
        return frame.persist()
    except PySparkException as error:
        if "NOT_SUPPORTED" not in str(error):
            raise
        return frame


def release(frame: DataFrame) -> None:
    """Let go of a frame that was kept; nothing where nothing could be kept."""
    try:
        frame.unpersist()
    except PySparkException as error:
        if "NOT_SUPPORTED" not in str(error):
            raise


def _build(settings: SessionSettings) -> SparkSession:
    builder = SparkSession.builder.appName(settings.app_name)
    # Under spark-submit the gateway exists already: its master and jars win.
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
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
    return builder.getOrCreate()


def _delta_packages() -> dict[str, str]:
    """Delta's coordinates for Ivy, unless its jars already lie beside Spark's own."""
    home = Path(os.environ.get("SPARK_HOME", Path(pyspark.__file__).parent))
    if any((home / "jars").glob("delta-spark_*.jar")):
        return {}
    try:
        delta = version("delta-spark")
    except PackageNotFoundError:
        return {}
    minor = ".".join(pyspark.__version__.split(".")[:2])
    return {"spark.jars.packages": f"io.delta:delta-spark_{minor}_2.13:{delta}"}
