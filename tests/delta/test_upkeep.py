"""What stopped runs leave is removed, an earlier run can count again, and a changed model is not loaded."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyspark.ml import PipelineModel
from pyspark.ml.clustering import KMeans
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import DataFrame, SparkSession
from test_ledger import DAY, record

from spark_seg.config import FeatureSettings, PublishingSettings
from spark_seg.errors import ConfigError, ModelIntegrityError, PublishConflict
from spark_seg.features import feature_spec
from spark_seg.publishing import (
    Ledger,
    Receipt,
    Store,
    collect_garbage,
    create_tables,
    current_run,
    load_model,
    migrate,
    read_current,
    save_model,
)
from spark_seg.tables import PUBLISHED, REJECTS, Stamp

ONE, TWO = "1" * 20, "2" * 20


@pytest.fixture
def ledger(spark: SparkSession, tmp_path: Path) -> Ledger:
    return Ledger(Store(spark, PublishingSettings(root=str(tmp_path / "out"))), "shop")


def rejects(ledger: Ledger, run_id: str, reason: str) -> DataFrame:
    row = (DAY, run_id, "one", "orders", "t", "0", reason, "{}")
    return ledger.store.spark.createDataFrame([row], REJECTS.schema)


def stage(ledger: Ledger, run_id: str, reason: str = "amount is zero") -> Receipt:
    return ledger.store.stage(rejects(ledger, run_id, reason), REJECTS, Stamp(DAY, run_id, "one"))


def commit(ledger: Ledger, run_id: str, revision: int) -> None:
    receipt = stage(ledger, run_id, f"reason of {run_id}")
    written = (Receipt("features", 0, 1), receipt)
    ledger.commit(replace(record(run_id, revision), receipts=written, model_path=None))


def reasons(ledger: Ledger) -> list[str]:
    frame = read_current(ledger, "rejects", DAY)
    assert frame is not None
    return [row["reason"] for row in frame.collect()]


# ---------------------------------------------------------------- an earlier run counts again


def test_case_07_a_rollback_shows_the_earlier_run_and_rewrites_nothing(ledger: Ledger) -> None:
    commit(ledger, ONE, 0)
    commit(ledger, TWO, 1)
    assert reasons(ledger) == [f"reason of {TWO}"]
    version = DeltaTable(f"{ledger.store.settings.root}/rejects").version()
    assert ledger.roll_back(DAY, ONE) == 2
    assert reasons(ledger) == [f"reason of {ONE}"]
    assert DeltaTable(f"{ledger.store.settings.root}/rejects").version() == version
    first, second, again = ledger.runs()
    assert (again.run_id, again.revision, again.receipts) == (ONE, 2, first.receipts)
    assert again.committed_at is not None and second.committed_at is not None
    assert again.committed_at >= second.committed_at
    # And back: the run that was rolled back is there as before.
    assert ledger.roll_back(DAY, TWO) == 3
    assert reasons(ledger) == [f"reason of {TWO}"]


def test_a_rollback_to_what_is_not_there_or_counts_already_is_refused(ledger: Ledger) -> None:
    commit(ledger, ONE, 0)
    with pytest.raises(ConfigError, match=f"run {ONE} is the last of {DAY}"):
        ledger.roll_back(DAY, ONE)
    with pytest.raises(ConfigError, match="must be a committed run of 2024-01-01; got 'nobody'"):
        ledger.roll_back(DAY, "nobody")
    assert len(ledger.runs()) == 1


def test_case_13_a_late_attempt_of_a_run_that_is_committed_is_told_so(ledger: Ledger) -> None:
    ledger.commit(record(ONE))
    with pytest.raises(PublishConflict, match=f"another attempt of run {ONE} was faster"):
        ledger.commit(replace(record(ONE), attempt_id="two"))
    assert [run.attempt_id for run in ledger.runs()] == ["one"]


# ---------------------------------------------------------------- leftovers


def test_case_08_only_what_is_old_and_was_never_committed_is_removed(ledger: Ledger, tmp_path: Path) -> None:
    commit(ledger, ONE, 0)
    stage(ledger, TWO)
    models = tmp_path / "out" / "models"
    for name in (f"{ONE}/a", f"{TWO}/b"):
        (models / name).mkdir(parents=True)
    ledger.commit(replace(record("3", 0, date(2024, 2, 1)), model_path=str(models / ONE / "a")))
    now = datetime.now(UTC)
    # A run that may be at work is left alone.
    assert collect_garbage(ledger.store, now - timedelta(hours=1)) == []
    found = collect_garbage(ledger.store, now + timedelta(minutes=1))
    assert {(left.place, left.run_id, left.rows) for left in found} == {
        ("rejects", TWO, 1),
        (str(models / TWO / "b"), TWO, None),
    }
    left = DeltaTable(f"{tmp_path}/out/rejects").to_pandas()
    assert set(left["run_id"]) == {ONE}
    assert [path.parent.name for path in models.glob("*/*")] == [ONE]
    assert collect_garbage(ledger.store, now + timedelta(minutes=1)) == []


def test_tables_are_made_once_and_with_their_comments(ledger: Ledger) -> None:
    features = feature_spec(FeatureSettings())
    specs = {**PUBLISHED, "features": features}
    assert create_tables(ledger.store, specs) == list(PUBLISHED)
    assert create_tables(ledger.store, specs) == []
    assert ledger.runs() == []
    for spec in specs.values():
        fields = json.loads(DeltaTable(f"{ledger.store.settings.root}/{spec.name}").schema().to_json())[
            "fields"
        ]
        assert [f["name"] for f in fields] == spec.columns
        assert [f["metadata"]["comment"] for f in fields] == [f.comment for f in spec.fields]
    commit(ledger, ONE, 0)
    run = current_run(ledger.runs(), "rejects", DAY)
    assert run is not None and run.run_id == ONE


# ---------------------------------------------------------------- models


@pytest.fixture(scope="module")
def model(spark: SparkSession) -> PipelineModel:
    frame = spark.createDataFrame([(0.0, 1.0), (5.0, 2.0)], "a double, b double")
    assembler = VectorAssembler(inputCols=["a", "b"], outputCol="features")
    return PipelineModel([assembler, KMeans(k=2, seed=1).fit(assembler.transform(frame))])


def largest(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern), key=lambda file: file.stat().st_size)


def test_a_model_is_loaded_when_its_files_are_those_that_were_written(
    spark: SparkSession, model: PipelineModel, tmp_path: Path
) -> None:
    digest = save_model(spark, model, f"{tmp_path}/m/one")
    assert len(load_model(spark, f"{tmp_path}/m/one", digest).stages) == 2
    # A copy elsewhere has the same files.
    shutil.copytree(tmp_path / "m" / "one", tmp_path / "copy")
    assert load_model(spark, f"{tmp_path}/copy", digest).stages
    other = save_model(spark, PipelineModel(model.stages[1:]), f"{tmp_path}/m/two")
    assert other != digest


@pytest.mark.parametrize("damage", ["tampered", "truncated", "swapped", "gone", "half"])
def test_case_46_a_model_that_was_changed_is_refused_before_it_is_loaded(
    spark: SparkSession,
    model: PipelineModel,
    tmp_path: Path,
    damage: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "m"
    digest = save_model(spark, model, str(path))
    stage = largest(path, "stages/0_*/metadata/part-*")
    centres = largest(path, "stages/1_*/data/*.parquet")
    if damage == "tampered":
        text = stage.read_text().replace("org.apache.spark.ml.feature.VectorAssembler", "evil.module.Stage")
        stage.write_text(text)
        (stage.parent / f".{stage.name}.crc").unlink()
    elif damage == "truncated":
        centres.write_bytes(centres.read_bytes()[:-8])
        (centres.parent / f".{centres.name}.crc").unlink()
    elif damage == "swapped":
        save_model(spark, PipelineModel(model.stages[1:]), str(path))
    elif damage == "half":
        shutil.rmtree(path / "stages")
    else:
        shutil.rmtree(path)
    monkeypatch.setattr(PipelineModel, "load", lambda _: pytest.fail("was loaded"))
    with pytest.raises(ModelIntegrityError, match="train again") as refused:
        load_model(spark, str(path), digest)
    assert refused.value.exit_code == 3


def test_a_model_of_foreign_classes_is_refused_whatever_its_digest(
    spark: SparkSession, model: PipelineModel, tmp_path: Path
) -> None:
    path = tmp_path / "m"
    save_model(spark, model, str(path))
    stage = largest(path, "stages/0_*/metadata/part-*")
    stage.write_text(stage.read_text().replace("org.apache.spark.ml.feature.VectorAssembler", "evil.Stage"))
    (stage.parent / f".{stage.name}.crc").unlink()
    with pytest.raises(ModelIntegrityError, match=r"got evil\.Stage\. It was not loaded"):
        load_model(spark, str(path), None)


def test_structs_in_lists_are_brought_into_the_form_of_this_version_by_their_names(ledger: Ledger) -> None:
    spark, store = ledger.store.spark, ledger.store
    former = (
        "as_of date, run_id string, attempt_id string, scheme string, segment_id int, "
        "feature_stats array<struct<feature: string, mean: double, lift: double, position: double>>"
    )
    row = (DAY, ONE, "one", "clusters", 1, [("monetary", 12.5, 2.0, -0.5)])
    store.append(spark.createDataFrame([row], former), PUBLISHED["profiles"], {})
    (said,) = migrate(store, {"profiles": PUBLISHED["profiles"]})
    assert said.startswith("profiles: written anew for feature_stats")
    frame = store.read("profiles")
    assert frame is not None
    (now,) = frame.collect()
    (stat,) = now["feature_stats"]
    assert (stat["feature"], stat["mean"], stat["lift"], stat["position"]) == ("monetary", 12.5, 2.0, -0.5)
    assert (stat["known"], stat["difference"], now["makeup"]) == (None, None, None)
    # And a run of this version can write there.
    assert migrate(store, {"profiles": PUBLISHED["profiles"]}) == []
