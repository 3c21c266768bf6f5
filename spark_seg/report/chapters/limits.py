"""Where a model ends: what its figures warn of, whom it may treat unfairly, how customers are protected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spark_seg.report.blocks import Bullets, Text, table
from spark_seg.report.facts import (
    Row,
    chosen,
    fidelity,
    min_group,
    names_of,
    segments,
    settings_of,
    told,
    unsegmented,
)
from spark_seg.report.published import Published
from spark_seg.report.shared import fidelity_sentence
from spark_seg.report.words import foreign, index, known, listed, number, sentence, share, things

#: Measures of `drift` that are about attributes of persons; size_share is when its subject has a value.
_FAIRNESS = frozenset({"four_fifths", "proxy"})
#: Kaufman and Rousseeuw (1990): up to here a silhouette shows no substantial structure.
_NO_STRUCTURE = 0.25


def limits(published: Published) -> Iterator[Any]:
    """What the figures of the run warn of."""
    found = tuple(_limits_of(published))
    yield Bullets(found) if found else Text("The figures of this run point to none.")


def _limits_of(published: Published) -> Iterator[str]:
    run, trained = published.run, published.trained
    value, wanted = fidelity(published)
    selection = settings_of(published, "selection")
    taken = chosen(published)
    silhouette = run.metrics.get("silhouette", taken["silhouette"] if taken else None)
    structure = run.structure or trained.structure
    if structure and not structure.startswith("clear"):
        yield f"Are there groups at all? {sentence(structure)}"
    if silhouette is not None and known(silhouette) and silhouette <= _NO_STRUCTURE:
        yield (
            f"The mean silhouette is {index(silhouette)}: up to {_NO_STRUCTURE} segments run into each other "
            "(Kaufman and Rousseeuw 1990)."
        )
    if selection.get("pick"):
        yield f"The candidate was picked by hand: {foreign(selection['pick'])}."
    if taken is not None and not taken["accepted"]:
        yield "The chosen candidate does not pass the rules."
    names = names_of(told(published))
    for s in published.silhouettes:
        if known(s["negative"]) and s["negative"] >= _NO_STRUCTURE and s["segment_id"] in names:
            name = foreign(names[s["segment_id"]])
            yield f"{share(s['negative'])} of {name} are nearer to another segment."
    stable = selection.get("stable")
    if taken is not None and known(taken["weakest"]) and known(stable) and taken["weakest"] < stable:
        weakest = share(taken["weakest"])
        yield f"A segment keeps only {weakest} of itself in refits; {share(stable)} would count as stable."
    if value is None or value < wanted:
        yield fidelity_sentence(value, wanted)
    hidden = len(segments(published)) - len(names)
    if hidden:
        yield f"Of {things(hidden, 'segment')} only the size is told: too few customers."
    outside = unsegmented(published)
    if outside:
        yield f"Not enough data to be in a segment: {things(outside, 'customer')}."
    if trained.run_id != run.run_id:
        yield f"The model was trained {things((run.as_of - trained.as_of).days, 'day')} before this snapshot."
    yield from (sentence(w) for w in published.warnings)


def fairness(published: Published) -> Iterator[Any]:
    """What was measured of groups of protected attributes."""
    monitoring = settings_of(published, "monitoring")
    protected = list(monitoring.get("protected") or [])
    if not protected:
        yield Text(
            "No attribute was named to be protected (monitoring.protected), so fairness was not looked at."
        )
        return
    yield Text(
        f"Protected attributes, which the model does not see: {listed([foreign(a) for a in protected])}."
    )
    benefits = list(monitoring.get("benefit_segments") or [])
    if benefits:
        yield Text(f"Segments that it is good to be in: {listed([foreign(b) for b in benefits])}.")
    rows = [d for d in published.drift if _is_fairness(d, protected)]
    if not rows:
        yield Text("The run has no measures of them: monitor_segments makes them.")
        return
    yield table(
        "Slices by protected attribute",
        ("measure", "of what", "value>", "reference>", "border>", "verdict", "in words"),
        [
            (
                foreign(d["measure"]),
                foreign(d["subject"]),
                number(d["value"]),
                number(d["reference"]),
                number(d["threshold"]),
                "breached" if d["breached"] else "ok" if known(d["threshold"]) else "informs",
                foreign(d["sentence"]),
            )
            for d in sorted(rows, key=lambda d: not d["breached"])
        ],
    )


def _is_fairness(row: Row, protected: list[str]) -> bool:
    """Is a measure one of groups of a protected attribute?"""
    subject = row["subject"] or ""
    own = row["measure"] == "size_share" and any(subject.startswith(f"{name}=") for name in protected)
    return own or row["measure"] in _FAIRNESS


def privacy(published: Published) -> Iterator[Any]:
    """How ids, small groups and the wishes of customers are kept."""
    ids, sources = settings_of(published, "privacy"), settings_of(published, "sources")
    refused = dict.fromkeys(("no_consent", "erased"), 0)
    for _, reason, rows in published.run.rejects:
        if reason in refused:
            refused[reason] += rows
    smallest = min_group(published)
    lines = []
    if ids.get("raw_ids"):
        lines.append("Tables hold the ids of customers as the sources have them (privacy.raw_ids).")
    elif ids.get("key_id"):
        lines.append(f"Tables hold pseudonyms of customers, made by the key {foreign(ids['key_id'])}.")
    if smallest > 1:
        lines.append(f"Of groups with fewer than {smallest:,} customers only the size is told.")
    else:
        lines.append("Groups of any size are told of (privacy.min_group).")
    if sources.get("consents"):
        rows = refused["no_consent"]
        lines.append(
            f"Nobody is used who has not agreed to be profiled; {things(rows, 'row')} were left out for it."
        )
    else:
        lines.append("No consents were given to the run (sources.consents).")
    lines.append(
        f"{things(refused['erased'], 'row')} of persons who asked to be erased were left out."
        if refused["erased"]
        else "No rows of erased persons were met."
    )
    yield Bullets(tuple(lines))
