"""What every algorithm returns."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.ml.clustering import BisectingKMeansModel, GaussianMixtureModel, KMeansModel

from spark_seg.kernels import Centres, Gaussians, Tree

Model = KMeansModel | BisectingKMeansModel | GaussianMixtureModel
#: The numbers of a model, for arithmetic without MLlib.
Numbers = Centres | Tree | Gaussians


@dataclass(frozen=True)
class Fit:
    """A fitted model and its loss: comparable between restarts of one candidate, lower is better."""

    algorithm: str
    k: int
    seed: int
    model: Model
    loss: float
    restarts: int = 1
