"""Frames → Delta, so that twice equals once and half a run is never visible."""

from spark_seg.publishing.ledger import CommittedRun, Ledger, RunRecord, current_run, read_current
from spark_seg.publishing.store import Receipt, Store

__all__ = ["CommittedRun", "Ledger", "Receipt", "RunRecord", "Store", "current_run", "read_current"]
