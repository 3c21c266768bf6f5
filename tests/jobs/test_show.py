"""Looking things up and reporting, as whoever schedules or reads the segments does it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from configured import KEY
from deltalake import DeltaTable
from landed import AS_OF, Cli, arguments, planted_orders, published, settings_of, write_delta, write_settings
from pyspark.sql import SparkSession
from test_entry_points import LIGHT

from spark_seg.config import load_settings
from spark_seg.publishing import Store
from spark_seg.report import published as collected
from spark_seg.report.page import page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop")


@pytest.fixture
def config(folder: Path) -> Path:
    if not (folder / "orders").exists():
        write_delta(folder / "orders", planted_orders())
    # Twelve in each group: a rule may describe so few of those that the tree sees.
    privacy = {"key": f"env:{KEY}", "key_id": "first", "min_group": 3}
    return write_settings(folder, settings_of(folder, privacy=privacy))


def test_a_run_tells_machines_what_it_did_and_people_where_its_report_lies(
    cli: Cli, config: Path, folder: Path
) -> None:
    ended = cli([*arguments("run_all", config, sets=LIGHT), "--json"])
    assert ended.code == 0, ended.said
    told: dict[str, Any] = json.loads(ended.out)
    (run,) = published(folder / "published", "runs")
    assert (told["run_id"], told["as_of"], told["exit_code"]) == (run["run_id"], AS_OF, 0)
    assert {r["table"]: r["rows"] for r in told["receipts"]}["explanations"] == 48
    assert [(s["segment_id"], s["customers"]) for s in told["segments"]] == [(i, 12) for i in (1, 2, 3, 4)]
    page = folder / "published" / "reports" / f"{run['run_id']}.html"
    assert told["report"] == str(page)
    assert f"report     {page}" in ended.err
    assert page.read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    assert page.with_suffix(".md").read_text(encoding="utf-8").startswith("# ")
    assert page.stat().st_size < 6_000_000

    again = cli([*arguments("run_all", config, sets=LIGHT), "--json"])
    assert json.loads(again.out)["published_already"] is True
    planned = cli([*arguments("run_all", config, sets=LIGHT), "--json", "--dry-run"])
    assert json.loads(planned.out)["outputs"][0] == "features"


def test_runs_segments_candidates_and_rules_are_shown(cli: Cli, config: Path, folder: Path) -> None:
    words = ["--config", str(config)]
    (run,) = published(folder / "published", "runs")
    shown = cli(["show", "runs", *words])
    assert (shown.code, run["run_id"] in shown.out, "explanations 48*" in shown.said) == (0, True, True)
    assert json.loads(cli(["show", "runs", *words, "--json"]).out)[0]["tables"]["assignments"] == 48
    segments = json.loads(cli(["show", "segments", *words, "--json"]).out)
    names = [s["segment_name"] for s in segments]
    assert all(name in cli(["show", "segments", *words, "--as-of", AS_OF]).said for name in names)
    candidates = json.loads(cli(["show", "candidates", *words, "--json"]).out)
    assert [(c["k"], c["chosen"]) for c in candidates if c["algorithm"] == "kmeans"] == [(4, True)]
    assert "kmeans k=4" in cli(["show", "candidates", *words, "--run", run["run_id"]]).said

    rules = json.loads(cli(["show", "rules", *words, "--json"]).out)
    assert {rule["segment_id"] for rule in rules} == {1, 2, 3, 4}
    assert all(rule["text"] in cli(["show", "rules", *words]).said for rule in rules)
    # The SQL stands alone: a database without Spark gives everybody their segment.
    sql = cli(["show", "rules", *words, "--sql"]).out
    features = (
        DeltaTable(str(folder / "published" / "features")).to_pyarrow_table().drop_columns(["attributes"])
    )
    connection = duckdb.connect()
    connection.register("features", features)
    got = dict(connection.execute(f"SELECT customer_id, {sql} FROM features").fetchall())
    assert got == {r["customer_id"]: r["segment_id"] for r in published(folder / "published", "assignments")}


def test_a_customer_is_looked_up_by_the_id_of_the_sources(cli: Cli, config: Path, folder: Path) -> None:
    words = ["--config", str(config)]
    shown = cli(["show", "customer", " star03 ", *words])
    assert shown.code == 0, shown.said
    for part in ("segment 1 ", f"since {AS_OF}", "sure ", "rule ", "to move ", "history 1 "):
        assert part in shown.said, part
    facts = json.loads(cli(["show", "customer", "star03", *words, "--json"]).out)
    assert facts["explanation"]["rule_id"] == facts["rule"]["rule_id"]
    assert facts["features"]["frequency"] == 10
    assert len(facts["assignment"]["customer_id"]) == 64
    nobody = cli(["show", "customer", "star99", *words])
    assert (nobody.code, "none of that id" in nobody.said) == (2, True)
    # Whoever looks on learns nothing of whom was asked for.
    assert "star99" not in nobody.said
    key = os.environ[KEY]
    assert key not in shown.out + shown.err + nobody.said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["show", "segments", "--as-of", "2024-01-01"],
            "segments: must be published for 2024-01-01; got 2025-01-01",
        ),
        (["show", "segments", "--as-of", "today"], "--as-of"),
        (["show", "rules", "--run", "nosuch"], "--run: must be a committed run; got 'nosuch'"),
        (["report", "nosuch"], "RUN: must be a committed run; got 'nosuch'"),
        (["report", "--as-of", "2024-01-01"], "segments: must be published for 2024-01-01"),
    ],
)
def test_what_is_not_there_is_told(cli: Cli, config: Path, words: list[str], sentence: str) -> None:
    ended = cli([*words, "--config", str(config)])
    assert (ended.code, sentence in ended.said) == (2, True), ended.said


def test_a_report_is_written_elsewhere_or_says_why_not(cli: Cli, config: Path, folder: Path) -> None:
    words = ["--config", str(config)]
    (run,) = published(folder / "published", "runs")
    ended = cli(["report", run["run_id"], *words, "--out", str(folder / "elsewhere")])
    assert ended.code == 0, ended.said
    first = (folder / "published" / "reports" / f"{run['run_id']}.html").read_text(encoding="utf-8")
    assert (folder / "elsewhere" / f"{run['run_id']}.html").read_text(encoding="utf-8") == first
    assert [p.name for p in (folder / "elsewhere").iterdir() if p.name.startswith(".")] == []
    of_the_day = cli(["report", *words, "--as-of", AS_OF, "--out", str(folder / "of_the_day")])
    assert (of_the_day.code, of_the_day.err) == (0, ""), of_the_day.said
    assert (folder / "of_the_day" / f"{run['run_id']}.html").read_text(encoding="utf-8") == first
    (folder / "file").write_text("", encoding="utf-8")
    refused = cli(["report", run["run_id"], *words, "--out", str(folder / "file" / "reports")])
    assert (refused.code, "report: must be written to" in refused.said) == (2, True), refused.said
    # A run that is published stays so when its page cannot be written.
    blocked = [
        *arguments("run_all", config, sets=LIGHT),
        "--set",
        f"report.path={folder / 'file' / 'reports'}",
    ]
    ended = cli(blocked)
    assert (ended.code, "report     not written: " in ended.out) == (0, True), ended.said


def own_rows(root: Path, table: str, run: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of one run without their stamp, read without Spark; maps as such."""
    rows = [r for r in published(root, table) if r["run_id"] == run["run_id"]]
    return [
        {
            name: dict(value) if name == "separation" else value
            for name, value in row.items()
            if name not in ("as_of", "run_id", "attempt_id")
        }
        for row in rows
    ]


def test_what_a_report_tells_is_what_is_published(spark: SparkSession, config: Path, folder: Path) -> None:
    settings = load_settings([config], [f"{part}" for part in LIGHT])
    root = folder / "published"
    (run,) = published(root, "runs")
    told = collected(Store(spark, settings.publishing), settings, str(run["run_id"]))
    for table, rows in (("profiles", told.profiles), ("rules", told.rules), ("candidates", told.candidates)):
        expected = own_rows(root, table, run)
        assert sorted(map(repr, rows)) == sorted(map(repr, expected)), table
    assert (told.run.metrics, told.run.structure) == (dict(run["metrics"]), run["structure"])
    explained = own_rows(root, "explanations", run)
    for row in told.silhouettes:
        own = [e["silhouette"] for e in explained if e["segment_id"] == row["segment_id"]]
        assert row["customers"] == len(own)
        assert row["mean"] == pytest.approx(np.mean(own))
        assert row["negative"] == np.mean(np.array(own) < 0)
        quantiles = [row[name] for name in ("p5", "p25", "median", "p75", "p95")]
        assert quantiles == pytest.approx(np.quantile(own, [0.05, 0.25, 0.5, 0.75, 0.95]))
    # Everybody is in the picture of so few, and two axes of two features hold all there is.
    assert told.picture is not None
    assert len(told.picture.points) == told.picture.customers == 48
    assert sum(told.picture.explained or ()) == pytest.approx(1)
    assert told.warnings == ()
    # The page says nothing but that: made again from these rows it is the one that was written.
    written = (root / "reports" / f"{run['run_id']}.html").read_text(encoding="utf-8")
    assert page(told) == written


def test_customers_are_pictured_by_tsne_where_it_is_asked_for(
    spark: SparkSession, config: Path, folder: Path
) -> None:
    (run,) = published(folder / "published", "runs")
    settings = load_settings([config], ["report.picture=tsne", "report.sample=30"])
    told = collected(Store(spark, settings.publishing), settings, str(run["run_id"]))
    assert told.picture is not None
    assert (told.picture.method, told.picture.explained) == ("tsne", None)
    assert (len(told.picture.points), told.picture.customers) == (30, 48)


def test_a_report_without_its_model_says_that_it_has_no_picture(
    spark: SparkSession, config: Path, folder: Path
) -> None:
    (run,) = published(folder / "published", "runs")
    settings = load_settings([config], [])
    place = Path(run["model_path"])
    place.rename(place.with_name("away"))
    try:
        told = collected(Store(spark, settings.publishing), settings, str(run["run_id"]))
    finally:
        place.with_name("away").rename(place)
    assert told.picture is None
    assert told.warnings[0].startswith("Customers are not pictured. ")
    assert "not pictured" in page(told)


def test_a_page_holds_no_id_of_anybody(config: Path, folder: Path) -> None:
    (run,) = published(folder / "published", "runs")
    reports = folder / "published" / "reports"
    ids = {row["customer_id"] for row in published(folder / "published", "assignments")}
    for suffix in ("html", "md"):
        text = (reports / f"{run['run_id']}.{suffix}").read_text(encoding="utf-8")
        assert not [name for name in ids if name in text]
        assert "star0" not in text
