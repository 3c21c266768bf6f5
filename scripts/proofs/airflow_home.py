"""Airflow in an environment of its own, with a home of its own: what is parsed, run and found there."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofs.demo import Failed, must
from proofs.servers import BIN, REPOSITORY, ended

#: Where Airflow is installed: its provider for Spark and pyspark own the same files.
INSTALLED = REPOSITORY / ".airflow"
DAGS = REPOSITORY / "conf" / "airflow"
_REQUIREMENTS = DAGS / "requirements.txt"
_PARSED = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
dags = {name: sorted(dag.task_ids) for name, dag in bag.dags.items()}
print("PARSED", json.dumps([bag.import_errors, dags]))
"""


def install() -> None:
    """Make `.airflow` as conf/airflow/requirements.txt asks, unless it is made already."""
    stamp = INSTALLED / ".stamp"
    wanted = _REQUIREMENTS.read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    uv = str(BIN / "uv")
    must(ended([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(INSTALLED)], REPOSITORY))
    asked = ["pip", "install", "--quiet", "--python", str(INSTALLED / "bin/python"), "-r", str(_REQUIREMENTS)]
    must(ended([uv, *asked], REPOSITORY, timeout=1200))
    stamp.write_text(wanted, encoding="utf-8")


@dataclass(frozen=True)
class Ran:
    """How a run of a DAG ended: task → (state, tries), the assets that were told to be new, what it said."""

    ended_well: bool
    tasks: dict[str, tuple[str, int]]
    assets: set[str]
    said: str

    def must_be(self, ended_well: bool, **states: str) -> None:
        """Raises `Failed` unless the run and its tasks ended so; tries count where `state@n` asks for it."""
        found = {name: f"{state}@{tries}" for name, (state, tries) in self.tasks.items()}
        wrong = {
            name: (found.get(name), wanted)
            for name, wanted in states.items()
            if found.get(name) != wanted and str(found.get(name)).split("@")[0] != wanted
        }
        if wrong or set(found) != set(states) or self.ended_well != ended_well:
            raise Failed(f"tasks: found and wanted {wrong or found}\n{self.said[-6000:]}")


@dataclass(frozen=True)
class Home:
    """A home of Airflow with sqlite, and the folder of DAGs into which one copies a file."""

    folder: Path
    connections: Mapping[str, Mapping[str, Any]]

    @property
    def dags(self) -> Path:
        return self.folder / "dags"

    def set_up(self) -> None:
        self.dags.mkdir(parents=True)
        must(self._airflow("db", "migrate"))

    def copy(self, name: str, **edited: str) -> None:
        """Copy one of our DAG files, and set what stands under "yours": its lines `NAME = …` as given."""
        lines = (DAGS / f"{name}.py").read_text(encoding="utf-8").splitlines(keepends=True)
        for what, value in edited.items():
            (at,) = (i for i, line in enumerate(lines) if line.startswith((f"{what} = ", f"{what}: ")))
            lines[at] = f"{what} = {value}\n"
        (self.dags / f"{name}.py").write_text("".join(lines), encoding="utf-8")

    def parse(self) -> dict[str, list[str]]:
        """DAG → its tasks. Raises `Failed` when a file cannot be imported."""
        said = must(self._process(str(INSTALLED / "bin/python"), "-c", _PARSED, str(self.dags)))
        told = next(line for line in said.splitlines() if line.startswith("PARSED "))
        errors, dags = json.loads(told.removeprefix("PARSED "))
        if errors:
            raise Failed(f"DAGs do not parse: {errors}")
        return dict(dags)

    def test(self, dag: str, day: str, conf: Mapping[str, Any] | None = None, **env: str) -> Ran:
        """`airflow dags test` of the schedule of that day."""
        asked = ["--conf", json.dumps(conf)] if conf else []
        done = self._airflow("dags", "test", *asked, dag, f"{day}T04:00:00", **env)
        with sqlite3.connect(self.folder / "airflow.db") as database:
            (run,) = database.execute(
                "SELECT run_id FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1", (dag,)
            ).fetchone() or (None,)
            tasks = database.execute(
                "SELECT task_id, state, try_number FROM task_instance WHERE dag_id = ? AND run_id = ?",
                (dag, run),
            ).fetchall()
            assets = database.execute(
                "SELECT a.name FROM asset_event e JOIN asset a ON a.id = e.asset_id "
                "WHERE e.source_dag_id = ? AND e.source_run_id = ?", (dag, run)
            ).fetchall()  # fmt: skip
        return Ran(
            done.returncode == 0,
            {name: (state, tries) for name, state, tries in tasks},
            {name for (name,) in assets},
            done.stdout + done.stderr,
        )

    def _airflow(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self._process(str(INSTALLED / "bin/airflow"), *arguments, **env)

    def _process(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        ours = {
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        } | {f"AIRFLOW_CONN_{name.upper()}": json.dumps(conn) for name, conn in self.connections.items()}
        return ended(list(command), self.folder, timeout=1800, **(ours | env))
