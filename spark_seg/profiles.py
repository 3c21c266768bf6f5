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


def profile(
    customers: DataFrame, schemes: Mapping[str, Column], features: Sequence[str]
) -> dict[str, list[Profile]]:
    """Of each scheme, one `Profile` for each of its labels, ordered by them.

    `customers`: `monetary` and the numeric `features`. `schemes`: integer labels of the same customers by
    several divisions; who has no label in one is left out of it. Three passes, whatever the number of
    schemes: sizes, statistics of all customers, then of each segment. The driver gets a row per segment
    and feature.
    """
    labels = (F.struct(F.lit(s).alias("scheme"), c.cast("int").alias("label")) for s, c in schemes.items())
    needed = dict.fromkeys(("monetary", *features))
    labelled = customers.select(*needed, F.inline(F.array(*labels))).where(F.col("label").isNotNull())
    sized = labelled.groupBy("scheme", "label").agg(F.count(F.lit(1)).alias("customers"), _revenue())
    sizes = sorted(sized.collect(), key=lambda row: int(row["label"]))
    # One row per customer and feature: an aggregate with a hundred columns takes Spark seconds to
    # compile, each time anew, and this takes none.
    pairs = (F.struct(F.lit(n).alias("feature"), F.col(n).cast("double").alias("value")) for n in features)
    values = labelled.select("scheme", "label", F.inline(F.array(*pairs)))
    deciles = F.percentile("value", F.array(*(F.lit(q) for q in _DECILES)))
    overall = {
        (row["scheme"], row["feature"]): row
        for row in values.groupBy("scheme", "feature")
        .agg(F.mean("value").alias("mean"), deciles.alias("deciles"))
        .collect()
    }
    known = {place: row["deciles"] for place, row in overall.items() if row["deciles"] is not None}
    edges = F.percentile("value", F.array(F.lit(0.1), F.lit(0.5), F.lit(0.9)))
    stats = {
        (row["scheme"], row["label"], row["feature"]): row
        for row in values.groupBy("scheme", "label", "feature")
        .agg(F.mean("value").alias("mean"), edges.alias("edges"), F.mean(_position(known)).alias("position"))
        .collect()
    }
    result: dict[str, list[Profile]] = {}
    for scheme in schemes:
        own = [row for row in sizes if row["scheme"] == scheme]
        total, revenue = sum(row["customers"] for row in own), sum(row["revenue"] for row in own)
        result[scheme] = [
            Profile(
                int(row["label"]),
                int(row["customers"]),
                row["customers"] / total,
                row["revenue"],
                float(row["revenue"] / revenue) if revenue else None,
                tuple(
                    _stat(stats[scheme, row["label"], name], overall[scheme, name]["mean"])
                    for name in features
                ),
            )
            for row in own
        ]
    return result


@dataclass(frozen=True)
class LeftOut:
    """Customers who are in no segment."""

    customers: int
    revenue: Decimal


def left_out(customers: DataFrame) -> LeftOut:
    """How many there are, and what they spent."""
    row = customers.agg(F.count(F.lit(1)).alias("customers"), _revenue()).first()
    assert row is not None  # noqa: S101 - an aggregate without groups has one row
    return LeftOut(int(row["customers"]), row["revenue"])


def too_small(sizes: Mapping[int, int], smallest: int) -> set[int]:
    """Labels of groups of which nothing may be told, because they are smaller than `smallest`.

    What one group hides can be worked out from the total and all others. So further groups are hidden with
    it, the smallest first, until at least two are and they have `smallest` customers together (primary and
    complementary suppression, as statistical offices do it; Hundepool et al. 2012, Statistical Disclosure
    Control).
    """
    order = sorted(sizes, key=lambda label: (sizes[label], label))
    hidden = [label for label in order if sizes[label] < smallest]
    while hidden and len(hidden) < len(order):
        if len(hidden) > 1 and sum(sizes[label] for label in hidden) >= smallest:
            break
        hidden.append(order[len(hidden)])
    return set(hidden)


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


def _position(deciles: Mapping[tuple[str, str], Sequence[float]]) -> Column:
    """Rank of `value` among all customers in steps of deciles, ties in the middle: -1 to 1."""
    if not deciles:
        return F.lit(None).cast("double")
    parts = [
        part
        for (scheme, name), cuts in deciles.items()
        for part in (F.lit(f"{scheme} {name}"), F.array(*map(F.lit, cuts)))
    ]
    borders = F.try_element_at(F.create_map(*parts), F.concat_ws(" ", "scheme", "feature"))
    value = F.col("value")
    passed = F.size(F.filter(borders, lambda d: value > d)) + F.size(F.filter(borders, lambda d: value >= d))
    return F.when(value.isNotNull() & borders.isNotNull(), passed / F.lit(float(len(_DECILES))) - 1)


def _stat(row: Row, all_mean: float | None) -> FeatureStat:
    p10, median, p90 = row["edges"] or (None, None, None)
    lift = row["mean"] / all_mean if row["mean"] is not None and all_mean else None
    return FeatureStat(row["feature"], row["mean"], median, p10, p90, lift, row["position"])
