"""The Databricks bundle without Databricks: its files merged and resolved for a target, as the CLI does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from proofs.servers import REPOSITORY

ROOT = REPOSITORY / "conf" / "databricks"
#: What the workspace would say.
_WORKSPACE = {
    "workspace.file_path": str(REPOSITORY),
    "workspace.current_user.userName": "somebody@example.org",
}
#: What whoever deploys must say.
GIVEN = {"alerts_to": "team@example.org", "service_principal": "00000000-0000-0000-0000-000000000000"}
#: Lists whose elements a target adds to by their key.
_KEYS = {"tasks": "task_key", "job_clusters": "job_cluster_key", "environments": "environment_key"}
_REFERENCE = re.compile(r"\$\{([\w.]+)\}")
_PARAMETER = re.compile(r"\{\{job\.parameters\.(\w+)\}\}")


@dataclass(frozen=True)
class Bundle:
    """A bundle for one target: its jobs as the API would get them, and everything else."""

    target: str
    mode: str
    jobs: Mapping[str, Any]
    rest: Mapping[str, Any]


def target_names() -> list[str]:
    """Every target of the bundle."""
    return sorted(_merged()["targets"])


def bundle(target: str, workspace: Mapping[str, str] = _WORKSPACE) -> Bundle:
    """The bundle as it would be deployed. Raises `KeyError` for a reference that leads nowhere."""
    whole = _merged()
    chosen = whole.pop("targets")[target]
    declared = whole.pop("variables")
    values = {name: one["default"] for name, one in declared.items() if "default" in one} | GIVEN
    values |= chosen.pop("variables", {})
    unknown = values.keys() - declared.keys()
    if unknown:
        raise KeyError(f"{target}: no such variable: {', '.join(sorted(unknown))}")
    both = _over(whole, chosen)
    known = {f"var.{name}": value for name, value in values.items()} | dict(workspace)
    known |= {"bundle.name": both["bundle"]["name"], "bundle.target": target}
    # A job has its number only once it is there.
    known |= {f"resources.jobs.{name}.id": "1" for name in both["resources"]["jobs"]}
    resolved = _each(both, lambda text: _resolved(text, known))
    jobs = resolved.pop("resources")["jobs"]
    return Bundle(target, resolved.pop("mode"), jobs, resolved)


def commands(job: Mapping[str, Any], **parameters: str) -> dict[str, list[str]]:
    """Task → the arguments that its entry point gets when the job runs with `parameters`."""
    values = {p["name"]: p["default"] for p in job.get("parameters", [])} | parameters
    return {
        task["task_key"]: [
            _PARAMETER.sub(lambda found: values[found[1]], argument)
            for argument in task["python_wheel_task"]["parameters"]
        ]
        for task in job["tasks"]
        if "python_wheel_task" in task
    }


def files_named(both: Bundle) -> Iterator[str]:
    """Every path of this checkout that the bundle names, as an absolute pattern."""
    found: list[str] = []

    def seen(text: str) -> str:
        if text.startswith(str(REPOSITORY)):
            found.append(text)
        return text

    _each(both.jobs, seen)
    _each(both.rest, seen)
    yield from found


def _merged() -> dict[str, Any]:
    """databricks.yml with what it includes. Relative paths count from the file in which they stand."""
    main = _read(ROOT / "databricks.yml")
    for pattern in main.pop("include"):
        for file in sorted(ROOT.glob(pattern)):
            main = _over(main, _read(file))
    return main


def _read(file: Path) -> dict[str, Any]:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))

    def located(text: str) -> str:
        return str((file.parent / text).resolve()) if text.startswith("..") else text

    return dict(_each(content, located))


def _over(base: Any, other: Any, key: str = "") -> Any:
    """`other` laid over `base`: mappings merged, tasks and compute by key, other lists put together."""
    if isinstance(base, dict) and isinstance(other, dict):
        return {
            name: _over(base[name], other[name], name)
            if name in base and name in other
            else base.get(name, other.get(name))
            for name in [*base, *(n for n in other if n not in base)]
        }
    if key in _KEYS:
        by = _KEYS[key]
        mine, theirs = ({one[by]: one for one in ones} for ones in (base, other))
        return list(_over(mine, theirs).values())
    if isinstance(base, list) and isinstance(other, list):
        return base + other
    return other


def _each(value: Any, change: Callable[[str], str]) -> Any:
    """A copy in which every text is changed."""
    if isinstance(value, dict):
        return {name: _each(one, change) for name, one in value.items()}
    if isinstance(value, list):
        return [_each(one, change) for one in value]
    return change(value) if isinstance(value, str) else value


def _resolved(text: str, known: Mapping[str, str]) -> str:
    """References replaced, and those in what they stand for."""
    while _REFERENCE.search(text):
        text = _REFERENCE.sub(lambda found: known[found[1]], text)
    return text
