"""Published rows → figures, as specifications for plotly: plain dictionaries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

from spark_seg.report.published import Published
from spark_seg.report.words import (
    Row,
    clean,
    clustered,
    count,
    index,
    known,
    money,
    moves,
    segments,
    share,
    short,
    signed,
    stats_of,
    told,
)

Spec = dict[str, Any]

#: Told apart by readers who see colours differently (Okabe and Ito 2008); yellow is darker than theirs, to be
#: seen on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D", "#A89200")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "star", "pentagon")
#: What has no colour of its own.
GREY = "#6B7280"
_INK, _RULE = "#1F2933", "#E3E7EC"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
#: Few customers per unit of colour to many: light enough at one end and dark enough at the other for a label.
_SEQUENTIAL = [[0, "#E8F1F8"], [0.5, "#8DBBDC"], [1, "#1B6199"]]
_MANY = 12
BASELINE = "rfm_grid"
_ALGORITHMS = ("kmeans", "bisecting", "mixture", BASELINE)


@dataclass(frozen=True)
class Style:
    """How a segment looks in every figure."""

    colour: str
    dash: str
    symbol: str


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


def styles(published: Published) -> dict[int, Style]:
    """Segment → its style; it follows from the order of ids, so that it lasts from run to run."""
    ids = sorted(p["segment_id"] for p in segments(published))
    return {
        segment: Style(
            COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)], SYMBOLS[i % len(SYMBOLS)]
        )
        for i, segment in enumerate(ids)
    }


def key(figure: str, published: Published, rows: Sequence[Row]) -> Key:
    """The key of a figure with a trace for each of `rows`."""
    own = styles(published)
    return Key(figure, tuple((p["segment_name"], own[p["segment_id"]]) for p in rows))


def treemap(published: Published) -> Figure | None:
    """Segments: area is customers, colour is revenue per customer."""
    rows = segments(published)
    if not rows:
        return None
    worth = [float(p["revenue"]) / p["customers"] if known(p["revenue"]) else None for p in rows]
    some = [w for w in worth if w is not None]
    low, high = (min(some), max(some)) if some else (0.0, 1.0)
    high = high if high > low else low + 1.0
    trace = {
        "type": "treemap",
        "ids": [str(p["segment_id"]) for p in rows],
        "labels": [label(p["segment_name"], 30) for p in rows],
        "parents": [""] * len(rows),
        "values": [p["customers"] for p in rows],
        "text": [
            f"{count(p['customers'])} · {share(p['customer_share'])}"
            + (f"<br>{money(w)} each" if w is not None else "")
            for p, w in zip(rows, worth, strict=True)
        ],
        "customdata": [
            f"<b>{full(p['segment_name'])}</b><br>{count(p['customers'])} customers, "
            f"{share(p['customer_share'])}<br>"
            + (f"{money(w)} of revenue per customer" if w is not None else "too few customers to tell more")
            for p, w in zip(rows, worth, strict=True)
        ],
        "hovertemplate": "%{customdata}<extra></extra>",
        "textinfo": "label+text",
        "textposition": "middle center",
        "textfont": {"size": 14},
        "marker": {
            # Colours are worked out here: plotly would take a segment without revenue for one with none.
            "colors": [GREY if w is None else _between((w - low) / (high - low)) for w in worth],
            "line": {"width": 2, "color": "#FFFFFF"},
            "pad": {"t": 0, "l": 0, "r": 0, "b": 0},
        },
        "pathbar": {"visible": False},
        "tiling": {"pad": 2},
        "root": {"color": "#FFFFFF"},
    }
    told_ = ", ".join(f"{clean(p['segment_name'])} {share(p['customer_share'])}" for p in rows[:8])
    return Figure(
        "treemap",
        "Segments by customers (area) and revenue per customer (darker is more)",
        f"Treemap of segments by share of customers: {told_}",
        {
            "data": [trace],
            "layout": _layout(
                margin={"t": 4, "l": 4, "r": 4, "b": 4}, uniformtext={"minsize": 10, "mode": "hide"}
            ),
        },
        height=420 if len(rows) <= _MANY else 600,
    )


def snake(published: Published) -> Figure | None:
    """A line per segment over the clustered features, in standard deviations from all customers."""
    features, rows = clustered(published), told(published)
    if not features or not rows:
        return None
    own, few = styles(published), len(rows) <= _MANY
    traces = []
    for p in rows:
        style, stats = own[p["segment_id"]], stats_of(p)
        values = [stats[f]["difference"] if f in stats else None for f in features]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": label(p["segment_name"]),
                "x": list(range(len(features))),
                "y": values,
                "customdata": [
                    f"<b>{full(p['segment_name'])}</b><br>{full(f)}: {signed(v)}"
                    for f, v in zip(features, values, strict=True)
                ],
                "hovertemplate": "%{customdata}<extra></extra>",
                "line": {
                    "color": style.colour,
                    "dash": style.dash,
                    "width": 2.5 if len(rows) <= _MANY else 1.5,
                },
                "marker": {"symbol": style.symbol, "size": 9 if few else 6},
            }
        )
    layout = _layout(
        xaxis=_axis(
            tickvals=list(range(len(features))),
            ticktext=[label(f, 22).replace("_", "_<br>") for f in features],
            automargin=True,
            range=[-0.3, len(features) - 0.7],
        ),
        yaxis=_axis(title="standard deviations from the mean of all", zeroline=True, zerolinecolor="#7B8794"),
        margin={"t": 12, "l": 56, "r": 12, "b": 40},
    )
    return Figure(
        "snake",
        "Each segment against all customers",
        f"Lines of {len(rows)} segments over {', '.join(map(clean, features))}; figures in the table below",
        {"data": traces, "layout": layout},
        height=430 if few else 560,
    )


def picture(published: Published) -> Figure | None:
    """A sample of customers in two dimensions, a mark for each."""
    shown = published.picture
    rows = pictured(published)
    if shown is None or not rows:
        return None
    own = styles(published)
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": label(p["segment_name"]),
            "x": [x for x, _, segment in shown.points if segment == p["segment_id"]],
            "y": [y for _, y, segment in shown.points if segment == p["segment_id"]],
            "hovertemplate": f"{full(p['segment_name'])}<extra></extra>",
            "marker": {
                "color": own[p["segment_id"]].colour,
                "symbol": own[p["segment_id"]].symbol,
                "size": 7,
                "opacity": 0.7,
                "line": {"width": 0.5, "color": "#FFFFFF"},
            },
        }
        for p in rows
    ]
    if shown.method == "pca":
        names = [f"{which} principal component" for which in ("first", "second")]
        if shown.explained is not None:
            names = [f"{n}, {share(e)}" for n, e in zip(names, shown.explained, strict=True)]
    else:
        names = ["", ""]
    layout = _layout(
        xaxis=_axis(title=names[0], showticklabels=False, zeroline=False),
        yaxis=_axis(title=names[1], showticklabels=False, zeroline=False),
        margin={"t": 8, "l": 36, "r": 8, "b": 40},
    )
    return Figure(
        "picture",
        "Customers in two dimensions",
        f"Scatter of {count(len(shown.points))} customers in {len(rows)} segments",
        {"data": traces, "layout": layout},
        height=480,
    )


def pictured(published: Published) -> list[Row]:
    """Segments with a point in the picture."""
    there = {p[2] for p in published.picture.points} if published.picture is not None else set()
    return [p for p in told(published) if p["segment_id"] in there]


#: Figure of a candidate → its title, how it is written, and which way is better.
MEASURES: dict[str, tuple[str, str, str]] = {
    "silhouette": ("Silhouette", ".2f", "high is good"),
    "davies_bouldin": ("Davies-Bouldin", ".2f", "low is good"),
    "calinski_harabasz": ("Calinski-Harabasz", ",.3~s", "high is good"),
    "cost": ("Cost", ",.3~s", "look for the bend"),
    "agreement": ("Agreement of refits", ".2f", "high is good"),
    "weakest": ("Weakest segment in refits", ".2f", "high is good"),
}


def algorithms(published: Published) -> list[tuple[str, Style]]:
    """Algorithms of the candidates with their styles; those of the project have the same on every page."""
    there = {c["algorithm"] for c in published.candidates}
    order = [a for a in _ALGORITHMS if a in there] + sorted(there - set(_ALGORITHMS))
    places = {a: _ALGORITHMS.index(a) if a in _ALGORITHMS else len(_ALGORITHMS) for a in order}
    return [(a, Style(COLOURS[i], DASHES[i], "" if a == BASELINE else SYMBOLS[i])) for a, i in places.items()]


def multiples(published: Published) -> tuple[Figure, ...]:
    """One small figure for each measure of the candidates, over k: a ring marks the chosen, stars elbows."""
    return tuple(figure for measure in MEASURES if (figure := _multiple(published, measure)) is not None)


def _multiple(published: Published, measure: str) -> Figure | None:
    title, form, better = MEASURES[measure]
    rows = [c for c in published.candidates if known(c[measure])]
    if not rows:
        return None
    traces: list[Spec] = []
    swept = [c["k"] for c in rows if c["algorithm"] != BASELINE] or [c["k"] for c in rows]
    for algorithm, style in algorithms(published):
        own = sorted((c for c in rows if c["algorithm"] == algorithm), key=lambda c: c["k"])
        # The baseline has one k, far from the others: a level to look at, all along.
        flat = algorithm == BASELINE and len(own) == 1
        at = "" if flat else " k=%{x}"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines" if flat else "lines+markers",
                "name": label(algorithm),
                "x": [c["k"] for c in own] if not flat else [min(swept), max(swept)],
                "y": [c[measure] for c in own] if not flat else [own[0][measure]] * 2,
                "hovertemplate": f"{full(algorithm)}{at}: %{{y:{form}}}<extra></extra>",
                "line": {"color": style.colour, "dash": style.dash, "width": 2},
                "marker": {"symbol": style.symbol, "size": 7},
            }
        )
        bends = [c for c in own if measure == "cost" and c["elbow"]]
        if bends:
            traces.append(
                _marks(bends, measure, "star", style.colour, f"elbow of {full(algorithm)}: k=%{{x}}")
            )
    chosen = [c for c in rows if c["chosen"]]
    if chosen:
        traces.append(_marks(chosen, measure, "circle-open", _INK, "chosen: k=%{x}"))
    layout = _layout(
        xaxis=_axis(title="k", dtick=1 if len(set(swept)) <= 16 else None, zeroline=False),
        yaxis=_axis(tickformat=form, nticks=5, zeroline=False),
        margin={"t": 8, "l": 48, "r": 10, "b": 36},
    )
    return Figure(
        f"choice-{measure.replace('_', '-')}",
        f"{title} ({better})",
        f"{title} of {len(rows)} candidates by k; the table of candidates has the figures",
        {"data": traces, "layout": layout},
        height=230,
    )


def _marks(rows: Sequence[Row], measure: str, symbol: str, colour: str, said: str) -> Spec:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [c["k"] for c in rows],
        "y": [c[measure] for c in rows],
        "hovertemplate": f"{said}<extra></extra>",
        "marker": {
            "symbol": symbol,
            "size": 12 if symbol == "star" else 18,
            "color": colour,
            "line": {"width": 2.5, "color": colour},
        },
    }


def silhouettes(published: Published) -> Figure | None:
    """A box per segment: the middle half of its silhouettes, the median, and from 5 % to 95 %."""
    names = {p["segment_id"]: p["segment_name"] for p in segments(published)}
    rows = [s for s in published.silhouettes if s["segment_id"] in names]
    if not rows:
        return None
    own = styles(published)
    order = sorted(rows, key=lambda s: s["median"] if known(s["median"]) else -2.0)
    traces = [
        {
            "type": "box",
            "orientation": "h",
            "name": label(names[s["segment_id"]]),
            "y": [i],
            "q1": [s["p25"]],
            "median": [s["median"]],
            "q3": [s["p75"]],
            "lowerfence": [s["p5"]],
            "upperfence": [s["p95"]],
            "line": {"color": own[s["segment_id"]].colour, "width": 2},
            "fillcolor": "#FFFFFF",
            "hoverinfo": "skip",
        }
        for i, s in enumerate(order)
    ]
    # Boxes of given quantiles hover in five places at once: one invisible mark tells it in a sentence.
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [s["median"] for s in order],
            "y": list(range(len(order))),
            "marker": {"size": 14, "opacity": 0},
            "customdata": [
                f"<b>{full(names[s['segment_id']])}</b><br>median {index(s['median'])}, "
                f"half between {index(s['p25'])} and {index(s['p75'])}<br>{share(s['negative'])} below zero"
                for s in order
            ],
            "hovertemplate": "%{customdata}<extra></extra>",
        }
    )
    layout = _layout(
        xaxis=_axis(title="silhouette", zeroline=True, zerolinecolor="#7B8794", zerolinewidth=2),
        yaxis=_axis(
            tickvals=list(range(len(order))),
            ticktext=[label(names[s["segment_id"]], 20) for s in order],
            automargin=True,
            showgrid=False,
            zeroline=False,
            range=[-0.6, len(order) - 0.4],
        ),
        margin={"t": 8, "l": 40, "r": 12, "b": 40},
        boxgap=0.35,
    )
    return Figure(
        "silhouette",
        "Silhouettes of each segment's customers",
        f"Ranges of the silhouettes of {len(rows)} segments; the table below has the figures",
        {"data": traces, "layout": layout},
        height=max(220, 90 + 38 * len(order)) if len(order) <= _MANY else 90 + 24 * len(order),
    )


def sankey(published: Published) -> Figure | None:
    """Who went where since the former run; ways of few customers are left out."""
    moved = moves(published)
    if moved is None or not moved.ways:
        return None
    own = styles(published)
    nodes: dict[tuple[str, int | None], int] = {}
    names: list[str] = []
    colours: list[str] = []

    def node(side: str, segment: int | None, name: str | None, nowhere: str) -> int:
        at = nodes.setdefault((side, segment), len(nodes))
        if at == len(names):
            names.append(nowhere if segment is None else name or f"segment {segment}")
            colours.append(own[segment].colour if segment in own else GREY)
        return at

    ways: dict[tuple[int, int], tuple[int, Row]] = {}
    for m in moved.ways:
        ends = (
            node("from", m["from_segment_id"], m["from_segment_name"], "not there before"),
            node("to", m["to_segment_id"], m["to_segment_name"], "not there any more"),
        )
        ways[ends] = (ways[ends][0] + m["customers"] if ends in ways else m["customers"], m)
    biggest = max(len({s for side, s in nodes if side == end}) for end in ("from", "to"))
    trace = {
        "type": "sankey",
        "arrangement": "snap",
        "textfont": {"size": 12, "color": _INK, "shadow": "auto"},
        "node": {
            "label": [label(name, 22) for name in names],
            "color": colours,
            "customdata": [full(name) for name in names],
            "hovertemplate": "%{customdata}: %{value:,.0f}<extra></extra>",
            "pad": 14 if biggest <= _MANY else 6,
            "thickness": 16,
            "line": {"width": 0},
        },
        "link": {
            "source": [a for a, _ in ways],
            "target": [b for _, b in ways],
            "value": [n for n, _ in ways.values()],
            "color": [
                "rgba(138,143,152,.22)" if m["kind"] == "stayed" else _faint(colours[b])
                for (_, b), (_, m) in ways.items()
            ],
            "customdata": [f"{full(names[a])} → {full(names[b])}" for a, b in ways],
            "hovertemplate": "%{customdata}<br>%{value:,.0f} customers<extra></extra>",
        },
    }
    layout = _layout(margin={"t": 8, "l": 8, "r": 8, "b": 12})
    return Figure(
        "sankey",
        f"From the segments of {moved.as_of} (left) to those of this run (right)",
        f"Flows of customers between {biggest} segments; the table below has the figures",
        {"data": [trace], "layout": layout},
        height=max(360, (52 if biggest <= _MANY else 24) * biggest),
        wide=560,
    )


# Colours of tables

_BLUE, _ORANGE = (0x5B, 0xA3, 0xD0), (0xF0, 0x9A, 0x3E)


def diverging(value: float | None, limit: float = 2.0) -> str | None:
    """Blue above zero, orange below, full from `limit` on, and always light enough for dark text."""
    if not known(value):
        return None
    assert value is not None  # noqa: S101 - it is known
    part = min(abs(value) / limit, 1.0)
    return _mixed(_BLUE if value > 0 else _ORANGE, part)


def _mixed(colour: tuple[int, int, int], part: float) -> str:
    return "#" + "".join(f"{round(255 + (c - 255) * part):02X}" for c in colour)


def sequential(part: float) -> str:
    """White at 0, blue at 1."""
    return _mixed(_BLUE, min(max(part, 0.0), 1.0))


def _between(part: float) -> str:
    """Colour of the sequential scale."""
    scaled = min(max(part, 0.0), 1.0) * 2
    low, high = (str(stop[1]) for stop in (_SEQUENTIAL[:2] if scaled <= 1 else _SEQUENTIAL[1:]))
    rest = scaled if scaled <= 1 else scaled - 1
    ends = [(int(low[i : i + 2], 16), int(high[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * rest):02X}" for a, b in ends)


def _faint(colour: str) -> str:
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},.45)"


def _axis(**changes: Any) -> Spec:
    title = changes.pop("title", "")
    return {
        "gridcolor": _RULE,
        "linecolor": _RULE,
        "zerolinecolor": _RULE,
        "fixedrange": True,
        "title": {"text": title, "font": {"size": 12}},
    } | changes


def _layout(**changes: Any) -> Spec:
    return {
        "font": {"family": _FONT, "size": 12, "color": _INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"bgcolor": "#FFFFFF", "bordercolor": "#9AA5B1", "font": {"color": _INK, "size": 13}},
        "hovermode": "closest",
        "showlegend": False,
        "autosize": True,
        "colorway": list(COLOURS),
    } | changes
