"""Look over what makes segments, before a run does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spark_seg.cli.terminal import console
from spark_seg.config import DEFAULT_MAP, load_rfm_map
from spark_seg.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="Look over what makes segments.")

#: Kind of finding → one of them, and any other number.
_COUNTED = {
    "uncovered": ("uncovered", "uncovered"),
    "overlap": ("overlap", "overlaps"),
    "unreachable": ("unreachable", "unreachable"),
    "contradiction": ("contradiction", "contradictions"),
}


@app.command("lint")
def segments_lint(
    file: Annotated[
        Path | None,
        typer.Argument(help="YAML file with segments.rfm_map, or rfm_map alone; none: the built-in map."),
    ] = None,
) -> None:
    """Look over an RFM map: scores without a row, rows in each other's way, names that say otherwise."""
    from spark_seg.segments import lint

    findings = lint(DEFAULT_MAP if file is None else load_rfm_map(file))
    for finding in findings:
        console.print(f"{finding.kind:<14} {finding.sentence}", markup=False, soft_wrap=True)
    counts = {kind: sum(finding.kind == kind for finding in findings) for kind in _COUNTED}
    console.print(" · ".join(f"{n} {_COUNTED[kind][n != 1]}" for kind, n in counts.items()))
    if findings:
        raise ConfigError(
            f"{file or 'the built-in map'}: the RFM map must be free of findings; got {len(findings)} (above)"
        )
