"""How far two distributions are apart, and how far chance alone takes them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import chdtri, ndtr

from spark_seg.errors import InputError

#: How often chance may raise something that has not moved, over all tests of one call.
NOISE_LEVEL = 0.001
#: Stands for the customers of an empty bin.
_FLOOR = 0.5


def population_stability(expected: Sequence[float], actual: Sequence[float]) -> float:
    """Population stability index: Σ (a - e) · ln(a / e) over the bins' shares of customers; 0 is equal.

    `expected`, `actual`: customers per bin, the same bins in the same order. Siddiqi (2006, Credit Risk
    Scorecards) calls below 0.1 stable and 0.25 or more another population. An empty bin counts as half a
    customer (Haldane 1956 adds a half to every cell for the same reason): a share of 0 would be infinitely
    far from any other. A bin that is empty on both sides counts nothing.

    Raises `InputError` when one side has no customers, `ValueError` when the bins differ in number.
    """
    before, now = sum(expected), sum(actual)
    if before <= 0 or now <= 0:
        side = "reference" if before <= 0 else "current state"
        raise InputError(f"monitoring: the {side} must have customers; got none. Compare runs that have some")
    total = 0.0
    for e, a in zip(expected, actual, strict=True):
        if e or a:
            old, new = max(e, _FLOOR) / before, max(a, _FLOOR) / now
            total += (new - old) * math.log(new / old)
    return total


def stability_noise(bins: int, expected_rows: float, actual_rows: float, tests: int = 1) -> float:
    """What the index of two samples of one population reaches by chance in 1 of 1000 cases.

    (1/n + 1/m) times the quantile of chi-squared with bins - 1 degrees of freedom (Yurdakul 2018,
    Statistical Properties of Population Stability Index). `bins`: those that have customers. `tests`:
    indices looked at together; the 1 in 1000 is shared out between them (Bonferroni).
    """
    if bins < 2:
        return 0.0
    return (1 / expected_rows + 1 / actual_rows) * float(chdtri(bins - 1, NOISE_LEVEL / tests))


def occupied(expected: Sequence[float], actual: Sequence[float]) -> int:
    """Bins that somebody is in, on either side."""
    return sum(1 for e, a in zip(expected, actual, strict=True) if e or a)


def chance_of(share: float, rows: float, other: float, other_rows: float) -> float:
    """Probability that two equal shares differ by as much as these do, or more: two-proportion z test.

    `share` of `rows` customers, `other` of `other_rows`; two-sided, with the pooled variance.
    """
    pooled = (share * rows + other * other_rows) / (rows + other_rows)
    variance = pooled * (1 - pooled) * (1 / rows + 1 / other_rows)
    if variance <= 0:
        return 1.0
    return float(2 * ndtr(-abs(share - other) / math.sqrt(variance)))
