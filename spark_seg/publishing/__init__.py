"""Frames → Delta, so that twice equals once and half a run is never visible."""

from spark_seg.publishing.ledger import TOLD_BY, CommittedRun, Ledger, RunRecord, current_run, read_current
from spark_seg.publishing.store import AttemptConflict, Receipt, Store, is_conflict

__all__ = [
    "TOLD_BY",
    "AttemptConflict",
    "CommittedRun",
    "Ledger",
    "Receipt",
    "RunRecord",
    "Store",
    "current_run",
    "is_conflict",
    "read_current",
]
