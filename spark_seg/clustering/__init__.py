"""Vectors → fitted models: MLlib on all customers, or numbers on a sample that become an MLlib model."""

from spark_seg.clustering.algorithms import ALGORITHMS, best_fit
from spark_seg.clustering.bisecting import fit_bisecting
from spark_seg.clustering.fit import Fit, Model
from spark_seg.clustering.kmeans import fit_kmeans
from spark_seg.clustering.mixture import fit_mixture, mixture_parameters
from spark_seg.clustering.mllib import mllib_model
from spark_seg.clustering.scoring import SCORES, distance_of, score
from spark_seg.clustering.screen import (
    best_of_restarts,
    screen_bisecting,
    screen_kmeans,
    screen_mixture,
)
from spark_seg.clustering.shapes import (
    Centres,
    Floats,
    Gaussians,
    Ints,
    Shape,
    Tree,
    directions,
    in_geometry,
    sums_by_place,
)

__all__ = [
    "ALGORITHMS",
    "SCORES",
    "Centres",
    "Fit",
    "Floats",
    "Gaussians",
    "Ints",
    "Model",
    "Shape",
    "Tree",
    "best_fit",
    "best_of_restarts",
    "directions",
    "distance_of",
    "fit_bisecting",
    "fit_kmeans",
    "fit_mixture",
    "in_geometry",
    "mixture_parameters",
    "mllib_model",
    "score",
    "screen_bisecting",
    "screen_kmeans",
    "screen_mixture",
    "sums_by_place",
]
