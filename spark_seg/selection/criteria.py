"""BIC (Schwarz 1978) and AIC (Akaike 1974): fit against parameters, comparable between algorithms.

A mixture has its own likelihood. KMeans and BisectingKMeans have that of the model they are the hard case
of: round Gaussians of one variance, each customer in one of them (Celeux and Govaert 1992; so X-means
compares its splits, Pelleg and Moore 2000).
"""

from __future__ import annotations

import math
from dataclasses import replace

from spark_seg.clustering import mixture_parameters
from spark_seg.selection.candidate import Candidate


def with_criteria(c: Candidate, dimensions: int, loss: float | None = None) -> Candidate:
    """`c`, measured, with `bic` and `aic`. `loss`: negative log-likelihood of a mixture."""
    if loss is not None:
        return _with(c, mixture_parameters(c.k, dimensions), loss)
    if not c.cost:
        return c
    values = c.customers * dimensions
    spread = 0.5 * values * (math.log(2 * math.pi * c.cost / values) + 1)
    shares = sum(n * math.log(n / c.customers) for n in c.sizes)
    # Shares but one, centres, and the one variance.
    return _with(c, c.k - 1 + c.k * dimensions + 1, spread - shares)


def _with(c: Candidate, parameters: int, loss: float) -> Candidate:
    return replace(c, bic=parameters * math.log(c.customers) + 2 * loss, aic=2 * parameters + 2 * loss)
