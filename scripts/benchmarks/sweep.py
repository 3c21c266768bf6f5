"""k = 2..10 compared on all customers: the shared sweep against one MLlib fit and evaluation for each k.

`plain`: KMeans, transform, ClusteringEvaluator per k, one fit each, nothing cached. `block`: the same
with cached vectors and the block solver. `sklearn`: all customers in memory, ten restarts, silhouette on
10,000. `cost`: the sum of squares at each k, the worst ratio over k. `three`: all three algorithms, against
their plain loops, on at most 50,000 customers. `chosen`: the k that is chosen, against mode exact on the
same 50,000 at most, for each kind of table. One warm session for all.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from comparison import ROOT, Comparison, against, part
from eventlog import logging, side_by_side
from pyspark.ml.clustering import BisectingKMeans, GaussianMixture, KMeans
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.cluster import KMeans as InMemory
from sklearn.metrics import silhouette_score
from synthetic import DIMENSIONS, TABLES, customers
from usage import both, measured

from spark_seg.config import Settings, load_settings
from spark_seg.preparation import VECTOR, canonical_layout
from spark_seg.selection import choose
from spark_seg.selection import sweep as shared_sweep
from spark_seg.session import start_session

KS = range(2, 11)


def sweep(rows: int = 1_000_000) -> list[Comparison]:
    settings = settings_of("clustering.algorithms=[kmeans]", "selection.resamples=0")
    folder = Path(tempfile.mkdtemp(prefix="spark_seg_bench_"))
    log = folder / "log"
    log.mkdir()
    conf = settings.session.conf | logging(log)
    spark = start_session(settings.session.model_copy(update={"conf": conf}))
    taken = {}
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
            taken[name] = other
            frame.unpersist()
            results += both(f"sweep/{name}", used, other)
            worst = max(KS, key=lambda k: costs[k] / theirs[k])
            results.append(
                against(f"sweep/{name}/cost_k{worst}", costs[worst], theirs[worst], "sum of squares")
            )
        results += three(spark, min(rows, 50_000)) + chosen(spark, min(rows, 50_000))
        spark.stop()
        return results + side_by_side("sweep/plain", log, used, taken["plain"])
    finally:
        spark.stop()
        shutil.rmtree(folder, ignore_errors=True)


def settings_of(*overrides: str) -> Settings:
    configs = [ROOT / "conf/demo.yaml", ROOT / "conf/local.yaml"]
    return load_settings(configs, ["selection.k_max=10", *overrides])


def three(spark: SparkSession, rows: int) -> list[Comparison]:
    frame = customers(spark, rows).persist()
    frame.count()
    _, used = measured(lambda: ours(frame, settings_of("selection.resamples=0"), rows))
    _, other = measured(lambda: [plain(frame, kind) for kind in ("row", "bisecting", "mixture")])
    frame.unpersist()
    return both("sweep/three", used, other)


def chosen(spark: SparkSession, rows: int) -> list[Comparison]:
    """k by k-means, without rules of business: what the index itself says."""
    free = (
        "clustering.algorithms=[kmeans]",
        "clustering.restarts={kmeans: 3}",
        "selection.resamples=0",
        "selection.rules={min_segments: 3, max_segment_share: 1.0}",
    )
    results = []
    for name, table in TABLES.items():
        frame = table(spark, rows).persist()
        ks: list[int] = []
        for mode in ("coreset", "exact"):
            settings = settings_of(*free, f"selection.mode={mode}")
            swept = shared_sweep(canonical_layout(frame, rows), settings)
            decided = choose(swept.candidates, settings.selection, structured=swept.structured)
            ks += [c.k for c in decided if c.chosen]
        frame.unpersist()
        results.append(against(f"sweep/chosen/{name}", ks[0], ks[1], "k"))
    return results


def ours(frame: DataFrame, settings: Settings, rows: int) -> dict[int, float]:
    result = shared_sweep(canonical_layout(frame, rows), settings)
    return {c.k: c.cost or np.inf for c in result.candidates}


def plain(frame: DataFrame, kind: str) -> dict[int, float]:
    """Costs by k, of k-means; the silhouettes are computed as the loop would, and not used."""
    costs = {}
    for k in KS:
        if kind == "bisecting":
            labelled = BisectingKMeans(k=k, seed=42, featuresCol=VECTOR).fit(frame).transform(frame)
        elif kind == "mixture":
            labelled = GaussianMixture(k=k, seed=42, featuresCol=VECTOR).fit(frame).transform(frame)
        else:
            model = KMeans(k=k, seed=42, featuresCol=VECTOR, solver=kind).fit(frame)
            labelled, costs[k] = model.transform(frame), model.summary.trainingCost
        ClusteringEvaluator(featuresCol=VECTOR).evaluate(labelled)
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
