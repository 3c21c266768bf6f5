"""A fitted preparation read back as plain numbers, for arithmetic without Spark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.feature import (
    MinMaxScalerModel,
    PCAModel,
    RobustScalerModel,
    SQLTransformer,
    StandardScalerModel,
    VectorAssembler,
)

from spark_seg.errors import InputError
from spark_seg.kernels import Floats, Units

Stage = TypeVar("Stage", bound=Transformer)

_NUMBER = r"-?[0-9.]+E[+-]?[0-9]+"
_VALUE = (
    rf"(?P<capped>greatest\((?:\((?P<low>{_NUMBER})\)), least\((?:\((?P<high>{_NUMBER})\)), )?"
    rf"coalesce\(cast\((?P<name>\w+) as double\), \((?P<fill>{_NUMBER})\)\)(?(capped)\)\))"
)
# What `fit.py` writes for one feature, with or without cap and logarithm.
_PREPARED = re.compile(
    rf"(?P<logged>signum\()?{_VALUE}.*? - \((?P<origin>{_NUMBER})\) AS prepared_(?P=name)(?=, | FROM )"
)


def units_of(model: PipelineModel, places: Mapping[str, float]) -> Units:
    """The stages before the clustering of a fitted pipeline, as numbers.

    `places`: decimal places of the features that have so many (0: whole numbers). Raises `InputError` when
    the stages are not those that `fit_preparation` makes.
    """
    stages = model.stages[:-1]
    columns = [name.removeprefix("prepared_") for name in _one(stages, VectorAssembler).getInputCols()]
    read = {match["name"]: match for match in _PREPARED.finditer(_one(stages, SQLTransformer).getStatement())}
    if set(columns) - read.keys():
        raise _foreign(stages)
    figures = np.array([_figures(read[name]) for name in columns]).T
    shift, scale = _scaling(stages, len(columns))
    return Units(
        names=tuple(columns),
        fill=figures[2],
        low=figures[0],
        high=figures[1],
        logged=np.array([read[name]["logged"] is not None for name in columns]),
        origin=figures[3],
        shift=shift,
        scale=scale,
        places=np.array([places.get(name, np.inf) for name in columns]),
        components=next((s.pc.toArray() for s in stages if isinstance(s, PCAModel)), None),
    )


def _figures(match: re.Match[str]) -> tuple[float, float, float, float]:
    """Cap (infinite where there is none), fill and origin."""
    low, high = (match["low"], match["high"]) if match["capped"] else ("-inf", "inf")
    return float(low), float(high), float(match["fill"]), float(match["origin"])


def _scaling(stages: Sequence[Transformer], n: int) -> tuple[Floats, Floats]:
    """What is taken off, and the factor, of each element."""
    for stage in stages:
        if isinstance(stage, StandardScalerModel):
            return np.zeros(n), _inverse(stage.std.toArray())
        if isinstance(stage, RobustScalerModel):
            return np.zeros(n), _inverse(stage.range.toArray())
        if isinstance(stage, MinMaxScalerModel):
            low, high = stage.originalMin.toArray(), stage.originalMax.toArray()
            return low, _inverse(high - low)
    return np.zeros(n), np.ones(n)


def _inverse(widths: Floats) -> Floats:
    """One over a width, and 0 for no width, as MLlib scales."""
    return np.divide(1.0, widths, out=np.zeros_like(widths), where=widths != 0)


def _one(stages: Sequence[Transformer], kind: type[Stage]) -> Stage:
    found = [stage for stage in stages if isinstance(stage, kind)]
    if len(found) != 1:
        raise _foreign(stages)
    return found[0]


def _foreign(stages: Sequence[Transformer]) -> InputError:
    return InputError(
        "model: the stages before its clustering must be those that spark_seg fits; got "
        f"{', '.join(type(stage).__name__ for stage in stages) or 'none'}. Train a model with this version"
    )
