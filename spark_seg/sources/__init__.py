"""Delta tables, Parquet or CSV files → canonical `orders`, `events`, `customers`.

Every table is pinned at the version found when it was opened.
"""

from spark_seg.sources.mapping import canonical, canonical_customers, canonical_events, canonical_orders
from spark_seg.sources.opening import OpenedSources, OpenedTable, open_at, open_sources
from spark_seg.sources.places import only_added_to, resolved, table_version, target

__all__ = [
    "OpenedSources",
    "OpenedTable",
    "canonical",
    "canonical_customers",
    "canonical_events",
    "canonical_orders",
    "only_added_to",
    "open_at",
    "open_sources",
    "resolved",
    "table_version",
    "target",
]
