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
    Three passes: sizes, statistics of all customers, then of each segment. The driver gets a row per
    segment and feature.
    """
    labelled = customers.where(F.col(label).isNotNull()).withColumn("label", F.col(label))
    sizes = labelled.groupBy("label").agg(F.count(F.lit(1)).alias("customers"), _revenue()).collect()
    if not sizes:
        return []
    # One row per customer and feature: an aggregate with a hundred columns takes Spark seconds to
    # compile, each time anew, and this takes none.
    pairs = (F.struct(F.lit(n).alias("feature"), F.col(n).cast("double").alias("value")) for n in features)
    values = labelled.select("label", F.inline(F.array(*pairs)))
    deciles = F.percentile("value", F.array(*(F.lit(q) for q in _DECILES)))
    overall = {
        row["feature"]: row
        for row in values.groupBy("feature")
        .agg(F.mean("value").alias("mean"), deciles.alias("deciles"))
        .collect()
    }
    known = {name: row["deciles"] for name, row in overall.items() if row["deciles"] is not None}
    edges = F.percentile("value", F.array(F.lit(0.1), F.lit(0.5), F.lit(0.9)))
    stats = {
        (row["label"], row["feature"]): row
        for row in values.groupBy("label", "feature")
        .agg(F.mean("value").alias("mean"), edges.alias("edges"), F.mean(_position(known)).alias("position"))
        .collect()
    }
    total, revenue = sum(row["customers"] for row in sizes), sum(row["revenue"] for row in sizes)
    return [
        Profile(
            int(row["label"]),
            int(row["customers"]),
            row["customers"] / total,
            row["revenue"],
            float(row["revenue"] / revenue) if revenue else None,
            tuple(_stat(stats[row["label"], name], overall[name]["mean"]) for name in features),
        )
        for row in sorted(sizes, key=lambda row: int(row["label"]))
    ]


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


def _position(deciles: Mapping[str, Sequence[float]]) -> Column:
    """Rank of `value` among all customers in steps of deciles, ties in the middle: -1 to 1."""
    if not deciles:
        return F.lit(None).cast("double")
    parts = [part for name, cuts in deciles.items() for part in (F.lit(name), F.array(*map(F.lit, cuts)))]
    borders = F.try_element_at(F.create_map(*parts), F.col("feature"))
    value = F.col("value")
    passed = F.size(F.filter(borders, lambda d: value > d)) + F.size(F.filter(borders, lambda d: value >= d))
    return F.when(value.isNotNull() & borders.isNotNull(), passed / F.lit(float(len(_DECILES))) - 1)


def _stat(row: Row, all_mean: float | None) -> FeatureStat:
    p10, median, p90 = row["edges"] or (None, None, None)
    lift = row["mean"] / all_mean if row["mean"] is not None and all_mean else None
    return FeatureStat(row["feature"], row["mean"], median, p10, p90, lift, row["position"])
