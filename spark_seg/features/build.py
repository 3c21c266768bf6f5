"""All features of a snapshot: purchases and events are added up apart and joined by customer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BooleanType, IntegerType, MapType, NumericType, StringType

from spark_seg.config import FeatureSettings
from spark_seg.errors import ConfigError, InputError, suggestion
from spark_seg.features.affinity import AFFINITY_FIELDS, affinity
from spark_seg.features.engagement import (
    RESPONSE_FEATURES,
    SCORE_FEATURES,
    answers,
    engagement_features,
    event_measures,
    kind_features,
)
from spark_seg.features.lifecycle import lifecycle_stage
from spark_seg.features.purchases import (
    PURCHASE_FEATURES,
    period_features,
    purchase_measures,
    with_previous,
)
from spark_seg.features.rfm import RFM_FEATURES, cut_points, rfm_scores
from spark_seg.features.scope import Feature, Measure, Scope
from spark_seg.tables import FEATURES, Field, Spec

_DERIVED_FIELDS = (
    Field("lifecycle_stage", StringType(), "prospect, new, active, reactivated, cooling or lapsed"),
    Field("attributes", MapType(StringType(), StringType()), "customer attributes as mapped"),
    Field("eligible", BooleanType(), "is segmented (features.eligible)"),
    Field("may_activate", BooleanType(), "agreed to be contacted; null where nobody was asked"),
    Field("may_experiment", BooleanType(), "agreed to be experimented with; null where nobody was asked"),
)
_SCORE_FIELDS = (
    Field("r_score", IntegerType(), "recency score 1-5, 5 is best"),
    Field("f_score", IntegerType(), "frequency score 1-5, 5 is best"),
    Field("m_score", IntegerType(), "monetary score 1-5, 5 is best"),
)


@dataclass(frozen=True)
class FeatureSet:
    """A snapshot: its customers, and the cut points their RFM scores were made with."""

    customers: DataFrame
    cut_points: dict[str, list[float]]


def catalogue(settings: FeatureSettings) -> dict[str, Feature]:
    """Every aggregated feature that this configuration gives, in the order of publication.

    Raises `ConfigError` when an event kind would give a feature that is there already.
    """
    features = dict(PURCHASE_FEATURES)
    for days in settings.lookbacks_days:
        features |= period_features(days)
    taken = {name.lower() for name in (*features, *SCORE_FEATURES, *RESPONSE_FEATURES)}
    problems = []
    for kind in settings.engagement.kinds:
        own = {name.lower() for name in kind_features(kind)}
        problems += [
            f"features.engagement.kinds.{kind}: must give new features; got {name}, which exists already. "
            "Give the kind another name"
            for name in sorted(own & taken)
        ]
        taken |= own
    if problems:
        raise ConfigError(problems)
    return features | engagement_features(settings.engagement)


def feature_spec(settings: FeatureSettings) -> Spec:
    """The published table `features` for this configuration."""
    fields = tuple(Field(name, f.type, f.comment) for name, f in catalogue(settings).items())
    return FEATURES.extended(fields + AFFINITY_FIELDS + _DERIVED_FIELDS + _SCORE_FIELDS)


def feature_names(settings: FeatureSettings) -> list[str]:
    """Names of the numeric features: what can be clustered and profiled."""
    keys = {*FEATURES.columns, "eligible", "r_score", "f_score", "m_score"}
    return [
        f.name
        for f in feature_spec(settings).fields
        if isinstance(f.type, NumericType) and f.name not in keys
    ]


def unknown_features(names: Iterable[str], settings: FeatureSettings) -> list[str]:
    """A sentence for each name that is no feature of this configuration."""
    known = feature_names(settings)
    return [f"unknown feature '{name}'; {suggestion(name, known)}" for name in names if name not in known]


def build_features(
    activity: DataFrame, customers: DataFrame | None, as_of: date, settings: FeatureSettings
) -> DataFrame:
    """One row per customer seen in `activity` before `as_of`.

    `activity`: columns of `activity_spec`. `customers`: `customer_id, attributes`, or None. Result:
    the columns of `feature_spec(settings)` without `as_of`, `run_id`, the two permissions and the three
    scores.
    """
    scope = Scope(as_of, settings)
    past = activity.where(F.col("day") < F.lit(as_of))
    bought = with_previous(past.where(F.col("orders").isNotNull()))
    measures = purchase_measures(scope)
    measured = _added_up(bought, "category", measures, affinity(scope))
    if settings.engagement.kinds:
        of_events = event_measures(scope)
        acted = _added_up(past.where(F.col("orders").isNull()), "subject", of_events, answers(scope))
        measured = measured.join(acted, on="customer_id", how="full")
        measures |= of_events
    filled = {n: F.coalesce(n, F.lit(m.empty)) for n, m in measures.items() if m.empty is not None}
    features = measured.withColumns(filled | {"category_breadth": F.coalesce("category_breadth", F.lit(0))})
    formulas = [f.column(scope).cast(f.type).alias(name) for name, f in catalogue(settings).items()]
    seen = F.col("last event observed").isNotNull() if settings.engagement.kinds else F.lit(False)
    features = features.select(
        "customer_id", *formulas, *(field.name for field in AFFINITY_FIELDS), seen.alias("seen")
    )
    if customers is None:
        features = features.withColumn("attributes", F.create_map().cast(MapType(StringType(), StringType())))
    else:
        features = features.join(customers, on="customer_id", how="left")
    return features.withColumns(
        {"lifecycle_stage": lifecycle_stage(settings.lifecycle), "eligible": _eligible(settings)}
    ).drop("seen")


def _added_up(
    rows: DataFrame, part: str, measures: dict[str, Measure], over_parts: dict[str, Column]
) -> DataFrame:
    """One row per customer: `measures`, and what `over_parts` says of a customer's categories or subjects.

    Rows of a customer lie together already: neither step moves them.
    """
    parts = rows.groupBy("customer_id", part).agg(*(m.column.alias(name) for name, m in measures.items()))
    merged = (m.merge(name).alias(name) for name, m in measures.items())
    return parts.groupBy("customer_id").agg(*merged, *(c.alias(name) for name, c in over_parts.items()))


def with_permissions(features: DataFrame, consents: DataFrame | None) -> DataFrame:
    """Add `may_activate` and `may_experiment`: `activate` and `experiment` of `consents` (one row per
    customer), NULL without."""
    if consents is None:
        unknown = F.lit(None).cast("boolean")
        return features.withColumns({"may_activate": unknown, "may_experiment": unknown})
    agreed = consents.select(
        "customer_id", F.col("activate").alias("may_activate"), F.col("experiment").alias("may_experiment")
    )
    return features.join(agreed, on="customer_id", how="left")


def score_rfm(features: DataFrame) -> FeatureSet:
    """Add `r_score`, `f_score` and `m_score`, cut at the quintiles of eligible customers who ordered."""
    cuts = cut_points(features.where(_buyers()))
    return FeatureSet(_with_scores(features, cuts), cuts)


def rescore(features: DataFrame, stored: Iterable[tuple[str, Sequence[float]]]) -> DataFrame:
    """Add the three scores, or replace them, by the cut points of an earlier run.

    `features`: customers with `eligible` and the RFM features. `stored`: pairs (feature, cuts), as they lie
    in `cut_points` of the table `runs`. With the cut points that `score_rfm` found, its own scores. Raises
    `InputError` when `stored` is not one list of cuts for each RFM feature: four, or none where nobody had
    ordered.
    """
    pairs = [(name, list(cuts)) for name, cuts in stored]
    told = ", ".join(f"{name} ({len(cuts)})" for name, cuts in pairs) or "nothing"
    if sorted(name for name, _ in pairs) != sorted(RFM_FEATURES) or {len(c) for _, c in pairs} - {0, 4}:
        raise InputError(
            f"cut_points: must be four cuts, or none, of each of {', '.join(RFM_FEATURES)}; got {told}. "
            "Take those of the run that built the features (run_all or build_features)"
        )
    return _with_scores(features, dict(pairs))


def _with_scores(features: DataFrame, cuts: Mapping[str, Sequence[float]]) -> DataFrame:
    return features.withColumns({name: F.when(_buyers(), score) for name, score in rfm_scores(cuts).items()})


def _buyers() -> Column:
    """Who has scores: eligible customers who ordered."""
    return F.col("eligible") & (F.col("frequency") > 0)


def _eligible(settings: FeatureSettings) -> Column:
    buyer = F.col("frequency") > 0
    return buyer if settings.eligible == "buyers" else buyer | F.col("seen")
