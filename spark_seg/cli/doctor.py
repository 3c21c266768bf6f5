"""Is this the place that runs need? Looked at once, before the night on which it matters."""

from __future__ import annotations

import typer

from spark_seg.cli.terminal import ConfigOption, SetOption, console, log_to_terminal
from spark_seg.config import load_settings
from spark_seg.errors import ConfigError

app = typer.Typer()


@app.command()
def doctor(config: ConfigOption, set_: SetOption = None) -> None:
    """Look whether this machine and its Spark are what runs of a configuration need."""
    from spark_seg.cli.examination import looked_at

    settings = load_settings(config, set_ or [])
    log_to_terminal()
    wrong = 0
    for finding in looked_at(settings):
        state = "ok" if finding.right else "WRONG"
        told = finding.told.removeprefix(f"{finding.name}: ")
        console.print(f"{state:<6} {finding.name:<14} {told}", markup=False, soft_wrap=True)
        wrong += not finding.right
    if wrong:
        raise ConfigError(f"doctor: everything must be right; got {wrong} that is not (above)")
