"""Every algorithm and every k, compared on all customers.

`coreset`: candidates are fitted on a weighted sample, the best restart of each is refined by passes
over all customers that serve all candidates at once, and two more passes measure them. `exact`: MLlib
fits each candidate on all customers; the reference, and dear.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import numpy as np
from pyspark import inheritable_thread_target
from pyspark.ml.clustering import GaussianMixtureModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from spark_seg.clustering import Fit, best_fit, gaussians_of, prime_lapack
from spark_seg.config import ClusteringSettings, Settings
from spark_seg.kernels import (
    Accumulator,
    Block,
    Floats,
    Gaussians,
    Labeller,
    Rows,
    Shape,
    Tree,
    best_of_restarts,
    directions,
    in_geometry,
    screen_bisecting,
    screen_kmeans,
    screen_mixture,
)
from spark_seg.selection.blocks import Blocks, pack
from spark_seg.selection.candidate import Candidate
from spark_seg.selection.choose import broken_rules
from spark_seg.selection.criteria import with_criteria
from spark_seg.selection.estimate import estimated_cost
from spark_seg.selection.indices import measure
from spark_seg.selection.splits import measure_splits
from spark_seg.selection.stability import stability
from spark_seg.selection.structure import find_structure
from spark_seg.selection.swept import Pair, Sweep

#: The standard RFM grid, measured like a candidate, never chosen.
BASELINE = "rfm_grid"
#: A refined candidate has converged when a pass gains less than this share of its loss.
_GAIN = 1e-4

#: Restarts of each refit that judges stability.
_REFIT_RESTARTS = 3

#: Called as on_fit(done, total).
OnFit = Callable[[int, int], None]


def sweep(
    frame: DataFrame,
    settings: Settings,
    baseline: tuple[str, int] | None = None,
    on_fit: OnFit = lambda done, total: None,
    measures: Sequence[str] = (),
) -> Sweep:
    """Fit and measure every algorithm × k.

    `frame`: `customer_id` and `vector` in canonical layout; mode `exact` reads it often, so it should be
    kept then, and `coreset` reads it once. `baseline`: a column of labels
    and how many there are, measured beside the candidates. `measures`: further numeric columns, of
    which each candidate tells how much it separates them. `on_fit(done, total)` reports progress.
    """
    stored = [F.col(baseline[0])] if baseline is not None else []
    in_blocks = [F.col(name) for name in measures] if settings.selection.mode == "coreset" else []
    blocks = pack(frame, stored, settings.seed, in_blocks)
    try:
        points, weights = blocks.coreset(settings.selection.coreset_customers)
        distinct = len(np.unique(points, axis=0))
        grid = range(settings.selection.k_min, settings.selection.k_max + 1)
        pairs: list[Pair] = [(a, k) for a in settings.clustering.algorithms for k in grid]
        possible = [pair for pair in pairs if pair[1] <= distinct]
        if not possible:
            return Sweep([_impossible(pair, distinct) for pair in pairs], settings.clustering.distance)
        unit = settings.clustering.distance == "cosine"
        points = in_geometry(points, unit)
        refined = settings.selection.mode == "coreset" and len(points) < blocks.rows
        # One BLAS thread for each fit: on matrices this small more of them only wait for one another.
        with threadpool_limits(limits=1, user_api="blas"):
            shapes, seeds = _screen(points, weights, settings, possible, on_fit)
            estimates = {}
            if refined:
                estimates = {pair: estimated_cost(points, weights, s) for pair, s in shapes.items()}
        if settings.selection.mode == "exact":
            swept = _exact(frame, settings, possible, baseline, on_fit, measures)
        else:
            if refined:
                shapes = _refine(blocks, shapes, settings.selection.refine_passes, unit)
            swept = _measured(blocks, shapes, seeds, settings, baseline, measures)
            swept = replace(swept, candidates=[_estimated(c, estimates) for c in swept.candidates])
    finally:
        blocks.release()
    with threadpool_limits(limits=1, user_api="blas"):
        judged = [_judged(c, shapes, points, weights, settings) for c in swept.candidates]
        structure = find_structure(points, weights, grid, settings.seed)
    swept = replace(swept, coreset=len(points), structure=structure)
    judged = _with_elbows(judged)
    found = {(c.algorithm, c.k): c for c in judged}
    candidates = [found.get(pair, _impossible(pair, distinct)) for pair in pairs]
    return replace(swept, candidates=candidates + [c for c in judged if c.algorithm == BASELINE])


def _impossible(pair: Pair, distinct: int) -> Candidate:
    return Candidate(*pair, reason=f"only {distinct} distinct customers, fewer than k")


# ---------------------------------------------------------------- on a coreset, then on all


def _measured(
    blocks: Blocks,
    shapes: dict[Pair, Shape],
    seeds: dict[Pair, int],
    settings: Settings,
    baseline: tuple[str, int] | None,
    measures: Sequence[str],
) -> Sweep:
    restarts = settings.clustering.restarts
    candidates = [
        Candidate(*pair, seed=seeds[pair], restarts=restarts[pair[0]])  # type: ignore[index]
        for pair in shapes
    ]
    mixtures = {pair: shape for pair, shape in shapes.items() if isinstance(shape, Gaussians)}
    candidates, losses = _with_posteriors(candidates, blocks, mixtures)
    labellers = [_labeller(shape) for shape in shapes.values()]
    if baseline is not None:
        candidates.append(_baseline(baseline))
        labellers.append(_stored(0))
    measured = _with_indices(candidates, blocks, labellers, settings, measures, losses)
    trees = [shape for shape in shapes.values() if isinstance(shape, Tree)]
    splits = measure_splits(blocks, max(trees, key=lambda tree: tree.k)) if trees else []
    return Sweep(measured, settings.clustering.distance, shapes=shapes, splits=tuple(splits))


def _with_indices(
    candidates: list[Candidate],
    blocks: Blocks,
    labellers: list[Labeller],
    settings: Settings,
    measures: Sequence[str],
    losses: dict[Pair, float],
) -> list[Candidate]:
    figures = measure(blocks, labellers, [c.k for c in candidates], settings.clustering.distance)
    result = []
    for candidate, indices in zip(candidates, figures, strict=True):
        shares = zip(measures, indices.separation, strict=True)
        known = {name: share for name, share in shares if math.isfinite(share)}
        measured = replace(candidate, **asdict(indices) | {"separation": known})
        if candidate.algorithm != BASELINE and settings.clustering.distance == "euclidean":
            measured = with_criteria(
                measured, blocks.dimensions, losses.get((candidate.algorithm, candidate.k))
            )
        result.append(measured)
    return result


def _with_posteriors(
    candidates: list[Candidate], blocks: Blocks, mixtures: dict[Pair, Gaussians]
) -> tuple[list[Candidate], dict[Pair, float]]:
    """With what only mixtures have, and the negative log-likelihood of each mixture."""
    told = dict(zip(mixtures, _likelihoods(blocks, list(mixtures.values())), strict=True))
    result = []
    for c in candidates:
        pair = (c.algorithm, c.k)
        known = pair in told
        result.append(replace(c, posterior=told[pair][1], collapsed=mixtures[pair].collapsed) if known else c)
    return result, {pair: loss for pair, (loss, _) in told.items()}


def _likelihoods(blocks: Blocks, shapes: list[Gaussians]) -> list[tuple[float, float]]:
    """Of each mixture the negative log-likelihood, and the mean probability of the assigned component."""
    if not shapes:
        return []

    def update(figures: Floats, block: Block) -> None:
        for i, shape in enumerate(shapes):
            for part in block.rows.parts:
                shares, logs = shape.posteriors(part)
                figures[2 * i] -= logs.sum()
                figures[2 * i + 1] += shares.max(axis=0).sum()

    figures = blocks.totals(lambda: Accumulator(2 * len(shapes), update)).reshape(-1, 2)
    return [(float(loss), float(posterior) / blocks.rows) for loss, posterior in figures]


def _estimated(c: Candidate, estimates: dict[Pair, tuple[float, float]]) -> Candidate:
    cost, error = estimates.get((c.algorithm, c.k), (None, None))
    return replace(c, sample_cost=cost, sample_error=error)


def _with_elbows(candidates: list[Candidate]) -> list[Candidate]:
    """Of each algorithm, the k at which the cost bends (Kneedle: Satopää et al. 2011) is marked."""
    # Not above: with scipy.signal it takes longer to import than all the rest.
    from kneed import KneeLocator  # noqa: PLC0415

    bends = set()
    for algorithm in {c.algorithm for c in candidates}:
        own = [c for c in candidates if c.algorithm == algorithm and c.cost is not None]
        if len(own) > 2:
            ks, costs = [c.k for c in own], [c.cost for c in own]
            bends.add((algorithm, KneeLocator(ks, costs, curve="convex", direction="decreasing").knee))
    return [replace(c, elbow=(c.algorithm, c.k) in bends) for c in candidates]


def _labeller(shape: Shape) -> Labeller:
    if isinstance(shape, Gaussians):
        return lambda block: shape.likeliest(block.rows.expanded(shape.origin))
    return lambda block: shape.labels(block.points)


def _screen(
    points: Floats, weights: Floats, settings: Settings, pairs: list[Pair], on_fit: OnFit
) -> tuple[dict[Pair, Shape], dict[Pair, int]]:
    """The best restart of every candidate on the coreset, and its seed."""
    how, first = settings.clustering, settings.seed
    unit = how.distance == "cosine"
    # The tree for the largest k holds those for all smaller ones.
    k_most = max((k for a, k in pairs if a == "bisecting"), default=0)
    tree = (
        screen_bisecting(
            points, weights, k_most, first, how.restarts["bisecting"], how.max_iterations["bisecting"], unit
        )
        if k_most
        else None
    )

    def fit(pair: Pair) -> tuple[Shape, int]:
        algorithm, k = pair
        if algorithm == "bisecting" and tree is not None:
            return tree.cut(k), first
        if algorithm == "kmeans":
            most, tries = how.max_iterations["kmeans"], how.restarts["kmeans"]
            centres, best = best_of_restarts(points, weights, k, first, tries, most, unit)
            return centres, first + best
        restarts = range(how.restarts["mixture"])
        tried = [_fit(algorithm, k, points, weights, how, i, first) for i in restarts]
        best = min(restarts, key=lambda i: tried[i][1])
        return tried[best][0], first + best

    shapes: dict[Pair, Shape] = {}
    seeds: dict[Pair, int] = {}
    for pair in pairs:
        shapes[pair], seeds[pair] = fit(pair)
        on_fit(len(shapes), len(pairs))
    return shapes, seeds


def _fit(
    algorithm: str, k: int, points: Floats, weights: Floats, how: ClusteringSettings, restart: int, seed: int
) -> tuple[Shape, float]:
    """One restart of kmeans or mixture, and its loss."""
    unit = how.distance == "cosine"
    # Of the mixture's restarts the first begins with a finished k-means, the others with its bare
    # starting centres: from round clusters EM does not find its way to long ones.
    bare = algorithm == "mixture" and restart > 0
    centres, loss = screen_kmeans(
        points, weights, k, seed + restart, 0 if bare else how.max_iterations["kmeans"], unit
    )
    if algorithm == "kmeans":
        return centres, loss
    return screen_mixture(points, weights, centres, how.max_iterations["mixture"])


def _judged(
    candidate: Candidate, shapes: dict[Pair, Shape], points: Floats, weights: Floats, settings: Settings
) -> Candidate:
    """With its stability, if it passes the other rules: what is rejected anyway need not be refitted."""
    how, resamples = settings.clustering, settings.selection.resamples
    k, algorithm = candidate.k, candidate.algorithm
    if not resamples or candidate.reason or broken_rules(candidate, settings.selection.rules):
        return candidate
    unit = how.distance == "cosine"

    def refit(points: Floats, weights: Floats, seed: int) -> Shape:
        if algorithm == "bisecting":
            return screen_bisecting(points, weights, k, seed, 2, how.max_iterations["bisecting"], unit)
        fits = [_fit(algorithm, k, points, weights, how, i, seed) for i in range(_REFIT_RESTARTS)]
        return min(fits, key=lambda fit: fit[1])[0]

    result = stability(shapes[algorithm, k], refit, points, weights, resamples, settings.seed)
    return replace(candidate, agreement=result.agreement, weakest=result.weakest)


def _refine(blocks: Blocks, shapes: dict[Pair, Shape], passes: int, unit: bool) -> dict[Pair, Shape]:
    """Each pass over all customers improves every candidate that still gains by it."""
    refined = dict(shapes)
    # All cuts of the tree are refined as one.
    whole = max((pair for pair in shapes if pair[0] == "bisecting"), key=lambda p: p[1], default=None)
    active = {p: s for p, s in shapes.items() if p[0] != "bisecting" or p == whole}
    losses: dict[Pair, float] = {}
    for _ in range(passes):
        if not active:
            break
        totals = _sums(blocks, list(active.values()), unit)
        after = {}
        for (pair, shape), figures in zip(active.items(), totals, strict=True):
            if not figures[0] < losses.get(pair, math.inf) - _GAIN * abs(figures[0]):
                continue
            losses[pair] = float(figures[0])
            refined[pair] = after[pair] = shape.improved(figures)
        active = after
    if whole is not None:
        tree = refined[whole]
        assert isinstance(tree, Tree)  # noqa: S101 - it was one
        refined |= {(a, k): tree.cut(k) for a, k in shapes if a == "bisecting"}
    return refined


def _sums(blocks: Blocks, shapes: list[Shape], unit: bool) -> list[Floats]:
    """Figures of each shape over all customers, in one pass."""
    lengths = [len(shape.figures(Rows(blocks.pivot[None], np.ones(1)))) for shape in shapes]
    ends = np.cumsum(lengths)

    def update(figures: Floats, block: Block) -> None:
        rows = Rows(directions(block.points), block.rows.weights) if unit else block.rows
        for shape, end, length in zip(shapes, ends, lengths, strict=True):
            figures[end - length : end] += shape.figures(rows)

    return np.split(blocks.totals(lambda: Accumulator(int(ends[-1]), update)), ends[:-1])


# ---------------------------------------------------------------- MLlib for each


def _exact(
    frame: DataFrame,
    settings: Settings,
    pairs: list[Pair],
    baseline: tuple[str, int] | None,
    on_fit: OnFit,
    measures: Sequence[str],
) -> Sweep:
    if any(algorithm == "mixture" for algorithm, _ in pairs):
        prime_lapack(frame.sparkSession)
    done = 0

    @inheritable_thread_target(frame.sparkSession)
    def fit(pair: Pair) -> Fit:
        nonlocal done
        result = best_fit(pair[0], frame, pair[1], settings.seed, settings.clustering)
        done += 1
        on_fit(done, len(pairs))
        return result

    with ThreadPoolExecutor(settings.clustering.parallel_fits) as pool:
        fits = dict(zip(pairs, pool.map(fit, pairs), strict=True))
    candidates = [Candidate(*pair, seed=fit.seed, restarts=fit.restarts) for pair, fit in fits.items()]
    models = {pair: fit.model for pair, fit in fits.items()}
    mixtures = {p: gaussians_of(m) for p, m in models.items() if isinstance(m, GaussianMixtureModel)}
    labelled, labels = _predicted(frame, fits, baseline)
    blocks = pack(labelled, labels, settings.seed, [F.col(name) for name in measures])
    try:
        candidates, losses = _with_posteriors(candidates, blocks, mixtures)
        if baseline is not None:
            candidates.append(_baseline(baseline))
        stored = [_stored(i) for i in range(len(candidates))]
        measured = _with_indices(candidates, blocks, stored, settings, measures, losses)
    finally:
        blocks.release()
    return Sweep(measured, settings.clustering.distance, fits=fits)


def _stored(place: int) -> Labeller:
    return lambda block: block.labels[:, place]


def _predicted(
    frame: DataFrame, fits: dict[Pair, Fit], baseline: tuple[str, int] | None
) -> tuple[DataFrame, list[Column]]:
    columns = []
    for pair, fit in fits.items():
        model = fit.model.copy()
        label = f"label_{pair[0]}_{pair[1]}"
        model.setPredictionCol(label)
        if isinstance(model, GaussianMixtureModel):
            model.setProbabilityCol(f"probability_{pair[1]}")
        frame = model.transform(frame)
        columns.append(F.col(label))
    if baseline is not None:
        columns.append(F.col(baseline[0]))
    return frame, columns


def _baseline(baseline: tuple[str, int]) -> Candidate:
    return Candidate(BASELINE, baseline[1], reason="baseline")
