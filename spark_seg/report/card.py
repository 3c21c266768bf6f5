"""The model card: what the model is for, what it was made from, how good it is, and where it ends.

One list of facts, which the page shows as HTML and `card` writes as Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from spark_seg.report.published import Published
from spark_seg.report.words import (
    NONE,
    Bullets,
    Row,
    Section,
    Text,
    bare,
    clean,
    count,
    discreet,
    fidelity,
    foreign,
    index,
    known,
    listed,
    min_group,
    number,
    of_hundred,
    segments,
    share,
    table,
    things,
    told,
    unsegmented,
)

#: Measures of `drift` that are about attributes of persons; size_share is when its subject has a value.
_FAIRNESS = frozenset({"four_fifths", "proxy"})
#: Kaufman and Rousseeuw (1990): up to here a silhouette shows no substantial structure.
_NO_STRUCTURE = 0.25


def card(published: Published) -> str:
    """The model card as Markdown. Texts that come from data or configuration are text in it, nothing else."""
    return _template().render(title=title(published), sections=chapters(published))


def title(published: Published) -> str:
    """What the card is of."""
    run = published.run
    return f"Model card of {foreign(published.config.get('pipeline', 'this segmentation'))} as of {run.as_of}"


def chapters(published: Published) -> tuple[Section, ...]:
    """The facts of the card, a section for each question."""
    seen = discreet(published)
    parts = (
        ("purpose", "Purpose and intended use", _purpose),
        ("data", "Data", _data),
        ("features", "Features and their preparation", _features),
        ("algorithm", "Algorithm and parameters", _algorithm),
        ("selection", "Why this candidate", _selection),
        ("stability", "Stability", _stability),
        ("explanation", "How well rules stand for the model", _explanation),
        ("limits", "Known limits", _limits),
        ("fairness", "Fairness", _fairness),
        ("privacy", "Privacy", _privacy),
        ("versions", "Versions", _versions),
    )
    return tuple(Section(f"card-{name}", heading, tuple(blocks(seen))) for name, heading, blocks in parts)


def _purpose(published: Published) -> Iterator[Any]:
    rows, run = segments(published), published.run
    dropped = {feature for feature, _ in published.trained.dropped_features}
    features = [f for f in _settings(published, "preparation", "features") if f not in dropped]
    plays = ", each with a marketing play" if rows and all(p["play"] for p in rows) else ""
    yield Text(
        f"The model divides customers by {listed([foreign(f) for f in features]) or 'their features'} into "
        f"{things(len(rows), 'segment')}{plays}. It was trained on customers as of "
        f"{published.trained.as_of} and used on those as of {run.as_of}. A segment says what its customers "
        "have in common; a single customer may differ from it."
    )
    if rows:
        yield table(
            "Segments, and what they are meant for",
            ("segment", "id>", "what it is", "play", "customers>", "share>"),
            [
                (
                    foreign(p["segment_name"]),
                    str(p["segment_id"]),
                    _text(p["description"]),
                    _text(p["play"]),
                    count(p["customers"]),
                    share(p["customer_share"]),
                )
                for p in rows
            ],
        )


def _data(published: Published) -> Iterator[Any]:
    run, features = published.run, _settings(published, "features")
    if "lookback_days" in features:
        start = run.as_of - timedelta(days=int(features["lookback_days"]))
        yield Text(
            f"Observation period: from {start} to the day before {run.as_of} "
            f"({things(int(features['lookback_days']), 'day')})."
        )
    who = {"buyers": "who ordered in this period", "active": "who ordered or had an event in this period"}
    if features.get("eligible") in who:
        yield Text(f"Segmented are customers {who[features['eligible']]}.")
    if run.inputs:
        yield table(
            "Tables read",
            ("source", "table", "version", "rows>"),
            [(foreign(s), foreign(t), foreign(v), count(rows)) for s, t, v, rows in run.inputs],
        )
    else:
        yield Text("The run names no tables that it read.")


def _features(published: Published) -> Iterator[Any]:
    preparation = _settings(published, "preparation")
    features: Mapping[str, Any] = preparation.get("features") or {}
    if features:
        yield table(
            "Features that enter the clustering",
            ("feature", "missing values become", "pulled in beyond", "log"),
            [
                (
                    foreign(name),
                    _text((how or {}).get("impute")),
                    " and ".join(f"{c:.1%}" for c in (how or {}).get("cap") or []) or "not",
                    "yes" if (how or {}).get("log") else "no",
                )
                for name, how in features.items()
            ],
        )
    scales = {
        "standard": "divided by their standard deviation",
        "robust": "divided by their interquartile range",
        "min_max": "brought to 0 to 1",
    }
    if preparation.get("scale") in scales:
        yield Text(f"Prepared features are {scales[preparation['scale']]}.")
    if known(preparation.get("pca_variance")):
        kept = share(preparation["pca_variance"])
        yield Text(f"Principal components that explain {kept} of the variance are kept.")
    dropped = published.trained.dropped_features
    if dropped:
        yield Bullets(tuple(f"{foreign(name)} did not enter: {foreign(reason)}" for name, reason in dropped))


def _algorithm(published: Published) -> Iterator[Any]:
    run, trained, clustering = published.run, published.trained, _settings(published, "clustering")
    algorithm = trained.algorithm or run.algorithm
    facts = [
        ("algorithm", _text(algorithm)),
        ("k", count(trained.k if trained.k is not None else run.k)),
        ("seed", _text(trained.seed)),
        ("distance", _text(clustering.get("distance"))),
        ("restarts", _text((clustering.get("restarts") or {}).get(algorithm))),
        ("most iterations", _text((clustering.get("max_iterations") or {}).get(algorithm))),
        ("candidates are fitted", _text(_settings(published, "selection").get("mode"))),
        ("trained by run", f"{foreign(trained.run_id)}, as of {trained.as_of}"),
        ("digest of the model", _text(run.model_digest or trained.model_digest)),
    ]
    yield table("Parameters", ("parameter", "value"), facts, form="facts")


def _selection(published: Published) -> Iterator[Any]:
    candidates = published.candidates
    chosen = next((c for c in candidates if c["chosen"]), None)
    if not candidates:
        yield Text("No candidates are published for this model, so nothing can be said of the choice.")
        return
    rejected = [c for c in candidates if not c["accepted"]]
    yield Text(
        f"{things(len(candidates), 'candidate')} {'was' if len(candidates) == 1 else 'were'} measured; "
        f"{len(rejected) or 'none'} of them did not pass the rules, or did not compete."
    )
    if chosen is not None:
        yield Text(
            f"Chosen: {foreign(chosen['algorithm'])} with k={chosen['k']}. {_sentence(chosen['reason'])}"
        )
        yield table(
            "Figures of the chosen candidate",
            ("figure", "value>"),
            [
                ("silhouette (-1 to 1, high is good)", index(chosen["silhouette"])),
                ("Davies-Bouldin (low is good)", index(chosen["davies_bouldin"])),
                ("Calinski-Harabasz (high is good)", number(chosen["calinski_harabasz"])),
                ("cost", number(chosen["cost"])),
                ("smallest segment, share of customers", share(chosen["smallest_share"])),
                ("largest segment, share of customers", share(chosen["largest_share"])),
            ],
            form="short",
        )
    if rejected:
        yield Bullets(
            tuple(f"{foreign(c['algorithm'])} k={c['k']}: {_sentence(c['reason'])}" for c in rejected),
            title="Not accepted, and why",
        )
    rules = _settings(published, "selection", "rules")
    if rules:
        yield table(
            "Rules that candidates must pass",
            ("rule (selection.rules)", "border"),
            [(foreign(name), _value(value)) for name, value in rules.items()],
            form="short",
        )


def _stability(published: Published) -> Iterator[Any]:
    chosen = next((c for c in published.candidates if c["chosen"]), None)
    metrics = published.trained.metrics
    agreement = chosen["agreement"] if chosen else metrics.get("agreement")
    weakest = chosen["weakest"] if chosen else metrics.get("weakest")
    if known(agreement):
        yield Text(
            f"Refits on resampled customers agree with the model to {agreement:.2f} (mean adjusted Rand "
            "index; 1 is the same, 0 is chance)."
        )
    if known(weakest):
        yield Text(
            f"The least stable segment keeps {share(weakest)} of itself in these refits (mean Jaccard "
            "similarity)."
        )
    if not known(agreement) and not known(weakest):
        yield Text("Stability was not measured.")
    refit = published.run.metrics.get("refit_agreement")
    if known(refit):
        yield Text(f"The former model agrees with this one to {refit:.2f} on the customers of today.")


def _explanation(published: Published) -> Iterator[Any]:
    value, wanted = fidelity(published)
    yield Text(fidelity_sentence(value, wanted))


def fidelity_sentence(value: float | None, wanted: float) -> str:
    """How far rules in words stand for the model."""
    if value is None or not known(value):
        return "No rules stand for the model: how well they would was not measured."
    placed = "of 100 customers whom the rules were not made from, "
    placed += f"they place {of_hundred(value)} as the model does"
    if value < wanted:
        return f"The rules are only approximate: {placed}, and {100 * wanted:g} are wanted."
    return f"{placed[0].upper()}{placed[1:]}."


def _limits(published: Published) -> Iterator[Any]:
    found = tuple(_limits_of(published))
    yield Bullets(found) if found else Text("The figures of this run point to none.")


def _limits_of(published: Published) -> Iterator[str]:
    run, trained = published.run, published.trained
    value, wanted = fidelity(published)
    selection = _settings(published, "selection")
    chosen = next((c for c in published.candidates if c["chosen"]), None)
    silhouette = run.metrics.get("silhouette", chosen["silhouette"] if chosen else None)
    structure = run.structure or trained.structure
    if structure and not structure.startswith("clear"):
        yield f"Are there groups at all? {_sentence(structure)}"
    if silhouette is not None and known(silhouette) and silhouette <= _NO_STRUCTURE:
        yield (
            f"The mean silhouette is {index(silhouette)}: up to {_NO_STRUCTURE} segments run into each other "
            "(Kaufman and Rousseeuw 1990)."
        )
    if selection.get("pick"):
        yield f"The candidate was picked by hand: {foreign(selection['pick'])}."
    if chosen is not None and not chosen["accepted"]:
        yield "The chosen candidate does not pass the rules."
    names = {p["segment_id"]: p["segment_name"] for p in told(published)}
    for s in published.silhouettes:
        if known(s["negative"]) and s["negative"] >= _NO_STRUCTURE and s["segment_id"] in names:
            name = foreign(names[s["segment_id"]])
            yield f"{share(s['negative'])} of {name} are nearer to another segment."
    stable = selection.get("stable")
    if chosen is not None and known(chosen["weakest"]) and known(stable) and chosen["weakest"] < stable:
        weakest = share(chosen["weakest"])
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
    yield from (_sentence(w) for w in published.warnings)


def _fairness(published: Published) -> Iterator[Any]:
    monitoring = _settings(published, "monitoring")
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
    rows = [d for d in published.drift if is_fairness(d, protected)]
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


def is_fairness(row: Row, protected: list[str]) -> bool:
    """Is a measure one of groups of a protected attribute?"""
    subject = row["subject"] or ""
    own = row["measure"] == "size_share" and any(subject.startswith(f"{name}=") for name in protected)
    return own or row["measure"] in _FAIRNESS


def _privacy(published: Published) -> Iterator[Any]:
    privacy, sources = _settings(published, "privacy"), _settings(published, "sources")
    refused = dict.fromkeys(("no_consent", "erased"), 0)
    for _, reason, rows in published.run.rejects:
        if reason in refused:
            refused[reason] += rows
    smallest = min_group(published)
    lines = []
    if privacy.get("raw_ids"):
        lines.append("Tables hold the ids of customers as the sources have them (privacy.raw_ids).")
    elif privacy.get("key_id"):
        lines.append(f"Tables hold pseudonyms of customers, made by the key {foreign(privacy['key_id'])}.")
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


def _versions(published: Published) -> Iterator[Any]:
    run = published.run
    yield table(
        "What made it",
        ("part", "version"),
        [
            ("spark_seg", _text(run.code_version or None)),
            ("Spark", _text(run.spark_version or None)),
            ("run", foreign(run.run_id)),
            ("attempt", foreign(run.attempt_id)),
            ("revision", str(run.revision)),
        ],
        form="short",
    )


def _settings(published: Published, *path: str) -> Mapping[str, Any]:
    found: Any = published.config
    for name in path:
        found = (found or {}).get(name)
    return found or {}


def _text(value: Any) -> str:
    return NONE if value is None else foreign(value)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{foreign(n)}: {foreign(v)}" for n, v in value.items()) or "none"
    return _text(value)


def _sentence(text: Any) -> str:
    """A text from elsewhere as a sentence."""
    shown = clean(text or "")
    if not shown:
        return ""
    ended = shown if shown[-1] in ".!?" else f"{shown}."
    return foreign(ended[0].upper() + ended[1:])


# Markdown

#: What begins markup, also in dialects that take formulas, mentions and bare addresses.
_MARKUP = re.compile(r"[\\`*\[\]{}|~$@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?i:(?<=\bmailto)|(?<=\bxmpp)):")
_ADDRESS = re.compile(r"(?i)\b(www)\.")
_BEGINS = re.compile(r"^(\d{1,9})(?=[.)](\s|$))|^(?=#|[-+](\s|$)|[-=]{2})")


def escaped(text: object) -> str:
    """A text that Markdown and HTML show as it is: no markup, link, picture or column begins in it."""
    shown = bare(str(text)).replace("\n", " ")
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    shown = _MARKUP.sub(r"\\\g<0>", shown)
    shown = _ADDRESS.sub(r"\1\\.", shown)
    return _BEGINS.sub(lambda m: f"{m[1] or ''}\\", shown)


@cache
def _template() -> Template:
    # Markdown has its own filter: to escape for HTML as well would show the entities.
    environment = Environment(
        loader=PackageLoader("spark_seg.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
        finalize=escaped,
    )
    return environment.get_template("card.md.j2")
