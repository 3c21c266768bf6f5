"""Have the segments changed? Sizes, revenue, indices and engagement, then and now. No Spark."""

from __future__ import annotations

import math
from collections.abc import Mapping

from spark_seg.config.monitoring import MonitoringSettings
from spark_seg.errors import InputError
from spark_seg.monitoring.measure import Advice, Measure
from spark_seg.monitoring.stability import (
    NOISE_LEVEL,
    chance_of,
    occupied,
    population_stability,
    stability_noise,
)

#: Segment → share of customers, share of revenue; None where it is not told.
Shares = Mapping[str, tuple[float, float | None]]

#: Revenue is no count: who spends much weighs for many. With a coefficient of variation c of spend, n
#: customers say as much as n / (1 + c²) equal ones (Kish 1965, Survey Sampling); c = 2 is assumed, that of a
#: lognormal whose log has a deviation of 1.27.
_DESIGN_EFFECT = 5.0

_SUBJECTS = {"silhouette": "silhouette", "davies_bouldin": "Davies-Bouldin index"}


def share_drift(
    before: Shares, now: Shares, settings: MonitoringSettings, customers_before: int, customers_now: int
) -> list[Measure]:
    """`size_psi` and `revenue_psi` of the whole, then `size_share` and `revenue_share` of segments.

    `before`, `now`: segment → (share of all segmented customers, share of their revenue or None), each
    0..1; a segment that stands on one side only has share 0 on the other. Segments whose revenue is not told
    are taken together for `revenue_psi`, whose value is None when nothing is told at all. A segment has a
    measure when its share has changed by more than `max_share_change`.

    Breached is what passes its border by more than chance (PSI: `stability_noise`; shares: two-proportion z
    test, 1 in 1000 over all segments; revenue: with a fifth of the customers, see `_DESIGN_EFFECT`). Sizes
    as a whole ask for a refit, the rest is an alert: a person should look at who went where.

    Raises `InputError` when one side has no customers.
    """
    if customers_before <= 0 or customers_now <= 0:
        raise InputError(
            "monitoring: both states must have segmented customers; got none. Compare other runs"
        )
    names = sorted(before.keys() | now.keys())
    sizes = [(before.get(n, (0.0, 0.0))[0], now.get(n, (0.0, 0.0))[0]) for n in names]
    revenues = {n: (before.get(n, (0.0, 0.0))[1], now.get(n, (0.0, 0.0))[1]) for n in names}
    comparable = _tells_revenue(before) and _tells_revenue(now)
    told = {n: (b, a) for n, (b, a) in revenues.items() if comparable and b is not None and a is not None}
    rows = (float(customers_before), float(customers_now))
    spenders = (rows[0] / _DESIGN_EFFECT, rows[1] / _DESIGN_EFFECT)
    measures = [_whole("size_psi", sizes, rows, rows, settings)]
    if told:
        rest = (1 - sum(b for b, _ in told.values()), 1 - sum(a for _, a in told.values()))
        pooled = [rest] if len(told) < len(names) else []
        measures.append(_whole("revenue_psi", [*told.values(), *pooled], rows, spenders, settings))
    else:
        words = "no revenue to compare"
        measures.append(Measure("revenue_psi", "", None, None, settings.max_size_psi, False, "alert", words))
    for name, size in zip(names, sizes, strict=True):
        measures += _changed("size_share", name, size, rows, len(names), settings)
        if name in told:
            measures += _changed("revenue_share", name, told[name], spenders, len(names), settings)
    return measures


def index_drift(
    before: Mapping[str, float], now: Mapping[str, float], settings: MonitoringSettings
) -> list[Measure]:
    """`silhouette` (-1..1, high is good) and `davies_bouldin` (0.., low is good) against their former values.

    Breached, and asking for a refit, when worse by more than `max_index_loss` of the former value. An
    index that one side lacks has no measure; others are not looked at.
    """
    measures = []
    for name, words in _SUBJECTS.items():
        old, new = before.get(name), now.get(name)
        if old is None or new is None or math.isnan(old) or math.isnan(new):
            continue
        loss = settings.max_index_loss * abs(old)
        border = old - loss if name == "silhouette" else old + loss
        breached = new < border if name == "silhouette" else new > border
        told = f"{words} went from {old:.3f} to {new:.3f} (border {border:.3f})"
        measures.append(Measure(name, "", old, new, border, breached, "refit", told))
    return measures


def engagement_trend(
    before: Mapping[str, float | None], now: Mapping[str, float | None], settings: MonitoringSettings
) -> list[Measure]:
    """A measure `engagement` for each segment whose mean engagement score is known then and now, by name.

    Breached, an alert, when it has fallen by more than `max_engagement_loss` of the former score. Means
    come without their spread, so chance is not weighed: in small segments it is part of the trend.
    """
    measures = []
    for name in sorted(before.keys() & now.keys()):
        old, new = before[name], now[name]
        if old is None or new is None:
            continue
        border = old - settings.max_engagement_loss * abs(old)
        change = f" ({(new - old) / abs(old):+.0%})" if old else ""
        told = f"mean engagement of {name} went from {old:.2f} to {new:.2f}{change}, border {border:.2f}"
        measures.append(Measure("engagement", name, old, new, border, new < border, "alert", told))
    return measures


def _tells_revenue(shares: Shares) -> bool:
    return any(revenue is not None for _, revenue in shares.values())


def _whole(
    measure: str,
    shares: list[tuple[float, float]],
    rows: tuple[float, float],
    weight: tuple[float, float],
    settings: MonitoringSettings,
) -> Measure:
    """Stability index of all segments. `rows`: customers; `weight`: how many equal ones they are worth."""
    # In customers, of which an empty segment counts as half a one. Returns make revenue negative: as empty.
    old, new = ([max(pair[side], 0.0) * rows[side] for pair in shares] for side in (0, 1))
    psi = population_stability(old, new)
    noise = stability_noise(occupied(old, new), *weight)
    border = settings.max_size_psi
    what = "sizes" if measure == "size_psi" else "revenues"
    told = f"PSI of the segments' {what} is {psi:.2f} (border {border:g}, chance {noise:.2f})"
    advice: Advice = "refit" if measure == "size_psi" else "alert"
    return Measure(measure, "", None, psi, border, psi >= border and psi > noise, advice, told)


def _changed(
    measure: str,
    name: str,
    share: tuple[float, float],
    rows: tuple[float, float],
    tests: int,
    settings: MonitoringSettings,
) -> list[Measure]:
    """A measure when the share has changed by more than the border, else none."""
    old, new = share
    if abs(new - old) <= settings.max_share_change:
        return []
    level = NOISE_LEVEL / tests
    breached = chance_of(_clipped(old), rows[0], _clipped(new), rows[1]) < level
    what = "customers" if measure == "size_share" else "revenue"
    told = f"{name} went from {old:.1%} to {new:.1%} of {what} (border {settings.max_share_change:.1%})"
    if not breached:
        told += ", which may be chance among so few customers"
    return [Measure(measure, name, old, new, settings.max_share_change, breached, "alert", told)]


def _clipped(share: float) -> float:
    return min(max(share, 0.0), 1.0)
