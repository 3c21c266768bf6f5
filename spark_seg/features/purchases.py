"""Features of purchases: aggregates over a customer's activity rows, all in one `groupBy`.

Definitions: `recency_days`, `frequency`, `monetary` and `tenure_days` as the README's list of words.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, IntegerType, LongType

from spark_seg.features.scope import Feature, Scope, total, within
from spark_seg.periods import Period, days_until
from spark_seg.tables import MONEY


def _order_day() -> Column:
    return F.when(F.col("orders") > 0, F.col("day"))


def recency_days(s: Scope) -> Column:
    """Days from the last order in the observation period to `as_of`; NULL without an order in it."""
    return days_until(s.as_of, F.max(s.observed(_order_day())))


def frequency(s: Scope) -> Column:
    """Distinct orders in the observation period."""
    return total(s.observed(F.col("orders")))


def monetary(s: Scope) -> Column:
    """Net spend in the observation period: returns are taken off."""
    return total(s.observed(F.col("amount")))


def average_order_value(s: Scope) -> Column:
    """`monetary` per order; NULL without an order."""
    return F.try_divide(monetary(s).cast("double"), frequency(s).cast("double"))


def returned_share(s: Scope) -> Column:
    """Returned amount per amount bought; NULL when nothing was bought."""
    returned = total(s.observed(F.col("returned")))
    return F.try_divide(returned.cast("double"), (monetary(s) + returned).cast("double"))


def tenure_days(s: Scope) -> Column:
    """Days from the first order ever seen to `as_of` (the literature's T); NULL without an order."""
    return days_until(s.as_of, F.min(_order_day()))


def _gaps(days: Column) -> Column:
    """Days between neighbours of a sorted list of days; empty for fewer than two days."""
    later = F.slice(days, 2, F.greatest(F.size(days) - 1, F.lit(0)))
    earlier = F.slice(days, 1, F.greatest(F.size(days) - 1, F.lit(0)))
    return F.zip_with(later, earlier, F.date_diff)


def purchase_interval_days(s: Scope) -> Column:
    """Mean days between successive order days; NULL for fewer than two order days."""
    day = s.observed(_order_day())
    return F.try_divide(F.date_diff(F.max(day), F.min(day)).cast("double"), F.count(day) - F.lit(1))


def purchase_interval_variation(s: Scope) -> Column:
    """Standard deviation of the days between order days, over their mean: 0 is clockwork.

    Population deviation, from integer sums so that it does not depend on the order of rows; NULL for
    fewer than three order days.
    """
    gaps = _gaps(F.array_sort(F.collect_list(s.observed(_order_day()))))
    n = F.size(gaps).cast("double")
    one = F.aggregate(gaps, F.lit(0).cast("long"), lambda acc, g: acc + g).cast("double")
    two = F.aggregate(gaps, F.lit(0).cast("long"), lambda acc, g: acc + g.cast("long") * g).cast("double")
    variance = F.greatest(n * two - one * one, F.lit(0.0))
    return F.when(n >= 2, F.try_divide(F.sqrt(variance), one))


def last_gap_days(_: Scope) -> Column:
    """Days between the last two order days ever, as `tenure_days` looks at all; NULL for fewer than two.

    Within the observation period alone, who comes back after a longer silence would look like new.
    """
    return F.try_element_at(_gaps(F.array_sort(F.collect_list(_order_day()))), F.lit(-1))


def _change(s: Scope, value: Column) -> Column:
    recent = Period.before(s.as_of, s.settings.trend_days)
    now = total(within(recent, value)).cast("double")
    then = total(within(recent.preceding(), value)).cast("double")
    return F.try_divide(now - then, F.abs(now) + F.abs(then))


def spend_trend(s: Scope) -> Column:
    """(recent - earlier) / (recent + earlier) net spend of two periods of trend_days: -1 (stopped) to 1
    (started); NULL when both are zero."""
    return _change(s, F.col("amount"))


def order_trend(s: Scope) -> Column:
    """As `spend_trend`, for orders."""
    return _change(s, F.col("orders"))


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
        return total(within(Period.before(s.as_of, days), F.col("orders")))

    def spend(s: Scope) -> Column:
        return total(within(Period.before(s.as_of, days), F.col("amount")))

    return {
        f"frequency_{days}d": Feature(orders, LongType(), f"distinct orders in the last {days} days"),
        f"monetary_{days}d": Feature(spend, MONEY, f"net spend in the last {days} days"),
    }
