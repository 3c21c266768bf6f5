"""What a report is made of: rows of published tables, and nothing larger than a bounded sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spark_seg.publishing import CommittedRun

#: Rows of a published table without their stamp, as dictionaries.
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Picture:
    """A sample of customers in two dimensions: `points` are (x, y, segment id).

    `method`: pca or tsne; `explained`: shares of the variance that the two axes of a PCA hold; `customers`:
    how many the sample stands for.
    """

    method: str
    explained: tuple[float, float] | None
    points: tuple[tuple[float, float, int], ...]
    customers: int


@dataclass(frozen=True)
class Published:
    """One committed run as its report tells it.

    `trained`: the run whose model gave the segments, which holds the candidates (often the run itself).
    `config`: the configuration as the ledger has it. `silhouettes`: a row for each segment with
    `segment_id, customers, negative` (share below zero) and `p5, p25, median, p75, p95, mean`. `places`:
    published table → where it lies. `warnings`: sentences about what could not be shown, and why.
    """

    run: CommittedRun
    trained: CommittedRun
    config: Mapping[str, Any]
    profiles: Rows
    candidates: Rows = field(default_factory=list)
    rules: Rows = field(default_factory=list)
    lineage: Rows = field(default_factory=list)
    migrations: Rows = field(default_factory=list)
    alerts: Rows = field(default_factory=list)
    drift: Rows = field(default_factory=list)
    decisions: Rows = field(default_factory=list)
    silhouettes: Rows = field(default_factory=list)
    picture: Picture | None = None
    places: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
