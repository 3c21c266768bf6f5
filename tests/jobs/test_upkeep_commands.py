"""Beside the jobs: tables ahead of time, what is published, back to an earlier run, leftovers, erasure."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from configured import KEY
from deltalake import write_deltalake
from landed import AS_OF, Cli, arguments, planted_orders, published, settings_of, write_delta, write_settings
from test_entry_points import LIGHT


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write_delta(tmp_path / "orders", planted_orders())
    privacy = {"key": f"env:{KEY}", "key_id": "first"}
    return write_settings(tmp_path, settings_of(tmp_path, privacy=privacy))


def test_from_the_first_table_to_the_last_trace(cli: Cli, config: Path, tmp_path: Path) -> None:
    root = tmp_path / "published"
    words = ["--config", str(config)]
    assert "created activity, features," in cli(["init", *words]).said
    assert "every table is there already" in cli(["init", *words]).said

    for revise in ([], ["--set", "selection.tolerance=0.03", "--revise"]):
        ended = cli([*arguments("run_all", config, sets=LIGHT), *revise])
        assert ended.code == 0, ended.said
    first, second = (str(r["run_id"]) for r in sorted(published(root, "runs"), key=lambda r: r["revision"]))
    listed = cli(["runs", "list", *words]).out
    lines = {run: next(line for line in listed.splitlines() if run in line) for run in (first, second)}
    assert "features 48*" in lines[second]
    assert "features 48," in lines[first]
    assert "kmeans k=4" in lines[first]

    back = cli(["rollback", *words, "--as-of", AS_OF, "--to", first])
    assert (back.code, f"run {first} counts for {AS_OF} again, as revision 2" in back.said) == (0, True)
    assert cli(["rollback", *words, "--as-of", AS_OF, "--to", first]).code == 2
    assert "nothing that is older than 24 hours" in cli(["gc", *words]).said

    ids = tmp_path / "ids.txt"
    ids.write_text("star00\n fresh03 \n\nstar00\n", encoding="utf-8")
    pending = cli(["erase", *words, "--ids", str(ids)])
    assert pending.code == 5
    assert "2 customers, 12 rows deleted" in pending.said
    assert "pending: until" in pending.said
    done = cli(["erase", *words, "--ids", str(ids), "--at-once"])
    assert (done.code, "clean: nothing is left in tables, logs and models" in done.said) == (0, True)
    assert "star00" not in pending.said + done.said
    assert len([r for r in published(root, "assignments") if r["run_id"] == first]) == 46


def test_erasing_needs_a_key_and_ids(cli: Cli, config: Path, tmp_path: Path) -> None:
    empty = tmp_path / "ids.txt"
    empty.write_text("\n \n", encoding="utf-8")
    plain = write_settings(tmp_path, settings_of(tmp_path), "plain.yaml")
    for file, ids, sentence in (
        (plain, empty, "erase: needs privacy.key"),
        (config, empty, "--ids: must have one id a line; got none"),
        (config, tmp_path / "nowhere", "--ids: must be a readable file; got No such file or directory"),
    ):
        refused = cli(["erase", "--config", str(file), "--ids", str(ids)])
        assert (refused.code, sentence in refused.said) == (2, True), refused.said


def test_rejected_rows_are_listed_repaired_and_read_by_the_next_run(
    cli: Cli, config: Path, tmp_path: Path
) -> None:
    bad = [{"customer": "star01", "order_no": f"bad{n}", "created": None, "price": 5.0} for n in range(3)]
    write_delta(tmp_path / "orders", planted_orders() + bad)
    ended = cli(arguments("build_features", config, sets=LIGHT))
    assert ended.code == 0, ended.said
    words = ["--config", str(config), "--as-of", AS_OF]
    file = tmp_path / "rejects.jsonl"
    told = cli(["rejects", *words, "--out", str(file)])
    assert "orders 3 null_ordered_at" in told.said
    assert file.stat().st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert {line["row"]["order_id"] for line in lines} == {"bad0", "bad1", "bad2"}
    # What cannot be read is told line by line, and nothing is taken.
    file.write_text("[]\n" + json.dumps(lines[0] | {"row": {"price": "1"}}), encoding="utf-8")
    refused = cli(["repair", *words, "--rows", str(file)])
    assert refused.code == 3
    assert "--rows line 1: must be an object of JSON" in refused.said
    assert "--rows line 2: row: unknown column price; known: amount, customer_id" in refused.said
    repaired = [line | {"row": line["row"] | {"ordered_at": "2024-12-24 18:00:00"}} for line in lines[:2]]
    file.write_text("\n".join(map(json.dumps, repaired)), encoding="utf-8")
    taken = cli(["repair", *words, "--rows", str(file)])
    assert (taken.code, "2 rows taken" in taken.said) == (0, True)
    root = tmp_path / "published"
    assert cli(arguments("build_features", config, sets=LIGHT)).code == 6
    assert cli([*arguments("build_features", config, sets=LIGHT), "--revise"]).code == 0
    first, second = sorted(published(root, "runs"), key=lambda r: r["revision"])
    frequency = {
        run["run_id"]: sum(
            f["frequency"] for f in published(root, "features") if f["run_id"] == run["run_id"]
        )
        for run in (first, second)
    }
    assert frequency[second["run_id"]] == frequency[first["run_id"]] + 2
    assert [i["source"] for i in second["inputs"]] == ["orders", "repairs"]


def test_tables_of_an_earlier_version_are_brought_into_the_form_of_this_one(
    cli: Cli, config: Path, tmp_path: Path
) -> None:
    assert cli(arguments("run_all", config, sets=LIGHT)).code == 0
    words, root = ["--config", str(config)], tmp_path / "published"
    assert "every table is as this version writes it" in cli(["migrate", *words]).said
    before = published(root, "assignments")
    old = pa.Table.from_pylist(before).drop_columns(["attempt_id", "may_activate"])
    shutil.rmtree(root / "assignments")
    write_deltalake(root / "assignments", old, partition_by=["as_of", "run_id"])
    refused = cli([*arguments("run_all", config, sets=LIGHT), "--set", "seed=7", "--revise"])
    assert (refused.code, "Run spark-seg migrate" in refused.said) == (6, True)
    migrated = cli(["migrate", *words]).said
    assert "assignments: written anew for" in migrated and "attempt_id" in migrated
    by_customer = {row["customer_id"]: row for row in published(root, "assignments")}
    assert by_customer == {row["customer_id"]: row for row in before}
    assert cli([*arguments("run_all", config, sets=LIGHT), "--set", "seed=7", "--revise"]).code == 0
