"""Saved models: one folder for each attempt, and a digest that tells whether its files are still those."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from pyspark.ml import PipelineModel
from pyspark.ml.clustering import GaussianMixtureModel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_seg.clustering import prime_lapack
from spark_seg.errors import ModelIntegrityError
from spark_seg.tables import SPARK_FAILURES

_UNREADABLE: tuple[type[Exception], ...] = (*SPARK_FAILURES, ValueError, KeyError)
_ML = "org.apache.spark.ml"
#: Classes that a model of ours may be made of; a loader that follows any name would run any module.
_CLASSES = frozenset({
    f"{_ML}.PipelineModel",
    # As Spark Connect writes it, from Python; its stages are the same.
    "pyspark.ml.pipeline.PipelineModel",
    f"{_ML}.clustering.BisectingKMeansModel",
    f"{_ML}.clustering.GaussianMixtureModel",
    f"{_ML}.clustering.KMeansModel",
    f"{_ML}.feature.MinMaxScalerModel",
    f"{_ML}.feature.PCAModel",
    f"{_ML}.feature.RobustScalerModel",
    f"{_ML}.feature.SQLTransformer",
    f"{_ML}.feature.StandardScalerModel",
    f"{_ML}.feature.VectorAssembler",
    # Spark saves a tree in a folder within that of its model.
    "org.apache.spark.mllib.clustering.BisectingKMeansModel",
})  # fmt: skip


def save_model(spark: SparkSession, model: PipelineModel, path: str) -> str:
    """Write `model` to the folder `path` of this attempt. Returns the digest of its files."""
    model.write().overwrite().save(path)
    return _files(spark, path)[0]


def load_model(spark: SparkSession, path: str, digest: str | None) -> PipelineModel:
    """The saved model at `path`, when its files have this digest (None: a ledger from before digests).

    Raises `ModelIntegrityError` when it is gone, damaged, swapped, or made of classes that are not ours.
    """
    try:
        found, classes = _files(spark, path)
        if digest is not None and found != digest:
            raise _changed(path, digest, found)
        foreign = sorted(classes - _CLASSES)
        if foreign or not classes:
            raise ModelIntegrityError(
                f"model: must be made of Spark's own clustering and preparation at {path}; got "
                f"{', '.join(foreign) or 'no class at all'}. It was not loaded. "
                "Restore the folder, or train again (train_segments)"
            )
        model = PipelineModel.load(path)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    if isinstance(model.stages[-1], GaussianMixtureModel):
        prime_lapack(spark)
    return model


def model_files(spark: SparkSession, path: str, digest: str | None) -> dict[str, bytes]:
    """Name in its folder → content of each file of the saved model at `path`, when they have this digest.

    Raises `ModelIntegrityError` when it is gone, damaged or swapped.
    """
    try:
        found, _ = _files(spark, path)
        if digest is not None and found != digest:
            raise _changed(path, digest, found)
        rows = _read(spark, path).select(_name_below(path), "content").collect()
        return {str(row["name"]): bytes(row["content"]) for row in rows}
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def discard_model(path: str) -> bool:
    """Remove the folder of a model, on a disk of this machine; elsewhere it stays for nobody to load."""
    if "://" in path or not Path(path).is_dir():
        return False
    shutil.rmtree(path)
    return True


def _changed(path: str, digest: str, found: str) -> ModelIntegrityError:
    return ModelIntegrityError(
        f"model: the files at {path} must be those of its training run (digest {digest[:12]}…); got "
        f"{found[:12]}…. Somebody changed them: restore the folder, or train again (train_segments)"
    )


def _unreadable(path: str, error: Exception) -> ModelIntegrityError:
    return ModelIntegrityError(
        f"model: must be readable at {path}; got {str(error).splitlines()[0][:200]}. "
        "Restore the folder, or train again (train_segments)"
    )


def _read(spark: SparkSession, path: str) -> DataFrame:
    return spark.read.format("binaryFile").option("recursiveFileLookup", True).load(path)


def _name_below(path: str) -> Column:
    return F.element_at(F.split("path", f"{path.rstrip('/').rpartition('/')[2]}/"), -1).alias("name")


def _files(spark: SparkSession, path: str) -> tuple[str, set[str]]:
    """Digest over the files of a saved model, and the classes that it names. It is as large as k centres."""
    rows = (
        _read(spark, path)
        .select(
            _name_below(path),
            F.sha2("content", 256).alias("digest"),
            F.when(F.contains(F.col("path"), F.lit("/metadata/")), F.col("content").cast("string")).alias(
                "text"
            ),
        )
        .collect()
    )
    lines = sorted(f"{row['name']} {row['digest']}" for row in rows)
    classes = {str(json.loads(row["text"])["class"]) for row in rows if row["text"]}
    return hashlib.sha256("\n".join(lines).encode()).hexdigest(), classes
