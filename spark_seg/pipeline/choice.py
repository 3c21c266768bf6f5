"""Eligible customers → every candidate, and the one that is published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.config import HOLDOUT_MEASURES, names_of
from spark_seg.errors import NoAcceptableCandidate
from spark_seg.pipeline.draft import Draft
from spark_seg.pipeline.label import rfm_index
from spark_seg.pipeline.plan import Plan
from spark_seg.pipeline.rows import candidate_row
from spark_seg.preparation import VECTOR, Preparation, check_directions
from spark_seg.publishing import current_run
from spark_seg.selection import BASELINE, Candidate, Sweep, choose, sweep

#: Called as progress(done, total) while candidates are fitted.
Progress = Callable[[int, int], None]


def choose_candidate(
    plan: Plan, draft: Draft, preparation: Preparation, customers: DataFrame, progress: Progress
) -> tuple[Sweep, Candidate, DataFrame]:
    """What was swept, the candidate that won, and the vectors. Raises `NoAcceptableCandidate`."""
    settings = plan.settings
    rows = settings.segments.rfm_map
    names = names_of(rows)
    # Whom the map leaves out (no order, if `active` customers are segmented) is a group beside its segments.
    baseline = F.coalesce(rfm_index(rows), F.lit(len(names))).alias("rfm_index")
    later = [name for name in HOLDOUT_MEASURES if name in customers.columns]
    vectors = preparation.transform(customers).select("customer_id", VECTOR, baseline, "prepared.*", *later)
    if settings.selection.mode == "exact":
        vectors = draft.keep(vectors)
    if settings.clustering.distance == "cosine":
        check_directions(vectors)
    swept = sweep(vectors, settings, ("rfm_index", len(names) + 1), progress, (*preparation.prepared, *later))
    # Not of this day: who publishes a day anew wants another choice, or at least none that is held on to.
    former = current_run([r for r in plan.history if r.as_of < plan.as_of], "assignments")
    before = f"{former.algorithm}:{former.k}" if former is not None else None
    # The map has one segment less where it leaves nobody out.
    measured = [
        replace(c, k=max(len(names), c.effective_k)) if c.algorithm == BASELINE else c
        for c in swept.candidates
    ]
    candidates = choose(measured, settings.selection, before, swept.structured)
    draft.candidates = [candidate_row(c) for c in candidates]
    draft.metrics["coreset"] = swept.coreset
    structure = swept.structure
    if structure is not None:
        draft.metrics["structure_margin"] = structure.margin
        if settings.selection.require_structure and not structure.found:
            raise NoAcceptableCandidate(
                f"selection: the customers must show groups (selection.require_structure); got "
                f"{structure.sentence}. Use the RFM grid, other features, or require_structure: false",
                candidates=draft.candidates,
            )
    winner = next((c for c in candidates if c.chosen), None)
    if winner is None:
        raise NoAcceptableCandidate(
            [f"{c.label}: {c.reason}" for c in candidates],
            title="selection: no candidate passes the rules (selection.rules)",
            candidates=draft.candidates,
        )
    return swept, winner, vectors
