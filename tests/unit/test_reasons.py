"""Reasons of customers, against formulas written out and against trying everything."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from spark_seg.kernels import (
    Centres,
    Changes,
    Clusters,
    Floats,
    Gaussians,
    Ints,
    Shape,
    Tree,
    Units,
    directions,
    gains,
    importances,
    pulls,
    screen_bisecting,
    screen_kmeans,
    screen_mixture,
    silhouettes,
    smallest_change,
)

pytestmark = pytest.mark.filterwarnings("error")

KINDS = ("euclidean", "cosine", "tree", "cosine tree", "cut", "mixture", "narrow mixture")
N, K = 60, 4


@dataclass(frozen=True)
class Case:
    """Customers, their preparation and a shape fitted to them."""

    shape: Shape
    units: Units
    raw: Floats

    @property
    def points(self) -> Floats:
        return self.units.points(self.raw)

    @property
    def own(self) -> Ints:
        return self.shape.labels(self.points)

    @property
    def least(self) -> Floats:
        return np.asarray(np.nanmin(self.raw, axis=0))

    @property
    def most(self) -> Floats:
        return np.asarray(np.nanmax(self.raw, axis=0))

    def changes(self) -> Changes:
        return smallest_change(self.shape, self.units, self.raw, self.own, self.least, self.most)


def prepared_by(rng: np.random.Generator, raw: Floats, pca: bool) -> Units:
    """A preparation with some of everything: features 0 and 1 are whole, 1 and 2 logged, 1 and 3 capped."""
    features = raw.shape[1]
    low, high = np.full(features, -np.inf), np.full(features, np.inf)
    for feature in (1, 3):
        low[feature], high[feature] = np.nanquantile(raw[:, feature], [0.05, 0.9])
    fill = np.nanmedian(raw, axis=0)
    # Someone without a value can be outside of what was seen.
    fill[0] = np.nanmax(raw[:, 0]) + rng.integers(0, 3)
    flags = np.arange(features)
    zeros, ones = np.zeros(features), np.ones(features)
    names = tuple(f"f{i}" for i in flags)
    units = Units(
        names,
        fill,
        low,
        high,
        (flags == 1) | (flags == 2),
        zeros,
        zeros,
        ones,
        np.where(flags < 2, 0.0, np.inf),
    )
    units = replace(units, origin=units.prepared(raw).min(axis=0) - 0.5)
    prepared = units.prepared(raw)
    units = replace(units, shift=rng.choice([0.0, 0.1], features), scale=1 / prepared.std(axis=0))
    if not pca:
        return units
    _, vectors = np.linalg.eigh(np.cov(units.points(raw).T))
    return replace(units, components=vectors[:, ::-1][:, : features - 1])


def fitted(kind: str, points: Floats, seed: int) -> Shape:
    if kind == "narrow mixture":
        return narrow(points, seed)
    unit, weights = kind.startswith("cosine"), np.ones(len(points))
    points = directions(points) if unit else points
    if kind.endswith("tree"):
        return screen_bisecting(points, weights, K, seed, 1, 30, unit)
    if kind == "cut":
        return screen_bisecting(points, weights, 6, seed, 1, 30, unit).cut(K)
    centres = screen_kmeans(points, weights, K, seed, 30, unit)[0]
    return screen_mixture(points, weights, centres, 30)[0] if kind == "mixture" else centres


def narrow(points: Floats, seed: int) -> Gaussians:
    """Small components inside of a large one: along a line a customer is in and out of them."""
    rng = np.random.default_rng(seed)
    d = points.shape[1]
    spreads = np.array([9.0, 0.05, 0.02, 0.1])
    turns = np.linalg.qr(rng.normal(size=(K, d, d)))[0]
    covariances = (
        turns @ (spreads[:, None, None] * np.diag(rng.uniform(0.2, 3, d))) @ turns.transpose(0, 2, 1)
    )
    return Gaussians.given(np.array([0.4, 0.2, 0.2, 0.2]), points[rng.choice(len(points), K)], covariances)


def made(kind: str, pca: bool, seed: int) -> Case:
    rng = np.random.default_rng([seed, pca])
    raw = np.exp(rng.normal(size=(N, 4)) * 0.7 + rng.integers(0, 3, size=(N, 1)) * rng.uniform(0, 1, 4))
    raw[:, :2] = np.floor(4 * raw[:, :2])
    raw[:, 2] *= rng.choice([-1, 1, 1], N)
    raw[rng.random(raw.shape) < 0.06] = np.nan
    units = prepared_by(rng, raw, pca)
    return Case(fitted(kind, units.points(raw), seed), units, raw)


def applied(case: Case, changes: Changes) -> tuple[Ints, Floats]:
    """Rows that have a change, and their raw values after it."""
    rows = np.flatnonzero(changes.feature >= 0)
    raw = case.raw[rows].copy()
    raw[np.arange(len(rows)), changes.feature[rows]] = changes.value[rows]
    return rows, raw


def tried(case: Case, steps: int = 300) -> Floats:
    """Size of the smallest change found by trying values all over the range; infinite where none is."""
    sizes = np.full(len(case.raw), np.inf)
    prepared = case.units.prepared(case.raw)
    for feature in range(case.raw.shape[1]):
        least, most = case.least[feature], case.most[feature]
        if case.units.places[feature] == 0:
            values = np.arange(least, most + 1)
        else:
            values = np.array([float(f"{x:.3e}") for x in np.linspace(least, most, steps)])
            values = np.append(values[(values >= least) & (values <= most)], [least, most])
        changed = np.repeat(case.raw, len(values), axis=0)
        changed[:, feature] = np.tile(values, len(case.raw))
        left = case.shape.labels(case.units.points(changed)).reshape(len(case.raw), -1) != case.own[:, None]
        apart = np.abs(case.units.prepared(changed)[:, feature].reshape(left.shape) - prepared[:, [feature]])
        apart *= np.linalg.norm(case.units.direction(feature))
        sizes = np.minimum(sizes, np.where(left, apart, np.inf).min(axis=1))
    return sizes


def check(case: Case) -> None:
    """Every change of the case does what it says, and trying finds no smaller one."""
    changes = case.changes()
    rows, raw = applied(case, changes)
    assert len(rows) > N / 4
    after = case.shape.labels(case.units.points(raw))
    assert (after != case.own[rows]).all()
    assert (after == changes.cluster[rows]).all()
    moved = np.linalg.norm(case.units.points(raw) - case.points[rows], axis=1)
    np.testing.assert_allclose(changes.size[rows], moved, rtol=1e-9)
    found = np.where(changes.feature >= 0, changes.size, np.inf)
    assert (found <= tried(case) * (1 + 1e-6)).all()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("pca", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_change_is_right_and_no_smaller_one_is_found(kind: str, pca: bool, seed: int) -> None:
    check(made(kind, pca, seed))


@pytest.mark.parametrize(("pca", "seed"), [(True, 46), (False, 48), (False, 51)])
def test_the_smallest_change_of_customers_far_from_all_components(pca: bool, seed: int) -> None:
    case = made("mixture", pca, seed)
    rng = np.random.default_rng(seed)
    far = rng.random((N, 4)) < np.where(np.arange(N) < N / 2, 0.5, 0.0)[:, None]
    larger = np.round(case.raw * rng.integers(3, 9, size=(N, 1)), 1)
    case = replace(case, raw=np.where(far, larger, case.raw))
    assert isinstance(case.shape, Gaussians)
    assert (case.shape.log_densities(case.points).max(axis=1) < np.log(2.0**-105)).any()
    check(case)


@pytest.mark.parametrize("pca", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_change_is_a_number_that_people_say_and_one_step_less_is_too_little(kind: str, pca: bool) -> None:
    case = made(kind, pca, 17)
    changes = case.changes()
    rows, raw = applied(case, changes)
    features, values = changes.feature[rows], changes.value[rows]
    each = np.arange(len(rows))
    at_an_end = (values == case.least[features]) | (values == case.most[features])
    rounded = np.array([float(f"{value:.3e}") for value in values])
    whole = case.units.places[features] == 0
    assert (values[whole] == np.round(values[whole])).all()
    assert ((values == rounded) | at_an_end)[~whole].all()
    assert ((values >= case.least[features]) & (values <= case.most[features])).all()

    before = np.where(np.isnan(case.raw), case.units.fill, case.raw)
    before = np.clip(before, case.units.low, case.units.high)[rows, features]
    step = np.where(whole, 1.0, 10.0 ** (np.floor(np.log10(np.maximum(np.abs(values), 1e-9))) - 3))
    raw[each, features] = values - np.sign(values - before) * step
    short = (np.abs(values - before) > step) & (raw[each, features] <= case.most[features])
    assert short.sum() > len(rows) / 4
    labels = case.shape.labels(case.units.points(raw))
    assert (labels == case.own[rows])[short].all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_stays_in_a_narrow_range(kind: str) -> None:
    case = made(kind, False, 3)
    middle = np.nanquantile(case.raw, [0.4, 0.6], axis=0)
    changes = smallest_change(case.shape, case.units, case.raw, case.own, *middle)
    rows, raw = applied(case, changes)
    values, features = changes.value[rows], changes.feature[rows]
    assert 0 < len(rows) < N
    assert ((values >= middle[0][features]) & (values <= middle[1][features])).all()
    assert (case.shape.labels(case.units.points(raw)) == changes.cluster[rows]).all()


def test_far_from_all_components_a_row_is_in_the_first() -> None:
    shape = Gaussians.given(
        np.array([0.5, 0.5]), np.array([[0.0, 0.0], [4.0, 0.0]]), np.tile(np.eye(2), (2, 1, 1))
    )
    nothing, ones = np.zeros(2), np.ones(2)
    caps = np.full(2, np.inf)
    units = Units(("a", "b"), nothing, -caps, caps, caps < 0, nothing, nothing, ones, caps)
    raw = np.array([[4.0, 0.0], [12.0, 0.0], [30.0, 0.0], [30.0, 3.0], [2.5, 100.0]])
    own = shape.labels(raw)
    assert own.tolist() == [1, 1, 0, 0, 0]
    changes = smallest_change(shape, units, raw, own, np.array([1.9, -100]), np.array([50.0, 100]))
    assert changes.feature.tolist() == [0, 0, 0, 0, 1]
    assert changes.cluster.tolist() == [0, 0, 1, 1, 1]
    # 2 is the border between the two. 11.853 from a component, where its weight times density is 2**-105, it
    # ends: 15.467 is that far from (4, 0) where b is 3, and so is 11.758 where a is 2.5.
    assert changes.value.tolist() == [1.999, 15.86, 15.85, 15.46, 11.75]


def line(places: float) -> Units:
    """One feature that is its own point."""
    zero, one, cap = np.zeros(1), np.ones(1), np.full(1, np.inf)
    return Units(("a",), zero, -cap, cap, np.array([False]), zero, zero, one, np.array([places]))


@pytest.mark.parametrize(
    ("places", "start", "least", "most", "value"),
    [
        (np.inf, 0.0, -1.0, 3.0, 1.235),
        (4, 0.0, -1.0, 3.0, 1.235),
        # Money has cents: one digit less is all there is.
        (2, 0.0, -1.0, 3.0, 1.24),
        (2, 3.0, -1.0, 3.0, 1.23),
        # Rounding outward would leave the range.
        (np.inf, 0.0, -1.0, 1.2347, 1.2347),
        (np.inf, 0.0, -1.0, 1.2345, None),
        (np.inf, 3.0, -1.0, 4.0, 1.234),
        (np.inf, 3.0, 1.2343, 4.0, 1.2343),
        (0, 0.0, -1.0, 3.0, 2.0),
        (0, 0.0, -1.0, 1.9, None),
        (0, 3.0, -1.0, 3.0, 1.0),
        (0, 3.0, 1.1, 3.0, None),
    ],
)
def test_a_change_is_rounded_outward_within_the_range(
    places: float, start: float, least: float, most: float, value: float | None
) -> None:
    shape = Centres(np.array([[0.0], [2.4692]]))  # the border is at 1.2346
    own = shape.labels(np.array([[start]]))
    changes = smallest_change(
        shape, line(places), np.array([[start]]), own, np.array([least]), np.array([most])
    )
    assert changes.feature[0] == (-1 if value is None else 0)
    assert changes.value[0] == (value or 0)


def test_of_equal_changes_the_first_feature_is_taken() -> None:
    shape = Centres(np.array([[0.0, 0.0], [2.0, 2.0]]))
    nothing, ones, caps = np.zeros(2), np.ones(2), np.full(2, np.inf)
    units = Units(("a", "b"), nothing, -caps, caps, caps < 0, nothing, nothing, ones, nothing)
    changes = smallest_change(shape, units, np.zeros((1, 2)), np.array([0]), nothing, 9 * ones)
    # On the border, at 2, a row would be in either: only 3 is beyond it.
    assert (changes.feature[0], changes.value[0], changes.cluster[0], changes.size[0]) == (0, 3.0, 1, 3.0)


def test_a_row_on_the_border_needs_the_smallest_step() -> None:
    shape = Centres(np.array([[0.0], [2.0]]))
    changes = smallest_change(
        shape, line(np.inf), np.array([[1.0]]), np.array([0]), np.zeros(1), np.full(1, 9.0)
    )
    assert changes.value[0] == 1.001


def test_a_row_with_a_label_that_the_shape_does_not_give_has_no_change() -> None:
    case = made("euclidean", False, 1)
    wrong = (case.own + np.arange(N) % 2) % K
    changes = smallest_change(case.shape, case.units, case.raw, wrong, case.least, case.most)
    assert (changes.feature[1::2] == -1).all()
    assert (changes.feature[::2] == case.changes().feature[::2]).all()


@pytest.mark.parametrize("kind", ["euclidean", "tree", "mixture"])
def test_with_one_cluster_there_is_nothing_to_say(kind: str) -> None:
    case = made(kind, False, 2)
    points, weights = case.points, np.ones(N)
    one: Shape = {
        "euclidean": Centres(points.mean(axis=0)[None]),
        "tree": screen_bisecting(points, weights, 1, 1, 1, 5, False),
        "mixture": Gaussians.of(points, weights, np.zeros(N, dtype=np.int64), 1),
    }[kind]
    case = replace(case, shape=one)
    nobody = np.full(N, -1)
    changes = case.changes()
    assert (changes.feature == -1).all()
    assert (changes.cluster == -1).all()
    assert not changes.value.any()
    assert not changes.size.any()
    assert not gains(one, points, case.own, nobody).any()
    assert not pulls(one, case.units, case.raw, case.own, nobody, case.units.fill).any()
    assert not importances(one, case.units, case.raw, 1).any()


def test_a_component_without_weight_is_no_rival() -> None:
    case = made("mixture", False, 4)
    assert isinstance(case.shape, Gaussians)
    weights = case.shape.weights.copy()
    weights[1] = 0
    case = replace(case, shape=replace(case.shape, weights=weights / weights.sum()))
    changes = case.changes()
    assert (changes.feature >= 0).any()
    assert (changes.cluster != 1).all()
    assert not gains(case.shape, case.points, case.own, np.ones(N, dtype=np.int64)).any()


def gain_by_hand(case: Case, raw: Floats, own: int, second: int) -> float:
    """Of one row."""
    point = case.units.points(raw[None])[0]
    shape = case.shape
    if isinstance(shape, Gaussians):
        logs = []
        for j in (own, second):
            apart = point - shape.means[j]
            spread = float(np.linalg.slogdet(2 * np.pi * shape.covariances[j])[1])
            distance = float(apart @ np.linalg.solve(shape.covariances[j], apart))
            logs.append(float(np.log(shape.weights[j])) - 0.5 * (spread + distance))
        return logs[0] - logs[1]
    assert isinstance(shape, Centres | Tree)
    centres = shape.centres[list(shape.leaves)] if isinstance(shape, Tree) else shape.centres
    point = point / np.linalg.norm(point) if shape.unit else point
    return float(((point - centres[second]) ** 2).sum() - ((point - centres[own]) ** 2).sum())


@pytest.mark.parametrize("pca", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gains_and_pulls_are_what_the_formulas_say(kind: str, pca: bool) -> None:
    case = made(kind, pca, 5)
    own = case.own
    second = np.where(np.arange(N) % 5 == 0, -1, (own + 1 + np.arange(N) % (K - 1)) % K)
    typical = np.nanmedian(case.raw, axis=0)
    gained = gains(case.shape, case.points, own, second)
    pulled = pulls(case.shape, case.units, case.raw, own, second, typical)
    assert pulled.shape == case.raw.shape
    for row in range(N):
        if second[row] < 0:
            assert gained[row] == 0
            assert not pulled[row].any()
            continue
        gain = gain_by_hand(case, case.raw[row], own[row], second[row])
        assert gained[row] == pytest.approx(gain, rel=1e-6, abs=1e-6)
        for feature in range(len(typical)):
            other = case.raw[row].copy()
            other[feature] = typical[feature]
            without = gain_by_hand(case, other, own[row], second[row])
            assert pulled[row, feature] == pytest.approx(gain - without, rel=1e-6, abs=1e-6)


def test_only_features_that_the_shape_looks_at_are_important() -> None:
    case = made("euclidean", False, 6)
    centres = np.tile(case.points.mean(axis=0), (3, 1))
    centres[:, 0] = np.quantile(case.points[:, 0], [0.1, 0.5, 0.9])
    centres[:, 2] = np.quantile(case.points[:, 2], [0.5, 0.1, 0.9])
    shape = Centres(centres)
    found = importances(shape, case.units, case.raw, 11)
    assert found[1] == found[3] == 0
    assert 0.1 < found[0] < 1
    assert 0.1 < found[2] < 1
    assert (found == importances(shape, case.units, case.raw, 11)).all()
    others = [importances(shape, case.units, case.raw, seed) for seed in range(3)]
    assert any((found != other).any() for other in others)


def test_importance_is_the_chance_to_meet_somebody_elses_cluster() -> None:
    # Two clusters that one feature tells apart: a quarter of the customers in one, so that 2 · 1/4 · 3/4 of
    # them meet a value from the other.
    raw = np.column_stack([np.repeat([0.0, 10.0], [1000, 3000]), np.zeros(4000)])
    nothing, ones, caps = np.zeros(2), np.ones(2), np.full(2, np.inf)
    units = Units(("a", "b"), nothing, -caps, caps, caps < 0, nothing, nothing, ones, caps)
    found = importances(Centres(np.array([[0.0, 0.0], [10.0, 0.0]])), units, raw, 3)
    assert found == pytest.approx([0.375, 0.0], abs=0.01)


@pytest.mark.parametrize("unit", [False, True])
def test_silhouettes_are_those_of_scikit_learn(unit: bool) -> None:
    case = made("cosine" if unit else "euclidean", False, 8)
    points = directions(case.points) if unit else case.points
    own = case.own
    own[own == own[0]] = (own[0] + 1) % K
    own[0] = K  # alone
    inside = (np.arange(K + 1)[:, None] == own).astype(float)
    squares = inside @ (points**2).sum(axis=1)
    clusters = Clusters(inside.sum(axis=1), inside @ points, squares, np.zeros((K + 1, 0)))
    expected = silhouette_samples(points, own, metric="sqeuclidean")
    np.testing.assert_allclose(silhouettes(points, own, clusters), expected, atol=1e-9)
