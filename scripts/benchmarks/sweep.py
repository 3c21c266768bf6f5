"""k = 2..10 compared on all customers: the shared sweep against one MLlib fit and evaluation for each k.

`plain`: KMeans, transform, ClusteringEvaluator per k, one fit each, nothing cached. `block`: the same
with cached vectors and the block solver. `sklearn`: all customers in memory, ten restarts, silhouette on
10,000. `cost`: the sum of squares at each k, the worst ratio over k. One warm session for all.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from comparison import ROOT, Comparison, against, part
from pyspark.ml.clustering import KMeans
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from sklearn.cluster import KMeans as InMemory
from sklearn.metrics import silhouette_score
from synthetic import DIMENSIONS, customers
from usage import both, measured

from spark_seg.config import Settings, load_settings
from spark_seg.preparation import VECTOR, canonical_layout
from spark_seg.selection import sweep as shared_sweep
from spark_seg.session import start_session

KS = range(2, 11)


def sweep(rows: int = 1_000_000) -> list[Comparison]:
    settings = load_settings(
        [ROOT / "conf/demo.yaml", ROOT / "conf/local.yaml"],
        ["clustering.algorithms=[kmeans]", "selection.k_max=10", "selection.resamples=0"],
    )
    spark = start_session(settings.session)
    folder = Path(tempfile.mkdtemp(prefix="spark_seg_bench_"))
    try:
        for name, many in (("warm", 20_000), ("full", rows)):
            customers(spark, many).write.parquet(str(folder / name))
        frame = spark.read.parquet(str(folder / "warm"))
        ours(frame, settings, 20_000)
        plain(frame.where("customer_id < 2000"), "row")
        plain(frame.where("customer_id < 2000"), "block")
        frame = spark.read.parquet(str(folder / "full"))
        costs, used = measured(lambda: ours(frame, settings, rows))
        # Against the numbers themselves: 8 bytes for each feature of each customer.
        results = [part("sweep/memory", used.peak, rows * DIMENSIONS * 8 / 1e6, "MB at the peak")]
        for name, work in (
            ("block", lambda: plain(frame.persist(), "block")),
            ("plain", lambda: plain(frame, "row")),
            ("sklearn", lambda: in_memory(frame)),
        ):
            theirs, other = measured(work)
            frame.unpersist()
            results += both(f"sweep/{name}", used, other)
            worst = max(KS, key=lambda k: costs[k] / theirs[k])
            results.append(
                against(f"sweep/{name}/cost_k{worst}", costs[worst], theirs[worst], "sum of squares")
            )
        return results
    finally:
        spark.stop()
        shutil.rmtree(folder, ignore_errors=True)


def ours(frame: DataFrame, settings: Settings, rows: int) -> dict[int, float]:
    result = shared_sweep(canonical_layout(frame, rows), settings)
    return {c.k: c.cost or np.inf for c in result.candidates}


def plain(frame: DataFrame, solver: str) -> dict[int, float]:
    """Costs by k; the silhouettes are computed as the loop would, and not used."""
    costs = {}
    for k in KS:
        model = KMeans(k=k, seed=42, featuresCol=VECTOR, solver=solver).fit(frame)
        ClusteringEvaluator(featuresCol=VECTOR).evaluate(model.transform(frame))
        costs[k] = model.summary.trainingCost
    return costs


def in_memory(frame: DataFrame) -> dict[int, float]:
    points = frame.select(vector_to_array(F.col(VECTOR)).alias("x")).toArrow()["x"].combine_chunks()
    points = points.flatten().to_numpy().reshape(-1, DIMENSIONS)
    costs = {}
    for k in KS:
        fit = InMemory(k, n_init=10, random_state=42).fit(points)
        silhouette_score(points, fit.labels_, metric="sqeuclidean", sample_size=10_000, random_state=42)
        costs[k] = float(fit.inertia_)
    return costs
