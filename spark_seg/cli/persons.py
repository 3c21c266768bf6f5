"""Rows of single persons: forget them, or hand in again what was rejected."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from spark_seg.cli.terminal import AsOfOption, ConfigOption, SetOption, checked, console, open_store
from spark_seg.config import load_settings
from spark_seg.errors import ConfigError

app = typer.Typer()

#: Characters from which on an id is looked for in files.
_TELLING = 8


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
    from spark_seg.pipeline import check_key
    from spark_seg.publishing import erase as forget
    from spark_seg.sources import naming_of
    from spark_seg.tables import BLANKS

    if check_key(settings) is None:
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
    names = naming_of(settings).names(given)
    customers = sorted({name for name in names if name is not None})
    # Shorter ones stand in every file by chance; published tables hold pseudonyms only.
    needles = [one for one in given if len(one) >= _TELLING]
    receipt = forget(open_store(settings), customers, settings.privacy.key_id or "", needles, at_once)
    console.print(
        f"request {receipt.request_id}: {receipt.customers:,} customers, {receipt.rows:,} rows deleted"
    )
    for left in receipt.residues:
        console.print(f"left       {left.place}: {left.hits:,}", markup=False, soft_wrap=True)
    if receipt.deadline is not None:
        console.print(
            f"pending: until {receipt.deadline:%Y-%m-%d} files of former versions, or of runs that were at "
            "work, may hold something; erase again then"
        )
        sys.exit(5)
    console.print("clean: nothing is left in tables, logs and models")


@app.command()
def rejects(
    config: ConfigOption,
    as_of: AsOfOption,
    set_: SetOption = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Only rows rejected for this reason.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the rows there, one line of JSON each, to be repaired."),
    ] = None,
) -> None:
    """Which rows were rejected for an as_of, by reason."""
    from spark_seg.pipeline import rejected, rejecting_run
    from spark_seg.publishing import Ledger

    day, settings = checked(as_of, config, set_ or [])
    store = open_store(settings)
    run = rejecting_run(Ledger(store, settings.pipeline), day)
    for source, why, rows in sorted(run.rejects, key=lambda x: (x[0], -x[2])):
        if reason in (None, why):
            console.print(f"{source:<10} {rows:>12,}  {why}", markup=False, soft_wrap=True)
    if out is None:
        return
    # Rows of persons: for the eyes of whoever asked.
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        written = 0
        for line in rejected(store, run, reason):
            file.write(line + "\n")
            written += 1
    console.print(f"{written:,} rows written to {out}; hand them in repaired: spark-seg repair --rows {out}")


@app.command()
def repair(
    config: ConfigOption,
    as_of: AsOfOption,
    rows: Annotated[Path, typer.Option("--rows", help="Repaired rows as `rejects --out` writes them.")],
    set_: SetOption = None,
) -> None:
    """Hand in repaired rows: the next run reads them beside the table that they were rejected from."""
    from spark_seg.pipeline import hand_in, rejecting_run
    from spark_seg.publishing import Ledger

    day, settings = checked(as_of, config, set_ or [])
    try:
        lines = rows.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--rows: must be a readable UTF-8 file; got {type(error).__name__}") from None
    store = open_store(settings)
    taken = hand_in(store, settings, rejecting_run(Ledger(store, settings.pipeline), day), lines)
    console.print(f"{taken:,} rows taken; they count from the next run on, for {day} with --revise")
