"""What the doctor looks at, and what it says of a place that is not right."""

from __future__ import annotations

from pathlib import Path

import pytest
from configured import KEY
from landed import Cli, settings_of, write_settings
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from spark_seg.cli.doctor import examined
from spark_seg.config import load_settings


def test_case_47_the_doctor_tells_log_store_workers_isolation_and_redaction(
    cli: Cli, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_settings(tmp_path, settings_of(tmp_path))
    well = cli(["doctor", "--config", str(config)])
    assert well.code == 0, well.said
    for word in ("ok packages Python 3.", "ok workers Python 3.", "pyarrow", "ok isolation", "ok redaction"):
        assert word in well.said
    keyed = settings_of(tmp_path, privacy={"key": f"env:{KEY}", "key_id": "first"})
    on_s3 = write_settings(tmp_path, keyed | {"publishing": {"root": "s3a://shop/segments"}}, "s3.yaml")
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
        found = {what: right for what, right, _ in examined(spark, load_settings([config]))}
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
