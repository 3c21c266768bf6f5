"""Kinds of values that settings are made of."""

from __future__ import annotations

from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticKnownError

from spark_seg.config.expressions import IDENTIFIER, checked_sql


def identifier(value: str) -> str:
    """A plain name, or `ValueError` with the sentence."""
    if not IDENTIFIER.match(value):
        raise ValueError(
            f"must be letters, digits and _ and not start with a digit; got {value!r}. "
            "Rename it at the source, or give it a plain name in a view"
        )
    return value


#: Characters of a path that some reader would take for more than a name: quotes, patterns, and variables.
_NOT_IN_PATHS = "'\"`\\;\n\r\t\0${}*?[]"
#: File systems that tables and models may lie on.
_SCHEMES = ("file", "hdfs", "s3", "s3a", "abfs", "abfss", "wasbs", "gs", "dbfs", "oci")


def plain_path(value: str) -> str:
    """A path that is nothing but a name, or `ValueError` with the sentence."""
    if not value.strip() or any(c in value for c in _NOT_IN_PATHS) or "/../" in f"/{value}/":
        raise ValueError(
            f"must be a plain path without quotes, backslashes, patterns, variables or '..'; got {value!r}"
        )
    scheme, found, _ = value.partition(":")
    if found and scheme not in _SCHEMES:
        raise ValueError(f"must lie on one of {', '.join(_SCHEMES)}; got {value!r}")
    return value


def _table_name(value: str) -> str:
    parts = value.split(".")
    if len(parts) not in (2, 3) or not all(IDENTIFIER.match(part) for part in parts):
        raise ValueError(
            f"must be schema.table or catalog.schema.table of plain identifiers; got {value!r}. "
            "A table at a path is given as `path:`"
        )
    return value


def _schema_name(value: str) -> str:
    parts = value.split(".")
    if len(parts) not in (1, 2) or not all(IDENTIFIER.match(part) for part in parts):
        raise ValueError(f"must be schema or catalog.schema of plain identifiers; got {value!r}")
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"must be an IANA time zone such as 'Europe/Berlin'; got {value!r}") from None
    return value


def _expression(value: str) -> str:
    checked_sql(value)
    return value


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):  # pydantic takes true for 1
        raise PydanticKnownError("float_type")
    return value


def _key_reference(value: str) -> str:
    kind, _, name = value.partition(":")
    if kind != "env" or not IDENTIFIER.match(name):
        raise ValueError(
            "must be a reference env:NAME to an environment variable that holds the key, never the key itself"
        )
    return value


Expression = Annotated[str, AfterValidator(_expression)]
KeyReference = Annotated[str, AfterValidator(_key_reference)]
Identifier = Annotated[str, AfterValidator(identifier)]
PathText = Annotated[str, AfterValidator(plain_path)]
TableName = Annotated[str, AfterValidator(_table_name)]
SchemaName = Annotated[str, AfterValidator(_schema_name)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
#: Stands last in the type of every number: limits that come after it would not reach the JSON Schema.
NUMERIC = BeforeValidator(_no_boolean)
Share = Annotated[float, Field(ge=0, le=1), NUMERIC]
Days = Annotated[int, Field(ge=1, le=36_500), NUMERIC]


class Model(BaseModel):
    """Frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
