"""What a model is, why it was taken, and how far it can be relied on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spark_seg.report.blocks import Bullets, Text, table
from spark_seg.report.facts import chosen, fidelity, settings_of
from spark_seg.report.published import Published
from spark_seg.report.shared import fidelity_sentence
from spark_seg.report.words import count, foreign, given, index, known, number, sentence, share, things


def algorithm(published: Published) -> Iterator[Any]:
    """How the model was fitted, and by which run."""
    run, trained, clustering = published.run, published.trained, settings_of(published, "clustering")
    name = trained.algorithm or run.algorithm
    facts = [
        ("algorithm", given(name)),
        ("k", count(trained.k if trained.k is not None else run.k)),
        ("seed", given(trained.seed)),
        ("distance", given(clustering.get("distance"))),
        ("restarts", given((clustering.get("restarts") or {}).get(name))),
        ("most iterations", given((clustering.get("max_iterations") or {}).get(name))),
        ("candidates are fitted", given(settings_of(published, "selection").get("mode"))),
        ("trained by run", f"{foreign(trained.run_id)}, as of {trained.as_of}"),
        ("digest of the model", given(run.model_digest or trained.model_digest)),
    ]
    yield table("Parameters", ("parameter", "value"), facts, form="facts")


def selection(published: Published) -> Iterator[Any]:
    """How candidates were judged, and the figures of the chosen one."""
    candidates = published.candidates
    if not candidates:
        yield Text("No candidates are published for this model, so nothing can be said of the choice.")
        return
    rejected = [c for c in candidates if not c["accepted"]]
    yield Text(
        f"{things(len(candidates), 'candidate')} {'was' if len(candidates) == 1 else 'were'} measured; "
        f"{len(rejected) or 'none'} of them did not pass the rules, or did not compete."
    )
    taken = chosen(published)
    if taken is not None:
        yield Text(f"Chosen: {foreign(taken['algorithm'])} with k={taken['k']}. {sentence(taken['reason'])}")
        yield table(
            "Figures of the chosen candidate",
            ("figure", "value>"),
            [
                ("silhouette (-1 to 1, high is good)", index(taken["silhouette"])),
                ("Davies-Bouldin (low is good)", index(taken["davies_bouldin"])),
                ("Calinski-Harabasz (high is good)", number(taken["calinski_harabasz"])),
                ("cost", number(taken["cost"])),
                ("smallest segment, share of customers", share(taken["smallest_share"])),
                ("largest segment, share of customers", share(taken["largest_share"])),
            ],
            form="short",
        )
    if rejected:
        yield Bullets(
            tuple(f"{foreign(c['algorithm'])} k={c['k']}: {sentence(c['reason'])}" for c in rejected),
            title="Not accepted, and why",
        )
    rules = settings_of(published, "selection", "rules")
    if rules:
        yield table(
            "Rules that candidates must pass",
            ("rule (selection.rules)", "border"),
            [(foreign(name), _value(value)) for name, value in rules.items()],
            form="short",
        )


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{foreign(n)}: {foreign(v)}" for n, v in value.items()) or "none"
    return given(value)


def stability(published: Published) -> Iterator[Any]:
    """How much refits agree with the model."""
    taken = chosen(published)
    metrics = published.trained.metrics
    agreement = taken["agreement"] if taken else metrics.get("agreement")
    weakest = taken["weakest"] if taken else metrics.get("weakest")
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


def explanation(published: Published) -> Iterator[Any]:
    """How often rules in words place a customer as the model does."""
    value, wanted = fidelity(published)
    yield Text(fidelity_sentence(value, wanted))


def versions(published: Published) -> Iterator[Any]:
    """What the run was made with."""
    run = published.run
    yield table(
        "What made it",
        ("part", "version"),
        [
            ("spark_seg", given(run.code_version or None)),
            ("Spark", given(run.spark_version or None)),
            ("run", foreign(run.run_id)),
            ("attempt", foreign(run.attempt_id)),
            ("revision", str(run.revision)),
        ],
        form="short",
    )
