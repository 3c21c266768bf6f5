"""What a source table promises beyond what the mapping needs."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from spark_seg.config.fields import NUMERIC, Days, Identifier, Model, Share
from spark_seg.errors import suggestion

#: Spark's names of plain types, and other ones that people write.
_TYPES = frozenset({
    "string", "boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "decimal", "date",
    "timestamp", "timestamp_ntz", "binary",
})  # fmt: skip
_ALIASES = {"text": "string", "bool": "boolean", "integer": "int", "long": "bigint", "numeric": "decimal"}
_TYPE = re.compile(r"([a-z_]+) *(?:\( *(\d+) *, *(\d+) *\))?")


def _type_name(value: str) -> str:
    """A plain type as Spark writes it: `decimal(10,2)`; `decimal` alone is any decimal."""
    found = _TYPE.fullmatch(value.strip().lower())
    name = _ALIASES.get(found[1], found[1]) if found else ""
    if not found or name not in _TYPES or (found[2] is not None and name != "decimal"):
        raise ValueError(f"must be a plain type of Spark; got {value!r} ({suggestion(value, _TYPES)})")
    return f"decimal({found[2]},{found[3]})" if found[2] is not None else name


TypeName = Annotated[str, AfterValidator(_type_name)]


class RowBounds(Model):
    """How many rows a table must have. The last run is the one that was committed last."""

    at_least: Annotated[int, Field(ge=1), NUMERIC] | None = Field(
        None, description="fewest rows; null: any number"
    )
    max_loss: Share | None = Field(
        None, description="share of its rows at the last run that may be gone; null: not compared"
    )
    max_growth: Annotated[float, Field(ge=0), NUMERIC] | None = Field(
        None, description="share of its rows at the last run that may have come; null: not compared"
    )

    @property
    def asked(self) -> bool:
        """Is there a bound at all?"""
        return any(bound is not None for bound in (self.at_least, self.max_loss, self.max_growth))


class Contract(Model):
    """What a source table promises. A table that breaks it stops the run before anything is written; rows
    that break `required` or `allowed` are rejected, counted and kept."""

    types: dict[Identifier, TypeName] = Field(
        default_factory=dict, description="source column → type it must have, e.g. decimal(10,2)"
    )
    extra_columns: Literal["report", "refuse"] = Field(
        "report", description="columns that are not mapped. report: they are named and not read"
    )
    max_age_days: Days | None = Field(
        None, description="the newest row before as_of must be at most this many days older; null: any"
    )
    rows: RowBounds = Field(default_factory=RowBounds, description="at_least, max_loss, max_growth")
    required: tuple[Identifier, ...] = Field(
        (), description="further mapped columns that must have a value on every row (reason null_<name>)"
    )
    allowed: dict[Identifier, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="mapped column → the values it may have (reason <name>_not_allowed); none is fine",
    )
