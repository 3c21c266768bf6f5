"""What the doctor looks at, and what it says of a place that is not right."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from configured import KEY
from landed import Cli, arguments, settings_of, write_settings
from proofs.servers import free_port
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from spark_seg.cli.examination import examined
from spark_seg.config import load_settings
from spark_seg.session import explained


def test_case_47_the_doctor_tells_log_store_workers_isolation_and_redaction(
    cli: Cli, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_settings(tmp_path, settings_of(tmp_path))
    well = cli(["doctor", "--config", str(config)])
    assert well.code == 0, well.said
    for word in ("ok packages Python 3.", "ok workers Python 3.", "pyarrow", "ok isolation", "ok redaction"):
        assert word in well.said
    keyed = settings_of(tmp_path, privacy={"key": f"env:{KEY}", "key_id": "first"})
    places = {"root": str(tmp_path / "published"), "models": "s3a://shop/models"}
    on_s3 = write_settings(tmp_path, keyed | {"publishing": places}, "s3.yaml")
    monkeypatch.delenv(KEY)
    ill = cli(["doctor", "--config", str(on_s3)])
    assert ill.code == 2
    assert "WRONG log store spark.delta.logStore.s3a.impl is unset; with two writers it must be" in ill.said
    assert f"WRONG key privacy.key: {KEY} must hold a key" in ill.said
    assert "doctor: everything must be right; got 2 that is not" in ill.said
    # A session that somebody else has set up.
    name = "spark.sql.runSQLOnFiles"
    spark.conf.set(name, "true")
    try:
        found = {f.name: f.right for f in examined(spark, load_settings([config]))}
    finally:
        spark.conf.set(name, "false")
    assert [what for what, right in found.items() if not right] == ["runSQLOnFiles"]


def test_case_47_parameters_of_sql_still_fail_beside_delta_and_are_not_used(spark: SparkSession) -> None:
    """Once this fails, names and values can be given to `spark.sql` as parameters."""
    if spark.version.startswith("4.0"):
        pytest.skip("they work there")
    with pytest.raises(PySparkException, match="UNBOUND_SQL_PARAMETER"):
        spark.sql("select :x", args={"x": 1}).collect()
    package = Path(__file__).parents[2] / "spark_seg"
    assert not [path for path in package.rglob("*.py") if "args={" in path.read_text(encoding="utf-8")]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_settings(tmp_path, settings_of(tmp_path))


@pytest.fixture
def no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which no session is there yet."""
    monkeypatch.setattr(SparkSession, "getActiveSession", lambda: None)


def java_that_says(folder: Path, version: str, modules: str = "jdk.incubator.vector@17") -> str:
    """A JAVA_HOME whose java answers these."""
    java = folder / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        f'#!/bin/sh\n[ "$1" = -version ] && echo \'openjdk version "{version}"\' >&2\necho {modules}\n'
    )
    java.chmod(0o755)
    return str(folder / "jdk")


def test_a_place_that_nobody_may_write_to_is_told(cli: Cli, tmp_path: Path) -> None:
    config = write_settings(tmp_path, settings_of(tmp_path, publishing={"root": "/proc/segments"}))
    found = cli(["doctor", "--config", str(config)])
    assert found.code == 2
    assert "WRONG target permission: whoever runs this must be allowed" in found.said
    assert "/proc/segments" in found.said
    assert "got 1 that is not" in found.said


@pytest.mark.parametrize(
    ("version", "modules", "told"),
    [
        ("11.0.2", "jdk.incubator.vector@11", "is version 11. Set JAVA_HOME to a newer one"),
        ("1.8.0_402", "", "is version 8. Set JAVA_HOME to a newer one"),
        ("17.0.9", "java.base@17.0.9", "with the module jdk.incubator.vector"),
    ],
)
def test_a_java_that_does_not_fit_is_told(
    cli: Cli, shop: Path, tmp_path: Path, no_session: None, monkeypatch: pytest.MonkeyPatch,
    version: str, modules: str, told: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("JAVA_HOME", java_that_says(tmp_path, version, modules))
    found = cli(["doctor", "--config", str(shop)])
    assert (found.code, found.said.count("WRONG")) == (2, 1)
    assert told in found.said


def test_no_java_is_told(
    cli: Cli, shop: Path, tmp_path: Path, no_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert f"JAVA_HOME is {tmp_path}, where there is none" in cli(["doctor", "--config", str(shop)]).said
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is none on the PATH" in cli(["doctor", "--config", str(shop)]).said


@pytest.mark.parametrize(
    ("jar", "told"),
    [
        ("delta-spark_4.0_2.13-4.4.0.jar", "got delta-spark_4.0_2.13-4.4.0.jar, made for Spark 4.0"),
        ("delta-spark_2.13-4.0.1.jar", "got delta-spark_2.13-4.0.1.jar, made for Spark 4.0"),
        (None, "got none beside Spark's own, none in session.conf, and no package delta-spark"),
    ],
)
def test_jars_that_are_missing_or_made_for_another_spark_are_told(
    cli: Cli, shop: Path, tmp_path: Path, no_session: None, monkeypatch: pytest.MonkeyPatch,
    jar: str | None, told: str,
) -> None:  # fmt: skip
    (tmp_path / "jars").mkdir()
    if jar is not None:
        (tmp_path / "jars" / jar).touch()
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    monkeypatch.setattr("spark_seg.session.machine.version", absent)
    found = cli(["doctor", "--config", str(shop)])
    assert (found.code, found.said.count("WRONG")) == (2, 1)
    assert told in found.said


def absent(package: str) -> str:
    raise PackageNotFoundError(package)


def test_a_master_and_a_server_that_do_not_answer_are_told_by_doctor_and_job(
    cli: Cli, shop: Path, no_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = free_port()
    master = ["--set", f"session.master=spark://127.0.0.1:{closed}"]
    words = f"a master must answer at spark://127.0.0.1:{closed}; nobody does"
    doctor = cli(["doctor", "--config", str(shop), *master])
    job = cli([*arguments("run_all", shop), *master])
    assert (doctor.code, job.code) == (2, 2)
    assert f"WRONG session {words}" in doctor.said
    assert words in job.said
    assert "Traceback" not in job.said
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    job = cli([*arguments("run_all", shop), "--remote", f"sc://127.0.0.1:{closed}/;token=secret"])
    assert job.code == 2
    assert "a Spark Connect server must answer at sc://127.0.0.1:" in job.said
    assert "secret" not in job.said


@pytest.mark.parametrize(
    ("error", "told", "code"),
    [
        ("java.net.UnknownHostException: lake.example.org", "one was not (lake.example.org)", 1),
        (
            "org.apache.hadoop.security.AccessControlException: Permission denied: user=x, path=hdfs://a/b",
            "refused (hdfs://a/b)",
            2,
        ),
        ("ModuleNotFoundError: No module named 'spark_seg'", "scripts/build", 2),
        ("java.lang.NoSuchMethodError: 'void org.apache.spark.sql.X'", "they do not", 2),
        ("All masters are unresponsive! Giving up.", "run the same command again", 1),
        ("java.io.IOException: No space left on device", "a disk is full", 1),
    ],
)
def test_failures_of_the_surroundings_are_a_sentence_in_place_of_a_traceback(
    error: str, told: str, code: int
) -> None:
    """Those that may pass by themselves end with 1, which schedulers try again."""
    known = explained(PySparkException(error))
    assert known is not None
    assert told in known.render()
    assert "\n" not in known.render()
    assert known.exit_code == code


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    assert explained(ValueError("k must be positive")) is None
    assert explained(PySparkException("[UNRESOLVED_COLUMN] x")) is None
