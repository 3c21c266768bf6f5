"""Every setting: its type, unit, default, limits and effect. No pyspark here.

The descriptions are the documentation: `conf/base.yaml` and the JSON Schema are written from them.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spark_seg.config.features import CleaningSettings, FeatureSettings
from spark_seg.config.fields import (
    NUMERIC,
    Identifier,
    KeyReference,
    Model,
    PathText,
    SchemaName,
    TimeZone,
)
from spark_seg.config.mapping import SourcesSettings
from spark_seg.config.monitoring import MonitoringSettings
from spark_seg.config.report import ExplanationSettings, ReportSettings
from spark_seg.config.segments import SegmentContract, SegmentSettings
from spark_seg.config.selection import (
    HOLDOUT_MEASURES,
    ClusteringSettings,
    PreparationSettings,
    SelectionSettings,
)
from spark_seg.config.tracking import TrackingSettings
from spark_seg.errors import suggestion

#: Spark's own environment variable for the address of a Spark Connect server.
REMOTE = "SPARK_REMOTE"


class SessionSettings(Model):
    """How Spark is started; changes no result."""

    master: str | None = Field(
        None, description="Spark master when nothing else gives one (spark-submit does); default local[*]"
    )
    app_name: str = Field("spark_seg", description="name of the application in Spark's UI")
    conf: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Spark settings of a session started here, from an overlay"
    )
    cache: Literal["auto", "never"] = Field(
        "auto",
        description="auto: frames that are used several times are kept where the session allows it; never, "
        "and on serverless compute: they are computed again at each use, with the same result",
    )


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
    min_group: Annotated[int, Field(ge=1), NUMERIC] = Field(
        10,
        description="profiles tell nothing but the size of groups with fewer customers, nor of as many "
        "others as it takes that they cannot be worked out from the rest; 1: tell everything",
    )

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
    contract: SegmentContract = Field(default_factory=SegmentContract)
    monitoring: MonitoringSettings = Field(default_factory=MonitoringSettings)
    explanations: ExplanationSettings = Field(default_factory=ExplanationSettings)
    report: ReportSettings = Field(default_factory=ReportSettings)
    tracking: TrackingSettings = Field(default_factory=TrackingSettings)
    privacy: PrivacySettings
    publishing: PublishingSettings

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = inconsistencies(self.sources, self.cleaning, self.features)
        problems += _pick_problems(self.clustering, self.selection)
        problems += _separation_problems(self.selection, self.preparation, self.features)
        if self.publishing.keep_activity and unchecked_currency(self.sources, self.cleaning):
            problems.append(
                "publishing.keep_activity: needs cleaning.currency where the role currency is mapped: a run "
                "that reads some days cannot see that others were in another one"
            )
        if problems:
            raise ValueError("\n".join(problems))
        return self


def unchecked_currency(sources: SourcesSettings, cleaning: CleaningSettings) -> bool:
    """Do orders name a currency, of which only is asked that it is the same everywhere?"""
    return cleaning.currency is None and "currency" in sources.orders.columns


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
    if sources.rates is not None and cleaning.currency is None:
        problems.append("sources.rates: needs cleaning.currency, the currency into which they convert")
    statuses = cleaning.returned_statuses + cleaning.cancelled_statuses
    if statuses and "status" not in sources.orders.columns:
        problems.append(
            "cleaning: returned_statuses and cancelled_statuses need the role 'status' in "
            "sources.orders.columns"
        )
    return problems
