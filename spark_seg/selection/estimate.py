"""What a figure of the coreset says of all customers, and how far it may be off."""

from __future__ import annotations

import numpy as np

from spark_seg.kernels import Floats, Shape

#: Standard errors in an error bar: of normal figures 997 of 1000 lie within three.
_ERRORS = 3.0


def estimated_cost(points: Floats, weights: Floats, shape: Shape) -> tuple[float, float]:
    """Sum of squared distances of all customers to the means of their clusters, and its error bar.

    `points`, `weights`: a sample in which each customer stood with probability 1 / weight, independently
    (Poisson sampling). The sum over the sample is then unbiased for given means and has the variance
    Σ (w² - w) d⁴ (Horvitz and Thompson 1952). The means are the sample's own, which are nearer to it than
    those of all customers: what that saves on average, the variance of the means, is added.
    """
    labels = shape.labels(points)
    sizes = np.maximum(np.bincount(labels, weights, shape.k), 1e-300)
    means = np.array([np.bincount(labels, weights * column, shape.k) / sizes for column in points.T]).T
    apart = points - means[labels]
    squares = np.einsum("ij,ij->i", apart, apart)
    drawn = weights**2 - weights
    saved = float((np.bincount(labels, drawn * squares, shape.k) / sizes).sum())
    error = _ERRORS * float(np.sqrt((drawn * squares**2).sum()))
    return float(weights @ squares) + saved, error
