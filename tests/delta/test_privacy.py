"""Published tables name nobody, and who asks to be forgotten is gone from every file."""

from __future__ import annotations

import hmac
import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from configured import KEY, settings_for
from pyspark.sql import DataFrame, SparkSession
from test_pipeline import AS_OF, CHEAP, assigned, current, land, ledger_of, run, shop

from spark_seg.config import PrivacySettings, Settings
from spark_seg.errors import ConfigError, PublishConflict
from spark_seg.pipeline import make_plan
from spark_seg.publishing import ErasureReceipt, Store, erase, points
from spark_seg.tables import PUBLISHED, Spec, Stamp

#: The first, the last and one in the middle of the order of ids: what statistics would show.
VICTIMS = ("daily-000", "lapsed-007", "whales-023")


def named(customer: str) -> str:
    """The pseudonym, by Python's own means."""
    return hmac.new(os.environ[KEY].encode(), customer.encode(), "sha256").hexdigest()


def forget(spark: SparkSession, settings: Settings, at_once: bool = True) -> ErasureReceipt:
    return erase(Store(spark, settings.publishing), [named(v) for v in VICTIMS], "first", VICTIMS, at_once)


def files_with(root: Path, needles: tuple[str, ...]) -> list[str]:
    """Files below `root` in which a text stands, as bytes or in decoded Parquet."""
    found = []
    for path in (p for p in root.rglob("*") if p.is_file()):
        texts = [path.read_bytes()]
        if path.suffix == ".parquet":
            texts.append(json.dumps(pq.ParquetFile(path).read().to_pylist(), default=str).encode())
        if any(needle.encode() in text for needle in needles for text in texts):
            found.append(str(path.relative_to(root)))
    return found


def of_victims(spark: SparkSession, settings: Settings, as_of: date = AS_OF) -> dict[str, int]:
    """Table → rows of the victims that count."""
    left = {}
    for table in ("features", "assignments", "rejects"):
        rows = current(spark, settings, table, as_of)
        text = "" if rows is None else rows.to_json()
        left[table] = sum(text.count(named(victim)) for victim in VICTIMS)
    return left


@pytest.fixture
def place(spark: SparkSession, tmp_path: Path) -> Iterator[tuple[Path, Settings]]:
    keyed = {"privacy": f"{{key: env:{KEY}, key_id: first, raw_ids: false}}"}
    land(spark, tmp_path, shop())
    yield tmp_path / "published", settings_for(tmp_path, **CHEAP, **keyed)


def test_published_tables_name_customers_by_pseudonym_and_no_file_holds_an_id(
    spark: SparkSession, place: tuple[Path, Settings]
) -> None:
    root, settings = place
    run(spark, settings)
    assert set(assigned(spark, settings)["customer_id"]) == {
        named(c) for c in set(shop()["customer_id"]) - {"gone-000"}
    }
    rejects = current(spark, settings, "rejects")
    assert rejects is not None
    assert [json.loads(row)["customer_id"] for row in rejects["row"]] == [named("daily-000")]
    # Order numbers of this shop hold no id as a whole.
    assert files_with(root, VICTIMS) == []


def test_a_key_that_is_missing_or_too_short_is_a_configuration_error(
    spark: SparkSession, place: tuple[Path, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("", "too short"):
        monkeypatch.setenv(KEY, value)
        with pytest.raises(
            ConfigError, match=f"privacy.key: {KEY} must hold a key of at least 16 bytes"
        ) as e:
            make_plan(spark, place[1], "run_all", AS_OF)
        assert "too short" not in str(e.value)


def test_case_39_and_41_who_is_erased_is_in_no_file_and_does_not_come_back(
    spark: SparkSession, place: tuple[Path, Settings]
) -> None:
    root, settings = place
    run(spark, settings)
    before = assigned(spark, settings)
    pseudonyms = tuple(named(victim) for victim in VICTIMS)
    assert files_with(root, pseudonyms)
    receipt = forget(spark, settings)
    # Features, assignments and explanations of three, and one rejected row.
    assert (receipt.clean, receipt.customers, receipt.rows) == (True, 3, 10)
    left = {Path(file).parts[0] for file in files_with(root, (*pseudonyms, *VICTIMS))}
    assert left == {"erasures"}
    after = assigned(spark, settings)
    assert len(after) == len(before) - 3
    merged = after.merge(before, on="customer_id", suffixes=("", "_before"))
    assert (merged["segment_id"] == merged["segment_id_before"]).all()

    # The source still has them: a later run of the old day leaves them out, and counts the rows.
    other = settings.model_copy(update={"seed": 7})
    revised = run(spark, other, revise=True)
    assert of_victims(spark, settings) == dict.fromkeys(("features", "assignments", "rejects"), 0)
    row = spark.read.format("delta").load(f"{root}/runs").where(f"run_id = '{revised.run_id}'").first()
    assert row is not None
    counted = {r["reason"]: r["rows"] for r in row["rejects"]}
    assert counted == {"erased": int(shop()["customer_id"].isin(VICTIMS).sum())}
    assert {Path(file).parts[0] for file in files_with(root, (*pseudonyms, *VICTIMS))} == {"erasures"}


def test_an_erasure_that_spares_former_versions_is_pending_until_their_files_may_go(
    spark: SparkSession, place: tuple[Path, Settings]
) -> None:
    root, settings = place
    run(spark, settings, "build_features")
    receipt = forget(spark, settings, at_once=False)
    # By another key, or as they are, they would come back under other names.
    for other in (settings.privacy.model_copy(update={"key_id": "second"}), PrivacySettings(raw_ids=True)):
        with pytest.raises(ConfigError, match=r"3 by key 'first'\. Run erase with their ids again"):
            run(spark, settings.model_copy(update={"privacy": other}), revise=True)
    assert not receipt.clean
    assert receipt.deadline is not None
    assert {residue.place for residue in receipt.residues} <= {
        place for table in PUBLISHED for place in (table, f"{table} (decoded)")
    }
    told = spark.read.format("delta").load(f"{root}/erasure_receipts").collect()
    assert [(r["status"], r["customers"], r["rows"]) for r in told] == [("pending", 3, 4)]
    assert of_victims(spark, settings)["features"] == 0
    assert forget(spark, settings).clean


@pytest.mark.slow
@pytest.mark.parametrize("point", ["mid_write", "after_assignments", "before_commit"])
def test_case_40_an_erasure_beside_a_run_leaves_nobody_behind(
    spark: SparkSession, place: tuple[Path, Settings], monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    root, settings = place
    receipts = []

    def reached(passed: str) -> None:
        if passed == point and not receipts:
            receipts.append(forget(spark, settings))

    monkeypatch.setattr(points, "reached", reached)
    if point != "before_commit":
        with pytest.raises(PublishConflict, match="nobody may be erased while a run is at work"):
            run(spark, settings)
        assert receipts
        assert current(spark, settings, "assignments") is None
    run(spark, settings)
    assert of_victims(spark, settings) == dict.fromkeys(("features", "assignments", "rejects"), 0)
    # What the run that gave up had written is still in files that no version needs: the next look says so.
    assert forget(spark, settings).clean
    assert {Path(file).parts[0] for file in files_with(root, tuple(map(named, VICTIMS)))} == {"erasures"}


@pytest.mark.slow
def test_two_erasures_at_once_undo_nothing_of_each_other(
    spark: SparkSession, place: tuple[Path, Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, settings = place
    run(spark, settings, "build_features")
    began, go = tmp_path / "began", tmp_path / "go"
    store = Store(spark, settings.publishing)
    replace, slow_writes = Store._replace, []

    def waiting(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        began.touch()
        while not go.exists():
            time.sleep(0.05)
        yield from batches

    def slowly(self: Store, rows: DataFrame, spec: Spec, stamp: Stamp, new: bool) -> None:
        if threading.current_thread() is not threading.main_thread() and spec.name == "features":
            slow_writes.append(stamp)
            rows = rows.coalesce(1).mapInArrow(waiting, rows.schema)
        replace(self, rows, spec, stamp, new)

    monkeypatch.setattr(Store, "_replace", slowly)
    first, second, _ = map(named, VICTIMS)
    slow = threading.Thread(target=erase, args=(store, [first], "first", [], False))
    slow.start()
    while not began.exists():
        assert slow.is_alive()
        time.sleep(0.05)
    # While the first one writes, the second begins and ends.
    try:
        erase(store, [second], "first", [], False)
    finally:
        go.touch()
        slow.join()
    assert len(slow_writes) == 2, "the slow one must have been refused once, and have read again"
    features = current(spark, settings, "features")
    assert features is not None
    assert not {first, second} & set(features["customer_id"])


# ---------------------------------------------------------------- consent


def test_case_42_who_has_not_agreed_is_as_if_never_there_and_others_say_for_what(
    spark: SparkSession, tmp_path: Path
) -> None:
    given = shop()
    everybody = sorted(set(given["customer_id"]))
    refused = set(VICTIMS)
    rows = [(c, "profile", c not in refused) for c in everybody] + [
        (c, "activate", True) for c in everybody[:9]
    ]
    land(spark, tmp_path, given)
    spark.createDataFrame(rows, "customer string, purpose string, granted boolean").write.format(
        "delta"
    ).save(f"{tmp_path}/consents")
    columns = "{customer_id: customer, purpose: purpose, granted: granted}"
    consents = {"sources.consents": f"[{{path: {tmp_path}/consents, columns: {columns}}}]"}
    asked = settings_for(tmp_path, **CHEAP, **consents)
    run(spark, asked, "build_features")
    without = tmp_path / "without"
    without.mkdir()
    land(spark, without, given[~given["customer_id"].isin(refused)])
    plain = settings_for(without, **CHEAP)
    run(spark, plain, "build_features")
    ours, theirs = (current(spark, s, "features") for s in (asked, plain))
    assert ours is not None and theirs is not None
    may = ["may_activate", "may_experiment"]
    apart = ["run_id", "attempt_id", *may]
    one, other = (f.sort_values("customer_id", ignore_index=True).drop(columns=apart) for f in (ours, theirs))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    agreed = ours.set_index("customer_id")
    assert {c: bool(agreed.loc[c, may[0]]) for c in agreed.index} == {
        c: c in everybody[:9] for c in agreed.index
    }
    assert not agreed[may[1]].any()
    assert theirs[may].isna().all(axis=None)
    (reason,) = [r for r in ledger_of(spark, asked).runs()[0].rejects if r[1] == "no_consent"]
    assert reason == ("orders", "no_consent", int(given["customer_id"].isin(refused).sum()))
    # Their rows are kept nowhere, and a decision of later is another input: it needs a revision.
    assert files_with(tmp_path / "published", VICTIMS) == []
    spark.createDataFrame(
        [(VICTIMS[0], "profile", True)], "customer string, purpose string, granted boolean"
    ).write.format("delta").mode("append").save(f"{tmp_path}/consents")
    with pytest.raises(PublishConflict, match="--revise"):
        make_plan(spark, asked, "build_features", AS_OF)
