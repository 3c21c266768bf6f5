"""Vectors → fitted MLlib models: one file and one function per algorithm, always seeded."""

from spark_seg.clustering.algorithms import ALGORITHMS, best_fit, distance_to_second
from spark_seg.clustering.bisecting import fit_bisecting
from spark_seg.clustering.fit import Fit, Model
from spark_seg.clustering.kmeans import fit_kmeans
from spark_seg.clustering.mixture import fit_mixture, mixture_parameters

__all__ = [
    "ALGORITHMS",
    "Fit",
    "Model",
    "best_fit",
    "distance_to_second",
    "fit_bisecting",
    "fit_kmeans",
    "fit_mixture",
    "mixture_parameters",
]
