"""What the page and the model card tell in the same words."""

from __future__ import annotations

import math

from spark_seg.publishing import CommittedRun
from spark_seg.report.blocks import Table, Text, table
from spark_seg.report.words import capital, count, foreign, known


def fidelity_sentence(value: float | None, wanted: float) -> str:
    """How far rules in words stand for the model: `value` and `wanted` as `fidelity` gives them."""
    if value is None or not known(value):
        return "No rules stand for the model: how well they would was not measured."
    placed = "of 100 customers whom the rules were not made from, "
    # Rounded down, so that the rules never seem better than they are.
    placed += f"they place {math.floor(100 * value + 1e-9)} as the model does"
    if value < wanted:
        return f"The rules are only approximate: {placed}, and {100 * wanted:g} are wanted."
    return f"{capital(placed)}."


def tables_read(run: CommittedRun, caption: str) -> Table | Text:
    """Source, table, version and rows of everything that a run has read."""
    if not run.inputs:
        return Text("The run names no tables that it read.")
    return table(
        caption,
        ("source", "table", "version", "rows>"),
        [(foreign(s), foreign(t), foreign(v), count(rows)) for s, t, v, rows in run.inputs],
    )
