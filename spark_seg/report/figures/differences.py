"""How segments differ: lines over features, and customers in two dimensions."""

from __future__ import annotations

from spark_seg.report.blocks import MANY
from spark_seg.report.facts import Row, clustered, stats_of, told
from spark_seg.report.figures.colours import styles
from spark_seg.report.figures.drawing import HOVER, Figure, axis, full, label, layout
from spark_seg.report.published import Published
from spark_seg.report.words import clean, count, share, signed


def snake(published: Published) -> Figure | None:
    """A line per segment over the clustered features, in standard deviations from all customers."""
    features, rows = clustered(published), told(published)
    if not features or not rows:
        return None
    own, few = styles(published), len(rows) <= MANY
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
                "hovertemplate": HOVER,
                "line": {
                    "color": style.colour,
                    "dash": style.dash,
                    "width": 2.5 if few else 1.5,
                },
                "marker": {"symbol": style.symbol, "size": 9 if few else 6},
            }
        )
    look = layout(
        xaxis=axis(
            tickvals=list(range(len(features))),
            ticktext=[label(f, 22).replace("_", "_<br>") for f in features],
            automargin=True,
            range=[-0.3, len(features) - 0.7],
        ),
        yaxis=axis(title="standard deviations from the mean of all", zeroline=True, zerolinecolor="#7B8794"),
        margin={"t": 12, "l": 56, "r": 12, "b": 40},
    )
    return Figure(
        "snake",
        "Each segment against all customers",
        f"Lines of {len(rows)} segments over {', '.join(map(clean, features))}; figures in the table below",
        {"data": traces, "layout": look},
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
    look = layout(
        xaxis=axis(title=names[0], showticklabels=False, zeroline=False),
        yaxis=axis(title=names[1], showticklabels=False, zeroline=False),
        margin={"t": 8, "l": 36, "r": 8, "b": 40},
    )
    return Figure(
        "picture",
        "Customers in two dimensions",
        f"Scatter of {count(len(shown.points))} customers in {len(rows)} segments",
        {"data": traces, "layout": look},
        height=480,
    )


def pictured(published: Published) -> list[Row]:
    """Segments with a point in the picture."""
    there = {p[2] for p in published.picture.points} if published.picture is not None else set()
    return [p for p in told(published) if p["segment_id"] in there]
