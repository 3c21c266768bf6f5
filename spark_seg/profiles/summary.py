"""Labelled customers → one profile per segment, in original units, from one aggregation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby

import numpy as np
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from spark_seg.tables import MONEY

#: The scheme that holds all customers as one group; lift, difference and position are against it.
EVERYBODY = "everybody"
#: Customers by category, beside their attributes.
CATEGORIES = ("lifecycle_stage", "top_category")
#: Values of an attribute that are told; further ones are counted together.
_VALUES = 12
#: A distribution in steps: positions follow from these, exact to a two-hundredth.
_STEPS = 200
_DECILES = [q / 10 for q in range(1, 10)]
#: Of how many significant digits quantiles are. It bounds what an aggregate holds (a few hundred thousand
#: different values for each segment and feature, however many customers there are), and nobody sees it.
_DIGITS = 5


@dataclass(frozen=True)
class FeatureStat:
    """One feature within one segment. `known`: customers with a value; `difference`: of the mean from that of
    all customers, in their standard deviations; `position`: mean rank among all customers, -1 to 1.

    Quantiles are values that customers have: the smallest that so many of them do not exceed.
    """

    feature: str
    known: int
    mean: float | None
    sd: float | None
    median: float | None
    p10: float | None
    p90: float | None
    lift: float | None
    difference: float | None
    position: float | None


@dataclass(frozen=True)
class Kpi:
    """A figure of business, and the customers it is of."""

    kpi: str
    value: float | None
    customers: int


@dataclass(frozen=True)
class Profile:
    """One segment: its size, its revenue, its features, and who is in it.

    `makeup`: attribute → value → customers; the value None: all others. `cells`: (recency score, frequency
    score) → customers and revenue.
    """

    label: int
    customers: int
    customer_share: float
    revenue: Decimal
    revenue_share: float | None
    stats: tuple[FeatureStat, ...]
    kpis: tuple[Kpi, ...] = ()
    makeup: Mapping[str, Mapping[str | None, int]] = field(default_factory=dict)
    cells: Mapping[tuple[int, int], tuple[int, Decimal]] = field(default_factory=dict)

    @property
    def positions(self) -> dict[str, float | None]:
        """Feature → mean rank among all customers."""
        return {stat.feature: stat.position for stat in self.stats}

    def stat(self, feature: str) -> FeatureStat | None:
        """What is known of one feature."""
        return next((s for s in self.stats if s.feature == feature), None)

    def mean_of(self, feature: str) -> float:
        """Mean of one feature; 0 when nobody in the segment has it."""
        stat = self.stat(feature)
        return (stat.mean or 0.0) if stat is not None else 0.0

    def total_of(self, feature: str) -> float:
        """Sum of one feature over the segment's customers."""
        stat = self.stat(feature)
        return (stat.mean or 0.0) * stat.known if stat is not None else 0.0


@dataclass(frozen=True)
class Ratio:
    """A KPI as a sum over a sum. `needs`: the features without which there is none."""

    needs: tuple[str, ...]
    top: Callable[[], Column]
    bottom: Callable[[], Column]


def _double(name: str) -> Column:
    return F.col(name).cast("double")


def _is(condition: Column) -> Column:
    return F.when(condition, 1.0).otherwise(0.0)


#: KPI → what it is the ratio of. Customers count where the lower part is above zero.
KPIS: dict[str, Ratio] = {
    # Spend per order.
    "average_order_value": Ratio(
        ("monetary", "frequency"), lambda: _double("monetary"), lambda: _double("frequency")
    ),
    # Who ordered more than once, of those who ordered.
    "repeat_rate": Ratio(
        ("frequency",), lambda: _is(F.col("frequency") > 1), lambda: _is(F.col("frequency") > 0)
    ),
    # Who ordered in the holdout period.
    "retention": Ratio(("holdout_active",), lambda: _double("holdout_active"), lambda: F.lit(1.0)),
    # Who answered at least one campaign, of those who were contacted.
    "conversion": Ratio(
        ("contacts", "response_rate"),
        lambda: _is(F.col("response_rate") > 0),
        lambda: _is(F.col("contacts") > 0),
    ),
    # Contacts that were answered.
    "campaign_response": Ratio(
        ("contacts", "response_rate"),
        lambda: F.coalesce(F.col("response_rate") * F.col("contacts"), F.lit(0.0)),
        lambda: _double("contacts"),
    ),
}


def profile(
    customers: DataFrame, schemes: Mapping[str, Column], features: Sequence[str]
) -> dict[str, list[Profile]]:
    """Of each scheme, one `Profile` for each of its labels, ordered by them; and of `EVERYBODY`, one.

    `customers`: `monetary` and the numeric `features`; where they are there: `attributes` (a map), the
    `CATEGORIES`, `r_score` and `f_score`, and what `KPIS` need. `schemes`: integer labels of the same
    customers by several divisions; who has no label in one is left out of it.

    One aggregation over the customers, whatever the number of schemes, segments and features: each becomes a
    row for each fact, and a fact is added up by scheme, label and name. The driver gets a row per segment and
    fact, of attributes the twelve commonest values.
    """
    facts = _facts(customers, {EVERYBODY: F.lit(0), **schemes}, features)
    groups: dict[str, dict[int, list[Row]]] = {name: {} for name in (EVERYBODY, *schemes)}
    for row in _added_up(facts).collect():
        groups[row["scheme"]].setdefault(int(row["label"]), []).append(row)
    everybody = {row["name"]: row for row in groups[EVERYBODY].get(0, []) if row["kind"] == "feature"}
    return {scheme: _profiles(own, features, everybody) for scheme, own in groups.items()}


def _facts(customers: DataFrame, schemes: Mapping[str, Column], features: Sequence[str]) -> DataFrame:
    """A row for each customer, scheme and fact: `scheme`, `label`, and the columns `_FACT`.

    One row per fact and not one column: an aggregate with hundreds of columns takes Spark seconds to compile,
    each time anew, and this takes none.
    """
    there = set(customers.columns)
    facts = [_fact("size", "", money=F.col("monetary"))]
    facts += [_fact("feature", name, value=F.col(name)) for name in features]
    for name, kpi in KPIS.items():
        if there.issuperset(kpi.needs):
            counts = kpi.bottom() > 0
            top, bottom = F.when(counts, kpi.top()), F.when(counts, kpi.bottom())
            facts.append(_fact("kpi", name, value=top, weight=bottom))
    facts += [_fact("category", name, text=F.col(name)) for name in CATEGORIES if name in there]
    if {"r_score", "f_score"} <= there:
        # Of a sum with a NULL there is none, and so there is no cell.
        cell = (F.col("r_score") * 10 + F.col("f_score")).cast("string")
        facts.append(_fact("cell", "", text=cell, money=F.col("monetary")))
    every = F.array(*facts)
    if "attributes" in there:
        entries = F.coalesce(F.map_entries("attributes"), F.array())
        every = F.concat(every, F.transform(entries, lambda e: _fact("category", e["key"], text=e["value"])))
    labels = (F.struct(F.lit(s).alias("scheme"), c.cast("int").alias("label")) for s, c in schemes.items())
    apart = customers.select(every.alias("facts"), F.inline(F.array(*labels)))
    return apart.where(F.col("label").isNotNull()).select("scheme", "label", F.inline("facts"))


_FACT = {"kind": "string", "name": "string", "text": "string", "value": "double", "weight": "double",
         "money": MONEY.simpleString()}  # fmt: skip


def _fact(kind: str, name: str | Column, **given: Column) -> Column:
    told = {"kind": F.lit(kind), "name": F.lit(name) if isinstance(name, str) else name, **given}
    # Spark before 4.2 forgets names that a struct has from aliases where a child is resolved late.
    parts = {n: told.get(n, F.lit(None)).cast(t) for n, t in _FACT.items()}
    return F.named_struct(*(part for n, column in parts.items() for part in (F.lit(n), column)))


def _added_up(facts: DataFrame) -> DataFrame:
    """Facts by scheme, label and name; of the values of an attribute the commonest ones.

    The numbers of those that are left out remain in `known`: all customers with a value.
    """
    quantiles = ", ".join(f"{q!r}D" for q in (*_DECILES, *((i + 0.5) / _STEPS for i in range(_STEPS))))
    added = (
        facts.withColumn("rounded", _rounded(F.col("value")))
        .groupBy("scheme", "label", "kind", "name", "text")
        .agg(
            F.count(F.lit(1)).alias("customers"),
            F.count("value").alias("known"),
            F.sum("money").alias("money"),
            F.sum("value").alias("sum"),
            F.sum("weight").alias("weight"),
            F.mean("value").alias("mean"),
            F.stddev_pop("value").alias("sd"),
            # Numbers of this file, and no names.
            F.expr(f"percentile_disc(array({quantiles})) WITHIN GROUP (ORDER BY rounded)").alias("quantiles"),
        )
    )
    of_text = F.col("text").isNotNull()
    all_of = Window.partitionBy("kind", "name", "text")
    group = Window.partitionBy("scheme", "label", "kind", "name")
    by_count = Window.partitionBy("kind", "name").orderBy(F.col("total").desc(), "text")
    everywhere = F.when(F.col("scheme") == EVERYBODY, F.col("customers"))
    with_text = F.sum(F.when(of_text, F.col("customers"))).over(group)
    return (
        added.withColumn("total", F.when(of_text, F.sum(everywhere).over(all_of)))
        .withColumn("known", F.when(of_text, with_text).otherwise(F.col("known")))
        .withColumn("rank", F.dense_rank().over(by_count))
        .where(F.col("total").isNull() | (F.col("kind") == "cell") | (F.col("rank") <= _VALUES))
        .drop("total", "rank")
    )


def _rounded(value: Column) -> Column:
    """To `_DIGITS` significant digits; powers of ten stay whole numbers, which lose nothing."""
    place = F.floor(F.log10(F.abs(value))) - (_DIGITS - 1)
    up, down = F.pow(F.lit(10.0), place), F.pow(F.lit(10.0), -place)
    rounded = F.when(place > 0, F.rint(value / up) * up).otherwise(F.rint(value * down) / down)
    return F.when(value == 0, value).otherwise(rounded)


def _profiles(
    groups: Mapping[int, Sequence[Row]], features: Sequence[str], everybody: Mapping[str, Row]
) -> list[Profile]:
    sizes = {label: next(row for row in rows if row["kind"] == "size") for label, rows in groups.items()}
    total = sum(row["customers"] for row in sizes.values())
    revenue = sum((row["money"] or Decimal(0) for row in sizes.values()), Decimal(0))
    result = []
    for label, size in sorted(sizes.items()):
        stats = {row["name"]: row for row in groups[label] if row["kind"] == "feature"}
        own = size["money"] or Decimal(0)
        result.append(
            Profile(
                label,
                int(size["customers"]),
                size["customers"] / total,
                own,
                float(own / revenue) if revenue else None,
                tuple(_stat(stats[name], everybody[name]) for name in features),
                tuple(_kpi(row) for row in _of(groups[label], "kpi")),
                _makeup(_of(groups[label], "category")),
                {
                    divmod(int(row["text"]), 10): (int(row["customers"]), row["money"] or Decimal(0))
                    for row in _of(groups[label], "cell")
                    if row["text"] is not None
                },
            )
        )
    return result


def _of(rows: Iterable[Row], kind: str) -> list[Row]:
    return sorted((row for row in rows if row["kind"] == kind), key=lambda r: (r["name"], r["text"] or ""))


def _stat(row: Row, everybody: Row) -> FeatureStat:
    if not row["known"]:
        return FeatureStat(row["name"], 0, *(None,) * 8)
    deciles, steps = row["quantiles"][: len(_DECILES)], np.array(row["quantiles"][len(_DECILES) :])
    mean, of_all = row["mean"], everybody["mean"]
    borders = np.array(everybody["quantiles"][: len(_DECILES)])[:, None]
    # Rank in steps of deciles, ties in the middle.
    passed = (steps > borders).sum(axis=0) + (steps >= borders).sum(axis=0)
    return FeatureStat(
        row["name"],
        int(row["known"]),
        mean,
        row["sd"],
        deciles[4],
        deciles[0],
        deciles[8],
        mean / of_all if of_all else None,
        (mean - of_all) / everybody["sd"] if everybody["sd"] else None,
        float(passed.mean()) / len(_DECILES) - 1,
    )


def _kpi(row: Row) -> Kpi:
    value = row["sum"] / row["weight"] if row["known"] and row["weight"] else None
    return Kpi(row["name"], value, int(row["known"]))


def _makeup(rows: Sequence[Row]) -> dict[str, dict[str | None, int]]:
    makeup: dict[str, dict[str | None, int]] = {}
    for name, of_name in groupby(rows, key=lambda row: str(row["name"])):
        told = [row for row in of_name if row["text"] is not None]
        counts: dict[str | None, int] = {row["text"]: int(row["customers"]) for row in told}
        rest = int(told[0]["known"]) - sum(counts.values()) if told else 0
        if counts:
            makeup[name] = counts | ({None: rest} if rest else {})
    return makeup


@dataclass(frozen=True)
class LeftOut:
    """Customers who are in no segment."""

    customers: int
    revenue: Decimal


def left_out(customers: DataFrame) -> LeftOut:
    """How many there are, and what they spent."""
    revenue = F.coalesce(F.sum("monetary"), F.lit(0)).cast(MONEY)
    row = customers.agg(F.count(F.lit(1)).alias("customers"), revenue.alias("revenue")).first()
    assert row is not None  # noqa: S101 - an aggregate without groups has one row
    return LeftOut(int(row["customers"]), row["revenue"])
