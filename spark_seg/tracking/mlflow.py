"""One run at an MLflow server for each committed run, and one version of the model for each fit.

Whatever is there already stays, and what is missing is added: a run that was told in part is told in full by
the next try. The order is that of the ledger: first everything about the run, then its version of the model,
then that the run is over, and last of all the alias.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from spark_seg.publishing import CommittedRun
from spark_seg.tracking.facts import RUN_TAG, Facts, in_force, seconds

#: Entities of one request.
_PARAMS, _METRICS = 100, 500


@dataclass(frozen=True)
class Logged:
    """A run at the server."""

    id: str
    complete: bool


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline: the files of its folder, and the columns it reads."""

    files: Mapping[str, bytes]
    columns: Sequence[str]


class Server(Protocol):
    """What is asked of an MLflow server. `client.Client` asks a real one."""

    def experiment(self, name: str) -> str:
        """Id of the experiment of that name, which is made when there is none."""

    def find(self, experiment: str, tag: str, value: str) -> Logged | None:
        """The run with that tag."""

    def begin(self, experiment: str, name: str, tags: Mapping[str, str], at: datetime) -> str:
        """Id of a new run."""

    def log(
        self, run: str, params: Mapping[str, str], metrics: Sequence[tuple[str, float, int]], at: datetime
    ) -> None:
        """Add parameters and metrics; those that are there stay."""

    def write(self, run: str, texts: Mapping[str, str]) -> None:
        """Write files of a run."""

    def log_model(self, run: str, model: Fitted, metadata: Mapping[str, str]) -> None:
        """Write the folder `model` of a run."""

    def end(self, run: str, at: datetime) -> None:
        """The run is complete."""

    def version(self, name: str, run: str) -> str | None:
        """The version of a registered model that a run made."""

    def register(self, name: str, run: str, tags: Mapping[str, str]) -> str:
        """The new version of a registered model: the model of a run."""

    def alias(self, name: str, alias: str) -> str | None:
        """The version that an alias names."""

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Let an alias name another version."""


@dataclass(frozen=True)
class Names:
    """What is what at the server."""

    experiment: str
    model: str
    alias: str


def tell(
    server: Server,
    names: Names,
    runs: Sequence[CommittedRun],
    run: CommittedRun,
    facts: Callable[[], Facts],
    fitted: Callable[[], Fitted],
) -> str:
    """Log `run`, one of the committed `runs`, and let the alias name the model in force.

    `facts` and `fitted` are asked for only where something is missing. Returns what was done, in words.
    """
    experiment = server.experiment(names.experiment)
    found = server.find(experiment, RUN_TAG, run.run_id)
    logged = found.id if found is not None and found.complete else None
    if logged is None:
        logged = _log(server, names, experiment, found, run, facts(), fitted)
    said = [f"run {logged}"]
    version = server.version(names.model, logged)
    if version is not None:
        said.append(f"model {names.model} version {version}")
    moved = _alias(server, names, experiment, in_force(runs))
    return " · ".join([*said, *([moved] if moved else [])])


def _log(
    server: Server,
    names: Names,
    experiment: str,
    found: Logged | None,
    run: CommittedRun,
    facts: Facts,
    fitted: Callable[[], Fitted],
) -> str:
    began = facts.at - timedelta(seconds=seconds(run))
    logged = found.id if found else server.begin(experiment, facts.name, facts.tags, began)
    params = list(facts.params.items())
    for i in range(0, len(params), _PARAMS):
        server.log(logged, dict(params[i : i + _PARAMS]), (), facts.at)
    for i in range(0, len(facts.metrics), _METRICS):
        server.log(logged, {}, facts.metrics[i : i + _METRICS], facts.at)
    server.write(logged, facts.texts)
    if run.model_run_id == run.run_id and server.version(names.model, logged) is None:
        told = {name: facts.tags[name] for name in (RUN_TAG, "spark_seg.as_of", "spark_seg.revision")}
        told |= {"spark_seg.model_digest": run.model_digest or ""}
        server.log_model(logged, fitted(), told)
        server.register(names.model, logged, told)
    server.end(logged, facts.at)
    return logged


def _alias(server: Server, names: Names, experiment: str, fitted_by: str | None) -> str | None:
    """Let the alias name the version of the run that fitted the model in force, where the server has it."""
    found = server.find(experiment, RUN_TAG, fitted_by) if fitted_by is not None else None
    version = server.version(names.model, found.id) if found is not None else None
    if version is None:
        return f"{names.alias} stays: model of run {fitted_by} is not registered" if fitted_by else None
    if server.alias(names.model, names.alias) != version:
        server.set_alias(names.model, names.alias, version)
        return f"{names.alias} is version {version} now"
    return f"{names.alias} is version {version}"
