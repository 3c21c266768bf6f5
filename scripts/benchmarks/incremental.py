"""One more day on a year of history: the job build_features on kept activity, and reading everything.

`recompute`: the same job without it. Both publish, in one session; a first day on which both ways run warms
the JVM up. The features must be the same rows.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import date, timedelta
from pathlib import Path

import yaml
from comparison import ROOT, Comparison
from features import AS_OF, SETTINGS, read, write_tables
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from usage import Usage, both, measured

from spark_seg.config import Settings, load_settings
from spark_seg.pipeline import make_plan, run_plan
from spark_seg.publishing import Ledger, Store, current_run
from spark_seg.session import start_session


def incremental(events: int = 5_000_000) -> list[Comparison]:
    folder = Path(tempfile.mkdtemp(prefix="spark_seg_bench_"))
    kept, anew = (settings(folder, name) for name in ("kept", "anew"))
    spark = start_session(kept.session)
    spark.conf.set("spark.sql.shuffle.partitions", max(4, events // 125_000))
    try:
        write_tables(spark, events, folder / "all")
        land(spark, folder, None, AS_OF - timedelta(days=2))
        run(spark, kept, AS_OF - timedelta(days=2))
        for day in (AS_OF - timedelta(days=1), AS_OF):
            land(spark, folder, day - timedelta(days=1), day)
            ours, other = (measure(spark, way, day) for way in (kept, anew))
        must_be_the_same(*(published(spark, way) for way in (kept, anew)))
        return both("incremental/recompute", ours, other)
    finally:
        spark.stop()
        shutil.rmtree(folder, ignore_errors=True)


def settings(folder: Path, way: str) -> Settings:
    orders = ("customer_id", "order_id", "line_id", "ordered_at", "amount", "category")
    events = ("customer_id", "occurred_at", "kind", "subject")
    tree = {
        "pipeline": "bench",
        "sources": {
            "orders": {"path": f"{folder}/orders", "columns": {c: c for c in orders}},
            "events": [{"path": f"{folder}/events", "columns": {c: c for c in events}}],
        },
        "features": {"engagement": SETTINGS.engagement.model_dump()},
        "privacy": {"raw_ids": True},
        "publishing": {"root": f"{folder}/{way}", "keep_activity": way == "kept"},
    }
    file = folder / f"{way}.yaml"
    file.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return load_settings([file, ROOT / "conf/local.yaml"])


def land(spark: SparkSession, folder: Path, first: date | None, end: date) -> None:
    """Append the rows of some days to the tables of the lake."""
    for name, time, frame in zip(
        ("orders", "events"), ("ordered_at", "occurred_at"), read(spark, folder / "all"), strict=True
    ):
        day = F.to_date(time)
        rows = frame.where(day < F.lit(end))
        if first is not None:
            rows = rows.where(day >= F.lit(first)).coalesce(1)
        rows.write.format("delta").mode("append").save(f"{folder}/{name}")


def run(spark: SparkSession, way: Settings, as_of: date) -> None:
    run_plan(make_plan(spark, way, "build_features", as_of))


def measure(spark: SparkSession, way: Settings, as_of: date) -> Usage:
    return measured(lambda: run(spark, way, as_of))[1]


def published(spark: SparkSession, way: Settings) -> DataFrame:
    store = Store(spark, way.publishing)
    run = current_run(Ledger(store, way.pipeline).runs(), "features", AS_OF)
    if run is None:
        raise AssertionError("both ways must have published")
    return store.read_run("features", run.stamp).drop("run_id", "attempt_id", "attributes")


def must_be_the_same(ours: DataFrame, theirs: DataFrame) -> None:
    if not (ours.exceptAll(theirs).isEmpty() and theirs.exceptAll(ours).isEmpty()):
        raise AssertionError("both ways must give the same features")
