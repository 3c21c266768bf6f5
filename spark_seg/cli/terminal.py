"""What all commands share: the terminal, options, and the way to the published tables."""

from __future__ import annotations

import json
import logging
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from typer.core import TyperGroup

from spark_seg.config import Settings, load_settings
from spark_seg.errors import ConfigError
from spark_seg.periods import parse_as_of

#: Width of tables in a log file, where no terminal gives one.
_LOG_WIDTH = 140


def _console(stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else _LOG_WIDTH)


console = _console()
errors = _console(stderr=True)


class Commands(TyperGroup):
    """Takes `run_all` for `run-all`: a job is called as its file is."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        return super().get_command(ctx, cmd_name.replace("_", "-"))


ConfigOption = Annotated[
    list[Path], typer.Option("--config", "-c", help="YAML file; repeat it for overlays, the last one wins.")
]
AsOfOption = Annotated[
    str, typer.Option("--as-of", help="Day the snapshot describes, YYYY-MM-DD (exclusive).")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, e.g. selection.k_max=6; repeatable.")
]


def open_store(settings: Settings, quiet: bool = False) -> Any:
    """The published tables of a configuration. `quiet`: standard output is for the answer alone."""
    log_to_terminal(quiet)
    from spark_seg.publishing import Store
    from spark_seg.session import start_session

    return Store(start_session(settings.session), settings.publishing)


def checked(as_of: str, config: list[Path], overrides: list[str]) -> tuple[date, Settings]:
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


def say(shown: Console, sentence: str) -> None:
    """One line as it is: nothing in it is markup, and it is not broken."""
    shown.print(sentence, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """One line of JSON on standard output, for machines."""
    sys.stdout.write(json.dumps(value, default=_as_json, ensure_ascii=False) + "\n")


def _as_json(value: Any) -> float | str:
    return float(value) if isinstance(value, Decimal) else str(value)


def log_to_terminal(quiet: bool = False) -> None:
    """One line per room, as it is done; to standard error when `quiet`."""
    handler: logging.Handler
    shown = errors if quiet else console
    if shown.is_terminal:
        handler = RichHandler(console=shown, show_time=False, show_level=False, show_path=False, markup=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr if quiet else sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("spark_seg")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
