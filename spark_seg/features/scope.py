"""What a feature may depend on, and what a feature is."""

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
        return Period.before(self.as_of, self.settings.lookback_days)

    def observed(self, value: Column) -> Column:
        """`value` on days of the observation period, NULL on others."""
        return within(self.observation, value)


@dataclass(frozen=True)
class Feature:
    """A name in the literal tables: how the column is computed, its type and its meaning."""

    column: Callable[[Scope], Column]
    type: DataType
    comment: str


def within(period: Period, value: Column) -> Column:
    """`value` on days of `period`, NULL on others."""
    return F.when(period.contains(F.col("day")), value)


def total(value: Column) -> Column:
    """Sum over a customer's rows, 0 where there are none."""
    return F.coalesce(F.sum(value), F.lit(0))
