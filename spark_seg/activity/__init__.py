"""Trusted rows → what each customer did on each day; and the part of it that is kept from run to run."""

from spark_seg.activity.daily import daily_activity
from spark_seg.activity.kept import Part, built_on, first_changed_day, first_day_of_orders, kept_days

__all__ = ["Part", "built_on", "daily_activity", "first_changed_day", "first_day_of_orders", "kept_days"]
