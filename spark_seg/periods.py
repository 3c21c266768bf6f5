"""Half-open intervals of days. Nothing else in the package does date arithmetic by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from spark_seg.errors import ConfigError


@dataclass(frozen=True)
class Period:
    """Days from `start` (inclusive) to `end` (exclusive)."""

    start: date
    end: date

    @classmethod
    def before(cls, as_of: date, days: int) -> Period:
        """The observation period `[as_of - days, as_of)`."""
        return cls(as_of - timedelta(days=days), as_of)

    @classmethod
    def after(cls, as_of: date, days: int) -> Period:
        """The holdout period `[as_of, as_of + days)`."""
        return cls(as_of, as_of + timedelta(days=days))

    @property
    def last_day(self) -> date:
        """The day before `end`."""
        return self.end - timedelta(days=1)

    @property
    def days(self) -> int:
        """Length in days."""
        return (self.end - self.start).days

    def preceding(self) -> Period:
        """The period of the same length that ends where this one starts."""
        return Period.before(self.start, self.days)

    def contains(self, day: Column) -> Column:
        """Boolean column: does the date column `day` fall into this period."""
        return (day >= F.lit(self.start)) & (day < F.lit(self.end))


def days_until(as_of: date, day: Column) -> Column:
    """Whole days from the date column `day` to `as_of`; 1 for the day before `as_of`."""
    return F.date_diff(F.lit(as_of), day)


def parse_as_of(text: str) -> date:
    """`as_of` as the scheduler gives it, `YYYY-MM-DD`. Raises `ConfigError`."""
    try:
        as_of = date.fromisoformat(text)
    except ValueError:
        as_of = None
    if as_of is None or as_of.isoformat() != text:  # 20250101 and 2025-W01-1 are ISO dates too
        raise ConfigError(f"--as-of: must be a date YYYY-MM-DD; got {text!r}")
    if not date(1971, 1, 1) <= as_of <= date(9000, 1, 1):
        raise ConfigError(f"--as-of: must lie between 1971-01-01 and 9000-01-01; got {text}")
    return as_of
