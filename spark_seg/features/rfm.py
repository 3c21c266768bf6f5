"""RFM scores 1-5: 5 is best in each, equal values get equal scores, and the cut points are published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

#: Feature → (name of its score, whether a small value is good).
RFM_FEATURES: dict[str, tuple[str, bool]] = {
    "recency_days": ("r_score", True),
    "frequency": ("f_score", False),
    "monetary": ("m_score", False),
}
_QUINTILES = [0.2, 0.4, 0.6, 0.8]


def cut_points(customers: DataFrame) -> dict[str, list[float]]:
    """Quintile borders of each RFM feature over `customers`: exact, with linear interpolation.

    The same numbers as `numpy.quantile`. Empty lists when there are no customers.
    """
    quantiles = F.array(*(F.lit(q) for q in _QUINTILES))
    row = customers.agg(
        *(F.percentile(F.col(name).cast("double"), quantiles).alias(name) for name in RFM_FEATURES)
    ).first()
    return {name: list((row[name] if row is not None else None) or []) for name in RFM_FEATURES}


def rfm_scores(cuts: Mapping[str, Sequence[float]]) -> dict[str, Column]:
    """Score columns from cut points: one more for each border that is passed, so ties share a score.

    NULL stays NULL. Without cut points (no customers) every score is NULL.
    """
    scores = {}
    for name, (score, small_is_good) in RFM_FEATURES.items():
        if not cuts.get(name):
            scores[score] = F.lit(None).cast("int")
            continue
        value = F.col(name).cast("double")
        passed = [F.when(value > F.lit(cut), 1).otherwise(0) for cut in cuts[name]]
        beyond = sum(passed[1:], passed[0])
        ranked = F.lit(5) - beyond if small_is_good else F.lit(1) + beyond
        scores[score] = F.when(value.isNotNull(), ranked.cast("int"))
    return scores
