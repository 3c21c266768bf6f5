"""Are groups of a protected attribute treated alike, and does a feature stand for the attribute?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from scipy.special import chdtri

from spark_seg.config.monitoring import MonitoringSettings
from spark_seg.errors import InputError
from spark_seg.monitoring.bins import deciles_of, rank_in, unusable, values_of
from spark_seg.monitoring.measure import Measure
from spark_seg.monitoring.stability import chance_of

#: How often chance may accuse: over all pairs of groups in a segment, and over all features of an attribute.
_CHANCE = 0.01


@dataclass(frozen=True)
class _Groups:
    """The groups of one attribute that are large enough. `sizes`: value → customers; `inside`: segment →
    value → customers; `small`: values with fewer; `left_out`: their customers and those without a value."""

    attribute: str
    sizes: Mapping[str, int]
    inside: Mapping[str, Mapping[str, int]]
    small: int
    left_out: int

    def rate(self, value: str, segment: str) -> float:
        """Share of a group that is in the segment."""
        return self.inside.get(segment, {}).get(value, 0) / self.sizes[value]

    @property
    def apart(self) -> str:
        """Who was not compared, in words."""
        if not self.left_out:
            return ""
        return (
            f"; not compared: {self.left_out:,} customers without a value or in {self.small} smaller groups"
        )


def fairness(
    customers: DataFrame, segment: Column, features: Sequence[str], settings: MonitoringSettings
) -> list[Measure]:
    """What segments and features say of each attribute of `settings.protected`; [] when there is none.

    `customers`: one row each, `attributes` map<string,string> and the numeric `features`. `segment`: name of
    the own segment; NULL for who is in none, but counts as a member of the group.

    - `size_share` of "attribute=value in segment": share of the value among the segment's customers, against
      that among all; only informs. Segments with fewer than `min_group` customers have none.
    - `four_fifths` of the same, for each segment of `benefit_segments`: rate of the group in the segment over
      the highest rate of any group. Breached below `min_ratio` (EEOC, Uniform Guidelines 1978, 29 CFR
      1607.4 D), when the two rates differ by more than chance (two-proportion z test at 0.01, shared out
      between the pairs of groups).
    - `proxy` of "feature by attribute": share of the variance of the feature's ranks that lies between the
      groups (η², 0..1). Breached from `max_proxy` on, when it is more than chance (Kruskal and Wallis 1952:
      N - 1 times it is chi-squared with groups - 1 degrees of freedom; at 0.01, shared out between the
      features).

    All breaches are alerts. Groups with fewer than `min_group` customers, and customers without a value, are
    left out of everything and counted in words. An attribute that nobody has is an alert: what cannot be
    looked at has not passed. Three passes: one counts groups, one finds deciles, one adds up ranks. The
    driver gets a row for each attribute, and for each of its larger groups and feature.

    Raises `InputError` without customers, without `attributes`, and for features that are missing or no
    numbers.
    """
    if not settings.protected:
        return []
    problems = unusable(customers, features, "the current state")
    if "attributes" not in customers.columns:
        problems.append(
            "monitoring: the current state must have the column attributes; got none. "
            "Fairness needs the customers' attributes: map sources.customers"
        )
    if problems:
        raise InputError(problems)
    measures = []
    for groups in _grouped(customers, segment, settings):
        measures += _shares(groups, settings.min_group)
        for name in dict.fromkeys(settings.benefit_segments):
            measures += _four_fifths(groups, name, settings)
        if not groups.sizes and not groups.small:
            told = f"nobody has a value of {groups.attribute}: fairness cannot be looked at"
            measures.append(
                Measure("four_fifths", groups.attribute, None, None, settings.min_ratio, True, "alert", told)
            )
    return measures + _proxies(customers, features, settings)


def _attributes(settings: MonitoringSettings) -> Column:
    """One struct `attribute` (its position), `value` for each protected attribute."""
    names = dict.fromkeys(settings.protected)
    return F.array(
        *(
            F.struct(F.lit(i).alias("attribute"), F.try_element_at("attributes", F.lit(n)).alias("value"))
            for i, n in enumerate(names)
        )
    )


def _grouped(customers: DataFrame, segment: Column, settings: MonitoringSettings) -> list[_Groups]:
    """The groups of each protected attribute, from one pass."""
    cells = (
        customers.select(segment.cast("string").alias("segment"), F.inline(_attributes(settings)))
        .groupBy("attribute", "value", "segment")
        .agg(F.count(F.lit(1)).alias("customers"))
    )
    cell = F.struct("segment", "customers")
    by_value = cells.groupBy("attribute", "value").agg(
        F.sum("customers").alias("customers"), F.array_agg(cell).alias("cells")
    )
    known = F.col("value").isNotNull()
    large = known & (F.col("customers") >= settings.min_group)
    rows = (
        by_value.groupBy("attribute")
        .agg(
            F.sum(F.when(~large, F.col("customers")).otherwise(0)).alias("left_out"),
            F.count_if(known & ~large).alias("small"),
            F.array_agg(F.when(large, F.struct("value", "customers", "cells"))).alias("groups"),
        )
        .collect()
    )
    if not rows:
        raise InputError(
            "monitoring: the current state must have customers; got none. Compare runs that have some"
        )
    names = list(dict.fromkeys(settings.protected))
    return [_groups(names[row["attribute"]], row) for row in sorted(rows, key=lambda row: row["attribute"])]


def _groups(attribute: str, row: Row) -> _Groups:
    found = sorted(row["groups"], key=lambda group: group["value"])
    inside: dict[str, dict[str, int]] = {}
    for group in found:
        for cell in group["cells"]:
            if cell["segment"] is not None:
                inside.setdefault(cell["segment"], {})[group["value"]] = int(cell["customers"])
    sizes = {group["value"]: int(group["customers"]) for group in found}
    return _Groups(attribute, sizes, dict(sorted(inside.items())), int(row["small"]), int(row["left_out"]))


def _shares(groups: _Groups, smallest: int) -> list[Measure]:
    everybody = sum(groups.sizes.values())
    measures = []
    for segment, members in groups.inside.items():
        if sum(members.values()) < smallest:
            continue
        for value, size in groups.sizes.items():
            share, overall = members.get(value, 0) / sum(members.values()), size / everybody
            subject = f"{groups.attribute}={value} in {segment}"
            told = f"{share:.1%} of {segment} have {groups.attribute}={value}, of all customers {overall:.1%}"
            told += groups.apart
            measures.append(Measure("size_share", subject, overall, share, None, False, "keep", told))
    return measures


def _four_fifths(groups: _Groups, segment: str, settings: MonitoringSettings) -> list[Measure]:
    rates = {value: groups.rate(value, segment) for value in groups.sizes}
    best = max(rates, key=lambda value: (rates[value], value), default=None)
    if best is None or len(rates) < 2 or rates[best] == 0:
        what = "no two groups are large enough" if len(rates) < 2 else "nobody is in it"
        told = f"{segment} cannot be compared by {groups.attribute}: {what}{groups.apart}"
        subject = f"{groups.attribute} in {segment}"
        return [Measure("four_fifths", subject, None, None, settings.min_ratio, False, "alert", told)]
    pairs = len(rates) * (len(rates) - 1) / 2
    measures = []
    for value, rate in rates.items():
        if value == best:
            continue
        ratio = rate / rates[best]
        chance = chance_of(rate, groups.sizes[value], rates[best], groups.sizes[best])
        low = ratio < settings.min_ratio
        told = (
            f"{rate:.1%} of {groups.sizes[value]:,} customers with {groups.attribute}={value} are in "
            f"{segment}, {rates[best]:.1%} of {groups.sizes[best]:,} with {best}: ratio {ratio:.2f} "
            f"(at least {settings.min_ratio:g})"
        )
        breached = low and chance < _CHANCE / pairs
        if low:
            told += f", {'not ' if breached else 'may be '}by chance (z test at {_CHANCE:g})"
        subject = f"{groups.attribute}={value} in {segment}"
        told += groups.apart
        measures.append(
            Measure("four_fifths", subject, None, ratio, settings.min_ratio, breached, "alert", told)
        )
    return measures


def _proxies(customers: DataFrame, features: Sequence[str], settings: MonitoringSettings) -> list[Measure]:
    """A measure `proxy` for each attribute and feature in which two groups are large enough."""
    if not features:
        return []
    ranked = values_of(customers, features, _attributes(settings).alias("groups")).withColumn(
        "rank", rank_in(deciles_of(customers, features))
    )
    rows = (
        ranked.select("feature", "rank", F.inline("groups"))
        .where(F.col("value").isNotNull())
        .groupBy("attribute", "value", "feature")
        .agg(
            F.count("rank").alias("n"),
            F.sum("rank").alias("sum"),
            F.sum(F.col("rank") * F.col("rank")).alias("squares"),
        )
        .where(F.col("n") >= settings.min_group)
        .collect()
    )
    measures = []
    for a, attribute in enumerate(dict.fromkeys(settings.protected)):
        for i, name in enumerate(features):
            own = [row for row in rows if (row["attribute"], row["feature"]) == (a, i)]
            if len(own) > 1:
                measures.append(_proxy(attribute, name, own, len(features), settings))
    return measures


def _proxy(
    attribute: str, feature: str, groups: Sequence[Row], tests: int, settings: MonitoringSettings
) -> Measure:
    n, total = sum(g["n"] for g in groups), sum(g["sum"] for g in groups)
    all_squares = sum(g["squares"] for g in groups) - total * total / n
    # Sorted, because groups come in any order and sums of doubles depend on it.
    between = sum(sorted(g["sum"] ** 2 / g["n"] for g in groups)) - total * total / n
    share = max(between, 0.0) / all_squares if all_squares > 0 else 0.0
    border = settings.max_proxy
    chance = float(chdtri(len(groups) - 1, _CHANCE / tests)) / (n - 1)
    breached = share >= border and share > chance
    told = (
        f"{share:.0%} of the variance of {feature} lies between {len(groups)} groups of {attribute} "
        f"(border {border:.0%}, chance {chance:.0%})"
    )
    if breached:
        told += f": {feature} tells much of {attribute}"
    return Measure("proxy", f"{feature} by {attribute}", None, share, border, breached, "alert", told)
