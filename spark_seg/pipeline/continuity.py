"""Clusters → segments that continue those of former runs, and who moved between them and why."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.config import UNSEGMENTED, UNSEGMENTED_ID
from spark_seg.errors import InputError
from spark_seg.kernels import adjusted_rand
from spark_seg.monitoring import migration
from spark_seg.pipeline.draft import Draft, stage_rows
from spark_seg.pipeline.label import Labelled, named, placed, with_expected
from spark_seg.pipeline.plan import Plan
from spark_seg.profiles import Profile
from spark_seg.publishing import CommittedRun, current_run, load_model, suppressed, trained_by, without
from spark_seg.segments import (
    MEMORY,
    Relation,
    Segment,
    by_centres,
    by_customers,
    misfits,
    name_clusters,
    overlaps,
    settled,
    stable_ids,
)
from spark_seg.tables import ALERTS, MIGRATIONS, MONEY, SEGMENT_LINEAGE

log = logging.getLogger("spark_seg")


@dataclass(frozen=True)
class Former:
    """A committed run that this one is compared with, and its assignments without the suppressed."""

    run: CommittedRun
    assignments: DataFrame

    @property
    def names(self) -> dict[int, str]:
        """Id → name of its segments."""
        return {s.segment_id: s.name for s in self.run.segments}


@dataclass(frozen=True)
class Formers:
    """The last run of an earlier as_of, and the one that has counted for this as_of until now."""

    earlier: Former | None
    same_day: Former | None

    @property
    def all(self) -> list[Former]:
        """Those there are. Segments continue those of the first one, and then those of the other: a day that
        is published anew goes on from the day before, and not from what it sets right."""
        return [former for former in (self.earlier, self.same_day) if former is not None]


def former_runs(plan: Plan) -> Formers:
    """What this run follows on."""
    erased = suppressed(plan.store, plan.settings.privacy.key_id)

    def former(runs: list[CommittedRun]) -> Former | None:
        run = current_run(runs, "assignments")
        if run is None:
            return None
        rows = without(plan.store.read_run("assignments", run.stamp), erased)
        return Former(run, remembered(rows, run.as_of))

    return Formers(
        former([r for r in plan.history if r.as_of < plan.as_of]),
        former([r for r in plan.history if r.as_of == plan.as_of]),
    )


def remembered(assignments: DataFrame, as_of: date) -> DataFrame:
    """Assignments of a former run with all that is remembered of a customer, also where an earlier version
    wrote them, which kept less."""
    there = {name: F.col(name) for name in assignments.columns}
    nothing = F.lit(None)
    known = {
        "since": F.coalesce(there.get("since", nothing), F.lit(as_of)),
        "raw_since": F.coalesce(there.get("raw_since", nothing), F.lit(as_of)),
        "raw_segment_id": F.coalesce(there.get("raw_segment_id", nothing), F.col("segment_id")),
        "previous_segment_id": there.get("previous_segment_id", nothing).cast("int"),
        "monetary": there.get("monetary", nothing).cast(MONEY),
    }
    return assignments.withColumns(known)


def ask_formers(plan: Plan, labelled: Labelled, formers: Formers, model_run_id: str) -> DataFrame:
    """Labelled customers with `expected_<i>`: the segment that the model of the i-th former run gives them
    today. There is none where it cannot be asked, and where it is the model of this run."""
    frame = labelled.frame
    for i, former in enumerate(formers.all):
        if former.run.model_run_id != model_run_id:
            frame = _asked(plan, frame, former, f"expected_{i}") or frame
    return frame


def continued(
    plan: Plan, draft: Draft, asked: DataFrame, profiles: list[Profile], formers: Formers
) -> list[Segment]:
    """The clusters of a new fit as segments; stages what became of those of the former run.

    `asked`: labelled customers, see `ask_formers`.
    """
    settings = plan.settings.segments
    positions = {p.label: p.positions for p in profiles}
    by_value = [p.label for p in sorted(profiles, key=lambda p: (-p.mean_of("monetary"), p.label))]
    relations = [_relations(plan, asked, positions, formers, former) for former in formers.all]
    used = [s.segment_id for r in plan.history for s in r.segments]
    ids = stable_ids(by_value, relations, max(used, default=0) + 1)
    known = {i: name for former in reversed(formers.all) for i, name in former.names.items()}
    kept = {cluster: known[i] for cluster, i in ids.items() if i in known}
    names = name_clusters(positions, settings.archetypes, settings.max_name_difference, kept)
    shared = overlaps([r for related in reversed(relations) for r in related], ids)
    segments = [Segment(c, ids[c], names[c], shared.get(c)) for c in by_value]
    draft.lineage = [
        _lineage_row(former, segments, relation)
        for former, related in zip(formers.all, relations, strict=True)
        for relation in related
    ]
    if draft.lineage:
        stage_rows(plan, draft, draft.lineage, SEGMENT_LINEAGE)
    draft.alerts += [
        {"kind": "name", "subject": sentence.split(":")[0].removeprefix("segment "), "sentence": sentence}
        for sentence in misfits(positions, settings.archetypes, settings.max_name_difference, kept)
    ]
    return segments


def _relations(
    plan: Plan,
    asked: DataFrame,
    positions: dict[int, dict[str, float | None]],
    formers: Formers,
    former: Former,
) -> list[Relation]:
    """By the customers of both fits, and what the former model says of them today: a segment is the same as
    long as it means the same, even when everybody has moved on to another one. Where that model cannot be
    asked, by the segments they were in."""
    settings = plan.settings.segments
    expected = f"expected_{formers.all.index(former)}"
    before = former.assignments.where(F.col("segment_id") != UNSEGMENTED_ID)
    pairs = asked.select("customer_id", "cluster", *(c for c in [expected] if c in asked.columns)).join(
        before.select("customer_id", F.col("segment_id").alias("former")), on="customer_id", how="full"
    )
    both = F.col("cluster").isNotNull() & F.col("former").isNotNull()
    model_asked = expected in asked.columns
    segment = F.when(both, F.col(expected) if model_asked else F.col("former")).alias("segment")
    counts = (
        pairs.groupBy("cluster", segment)
        .agg(F.count(F.lit(1)).alias("rows"), F.count("former").alias("before"))
        .collect()
    )
    common = {
        (row["cluster"], row["segment"]): int(row["rows"]) for row in counts if row["segment"] is not None
    }
    now = sum(int(row["rows"]) for row in counts if row["cluster"] is not None)
    then = sum(int(row["before"]) for row in counts)
    if sum(common.values()) >= settings.min_common * min(now, then):
        ids, basis = sorted(former.names), "model" if model_asked else "customers"
        related = by_customers(sorted(positions), ids, common, settings.survival, settings.split)
        return [replace(relation, basis=basis) for relation in related]
    log.info("%-10s few customers in common with run %s: matched by centres", "segments", former.run.run_id)
    profiles = plan.store.read_run("profiles", former.run.stamp).where(
        (F.col("scheme") == "clusters") & (F.col("segment_id") != UNSEGMENTED_ID)
    )
    clustered = set(plan.settings.preparation.features)
    known = {
        row["segment_id"]: {
            stat["feature"]: stat["position"] for stat in row["feature_stats"] if stat["feature"] in clustered
        }
        for row in profiles.select("segment_id", "feature_stats").collect()
    }
    return by_centres(positions, known, settings.max_centre_distance)


def _lineage_row(former: Former, segments: list[Segment], relation: Relation) -> dict[str, Any]:
    to = next((s for s in segments if s.cluster == relation.cluster), None)
    return {
        "against_as_of": former.run.as_of,
        "against_run_id": former.run.run_id,
        "event": relation.event,
        "from_segment_id": relation.former,
        "from_segment_name": former.names.get(relation.former) if relation.former is not None else None,
        "to_segment_id": to.segment_id if to else None,
        "to_segment_name": to.name if to else None,
        "basis": relation.basis,
        "common": relation.common,
        "share_of_from": relation.share_of_former,
        "share_of_to": relation.share_of_cluster,
        "overlap": relation.overlap,
        "distance": relation.distance,
    }


def place_customers(
    plan: Plan,
    draft: Draft,
    asked: DataFrame,
    others: DataFrame | None,
    segments: Sequence[Segment],
    formers: Formers,
) -> DataFrame:
    """Everybody in a published segment: the columns of `ASSIGNMENTS`, `tenure_days`, and `expected_<i>` for
    each former run whose model is known. Kept.

    `asked`: labelled customers, see `ask_formers`; `others`: those without enough data.
    """
    beside = [name for i, _ in enumerate(formers.all) if (name := f"expected_{i}") in asked.columns]
    raw = placed(asked, others, segments, plan.settings.segments.rfm_map, beside)
    memory = formers.earlier.assignments if formers.earlier is not None else None
    if memory is not None:
        memory = memory.select("customer_id", *MEMORY)
    there = [s.segment_id for s in segments]
    everybody = settled(raw, memory, plan.as_of, there, plan.settings.segments.hold)
    for i, former in enumerate(formers.all):
        if former.run.model_run_id == draft.facts["model_run_id"]:
            everybody = everybody.withColumn(f"expected_{i}", F.col("raw_segment_id"))
    return draft.keep(named(everybody, {s.segment_id: s.name for s in segments}))


def _asked(plan: Plan, frame: DataFrame, former: Former, column: str) -> DataFrame | None:
    """With `column`: what the model of a former run says; None when it cannot be asked."""
    trained = trained_by(plan.history, former.run)
    try:
        model = load_model(plan.store.spark, former.run.model_path or "", trained.model_digest)
        return with_expected(frame, model, former.run.segments, column)
    except InputError as error:
        log.warning("%-10s the model of %s cannot be asked: %s", "segments", former.run.as_of, error)
        return None


def stage_migrations(
    plan: Plan, draft: Draft, everybody: DataFrame, segments: Sequence[Segment], formers: Formers
) -> None:
    """Compare with each former run, and stage who went where and why."""
    names = {s.segment_id: s.name for s in segments} | {UNSEGMENTED_ID: UNSEGMENTED}
    for i, former in enumerate(formers.all):
        known = f"expected_{i}" in everybody.columns
        expected = F.col(f"expected_{i}") if known else F.lit(None).cast("int")
        ways = migration(
            everybody.withColumn("expected", expected),
            former.assignments,
            (plan.as_of - former.run.as_of).days,
        )
        rows = [row.asDict() for row in ways.collect()]
        theirs = former.names | {UNSEGMENTED_ID: UNSEGMENTED}
        draft.migrations += [
            row
            | {
                "against_as_of": former.run.as_of,
                "against_run_id": former.run.run_id,
                "from_segment_name": theirs.get(row["from_segment_id"]),
                "to_segment_name": names.get(row["to_segment_id"]),
            }
            for row in sorted(rows, key=lambda r: -r["customers"])
        ]
        if former is formers.earlier:
            _count_moves(draft, rows)
        if known and former is formers.all[0] and former.run.model_run_id != draft.facts["model_run_id"]:
            draft.metrics["refit_agreement"] = _agreement(everybody, f"expected_{i}")
    if draft.migrations:
        stage_rows(plan, draft, draft.migrations, MIGRATIONS)
    if draft.alerts:
        stage_rows(plan, draft, draft.alerts, ALERTS)


def _agreement(everybody: DataFrame, expected: str) -> float:
    """How far two models agree on the customers of today (adjusted Rand index)."""
    both = everybody.where((F.col("raw_segment_id") != UNSEGMENTED_ID) & F.col(expected).isNotNull())
    counts = both.groupBy("raw_segment_id", expected).count().collect()
    rows, columns = (sorted({row[i] for row in counts}) for i in (0, 1))
    table = np.zeros((len(rows), len(columns)))
    for row in counts:
        table[rows.index(row[0]), columns.index(row[1])] = row[2]
    return adjusted_rand(table)


def _count_moves(draft: Draft, rows: list[dict[str, Any]]) -> None:
    """How many of the customers of both runs moved, and how many of these went back."""
    both = sum(r["customers"] for r in rows if r["kind"] not in ("new", "gone"))
    moved = sum(r["customers"] for r in rows if r["kind"] == "moved")
    draft.metrics["moved"] = moved
    if both:
        draft.metrics["moved_share"] = moved / both
        draft.metrics["flap_rate"] = sum(r["back"] for r in rows) / both
