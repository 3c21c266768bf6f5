"""Delta tables, Parquet or CSV files → canonical `orders`, `events`, `customers`, `consents`.

Every table is pinned at the version found when it was opened.
"""

from spark_seg.sources.checked import naming_of, open_sources, with_repairs
from spark_seg.sources.contract import breaches
from spark_seg.sources.mapping import (
    canonical,
    canonical_consents,
    canonical_customers,
    canonical_events,
    canonical_orders,
)
from spark_seg.sources.opening import OpenedSources, OpenedTable, open_at
from spark_seg.sources.places import only_added_to, real_path, resolved, table_version, target

__all__ = [
    "OpenedSources",
    "OpenedTable",
    "breaches",
    "canonical",
    "canonical_consents",
    "canonical_customers",
    "canonical_events",
    "canonical_orders",
    "naming_of",
    "only_added_to",
    "open_at",
    "open_sources",
    "real_path",
    "resolved",
    "table_version",
    "target",
    "with_repairs",
]
