"""The same job through every door, on a real cluster, and day after day."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from landed import (
    Cli,
    arguments,
    planted_orders,
    published,
    same_groups,
    segments,
    settings_of,
    versions,
    write_delta,
    write_settings,
)
from proofs.servers import BIN, QUICK_JVM, REPOSITORY, cluster, connect_server, ended

#: One small fit: what is tested here is the way to it.
LIGHT = (
    "clustering.algorithms=[kmeans]",
    "clustering.restarts={kmeans: 1}",
    "selection.k_min=4",
    "selection.k_max=4",
    "preparation.features={recency_days: {log: true}, monetary: {log: true}}",
)
JOBS = sorted(path.stem for path in (REPOSITORY / "jobs").glob("*.py"))
#: Options beside --config and --set.
OPTIONS = {job: {"--as-of", "--dry-run", "--revise"} for job in JOBS} | {
    "erase_customers": {"--ids", "--at-once"}
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    write_delta(folder / "orders", planted_orders())
    return folder


def config_for(shop: Path, name: str) -> Path:
    """The shop, published to a place of its own."""
    return write_settings(shop, settings_of(shop, publishing={"root": str(shop / name)}), f"{name}.yaml")


def snapshot(root: Path) -> list[dict[str, Any]]:
    """Assignments without the attempt that wrote them."""
    rows = [{n: v for n, v in row.items() if n != "attempt_id"} for row in published(root, "assignments")]
    return sorted(rows, key=lambda row: str(row["customer_id"]))


LAUNCHERS: dict[str, list[str]] = {
    "python": [sys.executable, str(REPOSITORY / "jobs" / "run_all.py")],
    "spark_submit": [str(BIN / "spark-submit"), "--master", "local[2]", "--driver-memory", "1g",
                     "--driver-java-options", QUICK_JVM, str(REPOSITORY / "jobs" / "run_all.py")],
    "spark_seg": [str(BIN / "spark-seg"), "run-all"],
}  # fmt: skip


@pytest.fixture(scope="module")
def by_launcher(shop: Path, overlay: Path) -> dict[str, subprocess.CompletedProcess[str]]:
    """The same job through each door, one after the other."""
    return {
        name: ended(command + arguments("", config_for(shop, name), overlay, sets=LIGHT)[1:], cwd=shop)
        for name, command in LAUNCHERS.items()
    }


@pytest.mark.parametrize("name", LAUNCHERS)
def test_every_door_publishes_the_same_assignments_to_the_last_bit(
    shop: Path, by_launcher: dict[str, subprocess.CompletedProcess[str]], name: str
) -> None:
    result = by_launcher[name]
    assert result.returncode == 0, result.stderr[-3000:]
    rows = snapshot(shop / name)
    assert len(rows) == 48
    assert same_groups(segments(shop / name))
    assert rows == snapshot(shop / "python")
    assert f"run {rows[0]['run_id']} published" in result.stdout
    assert len(published(shop / name, "runs")) == 1


def test_underscores_and_dashes_are_the_same_command_and_the_same_run(
    cli: Cli, shop: Path, by_launcher: dict[str, subprocess.CompletedProcess[str]]
) -> None:
    before = versions(shop / "python")
    for job in ("run_all", "run-all"):
        result = cli(arguments(job, config_for(shop, "python"), sets=LIGHT))
        assert (result.code, "was published already" in result.said) == (0, True), result.said
    assert versions(shop / "python") == before


# ---------------------------------------------------------------- usage


@pytest.mark.parametrize("job", JOBS)
def test_a_job_without_arguments_is_a_usage_error_and_help_names_its_options(
    job: str, tmp_path: Path
) -> None:
    script = str(REPOSITORY / "jobs" / f"{job}.py")
    wrong = ended([sys.executable, script, "--set", "seed=1"], cwd=tmp_path)
    assert wrong.returncode == 2
    assert "--config" in wrong.stderr
    right = ended([sys.executable, script, "--help"], cwd=tmp_path, NO_COLOR="1", TERM="dumb")
    assert right.returncode == 0
    options = {"--config", "--set"} | OPTIONS[job]
    assert options <= set(re.findall(r"--[a-z-]+", right.stdout))
    assert ("--model-run" in right.stdout) == (job == "assign_segments")


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_usage_error_and_a_wrong_configuration_end_with_2_through_every_door(
    launcher: str, shop: Path
) -> None:
    config = write_settings(shop, settings_of(shop, publishing={"root": "a", "rot": 1}), "wrong.yaml")
    result = ended(LAUNCHERS[launcher] + arguments("", config)[1:], cwd=shop)
    assert result.returncode == 2
    said = result.stdout + result.stderr  # spark-submit makes one stream of the two
    assert f"{config}: publishing.rot: unknown setting; did you mean 'root'?" in said
    assert "Traceback" not in said
    assert not (shop / "a").exists()


@pytest.mark.parametrize(
    "wrong",
    [["no-such-job"], [], ["run-all", "--as-of"], ["run-all", "--no-such-option"], ["config", "chek"]],
)
def test_a_wrong_command_line_is_a_usage_error(cli: Cli, wrong: list[str]) -> None:
    assert cli(wrong).code == 2


@pytest.mark.parametrize("command", [[], ["run-all"], ["build_features"], ["config"], ["config", "check"]])
def test_help_explains_every_command(cli: Cli, command: list[str]) -> None:
    result = cli([*command, "--help"])
    assert result.code == 0
    assert "Usage" in result.out


def test_config_check_schema_and_template_answer_without_any_table(cli: Cli, tmp_path: Path) -> None:
    config = write_settings(tmp_path, settings_of(tmp_path))
    assert cli(["config", "check", str(config)]).said == f"{config}: no problems"
    wrong = cli(["config", "check", str(config), "--set", "seed=x", "--set", "selection.k_maks=2"])
    assert wrong.code == 2
    assert "2 problems" in wrong.said
    unknown = cli(["config", "check", str(config), "--set", "preparation.features={monetry: {}}"])
    assert unknown.code == 2
    assert "unknown feature 'monetry'; did you mean 'monetary'?" in unknown.said
    schema = cli(["config", "schema"])
    assert json.loads(schema.out)["properties"].keys() >= {"sources", "publishing"}
    template = cli(["config", "template"])
    assert template.out == (REPOSITORY / "conf" / "base.yaml").read_text(encoding="utf-8")


def test_a_dry_run_says_what_it_would_read_and_write_and_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    write_delta(tmp_path / "orders", planted_orders())
    root = tmp_path / "out red"
    config = write_settings(tmp_path, settings_of(tmp_path, publishing={"root": str(root)}))
    result = cli([*arguments("run_all", config), "--dry-run"])
    assert result.code == 0
    assert f"{tmp_path}/orders@0 → {root} run " in result.said
    for table in ("features", "rejects", "assignments", "profiles", "candidates"):
        assert f"write {root}/{table}" in result.said
    assert not root.exists()


# ---------------------------------------------------------------- day after day


def test_the_three_jobs_in_turn_give_segments_and_each_retry_changes_nothing(
    cli: Cli, tmp_path: Path
) -> None:
    write_delta(tmp_path / "orders", planted_orders())
    config = write_settings(tmp_path, settings_of(tmp_path))
    root = tmp_path / "published"

    def thrice(job: str, as_of: str) -> str:
        first = cli(arguments(job, config, as_of=as_of, sets=LIGHT))
        assert first.code == 0, first.said
        before = versions(root)
        for _ in range(2):
            again = cli(arguments(job, config, as_of=as_of, sets=LIGHT))
            assert (again.code, "was published already" in again.said) == (0, True), again.said
        assert versions(root) == before
        return first.said

    thrice("build_features", "2025-01-01")
    assert published(root, "assignments") == []
    thrice("train_segments", "2025-01-01")
    trained = segments(root)
    assert same_groups(trained)

    # A day later one customer is new; nothing is fitted, so everybody else stays who they were.
    newcomer = {"customer": "fresh99", "order_no": "n", "price": 25.0}
    newcomer |= {"created": planted_orders("2024-12-24")[-1]["created"].replace(year=2024, month=12, day=24)}
    write_delta(tmp_path / "orders", [newcomer], mode="append")
    thrice("build_features", "2025-01-02")
    thrice("assign_segments", "2025-01-02")
    assigned = segments(root, "2025-01-02")
    assert {customer: segment for customer, segment in assigned.items() if customer in trained} == trained
    assert assigned["fresh99"] == assigned["fresh00"]
    runs = published(root, "runs")
    assert [(r["job"], r["as_of"]) for r in sorted(runs, key=lambda r: (r["as_of"], r["revision"]))] == [
        ("build_features", date(2025, 1, 1)),
        ("train_segments", date(2025, 1, 1)),
        ("build_features", date(2025, 1, 2)),
        ("assign_segments", date(2025, 1, 2)),
    ]
    model = {r["model_run_id"] for r in runs if r["job"] in ("train_segments", "assign_segments")}
    assert len(model) == 1

    # A changed table is another input: refused without --revise, a new revision with it.
    write_delta(tmp_path / "orders", [newcomer | {"order_no": "n2"}], mode="append")
    refused = cli(arguments("build_features", config, as_of="2025-01-02", sets=LIGHT))
    assert refused.code == 6
    assert "Add --revise" in refused.said
    revised = cli([*arguments("build_features", config, as_of="2025-01-02", sets=LIGHT), "--revise"])
    assert revised.code == 0, revised.said


# ---------------------------------------------------------------- a cluster


def zipped_package(path: Path, version: str) -> Path:
    """What a wheel holds, as a zip file for --py-files, with a version that tells it from the checkout."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((REPOSITORY / "spark_seg").rglob("*.py")):
            name = str(file.relative_to(REPOSITORY))
            text = file.read_text(encoding="utf-8")
            if name == "spark_seg/__init__.py":
                text = re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', text)
            archive.writestr(name, text)
        for file in sorted((REPOSITORY / "spark_seg/report/templates").iterdir()):
            archive.write(file, file.relative_to(REPOSITORY))
        for name in ("base.yaml", "archetypes.yaml"):
            archive.write(REPOSITORY / "conf" / name, f"spark_seg/conf/{name}")
    return path


def test_a_cluster_of_two_workers_gives_the_same_segments_from_the_zipped_package(
    shop: Path, by_launcher: dict[str, subprocess.CompletedProcess[str]], tmp_path: Path, overlay: Path
) -> None:
    job = shutil.copy(REPOSITORY / "jobs" / "run_all.py", tmp_path / "run_all.py")
    package = zipped_package(tmp_path / "spark_seg.zip", version="0.0.0+zipped")
    conf = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executor.memory": "800m",
        "spark.executor.cores": "1",
        "spark.executor.extraJavaOptions": QUICK_JVM,
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.ui.enabled": "false",
    }
    config = config_for(shop, "cluster")
    with cluster(tmp_path) as server:
        result = ended(
            [
                str(BIN / "spark-submit"), "--master", server.address, "--driver-memory", "1g",
                "--driver-java-options", QUICK_JVM, "--py-files", str(package),
                *(part for key, value in conf.items() for part in ("--conf", f"{key}={value}")),
                str(job), *arguments("", config, overlay, sets=LIGHT)[1:],
            ],
            cwd=tmp_path,
        )  # fmt: skip
        executors = [len(list((tmp_path / f"worker{i}").glob("app-*/[0-9]*"))) for i in range(2)]
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert executors == [1, 1]
    (run,) = published(shop / "cluster", "runs")
    assert run["code_version"] == "0.0.0+zipped"
    assert without_run(snapshot(shop / "cluster")) == without_run(snapshot(shop / "python"))


def without_run(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "run_id"} for row in rows]


def test_a_connect_server_gives_the_same_segments_with_and_without_keeping_frames(
    shop: Path, by_launcher: dict[str, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    with connect_server(tmp_path, {"spark.driver.memory": "1g"}) as server:
        kept = config_for(shop, "connect")
        job = [sys.executable, str(REPOSITORY / "jobs" / "run_all.py")]
        result = ended([*job, "--remote", server.address, *arguments("", kept, sets=LIGHT)[1:]], cwd=shop)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        never = config_for(shop, "never")
        sets = (*LIGHT, "session.cache=never")
        result = ended([*job, *arguments("", never, sets=sets)[1:]], cwd=shop, SPARK_REMOTE=server.address)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert snapshot(shop / "connect") == snapshot(shop / "never") == snapshot(shop / "python")
