"""Configuration: YAML files, merged in order, into one frozen model."""

from spark_seg.config.expressions import ALLOWED_FUNCTIONS, checked_sql, referenced_columns
from spark_seg.config.load import config_digest, json_schema, load_settings
from spark_seg.config.mapping import (
    ColumnMapping,
    CustomersSource,
    EventsSource,
    Lookup,
    OrdersSource,
    TableRef,
)
from spark_seg.config.model import (
    HOLDOUT_MEASURES,
    Archetype,
    CleaningSettings,
    ClusteringSettings,
    EngagementSettings,
    FeatureSettings,
    LifecycleSettings,
    PreparationSettings,
    PreparedFeature,
    PublishingSettings,
    SegmentSettings,
    SelectionRules,
    SelectionSettings,
    SessionSettings,
    Settings,
)

__all__ = [
    "ALLOWED_FUNCTIONS",
    "HOLDOUT_MEASURES",
    "Archetype",
    "CleaningSettings",
    "ClusteringSettings",
    "ColumnMapping",
    "CustomersSource",
    "EngagementSettings",
    "EventsSource",
    "FeatureSettings",
    "LifecycleSettings",
    "Lookup",
    "OrdersSource",
    "PreparationSettings",
    "PreparedFeature",
    "PublishingSettings",
    "SegmentSettings",
    "SelectionRules",
    "SelectionSettings",
    "SessionSettings",
    "Settings",
    "TableRef",
    "checked_sql",
    "config_digest",
    "json_schema",
    "load_settings",
    "referenced_columns",
]
