"""The DAG files: what can be said of them without Airflow, and the proof that runs them."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from proofs.servers import REPOSITORY

from spark_seg.cli import jobs
from spark_seg.pipeline.plan import JOBS

FILES = sorted((REPOSITORY / "conf" / "airflow").glob("*.py"))
COMMON = "# ---------------------------------------------------------------- the same for"


def shared(path: Path) -> str:
    """What both files have in common, because a user copies one of them."""
    head, mark, tail = path.read_text(encoding="utf-8").partition(COMMON)
    assert head and mark
    return tail


def test_there_is_a_file_for_spark_submit_and_one_for_databricks_and_their_graph_is_one() -> None:
    assert [path.stem for path in FILES] == ["spark_seg_databricks", "spark_seg_submit"]
    one, other = (shared(path) for path in FILES)
    assert one == other


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dag_file_stands_alone_and_names_jobs_and_tables_that_are_there(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {name.split(".")[0] for name in imported} <= {
        "__future__", "airflow", "collections", "datetime", "logging", "pendulum", "re", "typing", "zoneinfo"
    }  # fmt: skip
    constants = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    tables = ast.literal_eval(constants["TABLES"])
    for job, published in tables.items():
        assert (REPOSITORY / "jobs" / f"{job}.py").exists()
        assert set(published) <= set(JOBS[job][0])


def functions(zone: str) -> dict[str, Any]:
    """`day_of` and `arguments_of` alone, which need nothing of Airflow."""
    tree = ast.parse(FILES[0].read_text(encoding="utf-8"))
    wanted = ("day_of", "arguments_of")
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in wanted]
    found: dict[str, Any] = {
        "ZONE": zone,
        "ZoneInfo": ZoneInfo,
        "Context": dict,
        "AirflowFailException": KeyError,
    }
    exec(compile(tree, FILES[0], "exec"), found)
    return found


def context(end: datetime | None, **params: Any) -> dict[str, Any]:
    given = {"as_of": None, "config": ["a.yaml", "b.yaml"], "revise": False} | params
    return {"params": given, "dag_run": SimpleNamespace(data_interval_end=end)}


@pytest.mark.parametrize(
    ("zone", "end", "day"),
    [
        ("UTC", datetime(2025, 1, 1, 4, tzinfo=UTC), "2025-01-01"),
        ("Europe/Berlin", datetime(2024, 12, 31, 23, tzinfo=UTC), "2025-01-01"),
        ("America/Los_Angeles", datetime(2025, 1, 2, 7, 59, tzinfo=UTC), "2025-01-01"),
    ],
)
def test_as_of_is_the_day_on_which_the_data_interval_ends_where_the_business_is(
    zone: str, end: datetime, day: str
) -> None:
    assert functions(zone)["day_of"](context(end)) == day
    assert functions(zone)["day_of"](context(end, as_of="2020-02-02")) == "2020-02-02"


def test_a_run_without_a_logical_date_must_be_given_its_day() -> None:
    with pytest.raises(KeyError, match="as_of: must be given"):
        functions("UTC")["day_of"](context(None))


def test_what_may_rightly_come_twice_on_a_day_is_a_new_revision_and_the_rest_only_when_asked_for() -> None:
    arguments = functions("UTC")["arguments_of"]
    end = datetime(2025, 1, 1, 4, tzinfo=UTC)
    told = ["--config", "a.yaml", "--config", "b.yaml", "--as-of", "2025-01-01"]
    for job in JOBS:
        revise = ["--revise"] if job in ("train_segments", "monitor_segments") else []
        assert arguments(job, context(end)) == [job, *told, *revise]
        assert arguments(job, context(end, revise=True)) == [job, *told, "--revise"]


def test_the_sentences_by_which_a_dag_knows_whether_something_was_written_are_those_of_the_jobs() -> None:
    source = Path(str(jobs.__file__)).read_text(encoding="utf-8")
    assert '"was published already" if outcome.already_published else "published"' in source
    assert 'f"\\nrun {outcome.run_id} {how}"' in source
