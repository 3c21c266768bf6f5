"""Sizes, indices and engagement against former ones; what follows from all measures together."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import chi2_contingency

from spark_seg.config.monitoring import MonitoringSettings
from spark_seg.errors import InputError
from spark_seg.monitoring import (
    Decision,
    Measure,
    age,
    decide,
    engagement_trend,
    flap_rate,
    index_drift,
    refit_agreement,
    share_drift,
)
from spark_seg.monitoring.measure import Advice
from spark_seg.monitoring.stability import chance_of

DEFAULTS = MonitoringSettings()


def shares(**segments: tuple[float, float | None]) -> dict[str, tuple[float, float | None]]:
    return segments


BEFORE = shares(champions=(0.2, 0.5), regulars=(0.3, 0.3), dormant=(0.5, 0.2))


def breached(measures: list[Measure]) -> dict[tuple[str, str], str]:
    return {(m.measure, m.subject): m.advice for m in measures if m.breached}


def test_benefit_segments_without_protected_attributes_are_refused() -> None:
    with pytest.raises(ValidationError, match="benefit_segments needs protected"):
        MonitoringSettings(benefit_segments=("champions",))
    assert MonitoringSettings(benefit_segments=("champions",), protected=("gender",)).min_ratio == 0.8


@pytest.mark.parametrize("name", [n for n in MonitoringSettings.model_fields if n.startswith(("max", "min"))])
def test_no_border_may_be_negative(name: str) -> None:
    with pytest.raises(ValidationError):
        MonitoringSettings.model_validate({name: -1})


def test_sizes_that_stay_raise_nothing() -> None:
    size, revenue = share_drift(BEFORE, BEFORE, DEFAULTS, 1000, 1000)
    assert (size.measure, size.subject, size.value, size.breached) == ("size_psi", "", 0.0, False)
    assert (revenue.measure, revenue.value, revenue.breached) == ("revenue_psi", 0.0, False)


def test_sizes_by_hand_and_every_segment_that_changed() -> None:
    now = shares(champions=(0.2, 0.5), regulars=(0.6, 0.35), dormant=(0.2, 0.15))
    size, revenue, *own = share_drift(BEFORE, now, DEFAULTS, 1000, 1000)
    # 0.3 ln 2 + 0.3 ln 2.5; 0.05 ln (7/6) + 0.05 ln (4/3).
    assert size.value == pytest.approx(0.207944 + 0.274887, abs=1e-6)
    assert revenue.value == pytest.approx(0.007708 + 0.014384, abs=1e-6)
    assert [(m.measure, m.subject, m.reference, m.value) for m in own] == [
        ("size_share", "dormant", 0.5, 0.2),
        ("size_share", "regulars", 0.3, 0.6),
    ]
    assert breached([size, revenue, *own]) == {
        ("size_psi", ""): "refit",
        ("size_share", "dormant"): "alert",
        ("size_share", "regulars"): "alert",
    }
    assert own[0].sentence == "dormant went from 50.0% to 20.0% of customers (border 10.0%)"


def test_revenue_that_moves_between_segments_is_an_alert() -> None:
    now = shares(champions=(0.2, 0.1), regulars=(0.3, 0.3), dormant=(0.5, 0.6))
    assert breached(share_drift(BEFORE, now, DEFAULTS, 1000, 1000)) == {
        ("revenue_psi", ""): "alert",
        ("revenue_share", "champions"): "alert",
        ("revenue_share", "dormant"): "alert",
    }


def test_a_segment_that_comes_or_goes_had_or_has_no_customers() -> None:
    now = shares(champions=(0.2, 0.5), regulars=(0.3, 0.3), asleep=(0.5, 0.2))
    found = share_drift(BEFORE, now, DEFAULTS, 1000, 1000)
    moved = {m.subject: (m.reference, m.value) for m in found if m.measure == "size_share"}
    assert moved == {"asleep": (0.0, 0.5), "dormant": (0.5, 0.0)}
    # Twice (0.5 - 0.0005) ln 1000: an empty segment counts as half a customer.
    assert found[0].value == pytest.approx(2 * 0.4995 * 6.907755, abs=1e-5)


def test_revenue_that_is_not_told_is_taken_together_or_not_compared() -> None:
    hidden = shares(champions=(0.2, 0.5), regulars=(0.3, None), dormant=(0.5, None))
    now = shares(champions=(0.2, 0.1), regulars=(0.3, 0.3), dormant=(0.5, 0.6))
    found = share_drift(hidden, now, DEFAULTS, 1000, 1000)
    # Champions and the rest: 0.4 ln 5 + 0.4 ln 1.8.
    assert found[1].value == pytest.approx(0.643775 + 0.235115, abs=1e-6)
    assert [m.subject for m in found if m.measure == "revenue_share"] == ["champions"]
    nothing = {name: (size, None) for name, (size, _) in BEFORE.items()}
    for one, other in ((nothing, now), (now, nothing), (nothing, nothing)):
        revenue = share_drift(one, other, DEFAULTS, 1000, 1000)[1]
        assert (revenue.value, revenue.breached) == (None, False)


def test_without_customers_sizes_cannot_be_compared() -> None:
    for then, now in ((0, 10), (10, 0)):
        with pytest.raises(InputError, match="must have segmented customers"):
            share_drift(BEFORE, BEFORE, DEFAULTS, then, now)


@pytest.mark.parametrize("customers", [60, 200, 2000])
def test_segments_of_one_population_raise_nothing(customers: int) -> None:
    lone = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        states = []
        for _ in range(2):
            segments = rng.choice(5, customers, p=[0.4, 0.25, 0.2, 0.1, 0.05])
            spend = rng.lognormal(3, 1, customers)
            sizes, revenue = np.bincount(segments, minlength=5), np.bincount(segments, spend, 5)
            states.append({str(i): (sizes[i] / customers, revenue[i] / spend.sum()) for i in range(5)})
        found = share_drift(states[0], states[1], DEFAULTS, customers, customers)
        assert not breached(found)
        lone += sum("may be chance" in m.sentence for m in found)
    assert (lone > 0) == (customers < 2000)  # the border alone is passed by chance, and that is told


def test_the_chance_of_two_shares_is_that_of_the_chi_squared_test() -> None:
    expected = chi2_contingency([[12, 88], [45, 155]], correction=False).pvalue
    assert chance_of(0.12, 100, 0.225, 200) == pytest.approx(expected)
    assert chance_of(0.0, 100, 0.0, 50) == chance_of(1.0, 100, 1.0, 50) == 1.0


@pytest.mark.parametrize(
    ("name", "before", "now", "border", "bad"),
    [
        ("silhouette", 0.4, 0.31, 0.3, False),
        ("silhouette", 0.4, 0.29, 0.3, True),
        ("silhouette", -0.1, -0.12, -0.125, False),
        ("silhouette", -0.1, -0.2, -0.125, True),
        ("davies_bouldin", 0.8, 0.9, 1.0, False),
        ("davies_bouldin", 0.8, 1.1, 1.0, True),
    ],
)
def test_indices_against_their_former_values(
    name: str, before: float, now: float, border: float, bad: bool
) -> None:
    (found,) = index_drift({name: before, "cost": 9.0}, {name: now, "cost": 99.0}, DEFAULTS)
    assert (found.measure, found.reference, found.value, found.breached) == (name, before, now, bad)
    assert found.threshold == pytest.approx(border)
    assert found.advice == "refit"


def test_an_index_that_is_not_known_twice_is_not_compared() -> None:
    assert index_drift({"silhouette": 0.4}, {"davies_bouldin": 1.0}, DEFAULTS) == []
    assert index_drift({"silhouette": 0.4}, {"silhouette": float("nan")}, DEFAULTS) == []


def test_engagement_that_falls_is_an_alert() -> None:
    before = {"champions": 10.0, "regulars": 4.0, "dormant": None, "gone": 1.0, "silent": 0.0}
    now = {"champions": 6.5, "regulars": 3.0, "dormant": 1.0, "new": 1.0, "silent": 0.0}
    found = engagement_trend(before, now, DEFAULTS)
    assert [m.subject for m in found] == ["champions", "regulars", "silent"]
    assert breached(found) == {("engagement", "champions"): "alert"}
    assert found[0].sentence == "mean engagement of champions went from 10.00 to 6.50 (-35%), border 7.00"


def test_ages_agreements_and_flapping_have_their_borders() -> None:
    assert [age(days, DEFAULTS).breached for days in (0, 90, 91)] == [False, False, True]
    assert not age(9999, MonitoringSettings(max_age_days=None)).breached
    assert [refit_agreement(x, DEFAULTS).breached for x in (0.49, 0.5)] == [True, False]
    assert [flap_rate(x, DEFAULTS).breached for x in (0.1, 0.11)] == [False, True]
    assert age(1234, DEFAULTS).sentence == "the model is 1,234 days old (at most 90)"


def measure(kind: str, value: float, threshold: float, advice: Advice, bad: bool = True) -> Measure:
    return Measure(kind, "x", None, value, threshold, bad, advice, f"{kind} {value}")


DRIFT = measure("psi", 0.5, 0.25, "refit")
STRONG = measure("psi", 2.5, 0.25, "refit")
UNFAIR = measure("four_fifths", 0.1, 0.8, "alert")
FLAPS = measure("flap_rate", 0.2, 0.1, "alert")
CALM = measure("psi", 0.5, 0.25, "refit", bad=False)
TOLD = measure("size_share", 0.5, 0.1, "keep")


@pytest.mark.parametrize(
    ("measures", "days", "action", "reasons"),
    [
        ([], 0, "keep", []),
        ([CALM, TOLD], 90, "keep", []),
        ([DRIFT, CALM], 1, "refit", ["psi 0.5"]),
        ([FLAPS, UNFAIR], 1, "alert", ["four_fifths 0.1", "flap_rate 0.2"]),
        (
            [UNFAIR, DRIFT, FLAPS, STRONG],
            1,
            "refit",
            ["psi 2.5", "psi 0.5", "four_fifths 0.1", "flap_rate 0.2"],
        ),
        ([], 91, "refit", ["the model is 91 days old (at most 90)"]),
        ([UNFAIR], 91, "refit", ["the model is 91 days old (at most 90)", "four_fifths 0.1"]),
        ([age(500, DEFAULTS)], 1, "keep", []),
        ([age(91, DEFAULTS)], 91, "refit", ["the model is 91 days old (at most 90)"]),
    ],
)
def test_decisions(measures: list[Measure], days: int, action: Advice, reasons: list[str]) -> None:
    assert decide(measures, days, DEFAULTS) == Decision(action, tuple(reasons))
    assert decide(measures[::-1], days, DEFAULTS) == Decision(action, tuple(reasons))


def test_without_a_limit_no_age_asks_for_a_refit() -> None:
    assert decide([], 10_000, MonitoringSettings(max_age_days=None)) == Decision("keep", ())


@pytest.mark.parametrize(
    ("kind", "reference", "value", "threshold", "strength"),
    [
        ("psi", None, 0.5, 0.25, 2),
        ("silhouette", 0.4, 0.1, 0.3, 3),
        ("silhouette", 0.4, -0.1, 0.3, float("inf")),
        ("size_share", 0.5, 0.2, 0.1, 3),
        ("size_share", None, 0.2, 0.1, 2),
        ("four_fifths", None, None, 0.8, 1),
        ("flap_rate", None, 0.2, 0.0, float("inf")),
    ],
)
def test_strength_is_how_many_times_the_border_is_passed(
    kind: str, reference: float | None, value: float | None, threshold: float, strength: float
) -> None:
    found = Measure(kind, "", reference, value, threshold, True, "alert", "")
    assert found.strength == pytest.approx(strength)
