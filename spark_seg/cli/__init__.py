"""The command line. `jobs/*.py` and the entry point `spark-seg` both come through `main`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from spark_seg.cli import doctor, jobs, persons, runs, segments, settings, show, tracking, upkeep
from spark_seg.cli.terminal import Commands, errors
from spark_seg.cli.unexpected import report
from spark_seg.config import REMOTE
from spark_seg.errors import NoAcceptableCandidate, SegmentationError

app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for part in (jobs, upkeep, runs, show, tracking, persons, doctor):
    app.add_typer(part.app)
app.add_typer(settings.app, name="config")
app.add_typer(segments.app, name="segments")


@app.callback()
def _about(
    remote: Annotated[
        str | None, typer.Option(help=f"Spark Connect server, sc://HOST:PORT; also {REMOTE}.")
    ] = None,
) -> None:
    """Customer segmentation on Spark and Delta Lake."""
    if remote is not None:
        os.environ[REMOTE] = remote


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Returns when all is done; else exits with the code of README's table."""
    try:
        # Exits by itself: 0, or 2 for usage.
        app(args=_remote_first(sys.argv[1:] if arguments is None else arguments))
    except SystemExit as ended:
        # Databricks calls this function in a process of its own and takes every exit for a failure, 0 too.
        if ended.code:
            raise
    except SegmentationError as error:
        if isinstance(error, NoAcceptableCandidate) and error.candidates:
            from spark_seg.report import candidate_table

            errors.print(error.title, style="bold", markup=False, soft_wrap=True)
            errors.print(candidate_table(error.candidates))
            errors.print("Nothing was published.")
        else:
            errors.print(error.render(), markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except Exception as error:  # the one place that turns the unexpected into exit code 1
        told = _explained(error)
        if told is not None:
            errors.print(told.render(), markup=False, soft_wrap=True)
            sys.exit(told.exit_code)
        sys.stderr.write(report(error))
        sys.exit(1)


def _remote_first(arguments: Sequence[str]) -> list[str]:
    """`--remote` belongs to no single command: it may stand anywhere."""
    rest, remote = [], list[str]()
    given = iter(arguments)
    for argument in given:
        if argument == "--remote":
            remote = [argument, *([following] if (following := next(given, None)) is not None else [])]
        elif argument.startswith("--remote="):
            remote = [argument]
        else:
            rest.append(argument)
    return remote + rest


def _explained(error: Exception) -> SegmentationError | None:
    """What a failure of the surroundings means; None for every other one."""
    if "pyspark" not in sys.modules:
        return None
    from spark_seg.session import explained

    return explained(error)
