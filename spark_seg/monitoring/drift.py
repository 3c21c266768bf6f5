"""Have the customers changed? Distributions of features, and of the distances to the segments' centres."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.config.monitoring import MonitoringSettings
from spark_seg.errors import InputError
from spark_seg.monitoring.bins import UNKNOWN, bin_in, deciles_of, place, starts, unusable, values_of
from spark_seg.monitoring.measure import Measure
from spark_seg.monitoring.stability import occupied, population_stability, stability_noise

_REFERENCE, _CURRENT = "the reference", "the current state"


def feature_drift(
    reference: DataFrame, current: DataFrame, features: Sequence[str], settings: MonitoringSettings
) -> list[Measure]:
    """A measure `psi` for each of `features`, in their order; a breach calls for a refit.

    `reference`: the customers the model was fitted on, `current`: those of today, one row each, both with
    the numeric `features`. Bins are deciles of the reference, with one for each value that many have and one
    for those without a value. Breached is what reaches `max_psi` and passes what chance gives.

    One pass finds the deciles and one counts each frame, whatever the number of features; the driver gets
    a row for each feature and bin. Raises `InputError` for features that one side lacks or that are no
    numbers, and when one side has no customers.
    """
    return _drift("psi", reference, current, features, settings)


def distance_drift(
    reference: DataFrame, current: DataFrame, column: str, settings: MonitoringSettings
) -> list[Measure]:
    """One measure `distance_psi`: are customers as near to their centres as they were? Asks for a refit.

    `reference`, `current`: segmented customers of `assignments`, one row each, with the numeric `column`:
    `distance`, or `confidence` for a mixture, which has no distances. Otherwise as `feature_drift`.
    """
    return _drift("distance_psi", reference, current, [column], settings)


def _drift(
    measure: str,
    reference: DataFrame,
    current: DataFrame,
    features: Sequence[str],
    settings: MonitoringSettings,
) -> list[Measure]:
    problems = unusable(reference, features, _REFERENCE) + unusable(current, features, _CURRENT)
    if problems:
        raise InputError(problems)
    if not features:
        return []
    borders = [starts(cuts) for cuts in deciles_of(reference, features)]
    sides = [
        values_of(frame, features, F.lit(side).alias("side"))
        for frame, side in ((reference, _REFERENCE), (current, _CURRENT))
    ]
    binned = sides[0].unionAll(sides[1]).withColumn("bin", bin_in(borders))
    rows = binned.groupBy("side", "feature", "bin").count().collect()
    counts = {(row["side"], row["feature"], row["bin"]): int(row["count"]) for row in rows}
    measures = []
    for i, name in enumerate(features):
        bins = range(UNKNOWN, len(borders[i]) + 1)
        before, now = ([counts.get((side, i, b), 0) for b in bins] for side in (_REFERENCE, _CURRENT))
        measures.append(_measure(measure, name, before, now, borders[i], len(features), settings))
    return measures


def _measure(
    measure: str,
    name: str,
    before: Sequence[int],
    now: Sequence[int],
    borders: Sequence[float],
    tests: int,
    settings: MonitoringSettings,
) -> Measure:
    psi = population_stability(before, now)
    noise = stability_noise(occupied(before, now), sum(before), sum(now), tests)
    breached = psi >= settings.max_psi and psi > noise
    told = f"PSI of {name} is {psi:.2f} (border {settings.max_psi:g}, chance {noise:.2f})"
    if breached:
        told += f": {_moved(before, now, borders)}"
    return Measure(measure, name, None, psi, settings.max_psi, breached, "refit", told)


def _moved(before: Sequence[int], now: Sequence[int], borders: Sequence[float]) -> str:
    """The bin whose share has changed most, in words."""
    shares = [(b / sum(before), n / sum(now)) for b, n in zip(before, now, strict=True)]
    i = max(range(len(shares)), key=lambda i: abs(shares[i][1] - shares[i][0]))
    return f"the share {place(borders, i + UNKNOWN)} went from {shares[i][0]:.0%} to {shares[i][1]:.0%}"
