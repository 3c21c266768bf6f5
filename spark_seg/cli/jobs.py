"""The jobs: from a configuration and a day to a committed run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from spark_seg.cli.terminal import (
    AsOfOption,
    ConfigOption,
    SetOption,
    checked,
    console,
    errors,
    log_to_terminal,
    print_json,
    say,
)
from spark_seg.cli.tracking import tell
from spark_seg.config import Settings
from spark_seg.errors import ConfigError, SegmentationError

if TYPE_CHECKING:
    from spark_seg.pipeline import Outcome, Plan

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
JsonOption = Annotated[
    bool, typer.Option("--json", help="What the run did as JSON on standard output; the rest goes to stderr.")
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
    json_: JsonOption = False,
) -> None:
    """Source tables → the tables features and rejects."""
    _run("build_features", config, as_of, set_, dry_run, revise, json_=json_)


@app.command()
def train_segments(
    config: ConfigOption,
    as_of: AsOfOption,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    revise: ReviseOption = False,
    pick: PickOption = None,
    against: AgainstOption = None,
    json_: JsonOption = False,
) -> None:
    """The published features of as_of → model, candidates, assignments and profiles."""
    _run("train_segments", config, as_of, _picked(set_, pick), dry_run, revise, against=against, json_=json_)


@app.command()
def assign_segments(
    config: ConfigOption,
    as_of: AsOfOption,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    revise: ReviseOption = False,
    model_run: ModelOption = None,
    against: AgainstOption = None,
    json_: JsonOption = False,
) -> None:
    """The published features of as_of and a saved model → assignments and profiles, without a refit."""
    _run("assign_segments", config, as_of, set_, dry_run, revise, model_run, against, json_=json_)


@app.command()
def monitor_segments(
    config: ConfigOption,
    as_of: AsOfOption,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    revise: ReviseOption = False,
    json_: JsonOption = False,
) -> None:
    """Hold the published segments of as_of against their training: keep (0), alert (5) or refit (7)."""
    _run("monitor_segments", config, as_of, set_, dry_run, revise, json_=json_)


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
    json_: JsonOption = False,
) -> None:
    """build_features and train_segments as one run: all of it becomes visible at once."""
    picked = _picked(set_, pick)
    _run("run_all", config, as_of, picked, dry_run, revise, against=against, refit=refit, json_=json_)


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
    json_: bool = False,
) -> None:
    if against not in (None, "current") or (against is not None and not dry_run):
        raise ConfigError(f"--against: must be current, beside --dry-run; got {against}")
    day, settings = checked(as_of, config, overrides or [])
    log_to_terminal(json_)
    shown = errors if json_ else console
    # pyspark takes a second to import: a wrong configuration is answered before that.
    from spark_seg.pipeline import check_settings, make_plan, run_plan
    from spark_seg.report import print_changes, print_decision, print_outcome
    from spark_seg.session import start_session
    from spark_seg.tracking import places_of

    check_settings(settings)
    places = places_of(settings)
    spark = start_session(settings.session)
    plan = make_plan(spark, settings, job, day, revise, model_run, refit.value)
    where = settings.publishing.root or settings.publishing.database
    say(shown, f"plan       {_inputs(plan.inputs)}  →  {where}   run {plan.run_id} revision {plan.revision}")
    for table in plan.sources.tables if plan.sources is not None else ():
        if table.unmapped:
            say(shown, f"not read   {table.label}: {', '.join(table.unmapped)}")
    if dry_run and (against is None or plan.published is not None):
        _print_plan(shown, settings, plan.outputs, plan.published is not None)
        if json_:
            print_json(_planned(plan))
        return
    with Progress(
        TextColumn("select    "),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("candidates"),
        TimeElapsedColumn(),
        console=shown,
        transient=True,
        disable=not shown.is_terminal,
    ) as bar:
        task = bar.add_task("fit", total=None, visible=False)
        outcome = run_plan(
            plan,
            lambda done, total: bar.update(task, completed=done, total=total, visible=done < total),
            rehearse=dry_run,
        )
    print_outcome(shown, outcome.profiles, outcome.candidates, outcome.structure)
    print_changes(shown, outcome.lineage, outcome.migrations, outcome.alerts)
    print_decision(shown, outcome.drift, outcome.decision)
    page = None if dry_run else _reported(shown, plan, outcome)
    told = [] if dry_run or not places else tell(shown, plan.store, settings, places, plan.run_id)
    code = _exit_code(job, outcome, dry_run)
    if json_:
        done = _planned(plan) | _done(outcome) | {"report": page, "exit_code": code}
        print_json(done | ({"tracking": [asdict(one) for one in told]} if told else {}))
    if dry_run:
        say(shown, f"\nrun {outcome.run_id} was rehearsed; nothing was published")
    else:
        how = "was published already" if outcome.already_published else "published"
        say(shown, f"\nrun {outcome.run_id} {how}")
    if code:
        sys.exit(code)


def _exit_code(job: str, outcome: Outcome, dry_run: bool) -> int:
    if dry_run:
        return 0
    if job == "monitor_segments" and outcome.decision == "refit":
        return 7
    return 5 if outcome.alerts or outcome.decision == "alert" else 0


def _reported(shown: Console, plan: Plan, outcome: Outcome) -> str | None:
    """Write the report of a run with segments, and say where it lies.

    The run is committed: what is wrong with a page is told, and changes nothing of that.
    """
    if not outcome.profiles:
        return None
    from spark_seg.report import folder_of, write_report
    from spark_seg.tables import SPARK_FAILURES

    if folder_of(plan.settings) is None:
        say(
            shown,
            f"report     none, because report.path is not set; spark-seg report {plan.run_id} --out FOLDER",
        )
        return None
    foreseen: tuple[type[Exception], ...] = (SegmentationError, *SPARK_FAILURES)
    try:
        page = write_report(plan.store, plan.settings, plan.run_id).page
    except foreseen as error:
        told = error.render() if isinstance(error, SegmentationError) else type(error).__name__
        say(shown, f"report     not written: {told}. Again: spark-seg report {plan.run_id}")
        return None
    say(shown, f"report     {page}")
    return page


def _planned(plan: Plan) -> dict[str, Any]:
    return {
        "job": plan.job,
        "as_of": plan.as_of,
        "run_id": plan.run_id,
        "revision": plan.revision,
        "inputs": [{"source": s, "table": t, "version": v} for s, t, v in plan.inputs],
        "outputs": plan.outputs,
        "published_already": plan.published is not None,
    }


def _done(outcome: Outcome) -> dict[str, Any]:
    return {
        "receipts": [{"table": r.table, "rows": r.rows} for r in outcome.receipts],
        "segments": [row for row in outcome.profiles if row["scheme"] == "clusters"],
        "chosen": next((row for row in outcome.candidates if row["chosen"]), None),
        "structure": outcome.structure,
        "lineage": outcome.lineage,
        "migrations": outcome.migrations,
        "alerts": outcome.alerts,
        "breaches": [row for row in outcome.drift if row["breached"]],
        "decision": outcome.decision,
        "metrics": outcome.metrics,
    }


def _inputs(inputs: Sequence[tuple[str, str, str]]) -> str:
    return " · ".join(f"{table}@{version}" for _, table, version in inputs)


def _print_plan(shown: Console, settings: Settings, outputs: Sequence[str], published: bool) -> None:
    for table in outputs:
        place = settings.publishing.database
        say(shown, f"write      {f'{place}.{table}' if place else f'{settings.publishing.root}/{table}'}")
    say(
        shown,
        "published already: a run would do nothing" if published else "nothing was read in full or written",
    )
