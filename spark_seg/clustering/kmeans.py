"""KMeans (k-means|| start, Lloyd iterations)."""

from __future__ import annotations

from pyspark.ml.clustering import KMeans, KMeansModel
from pyspark.sql import DataFrame

from spark_seg.clustering.fit import Fit
from spark_seg.config import ClusteringSettings
from spark_seg.preparation import VECTOR


def fit_kmeans(frame: DataFrame, k: int, seed: int, settings: ClusteringSettings) -> Fit:
    """One fit on `frame` (column `vector`). The loss is the sum of (squared) distances to the centres."""
    model: KMeansModel = KMeans(
        k=k,
        seed=seed,
        featuresCol=VECTOR,
        predictionCol="cluster",
        distanceMeasure=settings.distance,
        maxIter=settings.max_iterations["kmeans"],
        tol=1e-6,
    ).fit(frame)
    return Fit("kmeans", k, seed, model, loss=float(model.summary.trainingCost))
