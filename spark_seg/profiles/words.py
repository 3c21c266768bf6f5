"""What sets a segment apart, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from spark_seg.profiles.summary import FeatureStat, Profile

_DIFFERENCES = 3
#: From which lift on a part of the customers is told to be over-represented.
_MORE_OFTEN = 1.25

#: How a difference is told: feature → sentence. Features without an entry are profiled, not told.
PHRASES: dict[str, str] = {
    "recency_days": "{median:.0f} days since last order",
    "frequency": "{lift:.1f} × orders",
    "monetary": "{lift:.1f} × spend",
    "average_order_value": "{lift:.1f} × order value",
    "purchase_interval_days": "an order every {median:.0f} days",
    "tenure_days": "{median:.0f} days since first order",
    "spend_trend": "spend trend {mean:+.2f}",
    "category_breadth": "{mean:.0f} categories",
    "engagement_score": "{lift:.1f} × engagement",
    "response_rate": "answers {mean:.0%} of campaigns",
    "returned_share": "returns {mean:.0%} of what they buy",
}


def differences(profile: Profile) -> list[str]:
    """What sets a segment apart, in words, strongest first."""
    return [_told(stat) for stat in _strongest(profile)]


def sentences(
    profile: Profile,
    everybody: Profile,
    nearest: tuple[str, Profile] | None,
    makeup: Sequence[Mapping[str, object]],
) -> list[str]:
    """What a segment is, in sentences: its size and worth, against all customers, against the nearest
    segment (its name and profile), and who is in it more often.

    `makeup`: rows of the column of that name of the table `profiles`.
    """
    return [
        s
        for s in (
            _worth(profile, everybody),
            _against_all(profile, everybody),
            _against_nearest(profile, everybody, *nearest) if nearest is not None else "",
            _over_represented(makeup),
        )
        if s
    ]


def nearest_of(profiles: Sequence[Profile], features: Sequence[str]) -> dict[int, int]:
    """Label → the label of the segment that is most like it: the smallest difference of positions, root mean
    square over `features`. Empty for a single segment."""
    near = {}
    for own in profiles:
        distances = [
            (_apart(own, other, features), other.label) for other in profiles if other.label != own.label
        ]
        if distances:
            near[own.label] = min(distances)[1]
    return near


def against(own: FeatureStat, other: FeatureStat | None, everybody: FeatureStat | None) -> float | None:
    """Difference of two segments' means in standard deviations of all customers."""
    if other is None or everybody is None or own.mean is None or other.mean is None or not everybody.sd:
        return None
    return (own.mean - other.mean) / everybody.sd


def _apart(one: Profile, other: Profile, features: Sequence[str]) -> float:
    pairs = [(one.positions.get(f), other.positions.get(f)) for f in features]
    squares = [(a - b) ** 2 for a, b in pairs if a is not None and b is not None]
    return math.sqrt(sum(squares) / len(squares)) if squares else math.inf


def _strongest(profile: Profile) -> list[FeatureStat]:
    told = [
        (-abs(stat.position), stat.feature, stat)
        for stat in profile.stats
        if stat.feature in PHRASES and stat.position is not None and _tellable(stat)
    ]
    return [stat for *_, stat in sorted(told, key=lambda x: x[:2])[:_DIFFERENCES]]


def _told(stat: FeatureStat) -> str:
    return PHRASES[stat.feature].format(mean=stat.mean, median=stat.median, lift=stat.lift)


def _tellable(stat: FeatureStat) -> bool:
    return stat.mean is not None and ("{lift" not in PHRASES[stat.feature] or stat.lift is not None)


def _worth(profile: Profile, everybody: Profile) -> str:
    parts = []
    if profile.revenue_share is not None:
        parts.append(f"{profile.revenue_share:.1%} of revenue")
    engaged = engagement_share(profile, everybody)
    if engaged is not None:
        parts.append(f"{engaged:.1%} of engagement")
    bring = f" and bring {' and '.join(parts)}" if parts else ""
    return f"{profile.customers:,} customers are {profile.customer_share:.1%} of all{bring}."


def engagement_share(profile: Profile, everybody: Profile) -> float | None:
    """Share of the sum of `engagement_score`; None without any."""
    total = everybody.total_of("engagement_score")
    return profile.total_of("engagement_score") / total if total else None


def _against_all(profile: Profile, everybody: Profile) -> str:
    told = []
    for stat in _strongest(profile):
        of_all = everybody.stat(stat.feature)
        phrase = _told(stat)
        if "{lift" not in PHRASES[stat.feature] and of_all is not None and of_all.mean is not None:
            phrase += f" ({number(_shown(of_all))} for all)"
        told.append(phrase)
    return f"Against all customers: {', '.join(told)}." if told else ""


def _against_nearest(profile: Profile, everybody: Profile, name: str, other: Profile) -> str:
    told = []
    for stat in profile.stats:
        theirs = other.stat(stat.feature)
        apart = against(stat, theirs, everybody.stat(stat.feature))
        if theirs is not None and apart is not None and apart and stat.feature in PHRASES:
            told.append((-abs(apart), stat.feature, stat, theirs))
    parts = [
        f"{feature.replace('_', ' ')} {number(_shown(own))} instead of {number(_shown(theirs))}"
        for _, feature, own, theirs in sorted(told, key=lambda x: x[:2])[:_DIFFERENCES]
        if number(_shown(own)) != number(_shown(theirs))
    ]
    return f"The nearest segment is {name}; against it: {', '.join(parts)}." if parts else ""


def _shown(stat: FeatureStat) -> float:
    """What stands for a feature in a sentence: the median, or the mean where the phrase tells it."""
    value = stat.mean if "{mean" in PHRASES[stat.feature] else stat.median
    assert value is not None  # noqa: S101 - the callers looked
    return value


def _over_represented(makeup: Sequence[Mapping[str, object]]) -> str:
    told = [
        (-lift, f"{row['attribute']} {row['value']} ({lift:.1f} ×)")
        for row in makeup
        if row["value"] is not None and isinstance(lift := row["lift"], float) and lift >= _MORE_OFTEN
    ]
    parts = [text for _, text in sorted(told)[:_DIFFERENCES]]
    return f"More often than others: {', '.join(parts)}." if parts else ""


def number(value: float) -> str:
    """A figure as a sentence has it: three significant digits, or all of a whole number."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    rounded = f"{value:,.{digits}f}"
    return rounded.rstrip("0").rstrip(".") if "." in rounded else rounded
