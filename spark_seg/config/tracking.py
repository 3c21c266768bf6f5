"""Who is told of committed runs: an MLflow server, and a receiver of OpenLineage events."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from spark_seg.config.expressions import IDENTIFIER
from spark_seg.config.fields import Identifier, Model, PathText, identifier, plain_path

_HOST = re.compile(r"\A[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")
_PATH = re.compile(r"\A[A-Za-z0-9/._~-]{0,500}\Z")
_PROFILE = re.compile(r"\Adatabricks(://[A-Za-z0-9_-]{1,64})?\Z")


def web_address(value: str) -> str:
    """An http(s) address of host, port and path, or `ValueError`. What is secret has no place in one."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("must be an address such as https://host:5000; got another text") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError("must be an address without user and password; these belong into the environment")
    host = parts.hostname or ""
    plain = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path}"
    if parts.scheme not in ("http", "https") or not _HOST.match(host) or not _PATH.match(parts.path):
        raise ValueError(f"must be an address such as https://host:5000; got {value!r}")
    if plain.lower() != value.lower():
        raise ValueError("must be host, port and path, and nothing after them")
    return value.rstrip("/")


def mlflow_address(value: str) -> str:
    """The address of an MLflow server, or `ValueError`."""
    if _PROFILE.match(value):
        return value
    try:
        return web_address(value)
    except ValueError as error:
        raise ValueError(f"{error}. Or `databricks`, with a profile: databricks://name") from None


def lineage_place(value: str) -> str:
    """Where events go: an http(s) address, or a file on this machine; or `ValueError`."""
    if value.startswith(("http:", "https:")):
        return web_address(value)
    if not plain_path(value).startswith("file:") and ":" in value.partition("/")[0]:
        raise ValueError(f"must be a file on this machine, or an http(s) address; got {value!r}")
    return value


def _or_reference(checked: Callable[[str], str]) -> Callable[[str], str]:
    def either(value: str) -> str:
        if not value.startswith("env:"):
            return checked(value)
        if not IDENTIFIER.match(value.partition(":")[2]):
            raise ValueError(
                "must be a reference env:NAME to an environment variable that holds the address, never a "
                "secret itself"
            )
        return value

    return either


def _model_name(value: str) -> str:
    parts = value.split(".")
    if len(parts) not in (1, 3):
        raise ValueError(f"must be a name, or catalog.schema.name; got {value!r}")
    for part in parts:
        identifier(part)
    return value


def _alias(value: str) -> str:
    if value == "latest" or re.match(r"\A[vV]\d+\Z", value):
        raise ValueError(f"must be a name that MLflow does not use itself (latest, v1, …); got {value!r}")
    return identifier(value)


class MlflowSettings(Model):
    """An MLflow server that each committed run is logged to."""

    uri: Annotated[str, AfterValidator(_or_reference(mlflow_address))] | None = Field(
        None,
        description="address of the server: http(s)://host:port, databricks, databricks://profile, or "
        "env:MLFLOW_TRACKING_URI for a variable that holds it; null: nothing is logged, whatever the "
        "environment says. Needs the extra mlflow. User, password and token come from MLflow's own variables",
    )
    experiment: PathText | None = Field(
        None, description="experiment that runs are logged to; default: the name of the pipeline"
    )
    model: Annotated[str, AfterValidator(_model_name)] | None = Field(
        None,
        description="registered model, a version for each fit; default: the name of the pipeline",
    )
    alias: Annotated[str, AfterValidator(_alias)] = Field(
        "champion",
        description="alias of the version whose segments count; moves last of all, after the commit of a run",
    )


class LineageSettings(Model):
    """A receiver of OpenLineage events about each committed run."""

    to: Annotated[str, AfterValidator(_or_reference(lineage_place))] | None = Field(
        None,
        description="a file on this machine that events are added to as lines of JSON, or an http(s) address "
        "that they are posted to (without a path: to /api/v1/lineage), or env:OPENLINEAGE_URL for a variable "
        "that holds one; null: none. A key of the receiver is read from OPENLINEAGE_API_KEY",
    )
    namespace: Identifier = Field(
        "spark_seg",
        description="namespace of jobs, and of tables that are known by a name of the catalog",
    )


class TrackingSettings(Model):
    """Who is told of committed runs; changes no result."""

    mlflow: MlflowSettings = Field(
        default_factory=MlflowSettings,
        description="parameters, candidates, metrics, report and model of runs",
    )
    openlineage: LineageSettings = Field(
        default_factory=LineageSettings, description="what a run read and wrote, as OpenLineage events"
    )
