"""The published segment follows the model, but not every wobble of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.config import UNSEGMENTED_ID, HoldSettings

#: What is remembered of a customer from run to run.
MEMORY = ("segment_id", "since", "raw_segment_id", "raw_since")


def settled(
    raw: DataFrame, before: DataFrame | None, as_of: date, there: Sequence[int], settings: HoldSettings
) -> DataFrame:
    """Add `segment_id`, `since`, `raw_since` and `previous_segment_id` to the columns of `raw`.

    `raw`: `customer_id, raw_segment_id, second_segment_id, confidence, second_confidence`. `before`: the
    columns `MEMORY` of the customers of the former run. `there`: ids of the segments that exist now.

    A customer whom the model puts elsewhere stays in the former segment, as long as that exists, when the
    move leads to its neighbour (the second best is where the customer comes from) and is not sure enough
    (`settings.margin`), and has not been said for long enough (`settings.dwell_days`). With a margin alone
    only sure moves count; with a dwell time alone each has to wait for it. Who gets or loses the data to be
    segmented at all is never held.
    """
    if before is None:
        nothing = F.lit(None).cast("int")
        return raw.withColumns(
            {
                "segment_id": F.col("raw_segment_id"),
                "since": F.lit(as_of),
                "raw_since": F.lit(as_of),
                "previous_segment_id": nothing,
            }
        )
    known = before.select("customer_id", *(F.col(name).alias(f"before_{name}") for name in MEMORY))
    joined = raw.join(known, on="customer_id", how="left")
    former, wanted = F.col("before_segment_id"), F.col("raw_segment_id")
    same = F.col("before_raw_segment_id") == wanted
    raw_since = F.when(same, F.col("before_raw_since")).otherwise(F.lit(as_of))
    may_stay = former.isin(list(there)) & (former != UNSEGMENTED_ID) & (wanted != UNSEGMENTED_ID)
    held = (former != wanted) & may_stay & _unsure(former, settings) & _not_long(raw_since, as_of, settings)
    segment = F.when(held, former).otherwise(wanted)
    joined = joined.withColumns({"segment_id": segment, "raw_since": raw_since})
    stayed = F.col("segment_id") == former
    return joined.withColumns(
        {
            "since": F.when(stayed, F.col("before_since")).otherwise(F.lit(as_of)),
            "previous_segment_id": former,
        }
    ).drop(*(f"before_{name}" for name in MEMORY))


def _unsure(former: Column, settings: HoldSettings) -> Column:
    if settings.margin is None:
        return F.lit(settings.dwell_days is not None)
    # A mixture's confidences are probabilities, of which the second is known.
    margin = F.col("confidence") - F.coalesce("second_confidence", F.lit(0.0))
    near = F.coalesce(F.col("second_segment_id") == former, F.lit(False))
    return near & F.coalesce(margin < settings.margin, F.lit(False))


def _not_long(raw_since: Column, as_of: date, settings: HoldSettings) -> Column:
    if settings.dwell_days is None:
        return F.lit(True)
    return raw_since > F.lit(as_of - timedelta(days=settings.dwell_days))
