"""What every algorithm returns."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.ml.clustering import BisectingKMeansModel, GaussianMixtureModel, KMeansModel

Model = KMeansModel | BisectingKMeansModel | GaussianMixtureModel


@dataclass(frozen=True)
class Fit:
    """A fitted model and its loss: comparable between restarts of one candidate, lower is better."""

    algorithm: str
    k: int
    seed: int
    model: Model
    loss: float
    restarts: int = 1
