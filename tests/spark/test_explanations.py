"""Why customers are where they are: read back from saved pipelines, and true when applied to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.evaluation import ClusteringEvaluator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_seg.clustering import ALGORITHMS, Model, shape_of
from spark_seg.config import ClusteringSettings, PreparationSettings
from spark_seg.errors import InputError
from spark_seg.kernels import Centres
from spark_seg.pipeline.label import scored
from spark_seg.preparation import VECTOR, canonical_layout, fit_preparation, units_of
from spark_seg.profiles import EVERYBODY, feature_importance, profile, reasons

NAMES = ["recency_days", "frequency", "monetary", "response_rate"]
K = 4


def customers(spark: SparkSession, n: int = 400) -> DataFrame:
    """Power laws with unknown values, whole numbers, decimals, and shares."""
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 3, n)
    rows = [
        (
            f"c{i:04}",
            None if rng.random() < 0.1 else int(rng.integers(1, 20) + 60 * (k == 0)),
            int(rng.geometric(0.5 if k < 2 else 0.05)),
            round(float(rng.lognormal(3 + k, 0.7)), 2) * (-1 if rng.random() < 0.02 else 1),
            None if rng.random() < 0.3 else float(rng.random()),
        )
        for i, k in enumerate(kind.tolist())
    ]
    schema = "customer_id string, recency_days int, frequency bigint, monetary double, response_rate double"
    frame = spark.createDataFrame(rows, schema)
    return canonical_layout(frame.withColumn("monetary", F.col("monetary").cast("decimal(28,4)")), n)


#: Way to prepare → settings.
WAYS: dict[str, dict[str, Any]] = {
    "standard": {"scale": "standard"},
    "robust": {"scale": "robust"},
    "minmax": {"scale": "min_max"},
    "plain": {"scale": "none"},
    "pca": {"scale": "standard", "pca_variance": 0.9},
}
#: Kind of model → algorithm and distance.
MODELS = {
    "kmeans": ("kmeans", "euclidean"),
    "cosine": ("kmeans", "cosine"),
    "bisecting": ("bisecting", "euclidean"),
    "mixture": ("mixture", "euclidean"),
}


def fitted(frame: DataFrame, way: str, kind: str) -> PipelineModel:
    features: dict[str, Any] = {
        "recency_days": {"impute": "max", "log": True, "cap": (0.05, 0.95)},
        "frequency": {"impute": 0, "log": True, "cap": None},
        "monetary": {"impute": 0, "log": True},
        "response_rate": {"impute": "median", "cap": None},
    }
    preparation = fit_preparation(frame, PreparationSettings(features=features, **WAYS[way]))
    algorithm, distance = MODELS[kind]
    names = (algorithm,)
    settings = ClusteringSettings(
        algorithms=names,  # type: ignore[arg-type]
        distance=distance,  # type: ignore[arg-type]
    )
    fit = ALGORITHMS[algorithm](preparation.model.transform(frame), K, 7, settings)
    return PipelineModel([*preparation.model.stages, fit.model])


def read_back(spark: SparkSession, model: PipelineModel, tmp_path: Path) -> tuple[Any, Any]:
    shape = shape_of(cast(Model, model.stages[-1]), spark, str(tmp_path / "scratch"))
    return shape, units_of(model, {"recency_days": 0, "frequency": 0, "monetary": 4})


def raw(frame: DataFrame, names: tuple[str, ...]) -> np.ndarray:
    rows = frame.select(*(F.col(n).cast("double") for n in names)).collect()
    return np.array(rows, dtype=np.float64)


CASES = [(way, "kmeans") for way in WAYS] + [("standard", kind) for kind in MODELS if kind != "kmeans"] + [
    ("pca", "mixture")
]  # fmt: skip


@pytest.mark.parametrize(("way", "kind"), CASES)
def test_a_saved_pipeline_is_read_back_and_what_it_says_of_customers_is_true(
    spark: SparkSession, tmp_path: Path, way: str, kind: str
) -> None:
    frame = customers(spark)
    model = fitted(frame, way, kind)
    model.write().overwrite().save(str(tmp_path / "model"))
    model = PipelineModel.load(str(tmp_path / "model"))
    shape, units = read_back(spark, model, tmp_path)
    labelled = scored(model, frame).cache()

    # The numbers label every customer as the pipeline does, and give the very same vectors.
    values = raw(labelled, units.names)
    vectors = np.array([row[0].toArray() for row in model.transform(frame).select(VECTOR).collect()])
    assert units.points(values) == pytest.approx(vectors, rel=1e-12, abs=1e-12)
    clusters = [row["cluster"] for row in labelled.select("cluster").collect()]
    assert shape.labels(units.points(values)).tolist() == clusters
    assert len(set(clusters)) == K

    everybody = profile(labelled, {}, NAMES)[EVERYBODY][0]
    ids = {cluster: 10 + cluster for cluster in range(K)}
    told = reasons(labelled, shape, units, ids, F.lit(1), everybody).collect()
    by_id = {row["customer_id"]: row for row in told}
    assert len(by_id) == len(told) == len(clusters)

    # Silhouettes are those of MLlib, which tells their mean.
    evaluator = ClusteringEvaluator(
        featuresCol=VECTOR, predictionCol="cluster",
        distanceMeasure="cosine" if kind == "cosine" else "squaredEuclidean",
    )  # fmt: skip
    expected = evaluator.evaluate(model.transform(frame))
    assert np.mean([row["silhouette"] for row in told]) == pytest.approx(expected, abs=1e-5)

    # Every change leads where it says, through the saved pipeline.
    changed = changed_customers(spark, frame, told)
    moved = {r["customer_id"]: 10 + r["cluster"] for r in model.transform(changed).collect()}
    assert len(moved) > 0.9 * len(told)
    for customer, segment in moved.items():
        row = by_id[customer]
        assert segment == row["change_segment_id"] != row["segment_id"]

    # A person's margin is what the assignment says; features that decide are three at most, strongest first.
    for row in labelled.collect():
        one = by_id[row["customer_id"]]
        assert one["margin"] == pytest.approx(row["confidence"] - (row["second_confidence"] or 0.0))
        assert (one["segment_id"], one["second_segment_id"]) == (
            10 + row["cluster"],
            10 + row["second_cluster"],
        )
        strengths = [abs(p["pull"]) for p in one["pulls"]]
        assert strengths == sorted(strengths, reverse=True)
        assert 1 <= len(strengths) <= 3
        for p in one["pulls"]:
            value = row[p["feature"]]
            assert p["value"] == (None if value is None else float(value))
    labelled.unpersist()


def changed_customers(spark: SparkSession, frame: DataFrame, told: list[Any]) -> DataFrame:
    """Those for whom there is a change, with that one applied."""
    rows = [(r["customer_id"], r["change_feature"], r["change_to"]) for r in told if r["change_feature"]]
    changes = spark.createDataFrame(rows, "customer_id string, feature string, value double")
    joined = frame.join(changes, on="customer_id")
    kinds = {f.name: f.dataType for f in frame.schema}
    return joined.select(
        "customer_id",
        *(
            F.when(F.col("feature") == name, F.col("value").cast(kinds[name]))
            .otherwise(F.col(name))
            .alias(name)
            for name in NAMES
        ),
    )


def test_whole_numbers_are_changed_to_whole_numbers_within_what_customers_have(
    spark: SparkSession, tmp_path: Path
) -> None:
    frame = customers(spark)
    model = fitted(frame, "standard", "kmeans")
    shape, units = read_back(spark, model, tmp_path)
    labelled = scored(model, frame)
    everybody = profile(labelled, {}, NAMES)[EVERYBODY][0]
    told = reasons(labelled, shape, units, {}, F.lit(1), everybody).collect()
    bounds = {
        n: (np.nanmin(v), np.nanmax(v)) for n, v in zip(units.names, raw(frame, units.names).T, strict=True)
    }
    for row in told:
        if row["change_feature"] in ("recency_days", "frequency"):
            assert row["change_to"] == int(row["change_to"])
        if row["change_feature"] is not None and row["change_from"] is not None:
            low, high = bounds[row["change_feature"]]
            assert min(low, units.fill[units.names.index(row["change_feature"])]) <= row["change_to"] <= high
    assert {row["change_feature"] for row in told} & {"recency_days", "frequency"}


def test_reasons_do_not_depend_on_batches(spark: SparkSession, tmp_path: Path) -> None:
    frame = customers(spark)
    model = fitted(frame, "standard", "kmeans")
    shape, units = read_back(spark, model, tmp_path)
    everybody = profile(scored(model, frame), {}, NAMES)[EVERYBODY][0]

    def told(size: int) -> list[Any]:
        spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", size)
        frame = reasons(scored(model, customers(spark)), shape, units, {}, F.lit(1), everybody)
        return sorted(frame.collect(), key=lambda row: str(row["customer_id"]))

    try:
        assert told(10_000) == told(37)
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")


def test_a_single_segment_has_no_second_and_no_way_out(spark: SparkSession, tmp_path: Path) -> None:
    frame = customers(spark, 60)
    _, units = read_back(spark, fitted(frame, "standard", "kmeans"), tmp_path)
    nothing = {"second_cluster": F.lit(None).cast("int"), "second_confidence": F.lit(None).cast("double")}
    labelled = frame.withColumns({"cluster": F.lit(0), "confidence": F.lit(0.0), **nothing})
    shape = Centres(np.zeros((1, len(units.names))))
    everybody = profile(labelled, {}, ["monetary"])[EVERYBODY][0]
    for row in reasons(labelled, shape, units, {0: 1}, F.lit(1), everybody).collect():
        assert (row["second_segment_id"], row["change_feature"], row["change_segment_id"]) == (None,) * 3
        assert (row["pulls"], row["silhouette"]) == ([], 0.0)


def test_features_that_do_not_decide_have_no_importance(spark: SparkSession, tmp_path: Path) -> None:
    frame = customers(spark)
    model = fitted(frame, "standard", "kmeans")
    shape, units = read_back(spark, model, tmp_path)
    shares = feature_importance(frame, shape, units, seed=1)
    assert list(shares) == list(units.names)
    assert all(0 <= share <= 1 for share in shares.values())
    assert shares == feature_importance(frame.repartition(5), shape, units, seed=1)
    # A factor of nothing: the point does not move when the feature does.
    deaf = type(units)(**{**units.__dict__, "scale": units.scale * (np.array(units.names) != "monetary")})
    assert feature_importance(frame, shape, deaf, seed=1)["monetary"] == 0.0
    assert shares["monetary"] > 0


def test_foreign_stages_are_refused(spark: SparkSession) -> None:
    frame = customers(spark, 60)
    model = fitted(frame, "standard", "kmeans")
    with pytest.raises(InputError, match="must be those that spark_seg fits; got none"):
        units_of(PipelineModel(model.stages[-1:]), {})
