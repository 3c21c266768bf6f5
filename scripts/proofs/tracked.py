"""`python -m proofs.tracked look ADDRESS` and `… score ADDRESS CONFIG…`, in an environment with MLflow.

`look` prints what stands at a server. `score` loads the champion from it, labels everybody of the last
features with it, and prints how many are where the published assignments have them.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import mlflow

from spark_seg.config import load_settings
from spark_seg.publishing import Ledger, Store, current_run
from spark_seg.session import start_session


def look(address: str, experiment: str, model: str) -> dict[str, Any]:
    """Runs by their tag, versions of the model, and what its alias names."""
    client = mlflow.MlflowClient(address)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id]) if found is not None else []
    versions = client.search_model_versions(f"name = '{model}'")
    registered = client.get_registered_model(model) if versions else None
    return {
        "runs": {
            run.data.tags["spark_seg.run_id"]: {
                "status": run.info.status,
                "user": run.info.user_id,
                "tags": run.data.tags,
                "params": len(run.data.params),
                "silhouettes": sorted(
                    point.step
                    for point in client.get_metric_history(run.info.run_id, "candidates.kmeans.silhouette")
                ),
                "files": sorted(file.path for file in client.list_artifacts(run.info.run_id)),
            }
            for run in runs
        },
        "versions": {str(v.version): v.tags["spark_seg.run_id"] for v in versions},
        "aliases": {name: str(v) for name, v in registered.aliases.items()} if registered else {},
    }


def score(address: str, configs: list[str]) -> dict[str, Any]:
    """How many customers the champion labels, and how many of them as published."""
    mlflow.set_tracking_uri(address)
    settings = load_settings(configs)
    store = Store(start_session(settings.session), settings.publishing)
    runs = Ledger(store, settings.pipeline).runs()
    features, assigned = (current_run(runs, table) for table in ("features", "assignments"))
    if features is None or assigned is None:
        raise SystemExit("features and assignments must be published")
    name = f"models:/{settings.pipeline}@{settings.tracking.mlflow.alias}"
    made = mlflow.MlflowClient().get_model_version_by_alias(settings.pipeline, settings.tracking.mlflow.alias)
    listed: Any = mlflow.artifacts.load_dict(f"runs:/{made.run_id}/segments.json")
    segments = {one["cluster"]: (one["segment_id"], one["name"]) for one in listed}
    labelled = mlflow.spark.load_model(name).transform(store.read_run("features", features.stamp))
    published = store.read_run("assignments", assigned.stamp).select(
        "customer_id", "segment_id", "segment_name"
    )
    rows = labelled.select("customer_id", "cluster").join(published, "customer_id").collect()
    same = [row for row in rows if segments[row["cluster"]] == (row["segment_id"], row["segment_name"])]
    columns = mlflow.models.get_model_info(name).signature.inputs.input_names()
    return {"customers": len(rows), "same": len(same), "columns": columns}


if __name__ == "__main__":
    verb, server, *rest = sys.argv[1:]
    print(json.dumps(look(server, *rest) if verb == "look" else score(server, rest)))
