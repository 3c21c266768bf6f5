"""Published tables → what a report is made of."""

from __future__ import annotations

import json
from typing import Any, cast

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.clustering import Model, distance_of
from spark_seg.config import UNSEGMENTED_ID, Settings
from spark_seg.errors import ConfigError, InputError
from spark_seg.kernels import Floats, in_geometry
from spark_seg.pipeline import known_run
from spark_seg.preparation import units_of
from spark_seg.publishing import (
    CommittedRun,
    Ledger,
    Store,
    current_run,
    load_model,
    read_features,
    rows_of,
    trained_by,
)
from spark_seg.report.published import Picture, Published, Rows
from spark_seg.tables import EXPLANATIONS

_QUANTILES = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}


def published(store: Store, settings: Settings, run_id: str) -> Published:
    """Everything that the report of a committed run tells.

    `settings` say how customers are pictured; what the run was made with stands in the ledger. The driver
    gets the small tables of the run, a row per segment, and `report.sample` customers. Raises `ConfigError`
    when there is no such run, or when it has no segments.
    """
    runs = Ledger(store, settings.pipeline).runs()
    run = known_run(runs, run_id, "RUN")
    if run.receipt("profiles") is None:
        raise ConfigError(f"RUN: must be a run with segments; got {run_id}, a run of {run.job}")
    trained = trained_by(runs, run)
    judged = current_run(runs, "drift", run.as_of)
    warnings: list[str] = []
    told = {
        table: rows_of(store, run, table)
        for table in ("profiles", "rules", "segment_lineage", "migrations", "alerts")
    }
    try:
        picture = _picture(store, settings, runs, run, told["profiles"])
    except InputError as error:
        picture = None
        warnings.append(f"Customers are not pictured. {error}")
    return Published(
        run=run,
        trained=trained,
        config=json.loads(run.config),
        profiles=told["profiles"],
        candidates=rows_of(store, trained, "candidates"),
        rules=told["rules"],
        lineage=told["segment_lineage"],
        migrations=told["migrations"],
        alerts=told["alerts"],
        drift=rows_of(store, judged, "drift") if judged else [],
        decisions=rows_of(store, judged, "decisions") if judged else [],
        silhouettes=_silhouettes(store, run),
        picture=picture,
        places={receipt.table: store.ref(receipt.table).label for receipt in run.receipts},
        warnings=tuple(warnings),
    )


def _silhouettes(store: Store, run: CommittedRun) -> Rows:
    """How silhouettes are distributed in each segment that the model gives: a row per segment."""
    if run.receipt(EXPLANATIONS.name) is None:
        return []
    value = F.col("silhouette")
    quantiles = F.percentile(value, F.array(*map(F.lit, _QUANTILES.values()))).alias("quantiles")
    of_segment = store.read_run(EXPLANATIONS.name, run.stamp).groupBy("segment_id")
    rows = of_segment.agg(
        F.count(F.lit(1)).alias("customers"),
        F.mean(value).alias("mean"),
        F.mean((value < 0).cast("double")).alias("negative"),
        quantiles,
    ).collect()
    return [
        {name: row[name] for name in ("segment_id", "customers", "mean", "negative")}
        | dict(zip(_QUANTILES, row["quantiles"], strict=True))
        for row in sorted(rows, key=lambda row: int(row["segment_id"]))
    ]


def _picture(
    store: Store, settings: Settings, runs: list[CommittedRun], run: CommittedRun, profiles: Rows
) -> Picture | None:
    """Some customers of the segments of which something may be told, in two dimensions."""
    shown = [
        row["segment_id"]
        for row in profiles
        if row["scheme"] == "clusters" and not row["suppressed"] and row["segment_id"] != UNSEGMENTED_ID
    ]
    model = load_model(store.spark, run.model_path or "", run.model_digest)
    features = read_features(store, runs, run, settings.privacy.key_id)
    assigned = store.read_run("assignments", run.stamp).where(F.col("segment_id").isin(shown))
    customers = features.join(assigned.select("customer_id", "segment_id"), on="customer_id")
    segments, points = _points(customers, model, settings.report.sample)
    if len(points) < 3:
        return None
    total = sum(
        row["customers"] for row in profiles if row["segment_id"] in shown and row["scheme"] == "clusters"
    )
    placed, explained = _flat(points, settings)
    pairs = zip(placed.tolist(), segments, strict=True)
    return Picture(
        settings.report.picture, explained, tuple((x, y, segment) for (x, y), segment in pairs), total
    )


def _points(customers: DataFrame, model: PipelineModel, sample: int) -> tuple[list[int], Floats]:
    """Segments and points of customers who are drawn by a hash of their id: the same ones each time."""
    units = units_of(model, {})
    drawn = customers.orderBy(F.xxhash64("customer_id"), "customer_id").limit(sample)
    rows = drawn.select("segment_id", *(F.col(name).cast("double") for name in units.names)).collect()
    raw: Floats = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, len(units.names))
    unit = distance_of(cast(Model, model.stages[-1])) == "cosine"
    return [int(row["segment_id"]) for row in rows], in_geometry(units.points(raw), unit)


def _flat(points: Floats, settings: Settings) -> tuple[Floats, tuple[float, float] | None]:
    """Points in two dimensions, and the shares of variance that these hold (PCA)."""
    centred = points - points.mean(axis=0)
    if points.shape[1] == 1:
        centred = np.hstack([centred, np.zeros_like(centred)])
    if settings.report.picture == "tsne":
        return _tsne(centred, settings.seed), None
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    # An axis has no direction of its own: its largest element points upwards.
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    total = float((values**2).sum())
    shares = values[:2] ** 2 / total if total else np.zeros(2)
    return centred @ (axes * signs[:, None])[:2].T, (float(shares[0]), float(shares[1]))


def _tsne(points: Floats, seed: int) -> Floats:
    try:
        from sklearn.manifold import TSNE  # noqa: PLC0415 - an extra that only this picture needs
    except ImportError as error:
        raise InputError(
            "report.picture: tsne needs scikit-learn, which is not installed. Install spark-seg[tsne], or "
            "set report.picture to pca"
        ) from error
    near: Any = TSNE(perplexity=min(30.0, (len(points) - 1) / 3), init="pca", random_state=seed)
    return np.asarray(near.fit_transform(points), dtype=np.float64)
