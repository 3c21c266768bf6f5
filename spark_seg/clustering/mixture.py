"""GaussianMixture: full covariances, fitted by expectation-maximisation."""

from __future__ import annotations

from pyspark.ml.clustering import GaussianMixture, GaussianMixtureModel
from pyspark.sql import DataFrame

from spark_seg.clustering.fit import Fit
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


def mixture_parameters(k: int, dimensions: int) -> int:
    """Free parameters of a mixture with full covariances: weights, means, covariances."""
    return (k - 1) + k * dimensions + k * dimensions * (dimensions + 1) // 2
