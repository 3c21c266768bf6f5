"""A published segmentation held against the run that trained its model: measures, and one decision."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.config import UNSEGMENTED_ID
from spark_seg.monitoring import (
    Decision,
    Measure,
    age,
    decide,
    distance_drift,
    engagement_trend,
    fairness,
    feature_drift,
    flap_rate,
    index_drift,
    refit_agreement,
    share_drift,
)
from spark_seg.pipeline.draft import Draft, stage_rows
from spark_seg.pipeline.plan import Plan
from spark_seg.publishing import CommittedRun, read_features
from spark_seg.tables import DECISIONS, DRIFT

_ENGAGEMENT = "engagement_score"


@dataclass(frozen=True)
class State:
    """What is published of one run. `shares`: segment → (share of customers, of revenue)."""

    run: CommittedRun
    features: DataFrame
    assignments: DataFrame
    shares: dict[str, tuple[float, float | None]]
    engagement: dict[str, float | None]

    @property
    def customers(self) -> int:
        """Those who are segmented."""
        return int(self.run.metrics["eligible"])


def monitor(plan: Plan, draft: Draft) -> Decision:
    """Measure and decide for the segmentation that counts at `as_of`; stages `drift` and `decisions`."""
    run, trained = plan.assigned_run, plan.model_run
    assert run is not None and trained is not None  # noqa: S101 - make_plan found both
    with draft.room("monitor") as said:
        measures = _measures(plan, _state(plan, trained), _state(plan, run))
        decision = _filed(plan, draft, trained, measures)
        said.append(f"{len(measures)} measures, {sum(m.breached for m in measures)} breached")
        said.append(decision.action)
    return decision


def drifted(plan: Plan, draft: Draft, features: DataFrame) -> Decision:
    """What to do with the last model before `features` of a new day are assigned by it; stages `drift` and
    `decisions`.

    Judged by age and by the features that it clusters, and by what the monitor last said of it.
    """
    trained = plan.model_run
    assert trained is not None  # noqa: S101 - the caller looked
    with draft.room("monitor") as said:
        reference = _features_of(plan, trained).where("eligible")
        now = features.where("eligible")
        measures = feature_drift(reference, now, _clustered(trained), plan.settings.monitoring)
        decision = _filed(plan, draft, trained, measures)
        said.append(f"{decision.action} the model of {trained.as_of}")
        said.extend(decision.reasons)
    return decision


def _measures(plan: Plan, then: State, now: State) -> list[Measure]:
    settings = plan.settings.monitoring
    clustered = _clustered(then.run)
    eligible = now.features.where("eligible")
    near = "confidence" if then.run.algorithm == "mixture" else "distance"
    segmented = [s.assignments.where(F.col("segment_id") != UNSEGMENTED_ID) for s in (then, now)]
    measures = feature_drift(then.features.where("eligible"), eligible, clustered, settings)
    measures += distance_drift(segmented[0], segmented[1], near, settings)
    measures += share_drift(then.shares, now.shares, settings, then.customers, now.customers)
    measures += index_drift(then.run.metrics, now.run.metrics, settings)
    measures += engagement_trend(then.engagement, now.engagement, settings)
    if "flap_rate" in now.run.metrics:
        measures.append(flap_rate(now.run.metrics["flap_rate"], settings))
    if "refit_agreement" in now.run.metrics:
        measures.append(refit_agreement(now.run.metrics["refit_agreement"], settings))
    if settings.protected:
        named = segmented[1].select("customer_id", F.col("segment_name").alias("segment"))
        people = eligible.join(named, on="customer_id", how="left")
        measures += fairness(people, F.col("segment"), clustered, settings)
    return measures


def _filed(plan: Plan, draft: Draft, trained: CommittedRun, measures: list[Measure]) -> Decision:
    """Decide, and stage measures and decision."""
    settings = plan.settings.monitoring
    days = (plan.as_of - trained.as_of).days
    decision = decide(measures, days, settings)
    against = {"against_as_of": trained.as_of, "against_run_id": trained.run_id}
    draft.drift = [against | asdict(m) for m in (*measures, age(days, settings))]
    draft.decision = decision
    stage_rows(plan, draft, draft.drift, DRIFT)
    told: dict[str, Any] = {
        "action": decision.action,
        "reasons": "\n".join(decision.reasons),
        "model_age_days": days,
    }
    stage_rows(plan, draft, [against | told], DECISIONS)
    return decision


def _clustered(trained: CommittedRun) -> list[str]:
    """The features that a model clusters, those that were dropped included."""
    return list(json.loads(trained.config)["preparation"]["features"])


def _features_of(plan: Plan, run: CommittedRun) -> DataFrame:
    return read_features(plan.store, plan.history, run, plan.settings.privacy.key_id)


def _state(plan: Plan, run: CommittedRun) -> State:
    """What is published of a run that assigned customers."""
    profiles = plan.store.read_run("profiles", run.stamp)
    profiles = profiles.where((F.col("scheme") == "clusters") & (F.col("segment_id") != UNSEGMENTED_ID))
    rows = profiles.select("segment_name", "customer_share", "revenue_share", "feature_stats").collect()
    shares = {row["segment_name"]: (float(row["customer_share"]), row["revenue_share"]) for row in rows}
    engagement = {
        row["segment_name"]: next(
            (s["mean"] for s in row["feature_stats"] if s["feature"] == _ENGAGEMENT), None
        )
        for row in rows
    }
    features, assignments = _features_of(plan, run), plan.store.read_run("assignments", run.stamp)
    return State(run, features, assignments, shares, engagement)
