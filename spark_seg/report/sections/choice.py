"""How the model was chosen, and how well customers fit its segments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spark_seg.report import figures
from spark_seg.report.blocks import Cell, Text, table
from spark_seg.report.facts import Row, chosen, names_of, segments, warned
from spark_seg.report.published import Published
from spark_seg.report.words import NONE, capital, clean, count, foreign, index, known, number, share, things


def choice(published: Published) -> Iterator[Any]:
    """Whether there are groups at all, what the candidates were, and how much each feature matters."""
    structure = published.trained.structure or published.run.structure
    if published.trained.run_id != published.run.run_id:
        yield Text(
            "This run fitted nothing. What follows is the choice of run "
            f"{foreign(published.trained.run_id)}, as of {published.trained.as_of}, whose model it uses."
        )
    if structure:
        said = clean(structure).rstrip(".")
        yield Text(f"Are there groups at all? {foreign(capital(said))}.")
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
    taken = chosen(published)
    accepted = sum(bool(c["accepted"]) for c in rows)
    said = f"{things(len(rows), 'candidate')}, of which {accepted} pass all rules."
    if taken is not None:
        reason = clean(taken["reason"] or "no reason is recorded").rstrip(".")
        said += f" Chosen is {foreign(taken['algorithm'])} with k={taken['k']}: {foreign(reason)}."
    yield Text(said)
    several = figures.multiples(published)
    if several:
        yield figures.Figures(several)
        ring = figures.Style(figures.INK, "", "circle-open")
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


def silhouettes(published: Published) -> Iterator[Any]:
    """How deep customers lie in their segments."""
    figure = figures.silhouettes(published)
    if figure is None:
        why = warned(published, "silhouette")
        yield Text(" ".join(["No silhouettes by segment are published with this run.", *why]))
        return
    yield Text(
        "The silhouette of a customer is 1 deep inside the own segment, 0 on the border, and below 0 when "
        "another segment is nearer. Boxes hold the middle half, lines go from 5% to 95% of customers."
    )
    yield figure
    names = names_of(segments(published))
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
