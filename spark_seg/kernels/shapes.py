"""Clusterings as plain numbers: what a block of customers needs to be labelled or to improve them.

A shape labels points, adds up figures of points (in any order, in any number of parts), and gives the
next, better shape from the sums. So one pass over the customers serves any number of shapes at once,
and the very same code fits a sample on the driver.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Rows that are looked at together: what is computed of them stays in a core's cache.
_ROWS = 2048
#: MLlib adds this to the density of each component; a point far from all of them is in none.
_MLLIB_EPSILON = float(np.finfo(float).eps)
#: Least variance of a component, as a share of the mean variance of the data: without it the likelihood
#: of a component that shrinks to a plane is infinite.
_VARIANCE_FLOOR = 1e-6


@dataclass(frozen=True)
class Rows:
    """Weighted points in the geometry of the shapes that look at them (`in_geometry`), and what these
    need of them: computed once, however many shapes and iterations there are."""

    points: Floats
    weights: Floats

    @cached_property
    def parts(self) -> tuple[Rows, ...]:
        """The same rows, as many together as stay in a core's cache."""
        if len(self.points) <= _ROWS:
            return (self,)
        pieces = (slice(start, start + _ROWS) for start in range(0, len(self.points), _ROWS))
        return tuple(Rows(self.points[piece], self.weights[piece]) for piece in pieces)

    @cached_property
    def weighted(self) -> Floats:
        """(1 + features) × rows: the weight, then each coordinate times it."""
        return np.vstack([self.weights, self.points.T * self.weights])

    @cached_property
    def squares(self) -> Floats:
        """Squared length of each row."""
        return np.asarray(np.einsum("ij,ij->i", self.points, self.points))

    def expanded(self, origin: Floats) -> Floats:
        """Rows × (1, x, products of x), x around `origin`."""
        found = self._expanded.get(origin.tobytes())
        if found is None:
            found = self._expanded[origin.tobytes()] = expanded(self.points, origin)
        return found

    @cached_property
    def _expanded(self) -> dict[bytes, Floats]:
        return {}


class Shape(Protocol):
    """What kmeans, bisecting and mixture have in common."""

    @property
    def k(self) -> int:
        """Clusters."""

    def labels(self, points: Floats) -> Ints:
        """Cluster of each row, from 0."""

    def figures(self, rows: Rows) -> Floats:
        """Figures that add up over rows; the first is the loss (lower is better)."""

    def improved(self, figures: Floats) -> Shape:
        """The next shape from the summed figures of all rows."""


def directions(points: Floats) -> Floats:
    """Rows of length 1: on them squared Euclidean distance is twice the cosine distance."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def in_geometry(points: Floats, unit: bool) -> Floats:
    """`points` as they are clustered: as directions when `unit`."""
    return directions(points) if unit else points


def nearest(distances: Floats) -> tuple[Ints, Floats]:
    """Place and value of the smallest of each column (ties: the first), for few rows and many columns.

    A row at a time: numpy's argmin along the short axis is several times slower.
    """
    own, least = np.zeros(distances.shape[1], dtype=np.int64), distances[0].copy()
    for place, row in enumerate(distances[1:], start=1):
        own[row < least] = place
        np.minimum(least, row, out=least)
    return own, least


def sums_by_place(values: Floats, places: Ints, n: int) -> Floats:
    """Values × rows → values × places: each value summed over the rows at each of n places."""
    inside = np.asarray(np.arange(n)[:, None] == places, dtype=np.float64)
    return np.asarray(values @ inside.T)


def expanded(points: Floats, origin: Floats) -> Floats:
    """Rows × (1, x, products of x), x around `origin`: what a Gaussian sees of a point."""
    x = points - origin
    first, second = np.triu_indices(x.shape[1])
    return np.hstack([np.ones((len(x), 1)), x, x[:, first] * x[:, second]])


def _smallest(distances: Floats) -> tuple[Floats, Floats]:
    """1 where the smallest of each column stands (ties: the first) and 0 elsewhere; and its value."""
    least = distances.min(axis=0)
    here = distances == least
    if np.count_nonzero(here) > len(least):
        here &= np.cumsum(here, axis=0) == 1
    return here.astype(np.float64), least


def _means(sizes: Floats, sums: Floats, otherwise: Floats, unit: bool) -> Floats:
    """Mean of each place; `otherwise` where it has no rows. Of length 1 when `unit`."""
    means = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1e-300)[:, None], otherwise)
    return in_geometry(means, unit)


@dataclass(frozen=True)
class Centres:
    """KMeans: the nearest centre. `unit`: centres have length 1, and points are brought to it."""

    centres: Floats
    unit: bool = False

    @property
    def k(self) -> int:
        """Clusters."""
        return len(self.centres)

    def distances(self, points: Floats) -> Floats:
        """Centres × rows: squared distance, up to ‖x‖²."""
        return np.asarray((self.centres**2).sum(axis=1)[:, None] + (-2 * self.centres) @ points.T)

    def labels(self, points: Floats) -> Ints:
        """The nearest centre; ties go to the first."""
        return nearest(self.distances(in_geometry(points, self.unit)))[0]

    def figures(self, rows: Rows) -> Floats:
        """Cost, then per cluster its weight, then its sum of points."""
        result = np.zeros(1 + self.k * (1 + self.centres.shape[1]))
        for part in rows.parts:
            own, least = _smallest(self.distances(part.points))
            result[0] += (least + part.squares) @ part.weights
            result[1:] += (part.weighted @ own.T).ravel()
        return result

    def improved(self, figures: Floats) -> Centres:
        """Centres at the means; a cluster without points stays where it is."""
        sizes, sums = figures[1 : 1 + self.k], figures[1 + self.k :].reshape(-1, self.k).T
        return replace(self, centres=_means(sizes, sums, self.centres, self.unit))


@dataclass(frozen=True)
class Tree:
    """BisectingKMeans: from the root to the nearer child, down to a leaf.

    `centres`: one row for each node, the root first. `children`: (left, right), or (-1, -1) for a leaf.
    `splits`: the inner nodes in the order in which they were split, so that the first k - 1 of them are
    the tree with k leaves. `leaves` of the cut that is meant; the whole tree unless cut.
    """

    centres: Floats
    children: Ints
    splits: tuple[int, ...]
    k: int
    unit: bool = False

    def cut(self, k: int) -> Tree:
        """The tree with k leaves (fewer when it does not have so many)."""
        return replace(self, k=min(k, len(self.splits) + 1))

    @property
    def inner(self) -> tuple[int, ...]:
        """Nodes that are split in this cut."""
        return self.splits[: self.k - 1]

    @cached_property
    def leaves(self) -> tuple[int, ...]:
        """Leaves of this cut from left to right: a leaf's place is its label, as in MLlib."""
        inner, result, stack = set(self.inner), [], [0]
        while stack:
            node = stack.pop()
            if node in inner:
                stack += [int(self.children[node, 1]), int(self.children[node, 0])]
            else:
                result.append(node)
        return tuple(result)

    def nodes_of(self, points: Floats) -> Ints:
        """Leaf node of each row."""
        points = in_geometry(points, self.unit)
        at = np.zeros(len(points), dtype=np.int64)
        for node in self.inner:
            here = np.flatnonzero(at == node)
            pair = self.children[node]
            at[here] = pair[Centres(self.centres[pair]).labels(points[here])]
        return at

    def labels(self, points: Floats) -> Ints:
        """Place of each row's leaf, from left to right."""
        places = np.zeros(len(self.centres), dtype=np.int64)
        places[list(self.leaves)] = np.arange(len(self.leaves))
        return places[self.nodes_of(points)]

    def figures(self, rows: Rows) -> Floats:
        """Cost of the leaves, then per node the weight and the sum of points of the leaf's rows."""
        nodes, dimensions = self.centres.shape
        result = np.zeros(1 + nodes * (1 + dimensions))
        for part in rows.parts:
            at = self.nodes_of(part.points)
            apart = part.points - self.centres[at]
            result[0] += np.einsum("ij,ij->i", apart, apart) @ part.weights
            result[1:] += sums_by_place(part.weighted, at, nodes).ravel()
        return result

    def improved(self, figures: Floats) -> Tree:
        """Every node at the mean of the rows below it; a node without rows stays where it is."""
        nodes = len(self.centres)
        sizes, sums = figures[1 : 1 + nodes].copy(), figures[1 + nodes :].reshape(-1, nodes).T.copy()
        for node in reversed(self.inner):
            sizes[node] = sizes[self.children[node]].sum()
            sums[node] = sums[self.children[node]].sum(axis=0)
        return replace(self, centres=_means(sizes, sums, self.centres, self.unit))


@dataclass(frozen=True)
class Gaussians:
    """GaussianMixture with full covariances.

    Points are expanded to (1, x, xxᵀ) around `origin`: both steps of EM are then one matrix product.
    `floor`: the least variance, in units of the data.
    """

    weights: Floats
    means: Floats
    covariances: Floats
    origin: Floats
    floor: float

    @property
    def k(self) -> int:
        """Components."""
        return len(self.weights)

    @property
    def collapsed(self) -> int:
        """Components whose covariance is singular, but for the floor."""
        smallest = np.linalg.eigvalsh(self.covariances)[:, 0]
        return int((smallest < 4 * self.floor).sum())

    @cached_property
    def _coefficients(self) -> Floats:
        """Log of weight times density as a linear form of the expanded point, one row per component."""
        d = len(self.origin)
        first, second = np.triu_indices(d)
        precisions = np.linalg.inv(self.covariances)
        means = self.means - self.origin
        linear = np.einsum("kij,kj->ki", precisions, means)
        determinants = np.linalg.slogdet(self.covariances)[1]
        with np.errstate(divide="ignore"):
            constant = np.log(self.weights) - 0.5 * (
                d * np.log(2 * np.pi) + determinants + np.einsum("ki,ki->k", linear, means)
            )
        quadratic = -precisions[:, first, second] * np.where(first == second, 0.5, 1.0)
        return np.hstack([constant[:, None], linear, quadratic])

    def _logs(self, expanded_points: Floats) -> Floats:
        """Components × rows: numpy goes along the long axis several times faster."""
        return np.asarray(self._coefficients @ expanded_points.T)

    def log_densities(self, points: Floats) -> Floats:
        """Log of weight times density, one column per component."""
        return self._logs(expanded(points, self.origin)).T

    def labels(self, points: Floats) -> Ints:
        """The most probable component, as MLlib finds it."""
        return self.likeliest(expanded(points, self.origin))

    def likeliest(self, expanded_points: Floats) -> Ints:
        """`labels` of points that are expanded around the origin already."""
        return nearest(-(np.exp(self._logs(expanded_points)) + _MLLIB_EPSILON))[0]

    def posteriors(self, rows: Rows) -> tuple[Floats, Floats]:
        """Components × rows: the probability of each component; and the log of the density of each row."""
        logs = self._logs(rows.expanded(self.origin))
        most = logs.max(axis=0)
        shares = np.exp(logs - most)
        total = shares.sum(axis=0)
        return shares / total, np.log(total) + most

    def figures(self, rows: Rows) -> Floats:
        """Negative log-likelihood, then per component the weighted sums of the expanded points."""
        result = np.zeros(1 + self._coefficients.size)
        for part in rows.parts:
            shares, logs = self.posteriors(part)
            result[0] -= logs @ part.weights
            result[1:] += ((shares * part.weights) @ part.expanded(self.origin)).ravel()
        return result

    def improved(self, figures: Floats) -> Gaussians:
        """The M-step. A component that has lost its points keeps its place, without weight."""
        d = len(self.origin)
        sums = figures[1:].reshape(self.k, -1)
        sizes = sums[:, 0]
        filled = sizes > 1e-9 * sizes.sum()
        safe = np.where(filled, sizes, 1.0)[:, None]
        centred = sums[:, 1 : 1 + d] / safe
        first, second = np.triu_indices(d)
        covariances = np.empty((self.k, d, d))
        covariances[:, first, second] = covariances[:, second, first] = sums[:, 1 + d :] / safe
        covariances -= np.einsum("ki,kj->kij", centred, centred)
        covariances += self.floor * np.eye(d)
        return replace(
            self,
            weights=np.where(filled, sizes, 0.0) / sizes[filled].sum(),
            means=np.where(filled[:, None], centred + self.origin, self.means),
            covariances=np.where(filled[:, None, None], covariances, self.covariances),
        )

    @classmethod
    def given(cls, weights: Floats, means: Floats, covariances: Floats) -> Gaussians:
        """The components that somebody else has fitted."""
        origin = weights @ means
        apart = means - origin
        variance = weights @ (np.einsum("kii->k", covariances) + np.einsum("ki,ki->k", apart, apart))
        floor = _VARIANCE_FLOOR * max(float(variance) / len(origin), 1e-12)
        return cls(weights, means, covariances + floor * np.eye(len(origin)), origin, floor)

    @classmethod
    def of(cls, points: Floats, weights: Floats, labels: Ints, k: int) -> Gaussians:
        """The components of a hard clustering."""
        total = weights.sum()
        origin = weights @ points / total
        variance = float(weights @ ((points - origin) ** 2).sum(axis=1) / total / points.shape[1])
        d = points.shape[1]
        empty = cls(
            np.full(k, 1 / k),
            np.tile(origin, (k, 1)),
            np.tile(np.eye(d) * max(variance, 1e-12), (k, 1, 1)),
            origin,
            _VARIANCE_FLOOR * max(variance, 1e-12),
        )
        share = np.zeros((len(points), k))
        share[np.arange(len(points)), labels] = weights
        return empty.improved(np.concatenate([[0.0], (share.T @ expanded(points, origin)).ravel()]))
