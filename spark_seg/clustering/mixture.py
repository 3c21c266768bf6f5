"""GaussianMixture: full covariances, fitted by expectation-maximisation."""

from __future__ import annotations

from pyspark.ml.clustering import GaussianMixture, GaussianMixtureModel
from pyspark.sql import DataFrame

from spark_seg.clustering.fit import Fit
from spark_seg.config import ClusteringSettings
from spark_seg.preparation import VECTOR

#: EM stops when the log-likelihood gains less than this per customer, as scikit-learn's does. MLlib's
#: own limit is on the sum: the same number would mean sooner on few customers and never on many.
GAIN_PER_CUSTOMER = 1e-3


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
