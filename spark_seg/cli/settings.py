"""Check and describe configurations; no Spark is started."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from spark_seg.cli.terminal import SetOption, console
from spark_seg.config import json_schema, load_settings
from spark_seg.config.template import template

app = typer.Typer(no_args_is_help=True, help="Check and describe configurations.")


@app.command("check")
def config_check(files: Annotated[list[Path], typer.Argument()], set_: SetOption = None) -> None:
    """Report all mistakes of a configuration (with its overlays) at once."""
    from spark_seg.pipeline import check_settings

    check_settings(load_settings(files, set_ or []))
    console.print(f"{', '.join(map(str, files))}: no problems", markup=False, soft_wrap=True)


@app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of a configuration, for editors."""
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")


@app.command("template")
def config_template() -> None:
    """Print every setting with its default and its meaning (this is conf/base.yaml)."""
    sys.stdout.write(template())
