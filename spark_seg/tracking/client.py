"""The way to a real MLflow server. Nothing else in the package imports mlflow."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyspark

from spark_seg.tracking.mlflow import Fitted, Logged

#: Where nobody has said otherwise: no word to MLflow's makers, no long waits, nothing on the terminal.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_FOLDER = "model"


class Client:
    """An MLflow server at an address; what its methods do stands at `Server`.

    `model`: name of the registered model, which tells the registry.
    """

    def __init__(self, address: str, model: str) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        import mlflow  # noqa: PLC0415 - an extra

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        registry = address
        if address.startswith("databricks") and "." in model:  # the older registry knows no catalogs
            registry = address.replace("databricks", "databricks-uc", 1)
        self._client: Any = mlflow.MlflowClient(tracking_uri=address, registry_uri=registry)
        self._mlflow: Any = mlflow

    def experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found is not None else self._client.create_experiment(name))

    def find(self, experiment: str, tag: str, value: str) -> Logged | None:
        found = self._client.search_runs([experiment], f"tags.`{tag}` = '{value}'", max_results=1)
        return Logged(found[0].info.run_id, found[0].info.status == "FINISHED") if found else None

    def begin(self, experiment: str, name: str, tags: Mapping[str, str], at: datetime) -> str:
        made = self._client.create_run(experiment, _milliseconds(at), dict(tags), name)
        return str(made.info.run_id)

    def log(
        self, run: str, params: Mapping[str, str], metrics: Sequence[tuple[str, float, int]], at: datetime
    ) -> None:
        metric, param = self._mlflow.entities.Metric, self._mlflow.entities.Param
        self._client.log_batch(
            run,
            metrics=[metric(name, value, _milliseconds(at), step) for name, value, step in metrics],
            params=[param(name, value) for name, value in params.items()],
        )

    def write(self, run: str, texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            self._client.log_text(run, text, name)

    def log_model(self, run: str, model: Fitted, metadata: Mapping[str, str]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            for name, content in model.files.items():
                file = base / "sparkml" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            (base / "requirements.txt").write_text(f"pyspark=={pyspark.__version__}\n", encoding="utf-8")
            self._described(run, model, metadata).save(str(base / "MLmodel"))
            self._client.log_artifacts(run, folder, _FOLDER)

    def end(self, run: str, at: datetime) -> None:
        self._client.set_terminated(run, "FINISHED", _milliseconds(at))

    def version(self, name: str, run: str) -> str | None:
        # Not every registry can look for a run, and not every one calls a model without versions empty.
        versions = self._unless(
            "RESOURCE_DOES_NOT_EXIST", lambda: self._client.search_model_versions(f"name = '{name}'")
        )
        return next((str(found.version) for found in versions or () if found.run_id == run), None)

    def register(self, name: str, run: str, tags: Mapping[str, str]) -> str:
        self._unless("RESOURCE_ALREADY_EXISTS", lambda: self._client.create_registered_model(name))
        source = f"{self._client.get_run(run).info.artifact_uri}/{_FOLDER}"
        made = self._client.create_model_version(name, source, run, tags=dict(tags))
        return str(made.version)

    def alias(self, name: str, alias: str) -> str | None:
        found = self._unless(
            "RESOURCE_DOES_NOT_EXIST INVALID_PARAMETER_VALUE",
            lambda: self._client.get_model_version_by_alias(name, alias),
        )
        return None if found is None else str(found.version)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self._client.set_registered_model_alias(name, alias, version)

    def _unless(self, expected: str, call: Callable[[], Any]) -> Any:
        """What a call gives; None when the server answers with one of the expected codes."""
        try:
            return call()
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code not in expected.split():
                raise
            return None

    def _described(self, run: str, model: Fitted, metadata: Mapping[str, str]) -> Any:
        """The file MLmodel: how MLflow's Spark flavour finds and loads the files, and what they read.

        MLflow's own way of saving asks the JVM for a copy on this machine, which Spark Connect has not, and
        other file systems than the default one refuse. So the files are those of the run, byte by byte.
        """
        from mlflow.models import Model, ModelSignature  # noqa: PLC0415
        from mlflow.types import ColSpec, Schema  # noqa: PLC0415

        described = Model(
            artifact_path=_FOLDER,
            run_id=run,
            metadata=dict(metadata),
            signature=ModelSignature(
                Schema([ColSpec("double", name) for name in model.columns]),
                Schema([ColSpec("integer", "cluster")]),
            ),
        )
        described.add_flavor(
            "spark",
            pyspark_version=pyspark.__version__,
            model_data="sparkml",
            code=None,
            model_class="pyspark.ml.pipeline.PipelineModel",
        )
        return described


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
