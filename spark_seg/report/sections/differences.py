"""How segments differ: feature by feature, as a picture, and by recency and frequency."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spark_seg.report import figures
from spark_seg.report.blocks import MANY, Cell, Details, Table, Text, table
from spark_seg.report.facts import Row, apart, clustered, everybody, min_group, stats_of, told, warned
from spark_seg.report.published import Published
from spark_seg.report.sections.segments import amounts
from spark_seg.report.words import NONE, capital, count, few, foreign, money, share, signed, things


def compared(published: Published) -> Iterator[Any]:
    """Each segment against all customers, feature by feature."""
    rows = told(published)
    if not any(stats_of(p) for p in rows):
        yield Text("No segment has figures of its features that may be told, so there is nothing to compare.")
        return
    if len(rows) == 1:
        yield Text(
            "There is only one segment of which figures may be told; it is compared with all customers."
        )
    figure = figures.snake(published)
    if figure is not None:
        yield Text(
            "Each line is a segment: how far its mean lies from that of all customers, in standard "
            "deviations of all customers. Lines far apart mark the features that tell segments apart."
        )
        yield figure
        yield figures.key("snake", published, rows)
    else:
        yield Text("None of the clustered features has figures, so there are no lines to draw.")
    yield _heat(published)


def _heat(published: Published) -> Table:
    """Features × segments, or the other way round where segments are many."""
    rows, own = told(published), set(clustered(published))
    there = list(dict.fromkeys(f for p in rows for f in stats_of(p)))
    features = sorted(there, key=lambda f: f not in own)
    marked = [foreign(f) + (" *" if f in own else "") for f in features]
    names = [foreign(p["segment_name"]) for p in rows]
    cells = [[_difference(stats_of(p).get(f)) for p in rows] for f in features]
    many = len(rows) > MANY
    columns, lines = (marked, names) if many else (names, marked)
    body = zip(*cells, strict=True) if many else cells
    return table(
        "Difference from all customers in standard deviations: blue above, orange below. "
        "Colours are full from 2 on; * marks features of the clustering",
        ("segment" if many else "feature", *(f"{name}>" for name in columns)),
        [(name, *line) for name, line in zip(lines, body, strict=True)],
        form="heat",
    )


def _difference(stat: Row | None) -> Cell:
    value = stat["difference"] if stat is not None else None
    return Cell(signed(value), shade=figures.diverging(value))


def pictured(published: Published) -> Iterator[Any]:
    """A sample of customers in two dimensions."""
    shown, figure = published.picture, figures.picture(published)
    if shown is None or figure is None:
        reason = "none was made" if shown is None else "no segment has points that may be shown"
        yield Text(" ".join([f"There is no picture: {reason}.", *warned(published, "picture")]))
        return
    said = f"A sample of {count(len(shown.points))} of {things(shown.customers, 'customer')}, each a point. "
    if shown.method == "pca":
        said += "The axes are the directions in which the prepared features vary most"
        if shown.explained is not None:
            both = sum(shown.explained)
            said += (
                f"; together they hold {share(both)} of the variance, so {share(1 - both)} is not seen here"
            )
        said += "."
    else:
        said += (
            f"Made by {foreign(shown.method)}: neighbours are alike, but distances between groups, and how "
            "large these look, mean nothing."
        )
    yield Text(said)
    yield figure
    yield figures.key("picture", published, figures.pictured(published))
    points = [segment for _, _, segment in shown.points]
    yield Details(
        "Points per segment",
        (
            table(
                "Customers in the sample",
                ("segment", "points>", "share of the sample>"),
                [
                    (
                        foreign(p["segment_name"]),
                        *_points(points.count(p["segment_id"]), len(points), published),
                    )
                    for p in figures.pictured(published)
                ],
            ),
        ),
    )


def _points(n: int, total: int, published: Published) -> tuple[str, str]:
    return few(n, min_group(published)), share(n / total) if n >= min_group(published) else NONE


def grid(published: Published) -> Iterator[Any]:
    """Customers by their scores of recency and frequency, and the RFM map beside it."""
    all_ = everybody(published)
    cells = (
        [c for c in all_["rf_grid"] if c["r"] is not None and c["f"] is not None] if all_ is not None else []
    )
    if all_ is None or not cells:
        yield Text("No grid of recency and frequency scores is published with this run.")
        return
    shown, together = apart(cells, min_group(published))
    together += sum(c["customers"] for c in all_["rf_grid"] if c["r"] is None or c["f"] is None)
    places = {(c["r"], c["f"]): c for c in shown}
    most = max((c["customers"] for c in shown), default=1)
    body: list[list[str | Cell]] = []
    for r in range(5, 0, -1):
        line: list[str | Cell] = [f"R {r}"]
        for f in range(1, 6):
            cell = places.get((r, f))
            line.append(
                Cell(NONE)
                if cell is None
                else Cell(
                    f"{count(cell['customers'])}\n{money(cell['revenue'])}",
                    shade=figures.sequential(0.75 * cell["customers"] / most),
                )
            )
        body.append(line)
    yield Text(
        "Scores from 1 to 5, 5 is best: R of how recently customers ordered, F of how often. "
        "Above: customers; below: their revenue."
    )
    yield table(
        "Customers by recency and frequency score",
        ("recency", *(f"F {f}>" for f in range(1, 6))),
        body,
        form="heat grid",
    )
    if together:
        yield Text(
            f"{capital(few(together, min_group(published)))} customers are in cells that are too small "
            "to be shown one by one.",
            tone="quiet",
        )
    baseline = [p for p in published.profiles if p["scheme"] == "rfm_grid"]
    if baseline:
        yield Details(
            "The RFM map, the baseline",
            (
                table(
                    "Segments of the RFM map",
                    ("segment", "customers>", "share>", "revenue>", "revenue share>"),
                    [
                        [foreign(p["segment_name"]), *amounts(p)[:4]]
                        for p in sorted(
                            baseline, key=lambda p: (p["revenue"] is None, -float(p["revenue"] or 0))
                        )
                    ],
                ),
            ),
        )
