"""A run in the making: what it has staged, learned and kept so far."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from pyspark.sql import DataFrame

from spark_seg.monitoring import Decision
from spark_seg.pipeline.plan import Plan
from spark_seg.publishing import Receipt, points
from spark_seg.session import keep, release
from spark_seg.tables import Spec, Stamp, local_frame

log = logging.getLogger("spark_seg")


@dataclass
class Draft:
    """What is known of a run so far; becomes its row in the ledger."""

    attempt_id: str = field(default_factory=lambda: uuid4().hex)
    receipts: list[Receipt] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    profiles: list[dict[str, Any]] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    lineage: list[dict[str, Any]] = field(default_factory=list)
    migrations: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    drift: list[dict[str, Any]] = field(default_factory=list)
    decision: Decision | None = None
    kept: list[DataFrame] = field(default_factory=list)

    def stamp(self, plan: Plan) -> Stamp:
        """Who writes the rows of this attempt."""
        return Stamp(plan.as_of, plan.run_id, self.attempt_id)

    def keep(self, frame: DataFrame) -> DataFrame:
        """`frame`, computed once and kept until the run ends."""
        self.kept.append(keep(frame))
        return self.kept[-1]

    def release(self) -> None:
        """Let go of all frames that are kept."""
        while self.kept:
            release(self.kept.pop())

    @contextmanager
    def room(self, name: str) -> Iterator[list[str]]:
        """Time one room and log its one line; the body appends what the line says."""
        started = time.monotonic()
        said: list[str] = []
        yield said
        seconds = time.monotonic() - started
        self.metrics[f"seconds_{name}"] = self.metrics.get(f"seconds_{name}", 0.0) + seconds
        log.info("%-10s %s  %.1f s", name, " · ".join(said), seconds)


def stage(plan: Plan, draft: Draft, frame: DataFrame, spec: Spec) -> Receipt:
    """Write the rows of one table under the attempt that will be committed, and file the receipt."""
    points.reached("mid_write")
    stamp = draft.stamp(plan)
    draft.receipts.append(plan.store.stage(frame.withColumns(stamp.columns), spec, stamp))
    return draft.receipts[-1]


def stage_rows(plan: Plan, draft: Draft, rows: list[dict[str, Any]], spec: Spec) -> Receipt:
    """The same, for a table of a few rows made on the driver."""
    values = [[None if n in spec.partition_by else row[n] for n in spec.columns] for row in rows]
    return stage(plan, draft, local_frame(plan.store.spark, values, spec), spec)
