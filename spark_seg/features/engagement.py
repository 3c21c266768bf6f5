"""Features of events: counts, active days, scores and answers to contacts, in the same `groupBy`."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType, DoubleType, IntegerType, LongType

from spark_seg.config import EngagementSettings
from spark_seg.features.scope import Feature, Scope, total
from spark_seg.periods import days_until

#: Weights of single events, exact to 1e-12, so that their sum does not depend on the order of rows.
_WEIGHT = DecimalType(24, 12)


def _count_of(kind: str) -> Column:
    return F.coalesce(F.try_element_at("events", F.lit(kind)), F.lit(0))


def _weight(s: Scope) -> Column:
    """Weighted events of one row."""
    parts = [_count_of(kind) * F.lit(float(weight)) for kind, weight in s.settings.engagement.kinds.items()]
    return F.greatest(F.lit(0.0), sum(parts[1:], parts[0]))


def engagement_score(s: Scope) -> Column:
    """Events of the observation period, each times the weight of its kind."""
    return total(s.observed(_weight(s).cast(_WEIGHT))).cast("double")


def engagement_score_decayed(s: Scope) -> Column:
    """As `engagement_score`, with a weight that halves every half_life_days of the event's age."""
    age = days_until(s.as_of, F.col("day")).cast("double")
    decay = F.pow(F.lit(0.5), age / F.lit(float(s.settings.engagement.half_life_days)))
    return total(s.observed((_weight(s) * decay).cast(_WEIGHT))).cast("double")


def engagement_recency_days(s: Scope) -> Column:
    """Days since the last event with a positive weight in the observation period; NULL without one."""
    return days_until(s.as_of, F.max(s.observed(F.when(_weight(s) > 0, F.col("day")))))


def _subjects_of(s: Scope, kind: str | None) -> Column:
    pairs = F.flatten(F.collect_list(s.observed(F.col("subjects"))))
    return F.array_distinct(
        F.transform(
            F.filter(pairs, lambda p: (p["kind"] == F.lit(kind)) & p["subject"].isNotNull()),
            lambda p: p["subject"],
        )
    )


def contacts(s: Scope) -> Column:
    """Distinct subjects (campaigns) the customer was contacted about in the observation period."""
    return F.size(_subjects_of(s, s.settings.engagement.contact_kind))


def response_rate(s: Scope) -> Column:
    """Contacted subjects that the customer answered, over contacted subjects; NULL without a contact."""
    contacted = _subjects_of(s, s.settings.engagement.contact_kind)
    answered = F.array_intersect(contacted, _subjects_of(s, s.settings.engagement.response_kind))
    return F.try_divide(F.size(answered).cast("double"), F.size(contacted).cast("double"))


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

    def count(s: Scope) -> Column:
        return total(s.observed(_count_of(kind)))

    def active_days(s: Scope) -> Column:
        return F.count(s.observed(F.when(_count_of(kind) > 0, F.lit(1))))

    return {
        f"{kind}_count": Feature(count, LongType(), f"events of kind {kind} in the observation"),
        f"{kind}_days": Feature(active_days, LongType(), f"days with an event of kind {kind}"),
    }
