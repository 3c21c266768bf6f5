"""GaussianMixture: full covariances, fitted by expectation-maximisation."""

from __future__ import annotations

import numpy as np
from pyspark.ml.clustering import GaussianMixture, GaussianMixtureModel
from pyspark.sql import DataFrame, SparkSession

from spark_seg.clustering.fit import Fit
from spark_seg.clustering.mllib import rows_of
from spark_seg.config import ClusteringSettings
from spark_seg.kernels import GAIN_PER_CUSTOMER
from spark_seg.preparation import VECTOR


def fit_mixture(frame: DataFrame, k: int, seed: int, settings: ClusteringSettings) -> Fit:
    """One fit on `frame` (column `vector`). The loss is the negative log-likelihood of the last step."""
    model: GaussianMixtureModel = GaussianMixture(
        k=k,
        seed=seed,
        featuresCol=VECTOR,
        predictionCol="cluster",
        probabilityCol="probability",
        maxIter=settings.max_iterations["mixture"],
        tol=GAIN_PER_CUSTOMER * frame.count(),
    ).fit(frame)
    return Fit("mixture", k, seed, model, loss=-float(model.summary.logLikelihood))


def prime_lapack(spark: SparkSession) -> None:
    """Fit a small mixture in a single task, before several tasks need at once what it needs.

    Spark's LAPACK in plain Java looks for the machine's constants when it is first called, and keeps them
    in static fields without a lock (`org.netlib.lapack.Dlamch`): of two first calls at the same time one
    may end in a loop for ever, in about one JVM of a hundred. This spares the JVM it runs in, all of local
    mode or one executor. A native LAPACK (`liblapack.so.3`) has no such fault.
    """
    places = np.arange(20.0)
    points = np.column_stack([places, places**2])
    GaussianMixture(k=2, seed=0, featuresCol=VECTOR, maxIter=1).fit(rows_of(spark, points))


def mixture_parameters(k: int, dimensions: int) -> int:
    """Free parameters of a mixture with full covariances: weights, means, covariances."""
    return (k - 1) + k * dimensions + k * dimensions * (dimensions + 1) // 2
