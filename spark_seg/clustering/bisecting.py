"""BisectingKMeans: divisive, each split a 2-means."""

from __future__ import annotations

from pyspark.ml.clustering import BisectingKMeans, BisectingKMeansModel
from pyspark.sql import DataFrame

from spark_seg.clustering.fit import Fit
from spark_seg.config import ClusteringSettings
from spark_seg.preparation import VECTOR


def fit_bisecting(frame: DataFrame, k: int, seed: int, settings: ClusteringSettings) -> Fit:
    """One fit on `frame` (column `vector`). The loss is the sum of (squared) distances to the centres."""
    model: BisectingKMeansModel = BisectingKMeans(
        k=k,
        seed=seed,
        featuresCol=VECTOR,
        predictionCol="cluster",
        distanceMeasure=settings.distance,
        maxIter=settings.max_iterations["bisecting"],
    ).fit(frame)
    return Fit("bisecting", k, seed, model, loss=float(model.summary.trainingCost))
