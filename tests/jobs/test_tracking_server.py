"""Telling others of runs through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from landed import (
    AS_OF,
    Cli,
    arguments,
    planted_orders,
    published,
    settings_of,
    versions,
    write_delta,
    write_settings,
)
from test_entry_points import LIGHT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_delta(folder / "orders", planted_orders())
    return folder


@pytest.fixture
def config(folder: Path) -> Path:
    tracking = {"openlineage": {"to": str(folder / "events.jsonl"), "namespace": "tests"}}
    return write_settings(folder, settings_of(folder, tracking=tracking))


def events(folder: Path) -> list[dict[str, Any]]:
    file = folder / "events.jsonl"
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def test_a_run_tells_of_itself_once_and_the_ledger_can_be_told_again(
    cli: Cli, config: Path, folder: Path
) -> None:
    refused = cli([*arguments("run_all", config, sets=LIGHT), "--set", "selection.rules.max_segments=3"])
    assert (refused.code, events(folder)) == (2, [])
    rules = "selection.rules.min_segment_customers=1000"
    assert cli([*arguments("run_all", config, sets=LIGHT), "--set", rules]).code == 4
    assert cli([*arguments("run_all", config, sets=LIGHT), "--dry-run"]).code == 0
    assert events(folder) == []

    ended = cli([*arguments("run_all", config, sets=LIGHT), "--json"])
    assert ended.code == 0, ended.said
    (run,) = published(folder / "published", "runs")
    (told,) = json.loads(ended.out)["tracking"]
    assert (told["run_id"], told["whom"], told["problem"]) == (run["run_id"], "lineage", None)
    start, complete = events(folder)
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert start["eventTime"] < complete["eventTime"]
    rows = {
        one["name"].rpartition("/")[2]: one["outputFacets"]["outputStatistics"]["rowCount"]
        for one in complete["outputs"]
        if "outputFacets" in one
    }
    assert rows == {receipt["table"]: receipt["rows"] for receipt in run["receipts"]}
    fields = {
        field["name"]
        for one in complete["outputs"]
        if one["name"].endswith("/features")
        for field in one["facets"]["schema"]["fields"]
    }
    assert {"customer_id", "recency_days", "monetary"} <= fields

    before = versions(folder / "published")
    assert "was published already" in cli(arguments("run_all", config, sets=LIGHT)).said
    words = ["--config", str(config)]
    for more in ([], [run["run_id"]]):
        again = cli(["track", *words, *more])
        assert (again.code, "2 events" in again.said) == (0, True), again.said
    assert events(folder) == [start, complete]
    assert versions(folder / "published") == before
    assert cli(["track", *words, "nosuchrun"]).code == 2

    (folder / "events.jsonl").unlink()
    (folder / "events.jsonl").mkdir()
    lost = cli(arguments("run_all", config, sets=LIGHT))
    assert lost.code == 0
    assert "lineage not told: tracking.openlineage.to: must be a file that can be added to at" in lost.said
    assert f"Again: spark-seg track {run['run_id']}" in lost.said
    assert cli(["track", *words]).code == 1


def test_an_address_without_mlflow_stops_a_run_before_it_starts(
    cli: Cli, config: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spark_seg.tracking.places.find_spec", lambda name: None)
    root = folder / "elsewhere"
    sets = [*LIGHT, f"publishing.root={root}", "tracking.mlflow.uri=http://127.0.0.1:9"]
    ended = cli(arguments("run_all", config, as_of=AS_OF, sets=sets))
    assert ended.code == 2
    assert "pip install 'spark-seg[mlflow]'" in ended.said
    assert not root.exists()
