"""The command line. `jobs/*.py` and the entry point `spark-seg` both come through `main`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from spark_seg.cli import doctor, jobs, persons, runs, segments, settings, show, upkeep
from spark_seg.cli.terminal import Commands, errors
from spark_seg.cli.unexpected import report
from spark_seg.errors import NoAcceptableCandidate, SegmentationError

app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for part in (jobs, upkeep, runs, show, persons, doctor):
    app.add_typer(part.app)
app.add_typer(settings.app, name="config")
app.add_typer(segments.app, name="segments")


@app.callback()
def _about() -> None:
    """Customer segmentation on Spark and Delta Lake."""


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
    except Exception as error:  # the one place that turns the unexpected into exit code 1
        sys.stderr.write(report(error))
        sys.exit(1)
