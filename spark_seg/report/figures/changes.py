"""Customers who went from segment to segment."""

from __future__ import annotations

from spark_seg.report.blocks import MANY
from spark_seg.report.facts import Row
from spark_seg.report.figures.colours import GREY, INK, faint, styles
from spark_seg.report.figures.drawing import Figure, full, label, layout
from spark_seg.report.moves import moves
from spark_seg.report.published import Published


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
        "textfont": {"size": 12, "color": INK, "shadow": "auto"},
        "node": {
            "label": [label(name, 22) for name in names],
            "color": colours,
            "customdata": [full(name) for name in names],
            "hovertemplate": "%{customdata}: %{value:,.0f}<extra></extra>",
            "pad": 14 if biggest <= MANY else 6,
            "thickness": 16,
            "line": {"width": 0},
        },
        "link": {
            "source": [a for a, _ in ways],
            "target": [b for _, b in ways],
            "value": [n for n, _ in ways.values()],
            "color": [
                "rgba(138,143,152,.22)" if m["kind"] == "stayed" else faint(colours[b])
                for (_, b), (_, m) in ways.items()
            ],
            "customdata": [f"{full(names[a])} → {full(names[b])}" for a, b in ways],
            "hovertemplate": "%{customdata}<br>%{value:,.0f} customers<extra></extra>",
        },
    }
    look = layout(margin={"t": 8, "l": 8, "r": 8, "b": 12})
    return Figure(
        "sankey",
        f"From the segments of {moved.as_of} (left) to those of this run (right)",
        f"Flows of customers between {biggest} segments; the table below has the figures",
        {"data": [trace], "layout": look},
        height=max(360, (52 if biggest <= MANY else 24) * biggest),
        wide=560,
    )
