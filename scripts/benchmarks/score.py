"""Scoring by a saved pipeline: the price above reading the same rows and standardising them.

`read`: the same columns, each (x - mean) / deviation, and nothing else. `prepare`: the pipeline's own
preparation (cap, log, shift) as plain columns. `transform`: `PipelineModel.transform`, which gives the
label only. All write to nowhere, in one warm session.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from comparison import ROOT, Comparison
from pyspark.ml import PipelineModel
from pyspark.ml.clustering import KMeans
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from usage import Usage, both, measured, nowhere

from spark_seg.config import PreparationSettings, load_settings
from spark_seg.pipeline.label import scored
from spark_seg.preparation import VECTOR, fit_preparation
from spark_seg.publishing import load_model
from spark_seg.session import start_session

K = 10
NAMES = [f"f{i}" for i in range(8)]
#: Passes over all rows before the one that counts: the JVM has compiled by then.
WARM = 1


def score(customers: int = 5_000_000) -> list[Comparison]:
    spark = start_session(load_settings([ROOT / "conf/demo.yaml", ROOT / "conf/local.yaml"]).session)
    folder = Path(tempfile.mkdtemp(prefix="spark_seg_bench_"))
    try:
        customers_of(spark, customers).write.parquet(str(folder / "customers"))
        frame = spark.read.parquet(str(folder / "customers"))
        fit(frame.limit(50_000)).write().save(str(folder / "model"))
        model = load_model(spark, str(folder / "model"), None)
        ours = used(lambda: scored(model, frame))
        others = {
            "read": used(lambda: standardised(frame)),
            "prepare": used(lambda: prepared(model, frame)),
            "transform": used(lambda: model.transform(frame).select(*frame.columns, "cluster")),
        }
        return [line for name, other in others.items() for line in both(f"score/{name}", ours, other)]
    finally:
        spark.stop()
        shutil.rmtree(folder, ignore_errors=True)


def used(work: Callable[[], DataFrame]) -> Usage:
    for _ in range(WARM):
        nowhere(work())
    return measured(lambda: nowhere(work()))[1]


def customers_of(spark: SparkSession, rows: int) -> DataFrame:
    """Skewed positive features, lumped."""
    features = [
        F.exp(F.randn(i) + F.floor(F.rand(50 + i) * 3) * 1.5).alias(name) for i, name in enumerate(NAMES)
    ]
    return spark.range(rows, numPartitions=8).select(F.col("id").alias("customer_id"), *features)


def fit(sample: DataFrame) -> PipelineModel:
    kept = sample.persist()
    preparation = fit_preparation(kept, PreparationSettings(features={n: {"log": True} for n in NAMES}))
    clustering = KMeans(k=K, seed=42, featuresCol=VECTOR, predictionCol="cluster")
    return PipelineModel([*preparation.model.stages, clustering.fit(preparation.transform(kept))])


def standardised(frame: DataFrame) -> DataFrame:
    return frame.select("*", *((((F.col(n) - 3.0) / 4.0).alias(f"{n}_standard")) for n in NAMES))


def prepared(model: PipelineModel, frame: DataFrame) -> DataFrame:
    return model.stages[0].transform(frame)
