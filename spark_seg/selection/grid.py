"""Fit every candidate on all customers, then measure all of them together."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

from pyspark import inheritable_thread_target
from pyspark.ml.clustering import GaussianMixtureModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.clustering import Fit, best_fit, mixture_parameters
from spark_seg.config import Settings
from spark_seg.preparation import VECTOR
from spark_seg.selection.candidate import Candidate
from spark_seg.selection.indices import Indices, measure, vector_size

#: The standard RFM grid, measured like a candidate, never chosen.
BASELINE = "rfm_grid"

#: (algorithm, k)
Pair = tuple[str, int]


@dataclass(frozen=True)
class Sweep:
    """Candidates with their figures, and the models of those that were fitted."""

    candidates: list[Candidate]
    fits: dict[Pair, Fit]


def sweep(
    frame: DataFrame,
    settings: Settings,
    baseline: tuple[str, int] | None = None,
    on_fit: Callable[[int, int], None] = lambda done, total: None,
) -> Sweep:
    """Fit and measure every algorithm × k.

    `frame`: `customer_id` and `vector`, in canonical layout and kept. `baseline`: a column of labels
    and how many there are, measured beside the candidates. `on_fit(done, total)` reports progress.
    """
    grid = settings.selection
    pairs: list[Pair] = [
        (a, k) for a in settings.clustering.algorithms for k in range(grid.k_min, grid.k_max + 1)
    ]
    arrays = frame.select(vector_to_array(F.col(VECTOR)))
    distinct = arrays.distinct().limit(grid.k_max).count()
    possible = [(a, k) for a, k in pairs if k <= distinct]
    done = 0

    @inheritable_thread_target(frame.sparkSession)
    def fit(pair: Pair) -> Fit:
        nonlocal done
        algorithm, k = pair
        result = best_fit(algorithm, frame, k, settings.seed, settings.clustering)
        done += 1
        on_fit(done, len(possible))
        return result

    with ThreadPoolExecutor(settings.clustering.parallel_fits) as pool:
        fits = dict(zip(possible, pool.map(fit, possible), strict=True))
    if not fits:
        return Sweep([_impossible(pair, distinct) for pair in pairs], {})
    figures = _measure(frame, fits, baseline, settings.clustering.distance)
    dimensions = vector_size(arrays)
    candidates = [
        _candidate(fits[pair], figures[pair], dimensions) if pair in fits else _impossible(pair, distinct)
        for pair in pairs
    ]
    if baseline is not None:
        grid_candidate = Candidate(BASELINE, baseline[1], reason="baseline")
        candidates.append(_with_figures(grid_candidate, figures[BASELINE, baseline[1]]))
    return Sweep(candidates, fits)


def _impossible(pair: Pair, distinct: int) -> Candidate:
    return Candidate(*pair, reason=f"only {distinct} distinct customers, fewer than k")


def _measure(
    frame: DataFrame, fits: dict[Pair, Fit], baseline: tuple[str, int] | None, distance: str
) -> dict[Pair, Indices]:
    labelled = frame
    columns: dict[Pair, str] = {}
    for i, (pair, fit) in enumerate(fits.items()):
        model = fit.model.copy()
        model.setPredictionCol(f"label_{i}")
        if isinstance(model, GaussianMixtureModel):
            model.setProbabilityCol(f"probability_{i}")
        labelled = model.transform(labelled)
        columns[pair] = f"label_{i}"
    if baseline is not None:
        columns[BASELINE, baseline[1]] = baseline[0]
    points = labelled.select(
        vector_to_array(F.col(VECTOR)).alias("point"),
        F.array(*(F.col(name).cast("int") for name in columns.values())).alias("labels"),
    )
    return dict(zip(columns, measure(points, [k for _, k in columns], distance), strict=True))


def _candidate(fit: Fit, figures: Indices, dimensions: int) -> Candidate:
    bic = None
    if fit.algorithm == "mixture":
        bic = mixture_parameters(fit.k, dimensions) * math.log(sum(figures.sizes)) + 2 * fit.loss
    candidate = Candidate(fit.algorithm, fit.k, seed=fit.seed, restarts=fit.restarts, bic=bic)
    return _with_figures(candidate, figures)


def _with_figures(candidate: Candidate, figures: Indices) -> Candidate:
    return replace(candidate, **asdict(figures))
