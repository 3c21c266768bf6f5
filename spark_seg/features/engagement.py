"""Features of events: what is added up over a customer's rows of events, and formulas over it."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType, DoubleType, IntegerType, LongType

from spark_seg.config import EngagementSettings
from spark_seg.features.scope import Feature, Measure, Scope, latest, total
from spark_seg.periods import days_until
from spark_seg.tables import events_column

#: A sum of whole events times weights, without the last bits of its doubles.
_WEIGHT = DecimalType(24, 12)
_PARTS = 1e12


def _weighted(counts: dict[str, Column], settings: EngagementSettings) -> Column:
    """Events times the weight of their kind."""
    return sum((counts[k] * F.lit(float(w)) for k, w in settings.kinds.items() if w), F.lit(0.0))


def _count(kind: str) -> str:
    return f"event count of {kind}"


def _days(kind: str) -> str:
    return f"event days of {kind}"


def _words(s: Scope) -> range:
    return range(-(-s.settings.lookback_days // 64))


def event_measures(s: Scope) -> dict[str, Measure]:
    """What is added up over the rows of events."""
    engagement = s.settings.engagement
    counts = {kind: F.col(events_column(kind)) for kind in engagement.kinds}
    weight = _weighted(counts, engagement)
    age = days_until(s.as_of, F.col("day")).cast("double")
    decayed = weight * F.pow(F.lit(0.5), age / F.lit(float(engagement.half_life_days)))
    measures = {
        "last event observed": latest(s.observed(F.col("day"))),
        "last event of weight": latest(s.observed(F.when(weight > 0, F.col("day")))),
        # Whole and 1e-12ths apart, as integers: exact as a decimal is, at a tenth of its cost.
        "decayed": total(s.observed(F.floor(decayed))),
        "decayed parts": total(s.observed(F.rint((decayed - F.floor(decayed)) * _PARTS).cast("long"))),
    }
    for kind, count in counts.items():
        measures[_count(kind)] = total(s.observed(count))
        happened = s.observed(F.when(count > 0, F.date_diff("day", F.lit(s.observation.start))))
        if kind not in engagement.subject_kinds:
            measures[_days(kind)] = total(F.when(happened.isNotNull(), 1))
            continue
        # Of several subjects a day has several rows: a bit for each day counts it once.
        bit = F.call_function("shiftleft", F.lit(1).cast("long"), F.pmod(happened, F.lit(64)))
        for word in _words(s):
            inside = F.when(F.floor(happened / 64) == word, bit)
            measures[f"{_days(kind)} {word}"] = Measure(F.bit_or(inside), F.bit_or, 0)
    return measures


def answers(s: Scope) -> dict[str, Column]:
    """Aggregates over a customer's subjects, which have the measures of events."""
    engagement = s.settings.engagement
    if engagement.contact_kind is None or engagement.response_kind is None:
        return {}
    contacted = F.col("subject").isNotNull() & (F.col(_count(engagement.contact_kind)) > 0)
    answered = contacted & (F.col(_count(engagement.response_kind)) > 0)
    return {"subjects of contacts": F.count_if(contacted), "subjects answered": F.count_if(answered)}


def engagement_score(s: Scope) -> Column:
    """Events of the observation period, each times the weight of its kind."""
    engagement = s.settings.engagement
    counts = {kind: F.col(_count(kind)) for kind in engagement.kinds}
    return _weighted(counts, engagement).cast(_WEIGHT).cast("double")


def engagement_score_decayed(_: Scope) -> Column:
    """As `engagement_score`, with a weight that halves every half_life_days of the event's age."""
    return F.col("decayed") + F.col("decayed parts") / F.lit(_PARTS)


def engagement_recency_days(s: Scope) -> Column:
    """Days since the last event with a positive weight in the observation period; NULL without one."""
    return days_until(s.as_of, F.col("last event of weight"))


def contacts(_: Scope) -> Column:
    """Distinct subjects (campaigns) the customer was contacted about in the observation period."""
    return F.coalesce("subjects of contacts", F.lit(0))


def response_rate(_: Scope) -> Column:
    """Contacted subjects that the customer answered, over contacted subjects; NULL without a contact."""
    return F.try_divide(F.col("subjects answered").cast("double"), F.col("subjects of contacts"))


SCORE_FEATURES: dict[str, Feature] = {
    "engagement_score": Feature(engagement_score, DoubleType(), "events times the weight of their kind"),
    "engagement_score_decayed": Feature(
        engagement_score_decayed, DoubleType(), "the same, halved every half_life_days"
    ),
    "engagement_recency_days": Feature(
        engagement_recency_days, IntegerType(), "days since the last event that has a weight"
    ),
}

RESPONSE_FEATURES: dict[str, Feature] = {
    "contacts": Feature(contacts, IntegerType(), "campaigns the customer was contacted about"),
    "response_rate": Feature(response_rate, DoubleType(), "share of these campaigns that were answered"),
}


def engagement_features(settings: EngagementSettings) -> dict[str, Feature]:
    """Every feature that the declared kinds give; none without kinds."""
    features: dict[str, Feature] = {}
    for kind in settings.kinds:
        features |= kind_features(kind)
    if settings.kinds:
        features |= SCORE_FEATURES
    if settings.contact_kind is not None:
        features |= RESPONSE_FEATURES
    return features


def kind_features(kind: str) -> dict[str, Feature]:
    """`<kind>_count` and `<kind>_days`."""

    def count(_: Scope) -> Column:
        return F.col(_count(kind))

    def active_days(s: Scope) -> Column:
        if kind not in s.settings.engagement.subject_kinds:
            return F.col(_days(kind))
        parts = [F.bit_count(F.col(f"{_days(kind)} {word}")) for word in _words(s)]
        return sum(parts[1:], parts[0])

    return {
        f"{kind}_count": Feature(count, LongType(), f"events of kind {kind} in the observation"),
        f"{kind}_days": Feature(active_days, LongType(), f"days with an event of kind {kind}"),
    }
