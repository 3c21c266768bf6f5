"""Configuration: YAML files, merged in order, into one frozen model."""

from spark_seg.config.contract import Contract
from spark_seg.config.expressions import ALLOWED_FUNCTIONS, checked_sql, referenced_columns
from spark_seg.config.features import (
    CleaningSettings,
    EngagementSettings,
    FeatureSettings,
    LifecycleSettings,
)
from spark_seg.config.load import config_digest, json_schema, load_rfm_map, load_settings, settings_of
from spark_seg.config.mapping import (
    TIME_ROLES,
    ColumnMapping,
    ConsentsSource,
    CustomersSource,
    EventsSource,
    Lookup,
    OrdersSource,
    RatesSource,
    Source,
    SourcesSettings,
    TableRef,
)
from spark_seg.config.model import REMOTE, PrivacySettings, PublishingSettings, SessionSettings, Settings
from spark_seg.config.monitoring import MonitoringSettings
from spark_seg.config.rfm_map import DEFAULT_MAP, RFM_SCORES, RfmRow, names_of
from spark_seg.config.segments import (
    UNSEGMENTED,
    UNSEGMENTED_ID,
    Archetype,
    HoldSettings,
    SegmentContract,
    SegmentSettings,
)
from spark_seg.config.selection import (
    HOLDOUT_MEASURES,
    ClusteringSettings,
    PreparationSettings,
    PreparedFeature,
    SelectionRules,
    SelectionSettings,
)
from spark_seg.config.tracking import LineageSettings, MlflowSettings, lineage_place, mlflow_address

__all__ = [
    "ALLOWED_FUNCTIONS",
    "DEFAULT_MAP",
    "HOLDOUT_MEASURES",
    "REMOTE",
    "RFM_SCORES",
    "TIME_ROLES",
    "UNSEGMENTED",
    "UNSEGMENTED_ID",
    "Archetype",
    "CleaningSettings",
    "ClusteringSettings",
    "ColumnMapping",
    "ConsentsSource",
    "Contract",
    "CustomersSource",
    "EngagementSettings",
    "EventsSource",
    "FeatureSettings",
    "HoldSettings",
    "LifecycleSettings",
    "LineageSettings",
    "Lookup",
    "MlflowSettings",
    "MonitoringSettings",
    "OrdersSource",
    "PreparationSettings",
    "PreparedFeature",
    "PrivacySettings",
    "PublishingSettings",
    "RatesSource",
    "RfmRow",
    "SegmentContract",
    "SegmentSettings",
    "SelectionRules",
    "SelectionSettings",
    "SessionSettings",
    "Settings",
    "Source",
    "SourcesSettings",
    "TableRef",
    "checked_sql",
    "config_digest",
    "json_schema",
    "lineage_place",
    "load_rfm_map",
    "load_settings",
    "mlflow_address",
    "names_of",
    "referenced_columns",
    "settings_of",
]
