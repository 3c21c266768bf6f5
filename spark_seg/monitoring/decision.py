"""Measures → keep the model, fit it anew, or tell a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spark_seg.config.monitoring import MonitoringSettings
from spark_seg.monitoring.measure import Advice, Measure

_AGE = "age_days"


@dataclass(frozen=True)
class Decision:
    """What is to be done, and why: sentences, those for a refit first, then strongest first; () for keep."""

    action: Advice
    reasons: tuple[str, ...]


def decide(measures: Sequence[Measure], age_days: int, settings: MonitoringSettings) -> Decision:
    """refit when a breached measure asks for it or the model is too old; else alert when anything is breached
    that asks for it; else keep.

    A refit keeps the reasons of alerts, because fitting anew does not answer them. `age_days`: age of the
    model in days; a measure of age among `measures` is replaced by it.
    """
    judged = [*(m for m in measures if m.measure != _AGE), age(age_days, settings)]
    breached = [m for m in judged if m.breached and m.advice != "keep"]
    breached.sort(key=lambda m: (m.advice != "refit", -m.strength, m.sentence))
    action: Advice = breached[0].advice if breached else "keep"
    return Decision(action, tuple(m.sentence for m in breached))


def age(age_days: int, settings: MonitoringSettings) -> Measure:
    """Age of the model in days; asks for a refit beyond `max_age_days`."""
    limit = settings.max_age_days
    told = f"the model is {age_days:,} days old"
    if limit is None:
        return Measure(_AGE, "", None, float(age_days), None, False, "refit", told)
    told += f" (at most {limit:,})"
    return Measure(_AGE, "", None, float(age_days), float(limit), age_days > limit, "refit", told)


def refit_agreement(agreement: float, settings: MonitoringSettings) -> Measure:
    """Agreement of the segments with those of a fresh fit on today's customers, -1..1 (adjusted Rand index,
    Hubert and Arabie 1985); asks for a refit below `min_refit_agreement`."""
    border = settings.min_refit_agreement
    told = f"a fresh fit agrees with the segments to {agreement:.2f} (at least {border:g})"
    return Measure("refit_agreement", "", None, agreement, border, agreement < border, "refit", told)


def flap_rate(rate: float, settings: MonitoringSettings) -> Measure:
    """Share of customers who go to and fro between segments, 0..1; an alert beyond `max_flap_rate`."""
    border = settings.max_flap_rate
    told = f"{rate:.1%} of customers go to and fro between segments (at most {border:.1%})"
    return Measure("flap_rate", "", None, rate, border, rate > border, "alert", told)
