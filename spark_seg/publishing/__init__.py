"""Frames → Delta, so that twice equals once and half a run is never visible."""

from spark_seg.publishing.erasure import (
    ErasureReceipt,
    erase,
    read_features,
    suppressed,
    suppressions,
    without,
)
from spark_seg.publishing.ledger import (
    TOLD_BY,
    CommittedRun,
    Ledger,
    RunRecord,
    current_run,
    features_run,
    read_current,
    rows_of,
    trained_by,
)
from spark_seg.publishing.memberships import read_memberships
from spark_seg.publishing.models import discard_model, load_model, model_files, save_model
from spark_seg.publishing.probe import try_to_write
from spark_seg.publishing.store import Receipt, Store, is_conflict
from spark_seg.publishing.upkeep import Leftover, collect_garbage, create_tables, migrate

__all__ = [
    "TOLD_BY",
    "CommittedRun",
    "ErasureReceipt",
    "Ledger",
    "Leftover",
    "Receipt",
    "RunRecord",
    "Store",
    "collect_garbage",
    "create_tables",
    "current_run",
    "discard_model",
    "erase",
    "features_run",
    "is_conflict",
    "load_model",
    "migrate",
    "model_files",
    "read_current",
    "read_features",
    "read_memberships",
    "rows_of",
    "save_model",
    "suppressed",
    "suppressions",
    "trained_by",
    "try_to_write",
    "without",
]
