"""What a figure is, and what all figures have in common: plain dictionaries for plotly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

from spark_seg.report.facts import Row
from spark_seg.report.figures.colours import COLOURS, INK, RULE, Style, styles
from spark_seg.report.published import Published
from spark_seg.report.words import clean, known, short

Spec = dict[str, Any]

#: Shows what stands in `customdata`, and no box beside it.
HOVER = "%{customdata}<extra></extra>"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Figure:
    """A figure. `label`: what it shows, for who cannot see it; `wide`: least width in pixels."""

    id: str
    title: str
    label: str
    spec: Spec
    height: int = 380
    wide: int = 0
    kind: ClassVar[str] = "figure"

    @property
    def json(self) -> str:
        """The specification as JSON that ends no script element, whatever it holds."""
        return inert_json(self.spec)


@dataclass(frozen=True)
class Figures:
    """Small figures beside each other."""

    figures: tuple[Figure, ...]
    kind: ClassVar[str] = "figures"


@dataclass(frozen=True)
class Key:
    """What lines and marks mean: name and style of each; the n-th is the n-th trace of `figure`."""

    figure: str
    entries: tuple[tuple[str, Style], ...]
    kind: ClassVar[str] = "key"


def inert_json(value: Any) -> str:
    """JSON for a script element: no markup in it, and no figure that JSON does not have."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=float)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not known(value) else value


def label(text: object, width: int = 26) -> str:
    """A name as plotly shows it literally: it takes a few tags for markup."""
    return escape(short(text, width), quote=False)


def full(text: object) -> str:
    """A whole name for a hover text, broken into lines."""
    shown = clean(text)
    return "<br>".join(escape(shown[i : i + 60], quote=False) for i in range(0, len(shown), 60))


def key(figure: str, published: Published, rows: Sequence[Row]) -> Key:
    """The key of a figure with a trace for each of `rows`."""
    own = styles(published)
    return Key(figure, tuple((p["segment_name"], own[p["segment_id"]]) for p in rows))


def axis(**changes: Any) -> Spec:
    """An axis with a quiet grid. `title` is its text."""
    title = changes.pop("title", "")
    return {
        "gridcolor": RULE,
        "linecolor": RULE,
        "zerolinecolor": RULE,
        "fixedrange": True,
        "title": {"text": title, "font": {"size": 12}},
    } | changes


def layout(**changes: Any) -> Spec:
    """The layout of a figure, with what is its own."""
    return {
        "font": {"family": _FONT, "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"bgcolor": "#FFFFFF", "bordercolor": "#9AA5B1", "font": {"color": INK, "size": 13}},
        "hovermode": "closest",
        "showlegend": False,
        "autosize": True,
        "colorway": list(COLOURS),
    } | changes
