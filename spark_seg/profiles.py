"""Labelled customers → one profile per segment, in original units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from spark_seg.tables import MONEY

_DECILES = [q / 10 for q in range(1, 10)]
_DIFFERENCES = 3


@dataclass(frozen=True)
class FeatureStat:
    """One feature within one segment. `position`: mean rank among all customers, -1 to 1."""

    feature: str
    mean: float | None
    median: float | None
    p10: float | None
    p90: float | None
    lift: float | None
    position: float | None


@dataclass(frozen=True)
class Profile:
    """One segment: its size, its revenue, and its features."""

    label: int
    customers: int
    customer_share: float
    revenue: Decimal
    revenue_share: float | None
    stats: tuple[FeatureStat, ...]

    @property
    def positions(self) -> dict[str, float | None]:
        """Feature → mean rank among all customers."""
        return {stat.feature: stat.position for stat in self.stats}

    def mean_of(self, feature: str) -> float:
        """Mean of one feature; 0 when nobody in the segment has it."""
        return next((s.mean or 0.0 for s in self.stats if s.feature == feature), 0.0)


#: How a difference is told: feature → sentence. Features without an entry are profiled, not told.
PHRASES: dict[str, str] = {
    "recency_days": "{median:.0f} days since last order",
    "frequency": "{lift:.1f} × orders",
    "monetary": "{lift:.1f} × spend",
    "average_order_value": "{lift:.1f} × order value",
    "purchase_interval_days": "an order every {median:.0f} days",
    "tenure_days": "{median:.0f} days since first order",
    "spend_trend": "spend trend {mean:+.2f}",
    "category_breadth": "{mean:.0f} categories",
    "engagement_score": "{lift:.1f} × engagement",
    "response_rate": "answers {mean:.0%} of campaigns",
    "returned_share": "returns {mean:.0%} of what they buy",
}


def profile(customers: DataFrame, label: str, features: Sequence[str]) -> list[Profile]:
    """One `Profile` for each value of the integer column `label`, ordered by it.

    `customers`: `label`, `monetary` and the numeric `features`; rows without a label are left out.
    Two passes: statistics of all customers, then of each segment. The driver gets a row per segment.
    """
    labelled = customers.where(F.col(label).isNotNull())
    numbers = {name: F.col(name).cast("double") for name in features}
    deciles = F.array(*(F.lit(q) for q in _DECILES))
    overall = labelled.agg(
        F.count(F.lit(1)).alias("customers"),
        _revenue(),
        *(F.mean(value).alias(f"{name}__mean") for name, value in numbers.items()),
        *(F.percentile(value, deciles).alias(f"{name}__deciles") for name, value in numbers.items()),
    ).first()
    if overall is None or not overall["customers"]:
        return []
    edges = F.array(F.lit(0.1), F.lit(0.5), F.lit(0.9))
    rows = (
        labelled.groupBy(F.col(label).alias("label"))
        .agg(
            F.count(F.lit(1)).alias("customers"),
            _revenue(),
            *(F.mean(value).alias(f"{name}__mean") for name, value in numbers.items()),
            *(F.percentile(value, edges).alias(f"{name}__edges") for name, value in numbers.items()),
            *(
                F.mean(_position(value, overall[f"{name}__deciles"])).alias(f"{name}__position")
                for name, value in numbers.items()
            ),
        )
        .orderBy("label")
        .collect()
    )
    return [_profile(row, overall, features) for row in rows]


def differences(profile: Profile) -> list[str]:
    """What sets a segment apart, in words, strongest first."""
    told = [
        (abs(stat.position), stat)
        for stat in profile.stats
        if stat.feature in PHRASES and stat.position is not None and _tellable(stat)
    ]
    told.sort(key=lambda x: (-x[0], x[1].feature))
    return [
        PHRASES[stat.feature].format(mean=stat.mean, median=stat.median, lift=stat.lift)
        for _, stat in told[:_DIFFERENCES]
    ]


def _tellable(stat: FeatureStat) -> bool:
    return stat.mean is not None and ("{lift" not in PHRASES[stat.feature] or stat.lift is not None)


def _revenue() -> Column:
    """Sum of `monetary`; 0 where nobody has ordered."""
    return F.coalesce(F.sum("monetary"), F.lit(0)).cast(MONEY).alias("revenue")


def _position(value: Column, deciles: Sequence[float] | None) -> Column:
    """Rank of a value among all customers in steps of deciles, ties in the middle: -1 to 1."""
    if not deciles:
        return F.lit(None).cast("double")
    below = [
        F.when(value > F.lit(d), 1).otherwise(0) + F.when(value >= F.lit(d), 1).otherwise(0) for d in deciles
    ]
    rank = sum(below[1:], below[0]) / F.lit(2.0 * len(deciles))
    return F.when(value.isNotNull(), 2 * rank - 1)


def _profile(row: Row, overall: Row, features: Sequence[str]) -> Profile:
    stats = []
    for name in features:
        mean, all_mean = row[f"{name}__mean"], overall[f"{name}__mean"]
        p10, median, p90 = row[f"{name}__edges"] or (None, None, None)
        lift = mean / all_mean if mean is not None and all_mean else None
        stats.append(FeatureStat(name, mean, median, p10, p90, lift, row[f"{name}__position"]))
    revenue_share = float(row["revenue"] / overall["revenue"]) if overall["revenue"] else None
    return Profile(
        int(row["label"]),
        int(row["customers"]),
        row["customers"] / overall["customers"],
        row["revenue"],
        revenue_share,
        tuple(stats),
    )


def signature_positions(profiles: Sequence[Profile]) -> Mapping[int, Mapping[str, float | None]]:
    """Label → feature → position, as `segments.name_clusters` takes it."""
    return {p.label: p.positions for p in profiles}
