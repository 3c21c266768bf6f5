"""Canonical rows → trusted rows, and rejected rows with a reason. Nothing disappears uncounted."""

from spark_seg.cleaning.clean import Cleaned, clean_customers, clean_events, clean_orders
from spark_seg.cleaning.consent import consents_of
from spark_seg.cleaning.counts import Counts, check_counts
from spark_seg.cleaning.rules import CUSTOMER_RULES, EVENT_RULES, ORDER_RULES, Rules

__all__ = [
    "CUSTOMER_RULES",
    "EVENT_RULES",
    "ORDER_RULES",
    "Cleaned",
    "Counts",
    "Rules",
    "check_counts",
    "clean_customers",
    "clean_events",
    "clean_orders",
    "consents_of",
]
