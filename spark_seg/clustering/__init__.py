"""Vectors → fitted models: MLlib on all customers, or numbers on a sample that become an MLlib model."""

from spark_seg.clustering.algorithms import ALGORITHMS, best_fit
from spark_seg.clustering.bisecting import fit_bisecting
from spark_seg.clustering.fit import Fit, Model
from spark_seg.clustering.kmeans import fit_kmeans
from spark_seg.clustering.mixture import fit_mixture, mixture_parameters, prime_lapack
from spark_seg.clustering.mllib import gaussians_of, mllib_model, shape_of
from spark_seg.clustering.scoring import SCORES, distance_of, score

__all__ = [
    "ALGORITHMS",
    "SCORES",
    "Fit",
    "Model",
    "best_fit",
    "distance_of",
    "fit_bisecting",
    "fit_kmeans",
    "fit_mixture",
    "gaussians_of",
    "mixture_parameters",
    "mllib_model",
    "prime_lapack",
    "score",
    "shape_of",
]
