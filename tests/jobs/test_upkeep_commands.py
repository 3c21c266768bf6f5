"""Beside the jobs: tables ahead of time, what is published, back to an earlier run, leftovers, erasure."""

from __future__ import annotations

from pathlib import Path

import pytest
from configured import KEY
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
    assert "2 customers, 8 rows deleted" in pending.said
    assert "pending: files of former versions may go on" in pending.said
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
