"""Which segments there are, how large and valuable they are, and who is in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spark_seg.report import figures
from spark_seg.report.blocks import MANY, Cards, Cell, Details, SegmentCard, Strip, Table, Text, table
from spark_seg.report.facts import (
    Row,
    clustered,
    everybody,
    fidelity,
    min_group,
    segments,
    stats_of,
    unsegmented,
    warned,
)
from spark_seg.report.published import Published
from spark_seg.report.shared import fidelity_sentence
from spark_seg.report.words import (
    NONE,
    clean,
    count,
    foreign,
    known,
    money,
    number,
    share,
    signed,
    things,
    times,
)

#: Values of attributes of persons that a card shows at most.
_MAKEUP = 6


def sizes(published: Published) -> Iterator[Any]:
    """The segments beside each other: customers, revenue, and what is planned for them."""
    rows = segments(published)
    if not rows:
        yield Text("The run has no segments, so there is nothing to compare.")
        return
    figure = figures.treemap(published)
    if figure is not None:
        yield figure
    all_ = everybody(published)
    body: list[list[str | Cell]] = [[foreign(p["segment_name"]), *amounts(p), _play(p)] for p in rows]
    if all_ is not None:
        body.append(["all segments", *amounts(all_), ""])
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


def amounts(p: Row) -> list[str | Cell]:
    """Customers, revenue and engagement of a profile, as cells of a table."""
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


def who(published: Published) -> Iterator[Any]:
    """A card of each segment, and how far its rules stand for the model."""
    rows = segments(published)
    if not rows:
        yield Text("The run has no segments to describe.")
        return
    value, wanted = fidelity(published)
    if known(value) and published.rules:
        yield Text(fidelity_sentence(value, wanted), tone="" if (value or 0) >= wanted else "warn")
    else:
        reason = (
            "this run has none"
            if not published.rules
            else "how well they stand for the model was not measured"
        )
        yield Text(" ".join([f"No rules are shown: {reason}.", *warned(published, "rule")]), tone="quiet")
    all_ = everybody(published)
    if all_ is not None and (all_["kpis"] or all_["feature_stats"]):
        parts = [f"{name} {shown}" for name, shown, _ in _kpis(all_)]
        if parts:
            yield Text(f"All customers together: {', '.join(parts)}.")
    yield Cards(tuple(_card(published, p) for p in rows), len(rows) > MANY)
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
