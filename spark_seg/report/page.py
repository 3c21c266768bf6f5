"""The page of a run: one HTML file that explains itself, needs no network, and tells of no single person."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from spark_seg.report import figures
from spark_seg.report.card import chapters, fidelity_sentence
from spark_seg.report.published import Published
from spark_seg.report.words import (
    ISOLATE,
    NONE,
    POP,
    Bullets,
    Cell,
    Code,
    Details,
    Row,
    Section,
    Table,
    Text,
    apart,
    clean,
    clustered,
    count,
    discreet,
    everybody,
    few,
    fidelity,
    foreign,
    index,
    known,
    listed,
    min_group,
    money,
    moves,
    number,
    rows_read,
    segments,
    share,
    signed,
    stats_of,
    table,
    things,
    times,
    told,
    unsegmented,
)

_MAKEUP = 6
_MANY = 12


@dataclass(frozen=True)
class Tile:
    """A figure that a reader takes away."""

    value: str
    name: str


@dataclass(frozen=True)
class Tiles:
    """Such figures beside each other."""

    tiles: tuple[Tile, ...]
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True)
class Strip:
    """Where a segment lies among all customers in one feature: `place` from 0 (lowest) to 100."""

    feature: str
    place: float
    median: str


@dataclass(frozen=True)
class SegmentCard:
    """Who is in a segment. Of a suppressed one there are only name, size, share and play."""

    anchor: str
    name: str
    colour: str
    size: str
    play: str
    description: str
    told: bool
    differences: tuple[str, ...]
    strips: tuple[Strip, ...]
    sentences: tuple[str, ...]
    rules: tuple[tuple[str, str, str], ...]
    kpis: tuple[tuple[str, str, str], ...]
    makeup: tuple[str, ...]
    stats: Table | None


@dataclass(frozen=True)
class Cards:
    """Cards beside each other. `dense`: they are many."""

    cards: tuple[SegmentCard, ...]
    dense: bool
    kind: ClassVar[str] = "cards"


def page(published: Published) -> str:
    """The whole page. It asks for nothing from elsewhere, and runs no script but its own."""
    seen = discreet(published)
    sections = tuple(Section(name, title, tuple(blocks(seen))) for name, title, blocks in _SECTIONS)
    # Parsers of HTML read any line end as one character: a digest must be of that.
    scripts = [text.replace("\r\n", "\n").replace("\r", "\n") for text in (_plotly(), _asset("page.js"))]
    pipeline = clean(published.config.get("pipeline", "customers"))
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=f"Segments of {foreign(pipeline)} as of {published.run.as_of}",
            run=published.run,
            sections=sections,
            style=Markup(_asset("style.css")),  # noqa: S704 - a file of this package
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - files of packages, not of data
            policy=_policy(scripts),
        )
    )


def _policy(scripts: list[str]) -> str:
    """What a browser may load and run: these scripts, whatever else the page came to hold."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    own = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {own}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to import

    script: str = get_plotlyjs()
    return script


@cache
def _asset(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None  # noqa: S101 - it is given below
    return environment.loader.get_source(environment, name)[0]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("spark_seg.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
        finalize=_isolated,
    )
    environment.filters["plain"] = lambda text: text.replace(ISOLATE, "").replace(POP, "")
    environment.filters["clean"] = clean
    environment.filters["inert"] = Markup  # JSON in which `inert_json` has left no markup
    return environment


def _isolated(value: Any) -> Any:
    """Text with the isolates of `foreign` as elements, which browsers lay out by their own direction."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    shown = str(escape(value)).replace(ISOLATE, "<bdi>").replace(POP, "</bdi>")
    # A long name breaks where its words end.
    shown = re.sub("<bdi>[^<]*</bdi>", lambda found: found[0].replace("_", "_<wbr>"), shown)
    return Markup(shown)  # noqa: S704 - escaped in the line before


# What happened


def _happened(published: Published) -> Iterator[Any]:
    run = published.run
    rows, all_ = segments(published), everybody(published)
    customers = all_["customers"] if all_ is not None else sum(p["customers"] for p in rows)
    if published.alerts:
        yield Bullets(
            tuple(foreign(a["sentence"]) for a in published.alerts),
            tone="alert",
            title=f"{things(len(published.alerts), 'alert')}: a person should look",
        )
    yield from _decided(published)
    tiles = [Tile(count(customers), "customers"), Tile(count(len(rows)), "segments")]
    if all_ is not None and known(all_["revenue"]):
        tiles.append(Tile(money(all_["revenue"]), "revenue"))
    moved = moves(published)
    stayed = _stayed(published)
    if stayed is not None:
        tiles.append(Tile(share(stayed), "stayed in their segment"))
    yield Tiles(tuple(tiles))
    verb = "is" if customers == 1 else "are"
    said = f"As of {run.as_of} {things(customers, 'customer')} {verb} in {things(len(rows), 'segment')}"
    algorithm, k = (
        run.algorithm or published.trained.algorithm,
        run.k if run.k is not None else published.trained.k,
    )
    said += f", by {foreign(algorithm)} with k={k}." if algorithm else "."
    outside = unsegmented(published)
    if outside:
        said += f" {count(outside)} more had not enough data to be in one."
    if published.trained.run_id != run.run_id:
        said += f" The model is that of {published.trained.as_of}; nothing was fitted anew."
    yield Text(said, tone="lead")
    yield Text(" ".join([*_read(published), *_moved(published)]) if moved else " ".join(_read(published)))
    if not moved:
        yield Text("There is no former run to compare with.")


def _decided(published: Published) -> Iterator[Any]:
    for row in published.decisions:
        meaning = {
            "keep": "keep the model",
            "refit": "fit the model anew",
            "alert": "keep the model, and let a person look",
        }
        action = meaning.get(row["action"], foreign(row["action"]))
        reasons = tuple(foreign(line) for line in (row["reasons"] or "").splitlines() if line.strip())
        age = (
            f" The model is {things(row['model_age_days'], 'day')} old."
            if known(row["model_age_days"])
            else ""
        )
        said = f"Decision of the monitor: {action}.{age}"
        yield Bullets(reasons, tone="quiet" if row["action"] == "keep" else "alert", title=said)


def _read(published: Published) -> Iterator[str]:
    run = published.run
    rejected = sum(n for _, _, n in run.rejects)
    total = sum(rows_read(published).values())
    if not total:
        yield "How many rows were read is not recorded with this run."
    else:
        out = f"{rejected:,} of them were rejected ({share(rejected / total)})" if rejected else ""
        out = out or "none of them was rejected"
        yield f"{things(total, 'row')} {'was' if total == 1 else 'were'} read; {out}."


def _stayed(published: Published) -> float | None:
    rows = _first(published)
    both = sum(m["customers"] for m in rows if m["kind"] not in ("new", "gone"))
    return sum(m["customers"] for m in rows if m["kind"] == "stayed") / both if both else None


def _first(published: Published) -> list[dict[str, Any]]:
    """Migrations since the first run that this one is compared with."""
    rows = published.migrations
    return [m for m in rows if m["against_run_id"] == rows[0]["against_run_id"]]


_CAUSES = {
    "behaviour": "by their behaviour",
    "model": "by the new model alone",
    "correction": "because data were corrected",
    "unknown": "for an unknown reason, because the former model cannot be asked",
}
_KINDS = {
    "new": "came new",
    "returned": "returned from the unsegmented",
    "lapsed": "have not enough data any more",
    "gone": "are not there any more",
}


def _moved(published: Published) -> Iterator[str]:
    """How many customers changed their segment since the former run, and why."""
    rows, smallest = _first(published), min_group(published)
    sums = {kind: sum(m["customers"] for m in rows if m["kind"] == kind) for kind in ("moved", *_KINDS)}
    since = f"Since {rows[0]['against_as_of']}"
    if not sums["moved"]:
        yield f"{since} nobody moved to another segment."
    else:
        yield f"{since} {few(sums['moved'], smallest)} moved to another segment{_why(rows, smallest)}."
    others_ = [f"{few(sums[kind], smallest)} {said}" for kind, said in _KINDS.items() if sums[kind]]
    if others_:
        yield f"{listed(others_)}."


def _why(rows: list[dict[str, Any]], smallest: int) -> str:
    """The causes of moves, the commonest first; those of few customers together."""
    sums: dict[str, int] = {}
    for m in rows:
        if m["kind"] == "moved":
            sums[m["cause"]] = sums.get(m["cause"], 0) + m["customers"]
    shown, others = apart([{"cause": c, "customers": n} for c, n in sums.items()], smallest)
    parts = [(c["customers"], _CAUSES.get(c["cause"], foreign(c["cause"]))) for c in reversed(shown)]
    if others and parts:
        parts.append((others, "otherwise"))
    if len(parts) == 1:
        return f", all {parts[0][1]}"
    return f": {listed([f'{few(n, smallest)} {cause}' for n, cause in parts])}" if parts else ""


# Segments


def _sizes(published: Published) -> Iterator[Any]:
    rows = segments(published)
    if not rows:
        yield Text("The run has no segments, so there is nothing to compare.")
        return
    figure = figures.treemap(published)
    if figure is not None:
        yield figure
    all_ = everybody(published)
    body: list[list[str | Cell]] = [_size_row(p) for p in rows]
    if all_ is not None:
        body.append(["all segments", *_amounts(all_), ""])
    outside = unsegmented(published)
    if outside:
        body.append(["unsegmented", count(outside), NONE, NONE, NONE, NONE, NONE, "not enough data"])
    yield table(
        "Segments, the most valuable first",
        (
            "segment",
            "customers>",
            "share>",
            "revenue>",
            "revenue share>",
            "per customer>",
            "engagement share>",
            "play",
        ),
        body,
        form="plays",
    )
    few_told = [p for p in rows if p["suppressed"]]
    if few_told:
        yield Text(
            f"Of {things(len(few_told), 'segment')} only size and play are told: they have fewer than "
            f"{min_group(published):,} customers, or figures of such a one could be worked out from theirs.",
            tone="quiet",
        )


def _size_row(p: Row) -> list[str | Cell]:
    return [foreign(p["segment_name"]), *_amounts(p), _play(p)]


def _amounts(p: Row) -> list[str | Cell]:
    each = float(p["revenue"]) / p["customers"] if known(p["revenue"]) and p["customers"] else None
    return [
        count(p["customers"]),
        Cell(share(p["customer_share"]), bar=p["customer_share"]),
        money(p["revenue"]),
        Cell(share(p["revenue_share"]), bar=p["revenue_share"]),
        money(each),
        share(p["engagement_share"]),
    ]


def _play(p: Row) -> str:
    return foreign(p["play"]) if p["play"] else NONE


# Who they are


def _who(published: Published) -> Iterator[Any]:
    rows = segments(published)
    if not rows:
        yield Text("The run has no segments to describe.")
        return
    value, wanted = fidelity(published)
    if known(value) and published.rules:
        yield Text(fidelity_sentence(value, wanted), tone="" if (value or 0) >= wanted else "warn")
    else:
        why = [foreign(w) for w in published.warnings if "rule" in w.lower()]
        reason = (
            "this run has none"
            if not published.rules
            else "how well they stand for the model was not measured"
        )
        yield Text(" ".join([f"No rules are shown: {reason}.", *why]), tone="quiet")
    all_ = everybody(published)
    if all_ is not None and (all_["kpis"] or all_["feature_stats"]):
        parts = [f"{name} {shown}" for name, shown, _ in _kpis(all_)]
        if parts:
            yield Text(f"All customers together: {', '.join(parts)}.")
    yield Cards(tuple(_card(published, p) for p in rows), len(rows) > _MANY)
    if all_ is not None and all_["feature_stats"]:
        yield Details("Figures of all customers", (_stats(all_, "All customers, feature by feature"),))


def _card(published: Published, p: Row) -> SegmentCard:
    style = figures.styles(published)[p["segment_id"]]
    shown = not p["suppressed"]
    size = f"{things(p['customers'], 'customer')}, {share(p['customer_share'])}"
    if known(p["revenue_share"]):
        size += f" · {share(p['revenue_share'])} of revenue"
    stats = stats_of(p)
    strips = [
        Strip(foreign(f), 50 + 50 * max(-1.0, min(1.0, stats[f]["position"])), number(stats[f]["median"]))
        for f in clustered(published)
        if shown and f in stats and known(stats[f]["position"])
    ]
    own = sorted(
        (r for r in published.rules if shown and r["segment_id"] == p["segment_id"]),
        key=lambda r: -(r["coverage"] or 0.0),
    )
    has_rules = known(fidelity(published)[0])
    return SegmentCard(
        anchor=f"segment-{p['segment_id']}",
        name=foreign(p["segment_name"]),
        colour=style.colour if shown else figures.GREY,
        size=size,
        play=_play(p),
        description=foreign(p["description"]) if p["description"] else "",
        told=shown,
        differences=tuple(foreign(d) for d in p["differences"]),
        strips=tuple(strips),
        sentences=tuple(foreign(s) for s in p["sentences"]),
        rules=tuple((foreign(r["text"]), _holds(r), clean(r["condition"])) for r in own) if has_rules else (),
        kpis=tuple(_kpis(p)),
        makeup=tuple(_makeup(p)),
        stats=_stats(p, f"{foreign(p['segment_name'])}, feature by feature") if stats else None,
    )


def _holds(rule: Row) -> str:
    said = f"right for {share(rule['precision'])} of those it applies to, "
    said += f"covers {share(rule['coverage'])} of the segment"
    if known(rule["tested_precision"]):
        said += f"; {share(rule['tested_precision'])} right on customers it was not made from"
    return said


def _kpis(p: Row) -> Iterator[tuple[str, str, str]]:
    for kpi in p["kpis"]:
        if known(kpi["value"]):
            shown = money(kpi["value"]) if kpi["kpi"] == "average_order_value" else share(kpi["value"])
            yield (
                foreign(str(kpi["kpi"]).replace("_", " ")),
                shown,
                f"of {things(kpi['customers'], 'customer')}",
            )


def _makeup(p: Row) -> Iterator[str]:
    rows = [m for m in p["makeup"] if m["value"] is not None and known(m["lift"]) and m["lift"] > 1]
    for m in sorted(rows, key=lambda m: -m["lift"])[:_MAKEUP]:
        name = f"{foreign(m['attribute'])} {foreign(m['value'])}"
        yield f"{name}: {share(m['share'])} ({times(m['lift'])} all customers)"


def _stats(p: Row, caption: str) -> Table:
    return table(
        caption,
        ("feature", "known>", "median>", "p10>", "p90>", "mean>", "lift>", "difference (sd)>"),
        [
            (
                foreign(s["feature"]),
                count(s["known"]),
                number(s["median"]),
                number(s["p10"]),
                number(s["p90"]),
                number(s["mean"]),
                times(s["lift"]),
                signed(s["difference"]),
            )
            for s in p["feature_stats"]
        ],
    )


# Comparison


def _compared(published: Published) -> Iterator[Any]:
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
    many = len(rows) > _MANY
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


# Picture, grid


def _pictured(published: Published) -> Iterator[Any]:
    shown, figure = published.picture, figures.picture(published)
    if shown is None or figure is None:
        why = [foreign(w) for w in published.warnings if "picture" in w.lower()]
        reason = "none was made" if shown is None else "no segment has points that may be shown"
        yield Text(" ".join([f"There is no picture: {reason}.", *why]))
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


def _grid(published: Published) -> Iterator[Any]:
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
            f"{few(together, min_group(published))[:1].upper()}{few(together, min_group(published))[1:]} "
            "customers are in cells that are too small to be shown one by one.",
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
                        [foreign(p["segment_name"]), *_amounts(p)[:4]]
                        for p in sorted(
                            baseline, key=lambda p: (p["revenue"] is None, -float(p["revenue"] or 0))
                        )
                    ],
                ),
            ),
        )


# The choice


def _chosen(published: Published) -> Iterator[Any]:
    structure = published.trained.structure or published.run.structure
    if published.trained.run_id != published.run.run_id:
        yield Text(
            "This run fitted nothing. What follows is the choice of run "
            f"{foreign(published.trained.run_id)}, as of {published.trained.as_of}, whose model it uses."
        )
    if structure:
        said = clean(structure).rstrip(".")
        yield Text(f"Are there groups at all? {foreign(said[:1].upper() + said[1:])}.")
    else:
        yield Text("Whether there are groups at all was not looked at.", tone="quiet")
    if published.candidates:
        yield from _candidates(published)
    else:
        yield Text("No candidates are published for this model, so how k was chosen cannot be shown.")
    yield from _importance(published)


def _candidates(published: Published) -> Iterator[Any]:
    rows = sorted(
        published.candidates,
        key=lambda c: (
            not c["chosen"],
            not c["accepted"],
            -(c["silhouette"] if known(c["silhouette"]) else -2.0),
            c["k"],
        ),
    )
    chosen = next((c for c in rows if c["chosen"]), None)
    accepted = sum(bool(c["accepted"]) for c in rows)
    said = f"{things(len(rows), 'candidate')}, of which {accepted} pass all rules."
    if chosen is not None:
        reason = clean(chosen["reason"] or "no reason is recorded").rstrip(".")
        said += f" Chosen is {foreign(chosen['algorithm'])} with k={chosen['k']}: {foreign(reason)}."
    yield Text(said)
    several = figures.multiples(published)
    if several:
        yield figures.Figures(several)
        ring = figures.Style("#1F2933", "", "circle-open")
        star = figures.Style("#4D4D4D", "", "star")
        entries = [*figures.algorithms(published), ("chosen", ring)]
        if any(c["elbow"] for c in rows):
            entries.append(("elbow of the cost", star))
        yield figures.Key("", tuple(entries))
    yield table(
        "All candidates, the chosen one first",
        (
            "candidate", "verdict", "silhouette>", "Davies-Bouldin>", "Calinski-Harabasz>", "cost>",
            "agreement>", "weakest>", "smallest>", "largest>", "reason",
        ),
        [
            (
                f"{foreign(c['algorithm'])} k={c['k']}",
                _verdict(c),
                index(c["silhouette"]),
                index(c["davies_bouldin"]),
                count(c["calinski_harabasz"]),
                number(c["cost"]) + (" (elbow)" if c["elbow"] else ""),
                number(c["agreement"]),
                number(c["weakest"]),
                share(c["smallest_share"]),
                share(c["largest_share"]),
                foreign(c["reason"] or NONE),
            )
            for c in rows
        ],
        form="long",
        marked=[i for i, c in enumerate(rows) if c["chosen"]],
    )  # fmt: skip


def _verdict(c: Row) -> str:
    if c["algorithm"] == figures.BASELINE:
        return "baseline"
    return "chosen" if c["chosen"] else "accepted" if c["accepted"] else "rejected"


def _importance(published: Published) -> Iterator[Any]:
    prefix = "importance_"
    found = {
        n.removeprefix(prefix): v
        for n, v in published.run.metrics.items()
        if n.startswith(prefix) and known(v)
    }
    if not found:
        yield Text("How much each feature matters was not measured in this run.", tone="quiet")
        return
    yield table(
        "Importance: share of customers who change their segment when a feature is shuffled among them",
        ("feature", "customers who change>"),
        [
            (foreign(name), Cell(share(value), bar=value))
            for name, value in sorted(found.items(), key=lambda item: (-item[1], item[0]))
        ],
        form="bars",
    )


def _silhouettes(published: Published) -> Iterator[Any]:
    figure = figures.silhouettes(published)
    if figure is None:
        why = [foreign(w) for w in published.warnings if "silhouette" in w.lower()]
        yield Text(" ".join(["No silhouettes by segment are published with this run.", *why]))
        return
    yield Text(
        "The silhouette of a customer is 1 deep inside the own segment, 0 on the border, and below 0 when "
        "another segment is nearer. Boxes hold the middle half, lines go from 5% to 95% of customers."
    )
    yield figure
    names = {p["segment_id"]: p["segment_name"] for p in segments(published)}
    yield table(
        "Silhouettes",
        ("segment", "customers>", "mean>", "p5>", "p25>", "median>", "p75>", "p95>", "below zero>"),
        [
            (
                foreign(names[s["segment_id"]]),
                count(s["customers"]),
                *(index(s[name]) for name in ("mean", "p5", "p25", "median", "p75", "p95")),
                share(s["negative"]),
            )
            for s in published.silhouettes
            if s["segment_id"] in names
        ],
    )


# Changes


def _changes(published: Published) -> Iterator[Any]:
    moved = moves(published)
    if moved is None and not published.lineage and not published.drift:
        yield Text(
            "There is no history: this is the first run, or nothing before it can be compared with it."
        )
        return
    if moved is None:
        yield Text("No migrations are published with this run.")
    else:
        yield from _migrated(published)
    if published.lineage:
        yield table(
            "What became of the former segments",
            (
                "event",
                "from",
                "to",
                "customers of both>",
                "share of the former>",
                "share of the later>",
                "matched by",
            ),
            [
                (
                    foreign(row["event"]),
                    foreign(row["from_segment_name"] or NONE),
                    foreign(row["to_segment_name"] or NONE),
                    count(row["common"]),
                    share(row["share_of_from"]),
                    share(row["share_of_to"]),
                    foreign(row["basis"] or NONE),
                )
                for row in published.lineage
            ],
        )
    else:
        yield Text("Nothing was fitted anew, so segments are those of the former run.", tone="quiet")
    yield from _drifted(published)


def _migrated(published: Published) -> Iterator[Any]:
    moved = moves(published)
    assert moved is not None  # noqa: S101 - the caller looked
    figure = figures.sankey(published)
    stayed = _stayed(published)
    said = f"Compared with run {foreign(moved.run_id)} as of {moved.as_of}"
    yield Text(
        f"{said}: {share(stayed)} of the customers of both stayed where they were."
        if known(stayed)
        else f"{said}."
    )
    if figure is not None:
        yield figure
    if moved.others:
        smallest = min_group(published)
        yield Text(
            f"Other moves: {few(moved.others, smallest)} customers, by ways of fewer than {smallest:,} each, "
            "or put with these, so that nobody is singled out. They are not in the figure.",
            tone="quiet",
        )
    changed = [m for m in moved.ways if m["kind"] != "stayed"]
    order = [*changed, *(m for m in moved.ways if m["kind"] == "stayed")]
    if order:
        rows = [
            (
                foreign(m["from_segment_name"] or "not there"),
                foreign(m["to_segment_name"] or "not there"),
                foreign(m["kind"]),
                foreign(m["cause"] or NONE),
                count(m["customers"]),
                money(m["revenue_before"]),
                money(m["revenue"]),
            )
            for m in order
        ]
        head = ("from", "to", "what", "why", "customers>", "revenue before>", "revenue>")
        yield table("Who went where, the largest ways first", head, rows[:_MANY])
        if len(rows) > _MANY:
            more = table("Who went where, the other ways", head, rows[_MANY:])
            yield Details(f"{len(rows) - _MANY} more ways", (more,))


def _drifted(published: Published) -> Iterator[Any]:
    if not published.drift:
        yield Text("Drift was not measured for this run: monitor_segments does it.", tone="quiet")
        return
    rows = sorted(published.drift, key=lambda d: not d["breached"])
    broken = sum(bool(d["breached"]) for d in rows)
    against = next((d["against_as_of"] for d in rows if d["against_as_of"] is not None), None)
    since = f" against the run as of {against}" if against is not None else ""
    yield Text(
        f"{things(len(rows), 'measure')} of drift{since}, {broken or 'none'} of them beyond the border."
    )
    head = ("measure", "of what", "then>", "now>", "border>", "verdict", "in words")
    body = [
        (
            foreign(d["measure"]),
            foreign(d["subject"] or "the whole"),
            number(d["reference"]),
            number(d["value"]),
            number(d["threshold"]),
            f"breached: {clean(d['advice'])}" if d["breached"] else "ok",
            foreign(d["sentence"] or NONE),
        )
        for d in rows
    ]
    first = max(broken, _MANY)
    yield table("Drift, breaches first", head, body[:first], form="long", marked=range(broken))
    if len(body) > first:
        rest = table("Drift, the other measures", head, body[first:], form="long")
        yield Details(f"{len(body) - first} more measures, all within their borders", (rest,))


# Quality, card, reproduction


def _quality(published: Published) -> Iterator[Any]:
    run = published.run
    if run.inputs:
        yield table(
            "Rows read",
            ("source", "table", "version", "rows>"),
            [(foreign(s), foreign(t), foreign(v), count(n)) for s, t, v, n in run.inputs],
        )
        apart = {source.partition(".")[0] for source, _, _, n in run.inputs if n is not None}
        for source, n in rows_read(published).items():
            if source not in apart:
                yield Text(f"From the tables of {foreign(source)} together: {things(n, 'row')}.")
    else:
        yield Text("The run names no tables that it read.")
    if run.rejects:
        total = rows_read(published)
        yield table(
            "Rows rejected, by reason",
            ("source", "reason", "rows>", "share of the source>"),
            [
                (foreign(s), foreign(reason), count(n), share(n / total[s]) if total.get(s) else NONE)
                for s, reason, n in sorted(run.rejects, key=lambda r: -r[2])
            ],
        )
    else:
        yield Text("No row was rejected.")
    outside = unsegmented(published)
    yield Text(
        f"{things(outside, 'customer')} {'is' if outside == 1 else 'are'} unsegmented: not enough data."
        if outside
        else "No customer is unsegmented."
    )
    all_ = everybody(published)
    if all_ is not None and all_["feature_stats"] and all_["customers"]:
        yield table(
            "Coverage: share of customers who have a value",
            ("feature", "customers with a value>", "share>"),
            [
                (
                    foreign(s["feature"]),
                    count(s["known"]),
                    Cell(share(s["known"] / all_["customers"]), bar=s["known"] / all_["customers"]),
                )
                for s in all_["feature_stats"]
            ],
            form="bars",
        )
    else:
        yield Text(
            "How many customers have a value of each feature is not published with this run.", tone="quiet"
        )
    dropped = run.dropped_features
    if dropped:
        yield Bullets(
            tuple(f"{foreign(n)}: {foreign(why)}" for n, why in dropped), title="Features not clustered"
        )
    if published.warnings:
        yield Bullets(tuple(foreign(w) for w in published.warnings), title="What could not be shown")


def _model_card(published: Published) -> Iterator[Any]:
    yield from chapters(published)


def _reproduce(published: Published) -> Iterator[Any]:
    run = published.run
    facts = [
        ("run", foreign(run.run_id)),
        ("attempt", foreign(run.attempt_id)),
        ("job", foreign(run.job)),
        ("as_of", str(run.as_of)),
        ("revision", str(run.revision)),
        ("committed at", f"{run.committed_at:%Y-%m-%d %H:%M %Z}".strip() if run.committed_at else NONE),
        ("definition", foreign(run.definition)),
        ("model of run", foreign(published.trained.run_id)),
        ("digest of the model", foreign(run.model_digest or published.trained.model_digest or NONE)),
        ("seed", str(run.seed) if run.seed is not None else NONE),
        ("spark_seg", foreign(run.code_version or NONE)),
        ("Spark", foreign(run.spark_version or NONE)),
    ]
    digest = run.config_digest
    if digest:
        facts.append(("digest of the configuration", foreign(digest)))
    yield table("What defines the run", ("fact", "value"), facts, form="facts")
    yield Text("Do it again from its row in the ledger and compare, or write this page again:")
    own = clean(run.run_id)
    yield Code(f"spark-seg replay {own} --config …\nspark-seg report {own} --config …")
    if published.places:
        receipts = {r.table: r for r in run.receipts}
        yield table(
            "Where tables lie",
            ("table", "place", "version>", "rows>"),
            [
                (
                    foreign(name),
                    foreign(place),
                    str(receipts[name].version) if name in receipts else NONE,
                    count(receipts[name].rows) if name in receipts else NONE,
                )
                for name, place in published.places.items()
            ],
        )
    else:
        yield Text("Where tables lie was not given.", tone="quiet")
    yield Details("The configuration", (Code(_configuration(published.config)),), printed=True)


def _configuration(config: Mapping[str, Any]) -> str:
    written = json.dumps(config, indent=2, ensure_ascii=False, sort_keys=True, default=str)
    lines = written.split("\n")
    return "\n".join(line[: len(line) - len(line.lstrip(" "))] + clean(line) for line in lines)


_SECTIONS: tuple[tuple[str, str, Callable[[Published], Iterator[Any]]], ...] = (
    ("happened", "What happened", _happened),
    ("segments", "Segments by size and value", _sizes),
    ("who", "Who they are", _who),
    ("compared", "How they differ", _compared),
    ("pictured", "Customers in two dimensions", _pictured),
    ("grid", "Recency and frequency", _grid),
    ("choice", "How k was chosen", _chosen),
    ("silhouettes", "How well customers fit their segments", _silhouettes),
    ("changes", "What changed since the last run", _changes),
    ("quality", "Data quality", _quality),
    ("card", "Model card", _model_card),
    ("reproduce", "How to reproduce it", _reproduce),
)
