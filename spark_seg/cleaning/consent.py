"""What customers agreed to: of all their decisions the one that counts for each purpose."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.tables import PURPOSES


def consents_of(decisions: DataFrame) -> DataFrame:
    """Canonical consents → one row per `customer_id` with a boolean for each of `PURPOSES`.

    The latest decision counts, also one after `as_of`: who withdraws is left out of reruns of former days. Of
    equally late ones a refusal counts, and so does a decision that cannot be read. No decision is none.
    """
    purpose = F.lower(F.trim("purpose"))
    refused = ~F.coalesce("granted", F.lit(False))

    def granted(name: str) -> Column:
        last = F.max(F.when(purpose == name, F.struct("decided_at", refused.alias("refused"))))
        return F.coalesce(~last["refused"], F.lit(False)).alias(name)

    known = decisions.where(F.col("customer_id").isNotNull())
    return known.groupBy("customer_id").agg(*(granted(name) for name in PURPOSES))
