"""Candidates over k, and silhouettes of the chosen one."""

from __future__ import annotations

from collections.abc import Sequence

from spark_seg.report.blocks import MANY
from spark_seg.report.facts import Row, names_of, segments
from spark_seg.report.figures.colours import COLOURS, DASHES, INK, SYMBOLS, Style, styles
from spark_seg.report.figures.drawing import HOVER, Figure, Spec, axis, full, label, layout
from spark_seg.report.published import Published
from spark_seg.report.words import index, known, share

#: The candidate that is no clustering: a map of scores.
BASELINE = "rfm_grid"
_ALGORITHMS = ("kmeans", "bisecting", "mixture", BASELINE)
#: Figure of a candidate → its title, how it is written, and which way is better.
_MEASURES: dict[str, tuple[str, str, str]] = {
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
    return tuple(figure for measure in _MEASURES if (figure := _multiple(published, measure)) is not None)


def _multiple(published: Published, measure: str) -> Figure | None:
    title, form, better = _MEASURES[measure]
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
        traces.append(_marks(chosen, measure, "circle-open", INK, "chosen: k=%{x}"))
    look = layout(
        xaxis=axis(title="k", dtick=1 if len(set(swept)) <= 16 else None, zeroline=False),
        yaxis=axis(tickformat=form, nticks=5, zeroline=False),
        margin={"t": 8, "l": 48, "r": 10, "b": 36},
    )
    return Figure(
        f"choice-{measure.replace('_', '-')}",
        f"{title} ({better})",
        f"{title} of {len(rows)} candidates by k; the table of candidates has the figures",
        {"data": traces, "layout": look},
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
    names = names_of(segments(published))
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
            "hovertemplate": HOVER,
        }
    )
    look = layout(
        xaxis=axis(title="silhouette", zeroline=True, zerolinecolor="#7B8794", zerolinewidth=2),
        yaxis=axis(
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
        {"data": traces, "layout": look},
        height=max(220, 90 + 38 * len(order)) if len(order) <= MANY else 90 + 24 * len(order),
    )
