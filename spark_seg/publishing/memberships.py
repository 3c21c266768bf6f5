"""One history of who was in which segment from when to when, made from the runs that count.

It is not kept but read: a history that is written could disagree with a day that was published anew, rolled
back, or from which somebody was erased.
"""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_seg.publishing.ledger import Ledger, current_run
from spark_seg.tables import ASSIGNMENTS


def read_memberships(ledger: Ledger) -> DataFrame | None:
    """`customer_id, segment_id, segment_name, valid_from, valid_to`: a row for each stretch of runs in which
    a customer was in one segment. None when no run has assigned anybody.

    `valid_from`: as_of of the first of these runs; `valid_to`: as_of of the first run after them, NULL while
    it lasts. Who is in no run for a while has no row for it. One move of the assignments by customer.
    """
    runs = ledger.runs()
    days = sorted({run.as_of for run in runs if ASSIGNMENTS.name in run.tables})
    frame = ledger.store.read(ASSIGNMENTS.name)
    if frame is None or not days:
        return None
    spark = ledger.store.spark
    counted = [run for day in days if (run := current_run(runs, ASSIGNMENTS.name, day)) is not None]
    stamps = [(r.as_of, r.run_id, r.attempt_id, n) for n, r in enumerate(counted)]
    known = spark.createDataFrame(stamps, "as_of date, run_id string, attempt_id string, n int")
    shown = frame.select("as_of", "run_id", "attempt_id", "customer_id", "segment_id", "segment_name").join(
        F.broadcast(known), on=["as_of", "run_id", "attempt_id"]
    )
    order = Window.partitionBy("customer_id", "segment_id").orderBy("n")
    ends = spark.createDataFrame([(n, day) for n, day in enumerate(days)], "ends int, valid_to date")
    return (
        shown.withColumn("stretch", F.col("n") - F.row_number().over(order))
        .groupBy("customer_id", "segment_id", "stretch")
        .agg(
            F.max_by("segment_name", "n").alias("segment_name"),
            F.min("as_of").alias("valid_from"),
            (F.max("n") + 1).alias("ends"),
        )
        .join(F.broadcast(ends), on="ends", how="left")
        .select("customer_id", "segment_id", "segment_name", "valid_from", "valid_to")
    )
