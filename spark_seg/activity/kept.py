"""The activity that earlier runs kept: what of it counts, and from which day on it is out of date.

A day of the activity follows from the source rows of that day, and from those of the orders that have a
line on it. So a table to which rows were added since changes nothing before the first day of these
rows, or of the orders that go on into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.tables import ACTIVITY, Stamp

_ORDER = ["customer_id", "order_id"]
#: Orders that reach back, one into the next: beyond this it is cheaper to compute every day.
_LONGEST_CHAIN = 5


@dataclass(frozen=True)
class Part:
    """Days `[since, as_of)` of the table `activity` as one run computed them; all days without `since`."""

    as_of: date
    run_id: str
    attempt_id: str
    since: date | None

    @property
    def stamp(self) -> Stamp:
        """Who wrote its rows."""
        return Stamp(self.as_of, self.run_id, self.attempt_id)


def built_on(parts: Sequence[Part], part: Part) -> tuple[Part, ...]:
    """`part`, and those of the older `parts` of which it leaves a day: newest first."""
    older = (p for p in parts if part.since is not None and (p.since is None or p.since < part.since))
    return (part, *older)


def kept_days(table: DataFrame, parts: Sequence[Part]) -> DataFrame:
    """Rows of `table` (columns of `kept_activity_spec`) that count: each day as its newest part has it.

    `parts`: newest first; each begins earlier than those before it (`built_on`).
    """
    counts = F.lit(False)
    end: date | None = None
    for part in parts:
        rows = part.stamp.rows
        counts |= rows if end is None else rows & (F.col("day") < F.lit(end))
        end = part.since
    return table.where(counts).drop(*ACTIVITY.partition_by)


def first_changed_day(before: DataFrame, after: DataFrame, time: str, as_of: date) -> tuple[date | None, int]:
    """First day before `as_of` with more rows in `after`; None without one. And the rows of `before` without
    a day.

    `before`, `after`: canonical rows with the timestamp `time`; `after` has all rows of `before`.
    """
    day = F.to_date(time).alias("day")
    rows = after.select(day, F.lit(1).alias("rows"))
    signed = rows.unionByName(before.select(day, F.lit(-1).alias("rows")))
    days = signed.groupBy("day").agg(
        F.sum("rows").alias("more"), F.sum(F.when(F.col("rows") < 0, 1)).alias("before")
    )
    changed = (F.col("more") != 0) & (F.col("day") < F.lit(as_of))
    row = days.agg(
        F.min(F.when(changed, _of_python(F.col("day")))).alias("first"),
        F.sum(F.when(F.col("day").isNull(), F.col("before"))).alias("undated"),
    ).first()
    return (row["first"], int(row["undated"] or 0)) if row is not None else (None, 0)


def first_day_of_orders(lines: DataFrame, since: date, as_of: date) -> date | None:
    """The last day up to `since` that no order crosses: each lies before it, or on it and later, as a whole.

    `lines`: `customer_id, order_id, ordered_at`. None when such a day is not found soon.
    """
    days = lines.select(*_ORDER, F.to_date("ordered_at").alias("day")).where(F.col("day") < F.lit(as_of))
    for _ in range(_LONGEST_CHAIN):
        later = days.where(F.col("day") >= F.lit(since)).select(*_ORDER).distinct()
        crossing = days.where(F.col("day") < F.lit(since)).join(later, on=_ORDER, how="left_semi")
        row = crossing.agg(F.min(_of_python(F.col("day"))).alias("first")).first()
        if row is None or row["first"] is None:
            return since
        since = row["first"]
    return None


def _of_python(day: Column) -> Column:
    """Days before the year 1000 do not pass between Python and Spark in both ways."""
    return F.greatest(day, F.lit(date(1000, 1, 1)))
