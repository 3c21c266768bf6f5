"""Activity (and customer attributes) → one row per customer at `as_of`."""

from spark_seg.features.build import (
    FeatureSet,
    build_features,
    feature_names,
    feature_spec,
    rescore,
    score_rfm,
    unknown_features,
    with_permissions,
)
from spark_seg.features.holdout import holdout_orders
from spark_seg.features.rfm import RFM_FEATURES, cut_points, rfm_scores

__all__ = [
    "RFM_FEATURES",
    "FeatureSet",
    "build_features",
    "cut_points",
    "feature_names",
    "feature_spec",
    "holdout_orders",
    "rescore",
    "rfm_scores",
    "score_rfm",
    "unknown_features",
    "with_permissions",
]
