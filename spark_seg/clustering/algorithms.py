"""The table of algorithms, and restarts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from pyspark.sql import DataFrame

from spark_seg.clustering.bisecting import fit_bisecting
from spark_seg.clustering.fit import Fit
from spark_seg.clustering.kmeans import fit_kmeans
from spark_seg.clustering.mixture import fit_mixture
from spark_seg.config import ClusteringSettings

ALGORITHMS: dict[str, Callable[[DataFrame, int, int, ClusteringSettings], Fit]] = {
    "kmeans": fit_kmeans,
    "bisecting": fit_bisecting,
    "mixture": fit_mixture,
}


def best_fit(algorithm: str, frame: DataFrame, k: int, seed: int, settings: ClusteringSettings) -> Fit:
    """The cheapest of several restarts with the seeds `seed`, `seed + 1`, …; ties go to the first.

    `frame` must be in canonical layout, or the same seed gives another model tomorrow.
    """
    restarts = settings.restarts.get(algorithm, 1)  # type: ignore[call-overload]
    fits = [ALGORITHMS[algorithm](frame, k, seed + i, settings) for i in range(restarts)]
    best = min(fits, key=lambda fit: fit.loss if math.isfinite(fit.loss) else math.inf)
    return replace(best, restarts=restarts)
