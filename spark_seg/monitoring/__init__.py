"""Has the world moved away from the model? Two states → figures with a verdict each, and one decision."""

from spark_seg.monitoring.contract import breaches
from spark_seg.monitoring.decision import Decision, age, decide, flap_rate, refit_agreement
from spark_seg.monitoring.drift import distance_drift, feature_drift
from spark_seg.monitoring.fairness import fairness
from spark_seg.monitoring.measure import Measure
from spark_seg.monitoring.migration import migration
from spark_seg.monitoring.stability import population_stability, stability_noise
from spark_seg.monitoring.trends import engagement_trend, index_drift, share_drift

__all__ = [
    "Decision",
    "Measure",
    "age",
    "breaches",
    "decide",
    "distance_drift",
    "engagement_trend",
    "fairness",
    "feature_drift",
    "flap_rate",
    "index_drift",
    "migration",
    "population_stability",
    "refit_agreement",
    "share_drift",
    "stability_noise",
]
