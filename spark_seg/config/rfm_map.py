"""A map from RFM scores to segments: any number of rows, of which the first that matches a customer wins."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_serializer
from pydantic_core import PydanticKnownError

from spark_seg.config.fields import NUMERIC, Identifier, Model

#: Every score there is; 5 is best.
RFM_SCORES = (1, 2, 3, 4, 5)

_SPAN = re.compile(r"([1-5])(?: *- *([1-5]))?")
_SHOWN: dict[type, str] = {dict: "a mapping", type(None): "nothing"}


def _as_list(value: Any) -> Any:
    """A number or a text as the list of scores that it means; entries of lists are checked by their type."""
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, bool):  # true is equal to 1
        raise PydanticKnownError("float_type")
    if isinstance(value, (int, float)) and value in RFM_SCORES:
        return [int(value)]
    span = _SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    scores = list(range(int(span[1]), int(span[2] or span[1]) + 1)) if span else []
    if not scores:  # a span that falls has none either
        shown = _SHOWN.get(type(value)) or repr(value)
        raise ValueError(
            f"must be scores 1-5: a number, a list of them, or a text such as '4-5'; got {shown}"
        )
    return scores


def _in_order(scores: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(scores)) < len(scores):
        raise ValueError(f"must not repeat a score; got {list(scores)}")
    return tuple(sorted(scores))


_Score = Annotated[int, Field(ge=1, le=5), NUMERIC]
_A_SCORE = {"type": "integer", "minimum": 1, "maximum": 5}
Scores = Annotated[
    tuple[_Score, ...],
    Field(min_length=1),
    AfterValidator(_in_order),
    BeforeValidator(_as_list),
    # As it may be written, for editors; the type alone would say that only a list is right.
    WithJsonSchema(
        {
            "anyOf": [
                _A_SCORE,
                {"type": "array", "items": _A_SCORE, "minItems": 1, "uniqueItems": True},
                {"type": "string", "pattern": "^ *[1-5]( *- *[1-5])? *$"},
            ]
        }
    ),
]


class RfmRow(Model):
    """One row of an RFM map: the scores that make a segment. A score that is not named may be any."""

    name: Identifier = Field(description="name of the segment; rows with the same name make one")
    r: Scores = Field(RFM_SCORES, description="recency scores, 5 is best: 5, [1, 3] or 4-5")
    f: Scores = Field(RFM_SCORES, description="frequency scores, written alike")
    m: Scores = Field(RFM_SCORES, description="monetary scores, written alike")

    @field_serializer("r", "f", "m", when_used="json")
    def _as_written(self, scores: tuple[int, ...]) -> int | str | list[int]:
        """As short as a person would write it."""
        if len(scores) == 1:
            return scores[0]
        if scores == tuple(range(scores[0], scores[-1] + 1)):
            return f"{scores[0]}-{scores[-1]}"
        return list(scores)


#: The standard grid: every pair of recency and frequency score has exactly one segment. The ten names are
#: those marketers know from RFM literature and tools.
DEFAULT_MAP: tuple[RfmRow, ...] = (
    RfmRow(name="champions", r=(5,), f=(4, 5)),
    RfmRow(name="loyal_customers", r=(3, 4), f=(4, 5)),
    RfmRow(name="potential_loyalists", r=(4, 5), f=(2, 3)),
    RfmRow(name="new_customers", r=(5,), f=(1,)),
    RfmRow(name="promising", r=(4,), f=(1,)),
    RfmRow(name="need_attention", r=(3,), f=(3,)),
    RfmRow(name="about_to_sleep", r=(3,), f=(1, 2)),
    RfmRow(name="at_risk", r=(1, 2), f=(3, 4)),
    RfmRow(name="cant_lose", r=(1, 2), f=(5,)),
    RfmRow(name="hibernating", r=(1, 2), f=(1, 2)),
)


def names_of(rows: Iterable[RfmRow]) -> tuple[str, ...]:
    """Names of the segments of a map, each once, in order of first appearance."""
    return tuple(dict.fromkeys(row.name for row in rows))
