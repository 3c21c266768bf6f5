"""Features → the vectors that are clustered: fitted MLlib stages, saved and reloaded with the model.

Impute, cap, log and shift are literals in one SQL expression per feature (`SQLTransformer`), so the
saved pipeline is plain MLlib and scoring can never differ from training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import cast

import numpy as np
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.feature import (
    PCA,
    MinMaxScaler,
    RobustScaler,
    RobustScalerModel,
    SQLTransformer,
    StandardScaler,
    VectorAssembler,
)
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from spark_seg.config import PreparationSettings, PreparedFeature
from spark_seg.errors import InputError, NoAcceptableCandidate

#: Column of the finished vectors.
VECTOR = "vector"
#: Largest size of a value: beyond it squares of distances overflow, and MLlib clusters without a word.
LARGEST = 1e100
#: Customers in one partition of a fit; with the cap below it decides the layout, never the cores.
ROWS_PER_PARTITION = 50_000
MAX_PARTITIONS = 512


@dataclass(frozen=True)
class Preparation:
    """Fitted preparation: the stages, the features that are in the vectors, and why others are not.

    `prepared`: the SQL of every feature that has values, those that were dropped included.
    """

    model: PipelineModel
    features: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...]
    prepared: Mapping[str, str]

    def transform(self, frame: DataFrame) -> DataFrame:
        """`frame` with the columns `vector`, and `prepared`: a struct of all features before scaling."""
        prepared = F.struct(*(F.expr(sql).alias(name) for name, sql in self.prepared.items()))
        return self.model.transform(frame).select(*frame.columns, VECTOR, prepared.alias("prepared"))


def canonical_layout(frame: DataFrame, rows: int) -> DataFrame:
    """`frame` in partitions and an order that follow from `customer_id` and the row count alone.

    MLlib's fits depend on both: with this layout the same customers give the same bits whatever the
    order of rows, the number of files, adaptive execution or the launcher.
    """
    partitions = max(1, min(MAX_PARTITIONS, -(-rows // ROWS_PER_PARTITION)))
    return frame.repartition(partitions, "customer_id").sortWithinPartitions("customer_id")


def fit_preparation(features: DataFrame, settings: PreparationSettings) -> Preparation:
    """Fit on eligible customers in canonical layout. `features` has the columns of the table `features`.

    Raises `InputError` when a feature is missing or not finite, and `NoAcceptableCandidate` when no
    feature differs between customers.
    """
    missing = [name for name in settings.features if name not in features.columns]
    if missing:
        raise InputError(
            f"features: must have {', '.join(missing)} (preparation.features); got "
            f"{', '.join(features.columns)}. Run build_features with this configuration"
        )
    statistics = _statistics(features, settings)
    _check_finite(statistics, settings.features)
    dropped: list[tuple[str, str]] = []
    expressions: dict[str, str] = {}
    for name, how in settings.features.items():
        expression = _expression(name, how, statistics)
        if expression is None:
            dropped.append((name, "no customer has a value"))
        else:
            expressions[name] = expression
    expressed = _prepared_columns(expressions)
    kept = _informative(expressed.transform(features), list(expressions), settings, dropped)
    if kept and settings.scale == "robust":
        kept = _measurable(expressed.transform(features), kept, dropped)
    if not kept:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in dropped)
        raise NoAcceptableCandidate(
            f"preparation: at least one feature must differ between customers; got none ({reasons}). "
            "There is nothing to segment by"
        )
    stages: list[Transformer] = [
        _prepared_columns({name: expressions[name] for name in kept}),
        VectorAssembler(
            inputCols=[_prepared(name) for name in kept],
            outputCol=VECTOR if settings.scale == "none" and settings.pca_variance is None else "assembled",
            handleInvalid="error",
        ),
    ]
    frame = PipelineModel(stages).transform(features)
    scaled_column = VECTOR if settings.pca_variance is None else "scaled"
    if settings.scale != "none":
        stages.append(_scaler(settings.scale, scaled_column).fit(frame))
        frame = stages[-1].transform(frame)
    if settings.pca_variance is not None:
        column = scaled_column if settings.scale != "none" else "assembled"
        everything = PCA(k=len(kept), inputCol=column, outputCol=VECTOR).fit(frame)
        cumulated = np.cumsum(everything.explainedVariance.toArray())
        k = min(len(kept), int(np.searchsorted(cumulated, settings.pca_variance) + 1))
        stages.append(PCA(k=k, inputCol=column, outputCol=VECTOR).fit(frame))
    return Preparation(PipelineModel(stages), tuple(kept), tuple(dropped), expressions)


def check_finite(features: DataFrame, names: Sequence[str]) -> None:
    """Raise `InputError` when a feature has values that cannot be scored: NaN, infinite, beyond `LARGEST`.

    MLlib would assign such a customer to cluster 0.
    """
    row = features.agg(*(_not_finite(name).alias(f"{name}__bad") for name in names)).first()
    assert row is not None  # noqa: S101 - an aggregate without groups has one row
    _check_finite(row, names)


def check_directions(frame: DataFrame) -> None:
    """Raise `InputError` when a row of `frame` has the zero `vector`, which has no cosine distance."""
    squares = F.aggregate(vector_to_array(F.col(VECTOR)), F.lit(0.0), lambda total, x: total + x * x)
    zeros = frame.where(squares == 0.0).count()
    if zeros:
        raise InputError(
            f"vectors: must not be zero for clustering.distance cosine; got {zeros:,} customers who are "
            "lowest in every prepared feature, so their vector has no direction. Use distance euclidean"
        )


def _not_finite(name: str) -> Column:
    value = F.col(name).cast("double")
    # NaN is larger than everything.
    return F.count_if(F.abs(value) > F.lit(LARGEST))


def _check_finite(statistics: Row, names: Iterable[str]) -> None:
    problems = [
        f"features.{name}: must be finite; got {statistics[f'{name}__bad']:,} values that are not. "
        "Build the features again; if that does not help, look for the rows in the table features"
        for name in names
        if statistics[f"{name}__bad"]
    ]
    if problems:
        raise InputError(problems, title="features")


def _prepared(name: str) -> str:
    return f"prepared_{name}"


def _statistics(features: DataFrame, settings: PreparationSettings) -> Row:
    """One pass: what the expressions need of every feature."""
    columns = []
    for name, how in settings.features.items():
        value = F.col(name).cast("double")
        finite = F.when(F.abs(value) <= F.lit(LARGEST), value)
        low, high = how.cap or (0.0, 1.0)
        columns += [
            _not_finite(name).alias(f"{name}__bad"),
            F.mean(finite).alias(f"{name}__mean"),
            F.min(finite).alias(f"{name}__min"),
            F.max(finite).alias(f"{name}__max"),
            F.percentile(finite, F.array(F.lit(low), F.lit(0.5), F.lit(high))).alias(f"{name}__quantiles"),
        ]
    row = features.agg(*columns).first()
    assert row is not None  # noqa: S101 - an aggregate without groups has one row
    return row


def _expression(name: str, how: PreparedFeature, statistics: Row) -> str | None:
    """SQL that prepares one feature; None when no customer has a value.

    The result starts at 0 for the smallest value seen. That changes no Euclidean distance, and keeps
    the vectors off the origin: BisectingKMeans splits a cluster by disturbing its centre in proportion
    to the centre's norm, and finds nothing when data are centred.
    """
    if statistics[f"{name}__min"] is None:
        return None
    low, middle, high = statistics[f"{name}__quantiles"]
    named = {"median": middle, **{key: statistics[f"{name}__{key}"] for key in ("mean", "min", "max")}}
    fill = named[how.impute] if isinstance(how.impute, str) else how.impute
    if how.cap is None:
        low, high = min(statistics[f"{name}__min"], fill), None
    # Names are identifiers of the feature tables; numbers are written by repr, which loses nothing.
    value = f"coalesce(cast({name} as double), {literal(fill)})"
    if how.cap is not None:
        value = f"greatest({literal(low)}, least({literal(high)}, {value}))"
    origin = low
    if how.log:
        value = f"signum({value}) * log1p(abs({value}))"
        origin = float(np.sign(low) * np.log1p(abs(low)))
    return f"{value} - {literal(origin)}"


def literal(number: float) -> str:
    """`number` as a double in SQL, to the last bit."""
    mantissa, _, exponent = repr(float(number)).partition("e")
    return f"({mantissa}E{exponent or '0'})"


def _prepared_columns(expressions: dict[str, str]) -> SQLTransformer:
    added = ", ".join(f"{sql} AS {_prepared(name)}" for name, sql in expressions.items())
    return SQLTransformer(statement=f"SELECT *, {added} FROM __THIS__" if added else "SELECT * FROM __THIS__")


def _informative(
    frame: DataFrame, names: list[str], settings: PreparationSettings, dropped: list[tuple[str, str]]
) -> list[str]:
    """Names of features that vary and are not told by the ones before them; the others go to `dropped`.

    Judged by the multiple correlation R with the features already kept: of two features it is their
    correlation, and it also finds a feature that several others determine together.
    """
    if not names:
        return []
    deviations = [F.stddev_pop(_prepared(name)).alias(name) for name in names]
    products = [F.covar_pop(_prepared(a), _prepared(b)).alias(f"{a}|{b}") for a, b in combinations(names, 2)]
    row = frame.agg(*deviations, *products).first()
    assert row is not None  # noqa: S101 - an aggregate without groups has one row
    kept: list[str] = []
    for name in names:
        if not row[name] > settings.min_deviation:
            dropped.append((name, "the same for all customers"))
            continue
        chosen = [*kept, name]
        r = np.eye(len(chosen))
        for (i, a), (j, b) in combinations(list(enumerate(chosen)), 2):
            r[i, j] = r[j, i] = row[f"{a}|{b}"] / (row[a] * row[b])
        told = _multiple_correlation(r)
        if kept and told > settings.max_correlation:
            partner = kept[int(np.argmax(np.abs(r[-1, :-1])))]
            dropped.append((name, f"correlated {told:.3f} with the features before it (most with {partner})"))
            continue
        kept.append(name)
    return kept


def _measurable(frame: DataFrame, names: list[str], dropped: list[tuple[str, str]]) -> list[str]:
    """Names of features whose quartiles differ: RobustScaler turns the others into 0 for everybody."""
    assembler = VectorAssembler(inputCols=[_prepared(name) for name in names], outputCol="assembled")
    model = cast(RobustScalerModel, _scaler("robust", "scaled").fit(assembler.transform(frame)))
    ranges = dict(zip(names, model.range.toArray().tolist(), strict=True))
    dropped += [
        (name, "its quartiles are the same, so scale robust cannot measure it")
        for name in names
        if not ranges[name] > 0
    ]
    return [name for name in names if ranges[name] > 0]


def _multiple_correlation(r: np.ndarray) -> float:
    """Correlation of the last variable with its best linear prediction from the others."""
    if len(r) == 1:
        return 0.0
    weights = np.linalg.lstsq(r[:-1, :-1], r[:-1, -1], rcond=None)[0]
    return float(np.sqrt(np.clip(r[:-1, -1] @ weights, 0.0, 1.0)))


def _scaler(kind: str, output: str) -> StandardScaler | RobustScaler | MinMaxScaler:
    if kind == "standard":
        return StandardScaler(inputCol="assembled", outputCol=output, withMean=False, withStd=True)
    if kind == "robust":
        return RobustScaler(inputCol="assembled", outputCol=output, withCentering=False, relativeError=1e-6)
    return MinMaxScaler(inputCol="assembled", outputCol=output)
