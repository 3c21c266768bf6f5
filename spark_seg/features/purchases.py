"""Features of purchases: what is added up over a customer's rows of purchases, and formulas over it.

Definitions of `recency_days`, `frequency`, `monetary` and `tenure_days`: Words in spark_seg/README.md.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, IntegerType, LongType

from spark_seg.features.scope import Feature, Measure, Scope, earliest, latest, total, within
from spark_seg.periods import Period, days_until
from spark_seg.tables import MONEY


def with_previous(purchases: DataFrame) -> DataFrame:
    """Add `order_day`, the day where something was ordered, and `previous`, the order day before it.

    `previous` stands only in the first row of an order day, so sums over rows see each gap once.
    """
    before = Window.partitionBy("customer_id").orderBy("day").rowsBetween(Window.unboundedPreceding, -1)
    previous = F.max("order_day").over(before)
    return purchases.withColumn("order_day", F.when(F.col("orders") > 0, F.col("day"))).withColumn(
        "previous", F.when(previous < F.col("order_day"), previous)
    )


def _orders_in(period: Period) -> str:
    return f"orders from {period.start} to {period.end}"


def _amount_in(period: Period) -> str:
    return f"amount from {period.start} to {period.end}"


def purchase_measures(s: Scope) -> dict[str, Measure]:
    """What is added up over the rows of `with_previous`."""
    day, previous = F.col("order_day"), F.col("previous")
    gap = s.observed(F.when(previous >= F.lit(s.observation.start), F.date_diff(day, previous)))
    measures = {
        "first order": earliest(day),
        "last order": latest(day),
        "order before the last": latest(previous),
        "last order observed": latest(s.observed(day)),
        "gaps": total(F.when(gap.isNotNull(), 1)),
        "days of gaps": total(gap),
        "squares of gaps": total(gap.cast("long") * gap),
        "returned observed": total(s.observed(F.col("returned"))),
    }
    for period in (s.observation, *map(s.last, s.settings.lookbacks_days), s.recent, s.recent.preceding()):
        measures[_orders_in(period)] = total(within(period, F.col("orders")))
        measures[_amount_in(period)] = total(within(period, F.col("amount")))
    return measures


def recency_days(s: Scope) -> Column:
    """Days from the last order in the observation period to `as_of`; NULL without an order in it."""
    return days_until(s.as_of, F.col("last order observed"))


def frequency(s: Scope) -> Column:
    """Distinct orders in the observation period."""
    return F.col(_orders_in(s.observation))


def monetary(s: Scope) -> Column:
    """Net spend in the observation period: returns are taken off."""
    return F.col(_amount_in(s.observation))


def average_order_value(s: Scope) -> Column:
    """`monetary` per order; NULL without an order."""
    return F.try_divide(monetary(s).cast("double"), frequency(s).cast("double"))


def returned_share(s: Scope) -> Column:
    """Returned amount per amount bought; NULL when nothing was bought."""
    returned = F.col("returned observed")
    return F.try_divide(returned.cast("double"), (monetary(s) + returned).cast("double"))


def tenure_days(s: Scope) -> Column:
    """Days from the first order ever seen to `as_of` (the literature's T); NULL without an order."""
    return days_until(s.as_of, F.col("first order"))


def purchase_interval_days(_: Scope) -> Column:
    """Mean days between successive order days; NULL for fewer than two order days."""
    return F.try_divide(F.col("days of gaps").cast("double"), F.col("gaps"))


def purchase_interval_variation(_: Scope) -> Column:
    """Standard deviation of the days between order days, over their mean: 0 is clockwork.

    Population deviation, from integer sums so that it does not depend on the order of rows; NULL for
    fewer than three order days.
    """
    n, one, two = (F.col(c).cast("double") for c in ("gaps", "days of gaps", "squares of gaps"))
    variance = F.greatest(n * two - one * one, F.lit(0.0))
    return F.when(n >= 2, F.try_divide(F.sqrt(variance), one))


def last_gap_days(_: Scope) -> Column:
    """Days between the last two order days ever, as `tenure_days` looks at all; NULL for fewer than two.

    Within the observation period alone, who comes back after a longer silence would look like new.
    """
    return F.date_diff("last order", "order before the last")


def _change(s: Scope, of: Callable[[Period], str]) -> Column:
    now, then = (F.col(of(period)).cast("double") for period in (s.recent, s.recent.preceding()))
    return F.try_divide(now - then, F.abs(now) + F.abs(then))


def spend_trend(s: Scope) -> Column:
    """(recent - earlier) / (recent + earlier) net spend of two periods of trend_days: -1 (stopped) to 1
    (started); NULL when both are zero."""
    return _change(s, _amount_in)


def order_trend(s: Scope) -> Column:
    """As `spend_trend`, for orders."""
    return _change(s, _orders_in)


PURCHASE_FEATURES: dict[str, Feature] = {
    "recency_days": Feature(recency_days, IntegerType(), "days since the last order of the observation"),
    "frequency": Feature(frequency, LongType(), "distinct orders in the observation"),
    "monetary": Feature(monetary, MONEY, "net spend in the observation"),
    "average_order_value": Feature(average_order_value, DoubleType(), "monetary per order"),
    "returned_share": Feature(returned_share, DoubleType(), "returned amount per amount bought"),
    "tenure_days": Feature(tenure_days, IntegerType(), "days since the first order ever"),
    "purchase_interval_days": Feature(
        purchase_interval_days, DoubleType(), "mean days between successive order days"
    ),
    "purchase_interval_variation": Feature(
        purchase_interval_variation, DoubleType(), "deviation of these days over their mean; 0 is clockwork"
    ),
    "last_gap_days": Feature(last_gap_days, IntegerType(), "days between the last two order days"),
    "spend_trend": Feature(
        spend_trend, DoubleType(), "-1 (stopped) to 1 (started): spend, recent to earlier"
    ),
    "order_trend": Feature(
        order_trend, DoubleType(), "-1 (stopped) to 1 (started): orders, recent to earlier"
    ),
}


def period_features(days: int) -> dict[str, Feature]:
    """`frequency_<n>d` and `monetary_<n>d` over a shorter period."""

    def orders(s: Scope) -> Column:
        return F.col(_orders_in(s.last(days)))

    def spend(s: Scope) -> Column:
        return F.col(_amount_in(s.last(days)))

    return {
        f"frequency_{days}d": Feature(orders, LongType(), f"distinct orders in the last {days} days"),
        f"monetary_{days}d": Feature(spend, MONEY, f"net spend in the last {days} days"),
    }
