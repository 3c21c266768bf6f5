"""The Databricks bundle, checked without Databricks: fields, references, graph, commands, configurations."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from databricks.bundles.jobs import Job, Task
from proofs.bundle import Bundle, bundle, commands, files_named, target_names

from spark_seg.cli import app, main
from spark_seg.config import load_settings

REPOSITORY = Path(__file__).parents[2]
TARGETS = ("dev", "prod", "prod_classic")
JOBS = {"build_features", "train_segments", "assign_segments", "monitor_segments", "report"}
#: What neither a session of Spark Connect nor a job outside a notebook has.
FORBIDDEN = re.compile(
    r"\bdbutils\b|\bsparkContext\b|\b_jvm\b|\b_jsc\b|\.rdd\b|\bDeltaTable\b|\bdatabricks\.sdk\b"
)


@pytest.fixture(scope="module", params=TARGETS)
def deployed(request: pytest.FixtureRequest) -> Bundle:
    return bundle(request.param)


def tasks(deployed: Bundle, job: str = "segments") -> dict[str, dict[str, Any]]:
    return {task["task_key"]: task for task in deployed.jobs[job]["tasks"]}


def test_the_targets_are_for_trying_out_and_for_production() -> None:
    assert target_names() == sorted(TARGETS)
    modes = {target: bundle(target).mode for target in TARGETS}
    assert modes == {"dev": "development", "prod": "production", "prod_classic": "production"}
    for target in ("prod", "prod_classic"):
        rest = bundle(target).rest
        assert set(rest["run_as"]) == {"service_principal_name"}
        assert {p["level"] for p in rest["permissions"]} == {"CAN_MANAGE", "CAN_VIEW"}


def test_every_job_has_only_fields_that_jobs_have(deployed: Bundle) -> None:
    assert set(deployed.jobs) == {"segments", "refit"}
    for settings in deployed.jobs.values():
        job = Job.from_dict(settings)  # raises for an unknown field or value
        assert job.max_concurrent_runs == 1
        assert job.schedule is not None


def test_the_library_that_checks_refuses_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="max_retrys"):
        Task.from_dict({"task_key": "features", "max_retrys": 1})  # type: ignore[typeddict-unknown-key]


def test_tasks_follow_each_other_from_features_to_report(deployed: Bundle) -> None:
    graph = {
        key: [(before["task_key"], before.get("outcome")) for before in task.get("depends_on", [])]
        for key, task in tasks(deployed).items()
    }
    assert graph == {
        "features": [],
        "new_model": [("features", None)],
        "train": [("new_model", "true")],
        "assign": [("new_model", "false")],
        "monitor": [("train", None), ("assign", None)],
        "report": [("monitor", None)],
    }
    # One of train and assign is left out, and either may end with 5; monitor may end with 5 or 7.
    assert {key: task.get("run_if") for key, task in tasks(deployed).items() if "run_if" in task} == {
        "monitor": "ALL_DONE",
        "report": "ALL_DONE",
    }
    assert tasks(deployed, "refit")["segments"]["run_job_task"]["job_parameters"] == {"model": "train"}
    condition = tasks(deployed)["new_model"]["condition_task"]
    assert condition == {"op": "EQUAL_TO", "left": "{{job.parameters.model}}", "right": "train"}


def test_failures_are_told_once_and_retried_a_bounded_number_of_times(deployed: Bundle) -> None:
    for key, task in tasks(deployed).items():
        if key == "new_model":
            continue
        assert task["email_notifications"]["on_failure"], key
        assert task["notification_settings"] == {"alert_on_last_attempt": True}, key
        assert 1 <= task["max_retries"] <= 2, key
        assert task["min_retry_interval_millis"] >= 60_000, key
        assert task["timeout_seconds"] <= deployed.jobs["segments"]["timeout_seconds"], key


def test_each_task_has_the_compute_of_its_target(deployed: Bundle) -> None:
    job = deployed.jobs["segments"]
    wheel = f"{REPOSITORY}/dist/*.whl"
    for key, task in tasks(deployed).items():
        if key == "new_model":
            assert not {"environment_key", "job_cluster_key"} & task.keys()
        elif deployed.target == "prod_classic":
            assert task["job_cluster_key"] == job["job_clusters"][0]["job_cluster_key"]
            assert task["libraries"] == [{"whl": wheel}]
        else:
            (environment,) = job["environments"]
            assert task["environment_key"] == environment["environment_key"]
            assert environment["spec"]["dependencies"] == [wheel]
            assert task["disable_auto_optimization"] is True


def test_the_two_schedules_share_the_days_of_a_month(deployed: Bundle) -> None:
    crons = {name: job["schedule"]["quartz_cron_expression"] for name, job in deployed.jobs.items()}
    assert crons == {"segments": "0 0 5 2-31 * ?", "refit": "0 0 5 1 * ?"}


def test_every_file_that_is_named_is_there(deployed: Bundle) -> None:
    named = set(files_named(deployed))
    assert f"{REPOSITORY}/conf/databricks/{deployed.target}.yaml" in named
    for path in named:
        # The wheel is built when the bundle is deployed.
        assert path == f"{REPOSITORY}/dist/*.whl" or Path(path).exists(), path
    assert (Path(deployed.rest["artifacts"]["spark_seg"]["path"]) / "pyproject.toml").is_file()


def test_every_task_calls_the_command_line_as_it_is(deployed: Bundle) -> None:
    given = commands(deployed.jobs["segments"], as_of="2025-01-01")
    assert {arguments[0] for arguments in given.values()} == JOBS
    root = typer.main.get_command(app)
    for arguments in given.values():
        assert not [argument for argument in arguments if "{{" in argument or "${" in argument], arguments
        # Parses all arguments of the command, and runs nothing.
        with root.make_context("spark-seg", list(arguments)) as context:
            command = root.get_command(context, arguments[0])  # type: ignore[attr-defined]
            parsed = command.make_context(arguments[0], list(arguments[1:]), parent=context)
        assert parsed.params["as_of"] == "2025-01-01"
        assert [path.name for path in parsed.params["config"]] == ["shop.yaml", f"{deployed.target}.yaml"]


def test_every_configuration_names_catalog_schema_and_table(deployed: Bundle) -> None:
    (files,) = {
        tuple(argument for before, argument in pairwise(arguments) if before == "--config")
        for arguments in commands(deployed.jobs["segments"]).values()
    }
    settings = load_settings([Path(file) for file in files])
    named = [source.table for _, source in settings.sources.tables]
    assert all(name is not None and name.count(".") == 2 for name in named), named
    assert settings.publishing.database is not None
    assert settings.publishing.database.count(".") == 1
    catalog, _, schema = settings.publishing.database.partition(".")
    for folder in (settings.publishing.models, settings.report.path):
        assert folder is not None
        assert folder.startswith(f"/Volumes/{catalog}/{schema}/")
    cluster = deployed.jobs["segments"].get("job_clusters", [{}])[0].get("new_cluster", {})
    assert (settings.privacy.variable is not None) == (deployed.target == "prod_classic")
    assert set(cluster.get("spark_env_vars", {})) == {settings.privacy.variable} - {None}


def test_the_entry_point_returns_when_all_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    for task in tasks(bundle("dev")).values():
        if "python_wheel_task" in task:
            called = task["python_wheel_task"]
            (entry,) = [
                point
                for point in distribution(called["package_name"]).entry_points
                if point.name == called["entry_point"]
            ]
            assert entry.load() is main
    # Even an exit with 0 would be a failure of the task.
    main(["config", "schema"])
    with pytest.raises(SystemExit, match="2"):
        main(["config", "nosuch"])


def test_the_code_uses_nothing_that_only_a_notebook_or_a_classic_session_has() -> None:
    sources = [*(REPOSITORY / "spark_seg").rglob("*.py"), *(REPOSITORY / "jobs").glob("*.py")]
    assert len(sources) > 100
    found = {
        f"{file.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for file in sources
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN.search(line)
    }
    assert found == set()
