"""Segments as one would write them by hand: every candidate fitted, transformed and evaluated in turn."""

from __future__ import annotations

import sys
from pathlib import Path

from comparison import ROOT
from pyspark.ml import Pipeline
from pyspark.ml.clustering import BisectingKMeans, GaussianMixture, KMeans
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.feature import StandardScaler, VectorAssembler
from pyspark.sql import functions as F

from spark_seg.config import load_settings
from spark_seg.session import start_session

NAMES = ("recency", "frequency", "monetary", "value")


def main(folder: Path, k_max: int) -> None:
    settings = load_settings([folder / "shop.yaml", ROOT / "conf/local.yaml"])
    spark = start_session(settings.session)
    orders = spark.read.format("delta").load(str(folder / "orders"))
    rfm = orders.groupBy("customer").agg(
        F.date_diff(F.lit("2025-01-01").cast("date"), F.max("created").cast("date")).alias("recency"),
        F.count("order_no").alias("frequency"),
        F.sum("price").alias("monetary"),
        F.avg("price").alias("value"),
    )
    logs = rfm.select("customer", *(F.log1p(F.col(name).cast("double")).alias(name) for name in NAMES))
    prepare = Pipeline(
        stages=[
            VectorAssembler(inputCols=list(NAMES), outputCol="raw"),
            StandardScaler(inputCol="raw", outputCol="features", withMean=False),
        ]
    )
    vectors = prepare.fit(logs).transform(logs)
    evaluator, best, winner = ClusteringEvaluator(), -1.0, None
    for algorithm in (KMeans, BisectingKMeans, GaussianMixture):
        for k in range(2, k_max + 1):
            labelled = algorithm(k=k, seed=42).fit(vectors).transform(vectors)
            silhouette = evaluator.evaluate(labelled)
            if silhouette > best:
                best, winner = silhouette, labelled
    if winner is not None:
        winner.select("customer", "prediction").write.format("delta").save(str(folder / "plain"))
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
