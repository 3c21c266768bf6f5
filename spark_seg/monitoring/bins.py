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


def deciles_of(frame: DataFrame, features: Sequence[str]) -> list[list[float]]:
    """The nine deciles of each of `features`, [] where nobody has a value.

    One pass; the driver gets a row per feature. Infinite values and NaN count as none.
    """
    pairs = (F.struct(F.lit(i).alias("feature"), _number(n).alias("value")) for i, n in enumerate(features))
    cuts = F.percentile("value", F.array(*map(F.lit, _DECILES)))
    rows = frame.select(F.inline(F.array(*pairs))).groupBy("feature").agg(cuts.alias("cuts")).collect()
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


def bin_of(name: str, borders: Sequence[float]) -> Column:
    """Number of the bin of a feature's value, from 0; `UNKNOWN` without a value."""
    value = _number(name)
    return F.coalesce(_passed(value, lambda border: value >= border, borders), F.lit(UNKNOWN))


def rank_of(name: str, deciles: Sequence[float]) -> Column:
    """Rank of a feature's value in half steps of deciles, ties in the middle: 0 to 18; NULL without a value.

    A whole number, so that sums over it do not depend on the order of rows.
    """
    value = _number(name)
    above = _passed(value, lambda cut: value > cut, deciles)
    return above + _passed(value, lambda cut: value >= cut, deciles)


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


def _number(name: str) -> Column:
    """The value as a double; NULL where it is infinite or NaN, between which no border can lie."""
    value = F.col(name).cast("double")
    return F.when(F.abs(value) < F.lit(math.inf), value)


def _passed(value: Column, passes: Callable[[Column], Column], borders: Sequence[float]) -> Column:
    """How many of `borders` the value passes; NULL without a value."""
    if not borders:
        return F.when(value.isNotNull(), F.lit(0))
    return F.when(value.isNotNull(), F.size(F.filter(F.array(*map(F.lit, borders)), passes)))
