"""The command line. `jobs/*.py` and the entry point `spark-seg` both come through `main`."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from typer.core import TyperGroup

from spark_seg.config import Settings, json_schema, load_settings
from spark_seg.config.template import template
from spark_seg.errors import ConfigError, NoAcceptableCandidate, SegmentationError
from spark_seg.periods import parse_as_of

#: Characters from which on an id is looked for in files.
_TELLING = 8
#: Width of tables in a log file, where no terminal gives one.
_LOG_WIDTH = 140


def _console(stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else _LOG_WIDTH)


console = _console()
errors = _console(stderr=True)


class _Commands(TyperGroup):
    """Takes `run_all` for `run-all`: a job is called as its file is."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name.replace("_", "-"))


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
config_app = typer.Typer(no_args_is_help=True, help="Check and describe configurations.")
app.add_typer(config_app, name="config")
runs_app = typer.Typer(no_args_is_help=True, help="Look at what is published.")
app.add_typer(runs_app, name="runs")

ConfigOption = Annotated[
    list[Path], typer.Option("--config", "-c", help="YAML file; repeat it for overlays, the last one wins.")
]
AsOfOption = Annotated[
    str, typer.Option("--as-of", help="Day the snapshot describes, YYYY-MM-DD (exclusive).")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, e.g. selection.k_max=6; repeatable.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan, check everything, write nothing.")
]
ReviseOption = Annotated[
    bool, typer.Option("--revise", help="Publish a new revision of an as_of that is published differently.")
]
PickOption = Annotated[
    str | None, typer.Option("--pick", help="Overrides the choice, e.g. kmeans:6 (selection.pick).")
]
OlderOption = Annotated[
    int, typer.Option("--older-than-hours", min=1, help="Spare what may belong to a run at work.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model-run", help="Run whose model scores; default: the last trained.")
]


@app.callback()
def _about() -> None:
    """Customer segmentation on Spark and Delta Lake."""


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
) -> None:
    """The published features of as_of → model, candidates, assignments and profiles."""
    _run("train_segments", config, as_of, _picked(set_, pick), dry_run, revise)


@app.command()
def assign_segments(
    config: ConfigOption,
    as_of: AsOfOption,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    revise: ReviseOption = False,
    model_run: ModelOption = None,
) -> None:
    """The published features of as_of and a saved model → assignments and profiles, without a refit."""
    _run("assign_segments", config, as_of, set_, dry_run, revise, model_run)


@app.command()
def run_all(
    config: ConfigOption,
    as_of: AsOfOption,
    set_: SetOption = None,
    dry_run: DryRunOption = False,
    revise: ReviseOption = False,
    pick: PickOption = None,
) -> None:
    """build_features and train_segments as one run: all of it becomes visible at once."""
    _run("run_all", config, as_of, _picked(set_, pick), dry_run, revise)


@app.command()
def init(config: ConfigOption, set_: SetOption = None) -> None:
    """Create the published tables, so that no run has to."""
    from spark_seg.features import feature_spec
    from spark_seg.publishing import create_tables
    from spark_seg.tables import PUBLISHED, kept_activity_spec

    settings = load_settings(config, set_ or [])
    kinds = settings.features.engagement.kinds
    own = (feature_spec(settings.features), kept_activity_spec(kinds))
    made = create_tables(_store(settings), {**PUBLISHED, **{spec.name: spec for spec in own}})
    console.print(f"created {', '.join(made)}" if made else "every table is there already")


@app.command()
def gc(config: ConfigOption, set_: SetOption = None, older_than_hours: OlderOption = 24) -> None:
    """Remove what stopped runs left behind, and files that no version of a table needs any more."""
    from spark_seg.publishing import collect_garbage

    before = datetime.now(UTC) - timedelta(hours=older_than_hours)
    found = collect_garbage(_store(load_settings(config, set_ or [])), before)
    for left in found:
        what = "model" if left.rows is None else f"{left.rows:,} rows"
        console.print(f"removed    {left.place} {what} of run {left.run_id}", markup=False, soft_wrap=True)
    if not found:
        console.print(f"nothing that is older than {older_than_hours} hours was left behind")


@app.command()
def rollback(
    config: ConfigOption,
    as_of: AsOfOption,
    to: Annotated[str, typer.Option("--to", help="Run that shall count again; see runs list.")],
    set_: SetOption = None,
) -> None:
    """Make an earlier run of as_of count again, as a new revision; nothing is rewritten."""
    from spark_seg.publishing import Ledger

    day, settings = _checked(as_of, config, set_ or [])
    revision = Ledger(_store(settings), settings.pipeline).roll_back(day, to)
    console.print(f"run {to} counts for {day} again, as revision {revision}")


@app.command()
def erase(
    config: ConfigOption,
    ids: Annotated[Path, typer.Option("--ids", help="File with one id of a customer a line; - is stdin.")],
    set_: SetOption = None,
    at_once: Annotated[
        bool,
        typer.Option("--at-once", help="Delete files of former versions now; nobody else may be at work."),
    ] = False,
) -> None:
    """Forget customers: leave them out of every run from now on, delete their rows, and look for the rest."""
    settings = load_settings(config, set_ or [])
    from spark_seg.kernels import pseudonyms
    from spark_seg.pipeline import check_key
    from spark_seg.publishing import erase as forget
    from spark_seg.tables import BLANKS

    variable = check_key(settings)
    if variable is None:
        raise ConfigError(
            "erase: needs privacy.key, because the list of those who were erased must not name them"
        )
    try:
        text = sys.stdin.read() if str(ids) == "-" else ids.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--ids: must be a readable file; got {error.strerror} for {ids}") from None
    # As ids of the sources are, or they would get other pseudonyms.
    given = sorted({line.strip(BLANKS) for line in text.splitlines()} - {""})
    if not given:
        raise ConfigError(f"--ids: must have one id a line; got none in {ids}")
    customers = [name for name in pseudonyms(given, variable) if name is not None]
    # Shorter ones stand in every file by chance; published tables hold pseudonyms only.
    needles = [one for one in given if len(one) >= _TELLING]
    receipt = forget(_store(settings), customers, settings.privacy.key_id or "", needles, at_once)
    console.print(
        f"request {receipt.request_id}: {receipt.customers:,} customers, {receipt.rows:,} rows deleted"
    )
    for left in receipt.residues:
        console.print(f"left       {left.place}: {left.hits:,}", markup=False, soft_wrap=True)
    if receipt.deadline is not None:
        console.print(
            f"pending: files of former versions may go on {receipt.deadline:%Y-%m-%d}; erase again then"
        )
        sys.exit(5)
    console.print("clean: nothing is left in tables, logs and models")


@runs_app.command("list")
def runs_list(config: ConfigOption, set_: SetOption = None) -> None:
    """Every committed run, and which tables show it."""
    from spark_seg.publishing import Ledger
    from spark_seg.report import run_table

    settings = load_settings(config, set_ or [])
    console.print(run_table(Ledger(_store(settings), settings.pipeline).runs()))


def _store(settings: Settings) -> Any:
    """The published tables of a configuration."""
    _log_to_terminal()
    from spark_seg.publishing import Store
    from spark_seg.session import start_session

    return Store(start_session(settings.session), settings.publishing)


def _picked(overrides: list[str] | None, pick: str | None) -> list[str]:
    return [*(overrides or []), *([f"selection.pick={pick}"] if pick is not None else [])]


@config_app.command("check")
def config_check(files: Annotated[list[Path], typer.Argument()], set_: SetOption = None) -> None:
    """Report all mistakes of a configuration (with its overlays) at once."""
    from spark_seg.pipeline import check_settings

    check_settings(load_settings(files, set_ or []))
    console.print(f"{', '.join(map(str, files))}: no problems", markup=False, soft_wrap=True)


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of a configuration, for editors."""
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")


@config_app.command("template")
def config_template() -> None:
    """Print every setting with its default and its meaning (this is conf/base.yaml)."""
    sys.stdout.write(template())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the code of README's table."""
    try:
        app(args=list(arguments) if arguments is not None else None)  # exits by itself: 0, or 2 for usage
    except SegmentationError as error:
        if isinstance(error, NoAcceptableCandidate) and error.candidates:
            from spark_seg.report import candidate_table

            errors.print(error.title, style="bold", markup=False, soft_wrap=True)
            errors.print(candidate_table(error.candidates))
            errors.print("Nothing was published.")
        else:
            errors.print(error.render(), markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except Exception:  # the one place that turns the unexpected into exit code 1
        traceback.print_exc()
        sys.exit(1)


def _run(
    job: str,
    config: list[Path],
    as_of: str,
    overrides: list[str] | None,
    dry_run: bool,
    revise: bool,
    model_run: str | None = None,
) -> None:
    day, settings = _checked(as_of, config, overrides or [])
    _log_to_terminal()
    # pyspark takes a second to import: a wrong configuration is answered before that.
    from spark_seg.pipeline import check_settings, make_plan, run_plan
    from spark_seg.report import print_outcome
    from spark_seg.session import start_session

    check_settings(settings)
    spark = start_session(settings.session)
    plan = make_plan(spark, settings, job, day, revise, model_run)
    where = settings.publishing.root or settings.publishing.database
    console.print(
        f"plan       {_inputs(plan.inputs)}  →  {where}   run {plan.run_id} revision {plan.revision}",
        markup=False,
        soft_wrap=True,
    )
    if dry_run:
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
            plan, lambda done, total: bar.update(task, completed=done, total=total, visible=done < total)
        )
    print_outcome(console, outcome.profiles, outcome.candidates, outcome.structure)
    console.print(
        f"\nrun {outcome.run_id} {'was published already' if outcome.already_published else 'published'}"
    )


def _checked(as_of: str, config: list[Path], overrides: list[str]) -> tuple[date, Settings]:
    """The day and the configuration; what is wrong with both is reported at once."""
    try:
        day = parse_as_of(as_of)
    except ConfigError as error:
        try:
            load_settings(config, overrides)
        except ConfigError as other:
            raise ConfigError([*error.problems, *other.problems], title=other.title) from None
        raise
    return day, load_settings(config, overrides)


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


def _log_to_terminal() -> None:
    handler: logging.Handler
    if console.is_terminal:
        handler = RichHandler(
            console=console, show_time=False, show_level=False, show_path=False, markup=False
        )
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("spark_seg")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
