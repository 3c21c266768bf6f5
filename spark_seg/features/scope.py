"""What a feature may depend on, what is added up for it, and what a feature is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DataType

from spark_seg.config import FeatureSettings
from spark_seg.periods import Period


@dataclass(frozen=True)
class Scope:
    """The snapshot that features describe."""

    as_of: date
    settings: FeatureSettings

    @property
    def observation(self) -> Period:
        """`[as_of - lookback_days, as_of)`."""
        return self.last(self.settings.lookback_days)

    @property
    def recent(self) -> Period:
        """The last trend_days."""
        return self.last(self.settings.trend_days)

    def last(self, days: int) -> Period:
        """`[as_of - days, as_of)`."""
        return Period.before(self.as_of, days)

    def observed(self, value: Column) -> Column:
        """`value` on days of the observation period, NULL on others."""
        return within(self.observation, value)


@dataclass(frozen=True)
class Measure:
    """Something added up over a customer's rows in two steps: `column` over the rows of one category or
    subject, `merge` over these. `empty` stands for it where there are no rows.

    Only numbers and days: with lists or texts Spark would sort all rows rather than hash them.
    """

    column: Column
    merge: Callable[[str], Column]
    empty: int | None = None


def total(value: Column) -> Measure:
    """Sum, 0 where there are no rows."""
    return Measure(F.sum(value), F.sum, 0)


def earliest(day: Column) -> Measure:
    """First day."""
    return Measure(F.min(day), F.min)


def latest(day: Column) -> Measure:
    """Last day."""
    return Measure(F.max(day), F.max)


@dataclass(frozen=True)
class Feature:
    """A name in the literal tables: the formula over measures, its type and its meaning."""

    column: Callable[[Scope], Column]
    type: DataType
    comment: str


def within(period: Period, value: Column) -> Column:
    """`value` on days of `period`, NULL on others."""
    return F.when(period.contains(F.col("day")), value)
