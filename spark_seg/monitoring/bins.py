"""Deciles of features, and where values lie between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import NumericType

_DECILES = [q / 10 for q in range(1, 10)]
#: Bin of those without a value.
UNKNOWN = -1
#: Significant bits of values: what is nearer than 0.05 % is equal.
_BITS = 12


def unusable(frame: DataFrame, features: Sequence[str], what: str) -> list[str]:
    """A sentence for each of `features` that `frame`, called `what`, lacks or that is no number."""
    types = {field.name: field.dataType for field in frame.schema.fields}
    problems = []
    for name in features:
        if name not in types:
            problems.append(
                f"monitoring: {what} must have the feature {name}; got none. "
                "Compare runs that have the same features"
            )
        elif not isinstance(types[name], NumericType):
            problems.append(
                f"monitoring: {what} must have numbers as {name}; got {types[name].simpleString()}. "
                "Name numeric features only"
            )
    return problems


def values_of(frame: DataFrame, features: Sequence[str], *kept: Column) -> DataFrame:
    """A row per customer and feature: `kept`, `feature` (its position) and `value`.

    Values are doubles of 12 significant bits; NULL where they are infinite or NaN.
    """
    # Long, because an aggregate with hundreds of columns takes Spark seconds to compile; rounded only then,
    # because code that rounds all features at once is too long for Java to compile.
    pairs = F.posexplode(F.array(*(F.col(name).cast("double") for name in features)))
    return frame.select(*kept, pairs.alias("feature", "value")).withColumn("value", _rounded(F.col("value")))


def deciles_of(frame: DataFrame, features: Sequence[str]) -> list[list[float]]:
    """The nine deciles of each of `features`, [] where nobody has a value.

    One pass; the driver gets a row per feature.
    """
    cuts = F.percentile("value", F.array(*map(F.lit, _DECILES)))
    rows = values_of(frame, features).groupBy("feature").agg(cuts.alias("cuts")).collect()
    found = {row["feature"]: [float(cut) for cut in row["cuts"] or ()] for row in rows}
    return [found.get(i, []) for i in range(len(features))]  # there is no row when there are no customers


def starts(deciles: Sequence[float]) -> list[float]:
    """Where bins after the first begin; a bin holds the values from its start to below the next.

    Deciles belong to the bin below them. Equal deciles are one border, and because at least a tenth of all
    customers have that very value, it gets a bin of its own: otherwise the few who lie below a value that
    most have would vanish in its bin.
    """
    borders = set()
    for cut in deciles:
        borders.add(math.nextafter(cut, math.inf))
        if deciles.count(cut) > 1:
            borders.add(cut)
    return sorted(borders)


def bin_in(borders: Sequence[Sequence[float]]) -> Column:
    """Of rows of `values_of`: number of the bin, from 0, by the borders of each feature; `UNKNOWN` without a
    value."""
    return F.coalesce(_passed(borders, lambda border: F.col("value") >= border), F.lit(UNKNOWN))


def rank_in(deciles: Sequence[Sequence[float]]) -> Column:
    """Of rows of `values_of`: rank in half steps of the deciles of each feature, ties in the middle: 0 to 18;
    NULL without a value.

    A whole number, so that sums over it do not depend on the order of rows.
    """
    above = _passed(deciles, lambda cut: F.col("value") > cut)
    return above + _passed(deciles, lambda cut: F.col("value") >= cut)


def place(borders: Sequence[float], position: int) -> str:
    """A bin in words."""
    if position == UNKNOWN:
        return "without a value"
    low = f"{borders[position - 1]:.4g}" if position > 0 else None
    high = f"{borders[position]:.4g}" if position < len(borders) else None
    if low is None:
        return "with a value" if high is None else f"up to {high}"
    if high is None:
        return f"from {low} up"
    return f"at {low}" if low == high else f"from {low} to {high}"


def _rounded(value: Column) -> Column:
    """A double to 12 significant bits; NULL where it is infinite or NaN.

    Spark's exact percentiles hold every distinct value in memory: of a million customers' spend they take six
    times as long as of its first 12 bits. The approximate ones depend on how rows are partitioned.
    """
    finite = F.when(F.abs(value) < F.lit(math.inf), value)
    step = F.pow(F.lit(2.0), F.floor(F.log2(F.abs(finite))) - _BITS + 1)
    return F.coalesce(F.rint(F.try_divide(finite, step)) * step, finite)  # 0 has no logarithm


def _passed(borders: Sequence[Sequence[float]], passes: Callable[[Column], Column]) -> Column:
    """How many borders of its feature a value passes; NULL without a value."""
    every = F.array(*(F.array(*map(F.lit, own)) for own in borders)).cast("array<array<double>>")
    own = F.element_at(every, F.col("feature") + 1)
    return F.when(F.col("value").isNotNull(), F.size(F.filter(own, passes)))
