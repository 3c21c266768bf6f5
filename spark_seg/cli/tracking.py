"""Telling MLflow and receivers of lineage of committed runs: after a run, and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from spark_seg.cli.terminal import ConfigOption, SetOption, console, open_store, say
from spark_seg.cli.unexpected import without_values
from spark_seg.config import Settings, load_settings
from spark_seg.errors import ConfigError, SegmentationError

if TYPE_CHECKING:
    from spark_seg.publishing import Store
    from spark_seg.tracking import Places, Told

app = typer.Typer()


@app.command()
def track(
    config: ConfigOption,
    run_id: Annotated[str | None, typer.Argument(metavar="[RUN_ID]", help="Default: every run.")] = None,
    set_: SetOption = None,
) -> None:
    """Tell MLflow and the receiver of lineage (section tracking) of committed runs; nothing twice."""
    from spark_seg.pipeline import known_run
    from spark_seg.publishing import Ledger
    from spark_seg.tracking import places_of

    settings = load_settings(config, set_ or [])
    places = places_of(settings)
    if not places:
        raise ConfigError(
            "tracking: mlflow.uri or openlineage.to must say who is told; got neither. Set one, for example "
            "--set tracking.openlineage.to=lineage.jsonl"
        )
    store = open_store(settings)
    if run_id is not None:
        known_run(Ledger(store, settings.pipeline).runs(), run_id, "RUN_ID")
    told = tell(console, store, settings, places, run_id)
    failed = [one for one in told if one.problem is not None]
    if failed:
        raise SegmentationError(
            f"track: all must be told of every run; {len(failed)} of {len(told)} times it failed (above). "
            "The runs are untouched; the same command adds what is missing"
        )


def tell(
    shown: Console, store: Store, settings: Settings, places: Places, run_id: str | None = None
) -> list[Told]:
    """Tell of a run or of all, and say so, line by line.

    The runs are committed: who cannot be told is named, and changes nothing of that.
    """
    from spark_seg.tracking import track as told_of

    told = []
    for one in told_of(store, settings, places, run_id):
        if one.problem is None:
            say(shown, f"{one.whom:<10} {one.where}  {one.what}")
        else:
            problem = without_values(one.problem).rstrip(".")
            say(shown, f"{one.whom:<10} not told: {problem}. Again: spark-seg track {one.run_id}")
        told.append(one)
    return told
