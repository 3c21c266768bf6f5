"""How segments look in every figure, and colours of what has a size."""

from __future__ import annotations

from dataclasses import dataclass

from spark_seg.report.facts import segments
from spark_seg.report.published import Published
from spark_seg.report.words import known

#: Told apart by readers who see colours differently (Okabe and Ito 2008); yellow is darker than theirs, to be
#: seen on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D", "#A89200")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star", "pentagon")
#: What has no colour of its own.
GREY = "#6B7280"
#: Texts, and lines behind them.
INK, RULE = "#1F2933", "#E3E7EC"
#: Few customers per unit of colour to many: light enough at one end and dark enough at the other for a label.
_SEQUENTIAL = ("#E8F1F8", "#8DBBDC", "#1B6199")
_WHITE, _BLUE, _ORANGE = "#FFFFFF", "#5BA3D0", "#F09A3E"


@dataclass(frozen=True)
class Style:
    """How a segment looks in every figure."""

    colour: str
    dash: str
    symbol: str


def styles(published: Published) -> dict[int, Style]:
    """Segment → its style; it follows from the order of ids, so that it lasts from run to run."""
    ids = sorted(p["segment_id"] for p in segments(published))
    return {
        segment: Style(
            COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)], SYMBOLS[i % len(SYMBOLS)]
        )
        for i, segment in enumerate(ids)
    }


def diverging(value: float | None, limit: float = 2.0) -> str | None:
    """Blue above zero, orange below, full from `limit` on, and always light enough for dark text."""
    if value is None or not known(value):
        return None
    return _mixed(_WHITE, _BLUE if value > 0 else _ORANGE, abs(value) / limit)


def sequential(part: float) -> str:
    """White at 0, blue at 1."""
    return _mixed(_WHITE, _BLUE, part)


def worth(part: float) -> str:
    """Light at 0, dark at 1: a large area, with a label on it."""
    low, middle, high = _SEQUENTIAL
    return _mixed(low, middle, 2 * part) if part <= 0.5 else _mixed(middle, high, 2 * part - 1)


def faint(colour: str) -> str:
    """The same, so that what lies below shines through."""
    return f"rgba({','.join(map(str, _parts(colour)))},.45)"


def _mixed(low: str, high: str, part: float) -> str:
    """A colour from `low` at 0 to `high` at 1."""
    share = min(max(part, 0.0), 1.0)
    pairs = zip(_parts(low), _parts(high), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)


def _parts(colour: str) -> list[int]:
    """Red, green and blue of #RRGGBB."""
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
