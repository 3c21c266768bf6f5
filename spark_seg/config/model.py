"""Every setting: its type, unit, default, limits and effect. No pyspark here.

The descriptions are the documentation: `conf/base.yaml` and the JSON Schema are written from them.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spark_seg.config.fields import (
    NUMERIC,
    Days,
    Identifier,
    KeyReference,
    Model,
    PathText,
    SchemaName,
    Share,
    TimeZone,
)
from spark_seg.config.mapping import SourcesSettings
from spark_seg.errors import suggestion


class SessionSettings(Model):
    """How Spark is started; changes no result."""

    master: str | None = Field(
        None, description="Spark master when nothing else gives one (spark-submit does); default local[*]"
    )
    app_name: str = Field("spark_seg", description="name of the application in Spark's UI")
    conf: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Spark settings of a session started here, from an overlay"
    )


class CleaningSettings(Model):
    """Which rows are trusted."""

    currency: str | None = Field(
        None, description="the one currency amounts may be in; needs the role `currency`; null: not checked"
    )
    returns: Literal["net", "reject"] = Field(
        "net", description="net: a return lowers the customer's spend on its day; reject: leave it out"
    )
    returned_statuses: tuple[str, ...] = Field(
        (), description="values of `status` that mark a return, besides a negative amount"
    )
    cancellations: Literal["net", "reject"] = Field(
        "reject",
        description="reject: the cancelled purchase itself carries the status and is left out; "
        "net: the row is the reversal of an earlier purchase row and its amount is taken off",
    )
    cancelled_statuses: tuple[str, ...] = Field((), description="values of `status` that mark a cancellation")
    zero_amounts: Literal["keep", "reject"] = Field(
        "reject", description="keep: an order of amount zero counts as an order"
    )
    earliest: date = Field(date(1970, 1, 1), description="rows dated before this day are rejected")
    max_reject_share: Share = Field(
        0.05,
        description="share of a source's rows that may be rejected; above it the run stops. Rows on or "
        "after as_of do not count: a backfill rightly sees them",
    )
    keep_after_as_of: bool = Field(
        True, description="write rows on or after as_of to rejects; false: count them only (long backfills)"
    )


class EngagementSettings(Model):
    """What events count for."""

    kinds: dict[Identifier, Annotated[float, Field(ge=0, le=1e6), NUMERIC]] = Field(
        default_factory=dict, description="event kind → weight in the engagement score (0: counted only)"
    )
    half_life_days: Days = Field(30, description="age at which an event's weight has halved, in days")
    contact_kind: Identifier | None = Field(
        None, description="kind that means 'we contacted the customer'; its `subject` names the campaign"
    )
    response_kind: Identifier | None = Field(
        None, description="kind that means 'the customer answered' a contact with the same `subject`"
    )

    @property
    def subject_kinds(self) -> tuple[str, ...]:
        """Kinds whose subjects count: contacts, and what answers them."""
        return tuple(kind for kind in (self.contact_kind, self.response_kind) if kind is not None)

    @model_validator(mode="after")
    def _kinds_known(self) -> Self:
        if (self.contact_kind is None) != (self.response_kind is None):
            raise ValueError("contact_kind and response_kind must be given together")
        for kind in self.subject_kinds:
            if kind not in self.kinds:
                raise ValueError(f"kind '{kind}' is not in kinds; {suggestion(kind, self.kinds)}")
        return self


class LifecycleSettings(Model):
    """Borders between lifecycle stages."""

    new_within_days: Days = Field(60, description="first order at most this many days ago: new")
    active_within_days: Days = Field(45, description="last order at most this many days ago: active")
    lapsed_after_days: Days = Field(120, description="last order more than this many days ago: lapsed")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.active_within_days >= self.lapsed_after_days:
            raise ValueError(
                f"lapsed_after_days must be more than active_within_days ({self.active_within_days}); "
                f"got {self.lapsed_after_days}"
            )
        return self


class FeatureSettings(Model):
    """What is computed per customer."""

    lookback_days: Days = Field(
        365, description="length of the observation period [as_of - lookback_days, as_of), in days"
    )
    lookbacks_days: tuple[Days, ...] = Field(
        (30, 90), description="further, shorter periods for frequency_<n>d and monetary_<n>d, in days"
    )
    trend_days: Days = Field(
        90, description="the last trend_days against the trend_days before them, in days"
    )
    engagement: EngagementSettings = Field(default_factory=EngagementSettings)
    lifecycle: LifecycleSettings = Field(default_factory=LifecycleSettings)
    eligible: Literal["buyers", "active"] = Field(
        "buyers",
        description="who is segmented. buyers: an order in the observation period; "
        "active: an order or an event in it",
    )

    holdout_days: Days | None = Field(
        None,
        description="length of a later period [as_of, as_of + holdout_days), in days: where the orders "
        "reach so far (a run for a past day), segments are held against what customers did in it; null: none",
    )

    @model_validator(mode="after")
    def _periods(self) -> Self:
        too_long = [d for d in (*self.lookbacks_days, 2 * self.trend_days) if d > self.lookback_days]
        if too_long:
            raise ValueError(
                f"lookback_days must be at least {max(too_long)} (the longest of lookbacks_days and twice "
                f"trend_days); got {self.lookback_days}"
            )
        if len(set(self.lookbacks_days)) != len(self.lookbacks_days):
            raise ValueError("lookbacks_days must not repeat a period")
        return self


class PreparedFeature(Model):
    """How one feature enters the clustering."""

    impute: Literal["median", "mean", "min", "max"] | Annotated[float, NUMERIC] = Field(
        "median", description="what stands for a missing value: a statistic of the others, or a number"
    )
    cap: tuple[Share, Share] | None = Field(
        (0.005, 0.995), description="quantiles beyond which values are pulled in (winsorised); null: none"
    )
    log: bool = Field(False, description="log1p, mirrored for negative values: sign(x) * ln(1 + |x|)")

    @model_validator(mode="after")
    def _cap_order(self) -> Self:
        if self.cap is not None and self.cap[0] >= self.cap[1]:
            raise ValueError(f"cap must be two rising quantiles; got {list(self.cap)}")
        return self


class PreparationSettings(Model):
    """What is clustered, and in which form."""

    features: dict[Identifier, PreparedFeature] = Field(
        default_factory=lambda: {
            "recency_days": PreparedFeature(impute="max", log=True),
            "frequency": PreparedFeature(impute=0.0, log=True),
            "monetary": PreparedFeature(impute=0.0, log=True),
        },
        description="features that are clustered, each with impute, cap and log",
        min_length=1,
    )
    scale: Literal["standard", "robust", "min_max", "none"] = Field(
        "standard", description="standard: by deviation; robust: by interquartile range; min_max: to 0..1"
    )
    min_deviation: Annotated[float, Field(gt=0), NUMERIC] = Field(
        1e-6, description="a prepared feature with a smaller standard deviation is dropped as constant"
    )
    max_correlation: Annotated[float, Field(gt=0, le=1), NUMERIC] = Field(
        0.95, description="of two features correlated beyond this, the one named later is dropped"
    )
    pca_variance: Annotated[float, Field(gt=0, lt=1), NUMERIC] | None = Field(
        None, description="share of variance that the kept principal components explain; null: no PCA"
    )


Algorithm = Literal["kmeans", "bisecting", "mixture"]


def _per_algorithm(kmeans: int, bisecting: int, mixture: int) -> dict[Algorithm, int]:
    return {"kmeans": kmeans, "bisecting": bisecting, "mixture": mixture}


class ClusteringSettings(Model):
    """How candidates are fitted."""

    algorithms: tuple[Algorithm, ...] = Field(
        ("kmeans", "bisecting", "mixture"), description="algorithms that compete", min_length=1
    )
    distance: Literal["euclidean", "cosine"] = Field(
        "euclidean", description="geometry of kmeans and bisecting, and of every index"
    )
    restarts: dict[Algorithm, Annotated[int, Field(ge=1, le=100), NUMERIC]] = Field(
        default_factory=lambda: _per_algorithm(10, 3, 6),
        description="fits of one candidate from different seeds; the cheapest is kept",
    )
    max_iterations: dict[Algorithm, Annotated[int, Field(ge=1, le=10_000), NUMERIC]] = Field(
        default_factory=lambda: _per_algorithm(50, 10, 100),
        description="most iterations of one fit; bisecting: of each split, and it makes all of them",
    )
    parallel_fits: Annotated[int, Field(ge=1, le=64), NUMERIC] = Field(
        2, description="fits submitted at a time; hides the latency of small jobs, changes no result"
    )

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.distance == "cosine" and "mixture" in self.algorithms:
            raise ValueError(
                "distance: cosine cannot be compared with mixture, which has no distance. "
                "Take mixture out of algorithms"
            )
        for name in ("restarts", "max_iterations"):
            missing = [a for a in self.algorithms if a not in getattr(self, name)]
            if missing:
                raise ValueError(f"{name} must name every algorithm; missing: {', '.join(missing)}")
        return self


#: What segments are held against in the holdout period.
HOLDOUT_MEASURES = ("holdout_spend", "holdout_active")


class SelectionRules(Model):
    """Business rules: a candidate that breaks one is rejected, whatever its indices."""

    min_segments: Annotated[int, Field(ge=2), NUMERIC] = Field(3, description="fewest segments worth having")
    max_segments: Annotated[int, Field(ge=2), NUMERIC] = Field(
        12, description="most segments people can handle"
    )
    min_segment_share: Share = Field(0.02, description="smallest segment, as a share of customers")
    min_segment_customers: Annotated[int, Field(ge=1), NUMERIC] = Field(
        10, description="smallest segment, in customers"
    )
    max_segment_share: Share = Field(0.6, description="largest segment, as a share of customers")
    min_separation: dict[Identifier, Share] = Field(
        default_factory=dict,
        description="feature (of preparation.features, or holdout_spend, holdout_active) → share of its "
        "variance, as prepared, that must lie between the segments; 0.06 is a medium and 0.14 a large effect "
        "(Cohen). What cannot be measured, as when there is no later period, is not demanded",
    )
    min_stability: Share = Field(
        0.6,
        description="share of its customers that each segment must keep in refits on resampled customers "
        "(mean Jaccard similarity; Hennig: below 0.6 unstable, above 0.75 stable)",
    )


class SelectionSettings(Model):
    """Which candidates are tried and how one is chosen."""

    k_min: Annotated[int, Field(ge=2, le=100), NUMERIC] = Field(2, description="smallest k tried")
    k_max: Annotated[int, Field(ge=2, le=100), NUMERIC] = Field(8, description="largest k tried")
    mode: Literal["coreset", "exact"] = Field(
        "coreset",
        description="coreset: fit candidates on a weighted sample, refine and measure them on all customers; "
        "exact: MLlib fits each candidate on all customers (dear)",
    )
    coreset_customers: Annotated[int, Field(ge=1000, le=1_000_000), NUMERIC] = Field(
        20_000, description="customers in the sample; fewer customers are all taken"
    )
    refine_passes: Annotated[int, Field(ge=0, le=100), NUMERIC] = Field(
        2, description="most passes over all customers that improve the candidates of the sample"
    )
    resamples: Annotated[int, Field(ge=0, le=1000), NUMERIC] = Field(
        10,
        description="refits that judge the stability of each candidate that passes the other rules; 0: none",
    )
    require_structure: bool = Field(
        False, description="true: choose nothing when data without groups are divided as well"
    )
    pick: Annotated[str, Field(pattern=r"^(kmeans|bisecting|mixture):[0-9]+$")] | None = Field(
        None, description="a person's choice that overrides rules and index, e.g. kmeans:6; it is recorded"
    )
    rules: SelectionRules = Field(default_factory=SelectionRules)
    stable: Share = Field(
        0.75,
        description="share of its customers that each segment keeps in refits from which on a candidate goes "
        "before all that keep less (Hennig: above 0.75 stable)",
    )
    index: Literal["silhouette", "davies_bouldin", "calinski_harabasz", "bic"] = Field(
        "silhouette",
        description="index that decides among candidates that pass the rules and are equally stable; the "
        "first three favour round segments, bic also finds long ones (by mixture)",
    )
    tolerance: Annotated[float, Field(ge=0, lt=1), NUMERIC] = Field(
        0.02,
        description="relative distance from the best index within which the smallest k wins; none for bic, "
        "which weighs k itself",
    )

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.k_max < self.k_min:
            raise ValueError(f"k_max must be at least k_min ({self.k_min}); got {self.k_max}")
        if self.rules.max_segments < self.rules.min_segments:
            raise ValueError(
                f"rules.max_segments must be at least rules.min_segments ({self.rules.min_segments}); "
                f"got {self.rules.max_segments}"
            )
        if self.k_max < self.rules.min_segments or self.k_min > self.rules.max_segments:
            raise ValueError(
                f"k_min..k_max ({self.k_min}..{self.k_max}) must overlap rules.min_segments.."
                f"max_segments ({self.rules.min_segments}..{self.rules.max_segments})"
            )
        return self


class Archetype(Model):
    """A kind of customer a marketer knows: where it lies among all customers, and what to do with it."""

    name: Identifier
    description: str = Field(description="one sentence a marketer understands")
    play: str = Field(description="the marketing play that belongs to it")
    signature: dict[Identifier, Literal["very_low", "low", "middle", "high", "very_high"]] = Field(
        min_length=1, description="feature → where this archetype lies among all customers"
    )


class SegmentSettings(Model):
    """How clusters get ids and names."""

    archetypes: tuple[Archetype, ...] = Field(
        min_length=1, description="names to give; conf/archetypes.yaml unless set"
    )
    max_name_difference: Annotated[float, Field(gt=0, le=2), NUMERIC] = Field(
        0.6,
        description="largest difference in any feature of a signature (positions run from -1 to 1) at which "
        "a segment still gets the archetype's name",
    )
    min_overlap: Share = Field(
        0.3, description="share of common customers above which a segment keeps its id after a refit"
    )

    @model_validator(mode="after")
    def _names_unique(self) -> Self:
        names = [archetype.name for archetype in self.archetypes]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"archetypes must have different names; repeated: {', '.join(repeated)}")
        return self


class PrivacySettings(Model):
    """How customers are named in everything that is published."""

    key: KeyReference | None = Field(
        None,
        description="reference env:NAME to the key under which ids become pseudonyms (HMAC-SHA256); the "
        "variable is set for the driver and every worker",
    )
    key_id: Identifier | None = Field(
        None, description="name of the key, to tell which one made the pseudonyms; goes into the ledger"
    )
    raw_ids: bool = Field(False, description="instead of key: publish the ids as the sources have them")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.key is None) != self.raw_ids:
            raise ValueError(
                "must have exactly one of `key` (env:NAME, for pseudonyms) and `raw_ids: true` (as they are)"
            )
        if (self.key is None) != (self.key_id is None):
            raise ValueError("key and key_id must be given together")
        return self

    @property
    def variable(self) -> str | None:
        """Environment variable that holds the key."""
        return None if self.key is None else self.key.partition(":")[2]


class PublishingSettings(Model):
    """Where results go."""

    root: PathText | None = Field(None, description="folder under which each published table is a folder")
    database: SchemaName | None = Field(
        None, description="instead of root: schema or catalog.schema that holds tables and views"
    )
    models: PathText | None = Field(None, description="folder of saved models; default <root>/models")
    keep_activity: bool = Field(
        False,
        description="keep what each customer did on each day (table activity), so that the run of a later "
        "as_of reads only the days that are new or changed; its features are the same",
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.root is None) == (self.database is None):
            raise ValueError("must have exactly one of `root` and `database`")
        if self.database is not None and self.models is None:
            raise ValueError("models must be set when `database` is (a saved model is a folder)")
        return self

    @property
    def models_path(self) -> str:
        """Folder that holds one saved model per run."""
        return self.models if self.models is not None else f"{self.root}/models"


class Settings(Model):
    """The whole configuration, resolved and checked."""

    pipeline: Identifier = Field(description="name of this segmentation; several may share one place")
    seed: Annotated[int, Field(ge=0, le=2**31 - 1), NUMERIC] = Field(42, description="of everything random")
    time_zone: TimeZone = Field(
        "UTC", description="business time zone: decides on which day an instant falls"
    )
    session: SessionSettings = Field(default_factory=SessionSettings)
    sources: SourcesSettings
    cleaning: CleaningSettings = Field(default_factory=CleaningSettings)
    features: FeatureSettings = Field(default_factory=FeatureSettings)
    preparation: PreparationSettings = Field(default_factory=PreparationSettings)
    clustering: ClusteringSettings = Field(default_factory=ClusteringSettings)
    selection: SelectionSettings = Field(default_factory=SelectionSettings)
    segments: SegmentSettings
    privacy: PrivacySettings
    publishing: PublishingSettings

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = inconsistencies(self.sources, self.cleaning, self.features)
        problems += _pick_problems(self.clustering, self.selection)
        problems += _separation_problems(self.selection, self.preparation, self.features)
        if problems:
            raise ValueError("\n".join(problems))
        return self


def _pick_problems(clustering: ClusteringSettings, selection: SelectionSettings) -> list[str]:
    if selection.pick is None:
        return []
    algorithm, k = selection.pick.split(":")
    problems = []
    if algorithm not in clustering.algorithms:
        problems.append(
            f"selection.pick: must be one of clustering.algorithms ({', '.join(clustering.algorithms)}); "
            f"got {algorithm}"
        )
    if not selection.k_min <= int(k) <= selection.k_max:
        problems.append(
            f"selection.pick: k must be in selection.k_min..k_max ({selection.k_min}..{selection.k_max}); "
            f"got {k}"
        )
    return problems


def _separation_problems(
    selection: SelectionSettings, preparation: PreparationSettings, features: FeatureSettings
) -> list[str]:
    later = HOLDOUT_MEASURES if features.holdout_days is not None else ()
    known = (*preparation.features, *later)
    return [
        f"selection.rules.min_separation: '{name}' needs features.holdout_days"
        if name in HOLDOUT_MEASURES
        else f"selection.rules.min_separation: '{name}' is not in preparation.features; "
        f"{suggestion(name, known)}"
        for name in selection.rules.min_separation
        if name not in known
    ]


def inconsistencies(
    sources: SourcesSettings, cleaning: CleaningSettings, features: FeatureSettings
) -> list[str]:
    """What does not fit together across sections, one sentence each."""
    problems = []
    engagement = features.engagement
    for i, source in enumerate(sources.events):
        kind = source.columns["kind"].value
        if kind is not None and kind not in engagement.kinds:
            problems.append(
                f"sources.events.{i}.columns.kind: '{kind}' is not in features.engagement.kinds; "
                f"{suggestion(kind, engagement.kinds)}"
            )
        if kind in engagement.subject_kinds and "subject" not in source.columns:
            problems.append(
                f"sources.events.{i}.columns: role 'subject' is required, because '{kind}' takes part "
                "in the response rate (features.engagement)"
            )
    if cleaning.currency is not None and "currency" not in sources.orders.columns:
        problems.append("cleaning.currency: needs the role 'currency' in sources.orders.columns")
    statuses = cleaning.returned_statuses + cleaning.cancelled_statuses
    if statuses and "status" not in sources.orders.columns:
        problems.append(
            "cleaning: returned_statuses and cancelled_statuses need the role 'status' in "
            "sources.orders.columns"
        )
    return problems
