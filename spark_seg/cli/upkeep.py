"""The published place between runs: its tables, what stopped runs left, and which run counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from spark_seg.cli.terminal import AsOfOption, ConfigOption, SetOption, checked, console, open_store
from spark_seg.cli.tracking import tell
from spark_seg.config import Settings, load_settings

if TYPE_CHECKING:
    from spark_seg.tables import Spec

app = typer.Typer()

OlderOption = Annotated[
    int, typer.Option("--older-than-hours", min=1, help="Spare what may belong to a run at work.")
]


@app.command()
def init(config: ConfigOption, set_: SetOption = None) -> None:
    """Create the published tables, so that no run has to."""
    from spark_seg.publishing import create_tables

    settings = load_settings(config, set_ or [])
    made = create_tables(open_store(settings), _specs(settings))
    console.print(f"created {', '.join(made)}" if made else "every table is there already")


@app.command()
def migrate(config: ConfigOption, set_: SetOption = None) -> None:
    """Bring tables that an earlier version has written into the form of this one; nobody may be at work."""
    from spark_seg.publishing import migrate as bring

    settings = load_settings(config, set_ or [])
    changed = bring(open_store(settings), _specs(settings))
    for sentence in changed:
        console.print(f"migrated   {sentence}", markup=False, soft_wrap=True)
    if not changed:
        console.print("every table is as this version writes it")


def _specs(settings: Settings) -> dict[str, Spec]:
    """Every published table as this configuration fills it."""
    from spark_seg.features import feature_spec
    from spark_seg.tables import PUBLISHED, kept_activity_spec

    own = (feature_spec(settings.features), kept_activity_spec(settings.features.engagement.kinds))
    return {**PUBLISHED, **{spec.name: spec for spec in own}}


@app.command()
def gc(config: ConfigOption, set_: SetOption = None, older_than_hours: OlderOption = 24) -> None:
    """Remove what stopped runs left behind, and files that no version of a table needs any more."""
    from spark_seg.publishing import collect_garbage

    before = datetime.now(UTC) - timedelta(hours=older_than_hours)
    found = collect_garbage(open_store(load_settings(config, set_ or [])), before)
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
    from spark_seg.tracking import places_of

    day, settings = checked(as_of, config, set_ or [])
    places = places_of(settings)
    store = open_store(settings)
    revision = Ledger(store, settings.pipeline).roll_back(day, to)
    console.print(f"run {to} counts for {day} again, as revision {revision}")
    if places:
        tell(console, store, settings, places, to)
