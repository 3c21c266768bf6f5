"""Starting, attaching, and keeping frames where the session allows it."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from spark_seg.config import SessionSettings
from spark_seg.errors import ConfigError, SegmentationError
from spark_seg.session import keep, release, start_session


def test_an_existing_session_is_used_and_set_to_utc_and_ansi(spark: SparkSession) -> None:
    spark.conf.set("spark.sql.session.timeZone", "Asia/Kolkata")
    spark.conf.set("spark.sql.ansi.enabled", "false")
    before = spark.conf.get("spark.sql.shuffle.partitions")
    wanted = SessionSettings(master="local[7]", app_name="another", conf={"spark.sql.shuffle.partitions": 99})
    attached = start_session(wanted)
    assert attached is SparkSession.getActiveSession()
    assert attached.sparkContext is spark.sparkContext
    assert attached.conf.get("spark.sql.session.timeZone") == "UTC"
    assert attached.conf.get("spark.sql.ansi.enabled") == "true"
    assert attached.conf.get("spark.sql.shuffle.partitions") == before
    assert attached.sparkContext.master == "local[2]"


def test_a_session_started_here_knows_delta_and_opens_no_files_by_name(spark: SparkSession) -> None:
    assert spark.conf.get("spark.sql.extensions") == "io.delta.sql.DeltaSparkSessionExtension"
    with pytest.raises(AnalysisException, match="TABLE_OR_VIEW_NOT_FOUND"):
        _ = spark.table("text.`/etc/hostname`").columns


class FakeConf:
    """Settings of a session that refuses to be changed."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: str) -> None:
        raise PySparkException(f"cannot set {key}")


class FakeSession:
    def __init__(self, values: dict[str, str]) -> None:
        self.conf = FakeConf(values)


def test_a_session_that_refuses_what_right_results_need_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    berlin = FakeSession({"spark.sql.session.timeZone": "Europe/Berlin", "spark.sql.ansi.enabled": "true"})
    monkeypatch.setattr(SparkSession, "getActiveSession", lambda: berlin)
    with pytest.raises(
        ConfigError, match=r"session spark\.sql\.session\.timeZone: must be UTC; got Europe/Berlin"
    ):
        start_session(SessionSettings())


def test_a_session_that_is_right_already_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    right = FakeSession({"spark.sql.session.timeZone": "UTC", "spark.sql.ansi.enabled": "true"})
    monkeypatch.setattr(SparkSession, "getActiveSession", lambda: right)
    assert start_session(SessionSettings()) is right  # type: ignore[comparison-overlap]


def test_a_kept_frame_is_computed_once_and_let_go(spark: SparkSession) -> None:
    frame = spark.range(5).withColumn("x", F.rand())
    kept = keep(frame)
    assert kept.storageLevel != StorageLevel.NONE
    assert kept.collect() == kept.collect()
    release(kept)
    assert kept.storageLevel == StorageLevel.NONE


class Refusing:
    """A frame of serverless compute."""

    def __init__(self, message: str) -> None:
        self.message = message
        self.sparkSession = FakeSession({})

    def persist(self) -> None:
        raise PySparkException(self.message)

    unpersist = persist


def test_where_nothing_can_be_kept_the_frame_stays_as_it_is() -> None:
    frame: Any = Refusing("[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE is not supported")
    assert keep(frame) is frame
    release(frame)


def test_a_session_that_shall_keep_nothing_is_not_asked_to(spark: SparkSession) -> None:
    start_session(SessionSettings(cache="never"))
    try:
        frame = spark.range(5)
        assert keep(frame) is frame
        assert frame.storageLevel == StorageLevel.NONE
        release(frame)
    finally:
        start_session(SessionSettings())
    assert keep(frame).storageLevel != StorageLevel.NONE
    release(frame)


def test_any_other_failure_to_keep_a_frame_is_told() -> None:
    frame: Any = Refusing("[TABLE_OR_VIEW_NOT_FOUND] gone")
    for action in (keep, release):
        with pytest.raises(PySparkException, match="gone"):
            action(frame)


class Unstartable:
    """What starts Spark, on a machine where it cannot fetch its jars: the JVM says why, Python does not."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.builder = self

    def getActiveSession(self) -> None:  # noqa: N802 - as Spark calls it
        return None

    def appName(self, name: str) -> Unstartable:  # noqa: N802 - as Spark calls it
        return self

    def master(self, address: str) -> Unstartable:
        return self

    def config(self, key: str, value: str) -> Unstartable:
        return self

    def getOrCreate(self) -> None:  # noqa: N802 - as Spark calls it
        raise self.error


@pytest.mark.parametrize(
    ("jars", "error", "told"),
    [
        ([], RuntimeError("[JAVA_GATEWAY_EXITED] it exited"), "network: Delta's jars .io.delta:delta-spark_"),
        ([], RuntimeError("UnknownHostException: lake.example.org"), "network: Delta's jars"),
        (
            ["x.jar"],
            RuntimeError("UnknownHostException: lake.example.org"),
            r"one was not \(lake.example.org\)",
        ),
    ],
)
def test_a_session_that_does_not_start_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, jars: list[str], error: Exception, told: str
) -> None:
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    monkeypatch.setattr("spark_seg.session.start.SparkSession", Unstartable(error))
    monkeypatch.setattr("spark_seg.session.start.jars_beside_spark", lambda: jars)
    with pytest.raises(SegmentationError, match=told):
        start_session(SessionSettings())


def test_an_error_that_nobody_knows_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    monkeypatch.setattr("spark_seg.session.start.SparkSession", Unstartable(ValueError("a fault of ours")))
    with pytest.raises(ValueError, match="a fault of ours"):
        start_session(SessionSettings())
