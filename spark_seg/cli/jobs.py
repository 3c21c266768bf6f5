"""The jobs: from a configuration and a day to a committed run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from spark_seg.cli.terminal import AsOfOption, ConfigOption, SetOption, checked, console, log_to_terminal
from spark_seg.config import Settings
from spark_seg.errors import ConfigError

app = typer.Typer()

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan, check everything, write nothing.")
]
ReviseOption = Annotated[
    bool, typer.Option("--revise", help="Publish a new revision of an as_of that is published differently.")
]
PickOption = Annotated[
    str | None, typer.Option("--pick", help="Overrides the choice, e.g. kmeans:6 (selection.pick).")
]


class Refit(StrEnum):
    """When run_all fits a new model."""

    ALWAYS = "always"
    AUTO = "auto"


RefitOption = Annotated[
    Refit, typer.Option("--refit", help="auto: keep the last model unless drift or age ask for another.")
]
AgainstOption = Annotated[
    str | None,
    typer.Option("--against", help="With --dry-run: current shows whom the run would move; writes nothing."),
]
ModelOption = Annotated[
    str | None, typer.Option("--model-run", help="Run whose model scores; default: the last trained.")
]


@app.command()
def build_features(
    config: ConfigOption,
    as_of: AsOfOption,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    revise: ReviseOption = False,
) -> None:
    """Source tables → the tables features and rejects."""
    _run("build_features", config, as_of, set_, dry_run, revise)


@app.command()
def train_segments(
    config: ConfigOption,
    as_of: AsOfOption,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    revise: ReviseOption = False,
    pick: PickOption = None,
    against: AgainstOption = None,
) -> None:
    """The published features of as_of → model, candidates, assignments and profiles."""
    _run("train_segments", config, as_of, _picked(set_, pick), dry_run, revise, against=against)


@app.command()
def assign_segments(
    config: ConfigOption,
    as_of: AsOfOption,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    revise: ReviseOption = False,
    model_run: ModelOption = None,
    against: AgainstOption = None,
) -> None:
    """The published features of as_of and a saved model → assignments and profiles, without a refit."""
    _run("assign_segments", config, as_of, set_, dry_run, revise, model_run, against)


@app.command()
def monitor_segments(
    config: ConfigOption,
    as_of: AsOfOption,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    revise: ReviseOption = False,
) -> None:
    """Hold the published segments of as_of against their training: keep (0), alert (5) or refit (7)."""
    _run("monitor_segments", config, as_of, set_, dry_run, revise)


@app.command()
def run_all(
    config: ConfigOption,
    as_of: AsOfOption,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    revise: ReviseOption = False,
    pick: PickOption = None,
    against: AgainstOption = None,
    refit: RefitOption = Refit.ALWAYS,
) -> None:
    """build_features and train_segments as one run: all of it becomes visible at once."""
    _run("run_all", config, as_of, _picked(set_, pick), dry_run, revise, against=against, refit=refit)


def _picked(overrides: list[str] | None, pick: str | None) -> list[str]:
    return [*(overrides or []), *([f"selection.pick={pick}"] if pick is not None else [])]


def _run(
    job: str,
    config: list[Path],
    as_of: str,
    overrides: list[str] | None,
    dry_run: bool,
    revise: bool,
    model_run: str | None = None,
    against: str | None = None,
    refit: Refit = Refit.ALWAYS,
) -> None:
    if against not in (None, "current") or (against is not None and not dry_run):
        raise ConfigError(f"--against: must be current, beside --dry-run; got {against}")
    day, settings = checked(as_of, config, overrides or [])
    log_to_terminal()
    # pyspark takes a second to import: a wrong configuration is answered before that.
    from spark_seg.pipeline import check_settings, make_plan, run_plan
    from spark_seg.report import print_changes, print_decision, print_outcome
    from spark_seg.session import start_session

    check_settings(settings)
    spark = start_session(settings.session)
    plan = make_plan(spark, settings, job, day, revise, model_run, refit.value)
    where = settings.publishing.root or settings.publishing.database
    console.print(
        f"plan       {_inputs(plan.inputs)}  →  {where}   run {plan.run_id} revision {plan.revision}",
        markup=False,
        soft_wrap=True,
    )
    for table in plan.sources.tables if plan.sources is not None else ():
        if table.unmapped:
            console.print(
                f"not read   {table.label}: {', '.join(table.unmapped)}", markup=False, soft_wrap=True
            )
    if dry_run and (against is None or plan.published is not None):
        _print_plan(settings, plan.outputs, plan.published is not None)
        return
    with Progress(
        TextColumn("select    "),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("candidates"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("fit", total=None, visible=False)
        outcome = run_plan(
            plan,
            lambda done, total: bar.update(task, completed=done, total=total, visible=done < total),
            rehearse=dry_run,
        )
    print_outcome(console, outcome.profiles, outcome.candidates, outcome.structure)
    print_changes(console, outcome.lineage, outcome.migrations, outcome.alerts)
    print_decision(console, outcome.drift, outcome.decision)
    if dry_run:
        console.print(f"\nrun {outcome.run_id} was rehearsed; nothing was published")
        return
    console.print(
        f"\nrun {outcome.run_id} {'was published already' if outcome.already_published else 'published'}"
    )
    if job == "monitor_segments" and outcome.decision == "refit":
        sys.exit(7)
    if outcome.alerts or outcome.decision == "alert":
        sys.exit(5)


def _inputs(inputs: Sequence[tuple[str, str, str]]) -> str:
    return " · ".join(f"{table}@{version}" for _, table, version in inputs)


def _print_plan(settings: Settings, outputs: Sequence[str], published: bool) -> None:
    for table in outputs:
        place = settings.publishing.database
        console.print(
            f"write      {f'{place}.{table}' if place else f'{settings.publishing.root}/{table}'}",
            markup=False,
            soft_wrap=True,
        )
    console.print(
        "published already: a run would do nothing" if published else "nothing was read in full or written"
    )
