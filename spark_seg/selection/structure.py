"""Are there groups at all? The customers against data of the same spread that have none.

The gap statistic of Tibshirani, Walther and Hastie (2001), made stricter: how much of the cost k
clusters take away is compared with what they take away from reference data, for two kinds of reference:
`box`, uniform in the box along the principal components (theirs), and `normal`, one Gaussian with the
same covariance (as SigClust by Liu et al. 2008). The margin is how much more of the cost the customers lose
than the luckiest reference of either kind, at the k where that is most: exp(-margin) is the ratio of
the costs. Tables without groups (uniform, normal, exponential, counts) stay below 0.07 and mostly below
zero; planted groups that overlap begin at 0.1, those that stand apart are above 0.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spark_seg.kernels import Floats, screen_kmeans

#: Margins from which groups count as faint, and as clear.
FAINT, CLEAR = 0.03, 0.1
#: Customers that are looked at: enough to see groups, few enough for many references.
_CUSTOMERS = 1_000
_REFERENCES = 12
_RESTARTS = 2
_ITERATIONS = 30


@dataclass(frozen=True)
class Structure:
    """The verdict. `margin`: see above; `k`: where it is largest."""

    margin: float
    k: int

    @property
    def found(self) -> bool:
        """More than references without groups show."""
        return self.margin >= FAINT

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        saved = f"{1 - math.exp(-abs(self.margin)):.0%}"
        if self.margin >= CLEAR:
            return f"clear groups: at k={self.k} {saved} less cost than the best of data without groups"
        if self.found:
            return (
                f"faint groups: at k={self.k} only {saved} less cost than the best of data without groups; "
                "the segments divide a continuum"
            )
        return "no groups beyond chance: data without groups are divided as well"


def find_structure(points: Floats, weights: Floats, ks: Sequence[int], seed: int) -> Structure | None:
    """Judge a weighted sample (rows × features) by k-means over the given numbers of clusters.

    None when there are fewer than three customers.
    """
    rng = np.random.default_rng([seed, 2001])
    if len(points) > _CUSTOMERS:
        # Drawn by weight, with replacement: a plain sample of the customers the coreset stands for.
        points = points[rng.choice(len(points), _CUSTOMERS, p=weights / weights.sum())]
    ks = [k for k in ks if k < len(points)]
    if not ks:
        return None
    own = _gains(points, ks, seed)
    references = [_gains(make(points, rng), ks, seed) for make in (_box, _normal) for _ in range(_REFERENCES)]
    margins = own - np.max(references, axis=0)
    best = int(np.argmax(margins))
    return Structure(float(margins[best]), ks[best])


def _gains(points: Floats, ks: Sequence[int], seed: int) -> Floats:
    """Per k the log of the cost of one cluster over that of k."""
    ones = np.ones(len(points))
    whole = float(((points - points.mean(axis=0)) ** 2).sum())
    costs = [
        min(screen_kmeans(points, ones, k, seed + i, _ITERATIONS, False)[1] for i in range(_RESTARTS))
        for k in ks
    ]
    gains: Floats = np.log(np.maximum(whole, 1e-300) / np.maximum(costs, 1e-12 * whole + 1e-300))
    return gains


def _box(points: Floats, rng: np.random.Generator) -> Floats:
    mean = points.mean(axis=0)
    axes = np.linalg.svd(points - mean, full_matrices=False)[2]
    turned = (points - mean) @ axes.T
    drawn = rng.uniform(turned.min(axis=0), turned.max(axis=0), size=turned.shape)
    return np.asarray(drawn @ axes + mean)


def _normal(points: Floats, rng: np.random.Generator) -> Floats:
    covariance = np.atleast_2d(np.cov(points.T))
    return rng.multivariate_normal(points.mean(axis=0), covariance, len(points), method="eigh")
