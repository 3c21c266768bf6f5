"""Where runs are told, as configuration and environment have it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from spark_seg.config import Settings, lineage_place, mlflow_address
from spark_seg.errors import ConfigError


@dataclass(frozen=True)
class Places:
    """Who is told: an MLflow server, a receiver of events, both, or nobody."""

    mlflow: str | None
    lineage: str | None

    def __bool__(self) -> bool:
        """Is anybody told?"""
        return self.mlflow is not None or self.lineage is not None


def places_of(settings: Settings) -> Places:
    """Who is told of the runs of a configuration; the environment only where a setting refers to it.

    Raises `ConfigError` for a variable without an address, and where MLflow is not installed.
    """
    tracking, problems = settings.tracking, list[str]()

    def resolved(where: str, value: str | None, checked: Callable[[str], str]) -> str | None:
        if value is None or not value.startswith("env:"):
            return value
        variable = value.partition(":")[2]
        held = os.environ.get(variable, "")
        if not held:
            problems.append(
                f"{where}: the environment variable {variable} must hold the address; it is not set. Set it, "
                "or set this to null"
            )
            return None
        try:
            return checked(held)
        except ValueError as error:
            problems.append(f"{where}: the environment variable {variable} {error}")
            return None

    places = Places(
        resolved("tracking.mlflow.uri", tracking.mlflow.uri, mlflow_address),
        resolved("tracking.openlineage.to", tracking.openlineage.to, lineage_place),
    )
    if places.mlflow is not None and find_spec("mlflow") is None:
        problems.append(
            "tracking.mlflow.uri: needs MLflow, which is not installed. Install it "
            "(pip install 'spark-seg[mlflow]'), or set this to null"
        )
    if problems:
        raise ConfigError(problems)
    return places
