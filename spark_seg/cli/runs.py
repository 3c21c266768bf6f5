"""Looking at committed runs: which there are, what lies between two, and one done again."""

from __future__ import annotations

from typing import Annotated

import typer

from spark_seg.cli.show import show_runs
from spark_seg.cli.terminal import ConfigOption, SetOption, console, open_store
from spark_seg.config import load_settings
from spark_seg.errors import SegmentationError

app = typer.Typer()
runs_app = typer.Typer(no_args_is_help=True, help="Look at what is published.")
app.add_typer(runs_app, name="runs")
runs_app.command("list")(show_runs)


@app.command()
def diff(
    config: ConfigOption,
    one: Annotated[str, typer.Argument(metavar="RUN_A")],
    other: Annotated[str, typer.Argument(metavar="RUN_B")],
    set_: SetOption = None,
) -> None:
    """What is different in the second of two committed runs, in counts and in words."""
    from spark_seg.pipeline import differences, known_run
    from spark_seg.publishing import Ledger

    settings = load_settings(config, set_ or [])
    store = open_store(settings)
    runs = Ledger(store, settings.pipeline).runs()
    before, now = known_run(runs, one, "RUN_A"), known_run(runs, other, "RUN_B")
    for sentence in differences(store, before, now):
        console.print(sentence, markup=False, soft_wrap=True)


@app.command()
def replay(
    config: ConfigOption, run_id: Annotated[str, typer.Argument(metavar="RUN_ID")], set_: SetOption = None
) -> None:
    """Do a committed run again from its row in the ledger, and compare; nothing is published."""
    from spark_seg.pipeline import replay as again

    settings = load_settings(config, set_ or [])
    done = again(open_store(settings).spark, settings, run_id)
    for note in done.notes:
        console.print(f"note       {note}", markup=False, soft_wrap=True)
    for table, same in done.same.items():
        console.print(f"{'the same' if same else 'OTHER':<10} {table}")
    other = [table for table, same in done.same.items() if not same]
    if other:
        raise SegmentationError(
            f"replay: run {run_id} must give the same rows again; got others in {', '.join(other)}. Look "
            "whether somebody was erased since, or versions differ (above)"
        )
    console.print(f"run {run_id} of {done.run.as_of} gives the same again")
