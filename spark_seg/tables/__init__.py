"""The contract of every canonical input and every published table.

`conform(frame, SPEC)` is the one `select` at each door: these columns, these types, this order.
"""

from spark_seg.tables.continuity import ALERTS, DECISIONS, DRIFT, MIGRATIONS, SEGMENT_LINEAGE
from spark_seg.tables.inputs import (
    CONSENTS,
    CUSTOMERS,
    EVENTS,
    ORDERS,
    PURPOSES,
    RATES,
    activity_spec,
    events_column,
)
from spark_seg.tables.ledger import ERASURE_RECEIPTS, ERASURES, RUNS
from spark_seg.tables.profiles import EXPLANATIONS, PROFILES, RULES
from spark_seg.tables.snapshots import (
    ACTIVITY,
    ASSIGNMENTS,
    CANDIDATES,
    FEATURES,
    HOLDOUT,
    REJECTS,
    REPAIRS,
    SPLITS,
    kept_activity_spec,
)
from spark_seg.tables.spec import (
    AMOUNT,
    BLANKS,
    MONEY,
    SPARK_FAILURES,
    Field,
    Spec,
    conform,
    local_frame,
    struct_of,
    trimmed,
)
from spark_seg.tables.stamp import NO_ATTEMPT, Stamp, rows_by_stamp

#: Every published table by name.
PUBLISHED = {
    spec.name: spec
    for spec in (
        ACTIVITY,
        FEATURES,
        HOLDOUT,
        ASSIGNMENTS,
        CANDIDATES,
        PROFILES,
        RULES,
        EXPLANATIONS,
        SPLITS,
        SEGMENT_LINEAGE,
        MIGRATIONS,
        ALERTS,
        DRIFT,
        DECISIONS,
        REJECTS,
        REPAIRS,
        RUNS,
        ERASURES,
        ERASURE_RECEIPTS,
    )
}

__all__ = [
    "ACTIVITY",
    "ALERTS",
    "AMOUNT",
    "ASSIGNMENTS",
    "BLANKS",
    "CANDIDATES",
    "CONSENTS",
    "CUSTOMERS",
    "DECISIONS",
    "DRIFT",
    "ERASURES",
    "ERASURE_RECEIPTS",
    "EVENTS",
    "EXPLANATIONS",
    "FEATURES",
    "HOLDOUT",
    "MIGRATIONS",
    "MONEY",
    "NO_ATTEMPT",
    "ORDERS",
    "PROFILES",
    "PUBLISHED",
    "PURPOSES",
    "RATES",
    "REJECTS",
    "REPAIRS",
    "RULES",
    "RUNS",
    "SEGMENT_LINEAGE",
    "SPARK_FAILURES",
    "SPLITS",
    "Field",
    "Spec",
    "Stamp",
    "activity_spec",
    "conform",
    "events_column",
    "kept_activity_spec",
    "local_frame",
    "rows_by_stamp",
    "struct_of",
    "trimmed",
]
