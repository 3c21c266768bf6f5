"""What every benchmark returns, and where the repository is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Comparison:
    """Two figures measured side by side; `ratio` is other / ours, or ours / other for a part of a whole."""

    name: str
    ours: float
    other: float
    ratio: float
    unit: str


def against(name: str, ours: float, other: float, unit: str) -> Comparison:
    """How many times less ours takes than the other."""
    return Comparison(name, ours, other, other / ours if ours else float("nan"), unit)


def part(name: str, share: float, whole: float, unit: str) -> Comparison:
    """A part and its whole."""
    return Comparison(name, share, whole, share / whole, unit)
