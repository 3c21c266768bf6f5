"""A committed run → what MLflow is told of it. All of it is published, and nothing of it is of one person."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from spark_seg.publishing import CommittedRun, current_run

#: Tag of a run, and of a version of a model, with the run's id.
RUN_TAG = "spark_seg.run_id"
#: Longest name and longest value of a parameter that every server takes.
_NAME, _VALUE = 250, 500
#: What MLflow takes in names; a slash would make folders of them.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_. :-]")
#: Sections that change no result, and name places instead.
_LEFT_OUT = ("session", "report", "tracking")
#: Columns of `candidates` that are drawn over k.
_OVER_K = ("silhouette", "davies_bouldin", "calinski_harabasz", "agreement", "weakest")

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Facts:
    """What is logged of a run. `metrics`: (name, value, step); `texts`: file → content; `at`: its commit."""

    name: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: tuple[tuple[str, float, int], ...]
    texts: dict[str, str]
    at: datetime


def facts_of(pipeline: str, run: CommittedRun, candidates: Rows, pages: dict[str, str]) -> Facts:
    """What is logged of `run`. `candidates`: its rows there, none when it fitted nothing; `pages`: file →
    text of its report."""
    config = {name: value for name, value in json.loads(run.config).items() if name not in _LEFT_OUT}
    told = {
        RUN_TAG: run.run_id,
        "spark_seg.pipeline": pipeline,
        "spark_seg.job": run.job,
        "spark_seg.as_of": run.as_of.isoformat(),
        "spark_seg.revision": str(run.revision),
        "spark_seg.code_version": run.code_version,
        "spark_seg.spark_version": run.spark_version,
        "spark_seg.config_digest": run.config_digest,
        "spark_seg.model_run_id": run.model_run_id or "",
        "spark_seg.structure": run.structure or "",
    }
    texts = {"config.json": as_json(config)} | pages
    if candidates:
        texts["candidates.json"] = as_json(candidates)
    if run.segments:
        texts["segments.json"] = as_json([
            {"cluster": s.cluster, "segment_id": s.segment_id, "name": s.name} for s in run.segments
        ])  # fmt: skip
    return Facts(
        name=f"{run.job} {run.as_of.isoformat()} revision {run.revision}",
        tags={name: value for name, value in told.items() if value},
        params=_params(run, config),
        metrics=(*((_name(n), v, 0) for n, v in run.metrics.items() if _told(v)), *_over_k(candidates)),
        texts=texts,
        at=committed_at(run),
    )


def in_force(runs: Sequence[CommittedRun]) -> str | None:
    """The run that fitted the model whose segments count: those of the newest day, in their last revision.

    So neither a run of an old day nor one that was overtaken moves the alias.
    """
    run = current_run(runs, "assignments")
    return run.model_run_id if run is not None else None


def committed_at(run: CommittedRun) -> datetime:
    """When the run became visible, in UTC; the day it describes for rows from before that was kept."""
    if run.committed_at is None:
        return datetime(run.as_of.year, run.as_of.month, run.as_of.day, tzinfo=UTC)
    # Spark hands out times of this machine without their zone.
    return run.committed_at.astimezone(UTC)


def seconds(run: CommittedRun) -> float:
    """How long its rooms took together, which is how long before its commit it began, at least."""
    return sum(v for name, v in run.metrics.items() if name.startswith("seconds_"))


def as_json(value: Any) -> str:
    """JSON for people: indented, and everything that JSON has no form for as text."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _params(run: CommittedRun, config: dict[str, Any]) -> dict[str, str]:
    chosen = {"chosen.algorithm": run.algorithm, "chosen.k": run.k}
    params = dict[str, str]()
    for path, value in (*chosen.items(), *_flat(config)):
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            # Two names that MLflow cannot tell apart: the first stays, and config.json has both.
            params.setdefault(_name(path), text if len(text) <= _VALUE else f"{text[: _VALUE - 1]}…")
    return params


def _flat(tree: dict[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        path = f"{at}.{name}" if at else name
        if isinstance(value, dict):
            yield from _flat(value, path)
        else:
            yield path, value


def _over_k(candidates: Rows) -> Iterator[tuple[str, float, int]]:
    for row in candidates:
        for index in _OVER_K:
            value = row.get(index)
            if value is not None and _told(value):
                yield _name(f"candidates.{row['algorithm']}.{index}"), float(value), int(row["k"])


def _name(text: str) -> str:
    return _NOT_IN_NAMES.sub("_", text)[:_NAME].strip() or "_"


def _told(value: float) -> bool:
    return math.isfinite(value)
