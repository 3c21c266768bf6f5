"""Labelled customers → what each segment is, in numbers, in words and as rules."""

from spark_seg.profiles.reasons import SHUFFLED, feature_importance, reasons
from spark_seg.profiles.rules import Rule, Surrogate, case_sql
from spark_seg.profiles.summary import (
    EVERYBODY,
    KPIS,
    FeatureStat,
    Kpi,
    LeftOut,
    Profile,
    left_out,
    profile,
)
from spark_seg.profiles.suppression import hidden_cells, too_small
from spark_seg.profiles.surrogate import (
    RuleFigures,
    fidelity,
    fit_surrogate,
    measure_rules,
    unseen,
)
from spark_seg.profiles.words import PHRASES, against, differences, engagement_share, nearest_of, sentences

__all__ = [
    "EVERYBODY",
    "KPIS",
    "PHRASES",
    "SHUFFLED",
    "FeatureStat",
    "Kpi",
    "LeftOut",
    "Profile",
    "Rule",
    "RuleFigures",
    "Surrogate",
    "against",
    "case_sql",
    "differences",
    "engagement_share",
    "feature_importance",
    "fidelity",
    "fit_surrogate",
    "hidden_cells",
    "left_out",
    "measure_rules",
    "nearest_of",
    "profile",
    "reasons",
    "sentences",
    "too_small",
    "unseen",
]
