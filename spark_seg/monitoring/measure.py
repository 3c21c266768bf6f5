"""One figure that was looked at, with its verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Advice = Literal["keep", "refit", "alert"]

#: Breached by values below the threshold; the others by values above it (or at it, see their functions).
_LOW_IS_BAD = frozenset({"silhouette", "refit_agreement", "engagement", "four_fifths"})
#: Breached by a change: the threshold is the largest distance of the value from the reference.
_OF_CHANGE = frozenset({"size_share", "revenue_share"})


@dataclass(frozen=True)
class Measure:
    """One figure, what it is held against, and the verdict.

    `measure`: what was measured: psi, size_psi, revenue_psi, size_share, revenue_share, distance_psi,
    silhouette, davies_bouldin, refit_agreement, flap_rate, engagement, four_fifths, proxy, age_days.
    `subject`: of what: a feature, a segment, "attribute=value in segment", "feature by attribute"; "" for the
    whole. `reference`: the former value, where there is one. `value`: None when it could not be measured.
    `threshold`: border of the value; of the two shares: of its distance from the reference; None: no border.
    `advice`: what a breach calls for; "keep" for what only informs. `sentence`: all of it in words, without
    any customer.
    """

    measure: str
    subject: str
    reference: float | None
    value: float | None
    threshold: float | None
    breached: bool
    advice: Advice
    sentence: str

    @property
    def strength(self) -> float:
        """How many times the border is passed: 1 is at it. Compares measures of different kinds."""
        if self.value is None or self.threshold is None:
            return 1.0
        if self.measure in _OF_CHANGE:
            return _ratio(abs(self.value - (self.reference or 0.0)), self.threshold)
        if self.measure in _LOW_IS_BAD:
            return _ratio(self.threshold, self.value)
        return _ratio(self.value, self.threshold)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.inf
