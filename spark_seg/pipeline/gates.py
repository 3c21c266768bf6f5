"""What a staged run must pass before it is committed."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.errors import ContractBreach, SegmentationError
from spark_seg.monitoring import breaches
from spark_seg.pipeline.draft import Draft
from spark_seg.pipeline.label import raw_segments
from spark_seg.pipeline.plan import Plan
from spark_seg.profiles import Profile
from spark_seg.publishing import load_model
from spark_seg.segments import Segment


def hold_to_contract(
    plan: Plan, draft: Draft, features: DataFrame, profiles: Sequence[Profile], segments: Sequence[Segment]
) -> None:
    """Raise `ContractBreach` with every clause of the segments' contract that the run breaks."""
    contract = plan.settings.contract
    names = {s.segment_id: s.name for s in segments}
    kept = plan.model_run if draft.facts["model_run_id"] != plan.run_id else None
    trained = kept.as_of if kept is not None else plan.as_of
    newest = None
    if contract.max_order_age_days is not None:
        row = features.agg(F.min("recency_days").alias("days")).first()
        newest = row["days"] if row is not None else None
    problems = breaches(
        contract,
        {names[p.label]: p for p in profiles},
        draft.metrics.get("moved_share"),
        (plan.as_of - trained).days,
        newest,
    )
    if problems:
        raise ContractBreach(problems, contract.owner)


def must_serve_alike(plan: Plan, draft: Draft, features: DataFrame, segments: Sequence[Segment]) -> str:
    """Load the saved model and label the published features again: all must get the segment that is staged.

    Raises `SegmentationError` otherwise: what would be served is not what was trained.
    """
    model = load_model(plan.store.spark, draft.facts["model_path"], draft.facts["model_digest"])
    served = raw_segments(model, features.where("eligible"), segments)
    staged = plan.store.read_run("assignments", draft.stamp(plan)).select("customer_id", "raw_segment_id")
    both = served.join(staged, on="customer_id", how="left")
    other = both.where(~F.col("served").eqNullSafe(F.col("raw_segment_id"))).count()
    if other:
        raise SegmentationError(
            f"parity: the saved model must give every customer of the published features the segment that "
            f"was staged; got another one for {other:,} of {int(draft.metrics['eligible']):,}. Something "
            "changes features between the table and the model. Nothing was committed"
        )
    return "the saved model labels everybody as staged"
