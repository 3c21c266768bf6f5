"""Segments by size and value."""

from __future__ import annotations

from spark_seg.report.blocks import MANY
from spark_seg.report.facts import segments
from spark_seg.report.figures.colours import GREY, worth
from spark_seg.report.figures.drawing import HOVER, Figure, full, label, layout
from spark_seg.report.published import Published
from spark_seg.report.words import clean, count, known, money, share


def treemap(published: Published) -> Figure | None:
    """Segments: area is customers, colour is revenue per customer."""
    rows = segments(published)
    if not rows:
        return None
    each = [float(p["revenue"]) / p["customers"] if known(p["revenue"]) else None for p in rows]
    some = [w for w in each if w is not None]
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
            for p, w in zip(rows, each, strict=True)
        ],
        "customdata": [
            f"<b>{full(p['segment_name'])}</b><br>{count(p['customers'])} customers, "
            f"{share(p['customer_share'])}<br>"
            + (f"{money(w)} of revenue per customer" if w is not None else "too few customers to tell more")
            for p, w in zip(rows, each, strict=True)
        ],
        "hovertemplate": HOVER,
        "textinfo": "label+text",
        "textposition": "middle center",
        "textfont": {"size": 14},
        "marker": {
            # Colours are worked out here: plotly would take a segment without revenue for one with none.
            "colors": [GREY if w is None else worth((w - low) / (high - low)) for w in each],
            "line": {"width": 2, "color": "#FFFFFF"},
            "pad": {"t": 0, "l": 0, "r": 0, "b": 0},
        },
        "pathbar": {"visible": False},
        "tiling": {"pad": 2},
        "root": {"color": "#FFFFFF"},
    }
    largest = ", ".join(f"{clean(p['segment_name'])} {share(p['customer_share'])}" for p in rows[:8])
    return Figure(
        "treemap",
        "Segments by customers (area) and revenue per customer (darker is more)",
        f"Treemap of segments by share of customers: {largest}",
        {
            "data": [trace],
            "layout": layout(
                margin={"t": 4, "l": 4, "r": 4, "b": 4}, uniformtext={"minsize": 10, "mode": "hide"}
            ),
        },
        height=420 if len(rows) <= MANY else 600,
    )
