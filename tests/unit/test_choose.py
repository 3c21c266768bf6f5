"""Choosing among candidates: rules, then stability, then the index, then the smallest k."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from spark_seg.config import SelectionRules, SelectionSettings
from spark_seg.selection import BASELINE, INDICES, RULES, Candidate, choose

RULES_USED = SelectionRules(
    min_separation={"monetary": 0.14},
    min_segments=3,
    max_segments=5,
    min_segment_share=0.1,
    min_segment_customers=20,
    max_segment_share=0.5,
)


def candidate(
    algorithm: str = "kmeans", k: int = 4, silhouette: float | None = 0.5, **more: object
) -> Candidate:
    """A candidate that passes every rule of `RULES_USED` unless told otherwise."""
    sizes = tuple(100 for _ in range(k))
    c = Candidate(
        algorithm,
        k,
        effective_k=k,
        silhouette=silhouette,
        davies_bouldin=0.9,
        calinski_harabasz=1000.0,
        sizes=sizes,
    )
    return replace(c, **more)  # type: ignore[arg-type]


def chosen(*candidates: Candidate, **changes: object) -> Candidate | None:
    settings = SelectionSettings(rules=RULES_USED).model_copy(update=changes)
    result = choose(candidates, settings)
    winners = [c for c in result if c.chosen]
    assert len(winners) <= 1
    assert all(c.accepted for c in winners)
    return winners[0] if winners else None


def kept(former: str | None, *candidates: Candidate, **changes: object) -> Candidate:
    settings = SelectionSettings(rules=RULES_USED).model_copy(update=changes)
    return next(c for c in choose(candidates, settings, former) if c.chosen)


def test_the_former_choice_stays_until_another_is_better_by_more_than_the_border() -> None:
    best, former = candidate(k=4, silhouette=0.50), candidate("bisecting", k=3, silhouette=0.46)
    assert kept(None, best, former).k == 4
    winner = kept("bisecting:3", best, former)
    assert winner.label == former.label
    assert (
        winner.reason == "the choice of the former run, within 10% of the best silhouette (kmeans k=4: 0.500)"
    )
    (other,) = [
        c for c in choose([best, former], SelectionSettings(rules=RULES_USED), "bisecting:3") if not c.chosen
    ]
    assert (
        other.reason
        == "silhouette 0.500, but not better enough than bisecting k=3, the choice of the former run"
    )
    assert kept("bisecting:3", best, replace(former, silhouette=0.44)).k == 4
    assert kept("bisecting:3", best, former, keep_within=0.05).k == 4
    assert kept("bisecting:3", best, former, keep_within=None).k == 4


def test_the_former_choice_goes_when_it_breaks_a_rule_and_stays_when_it_is_less_stable_than_others() -> None:
    best, former = candidate(k=4, silhouette=0.5, weakest=0.9), candidate(k=3, silhouette=0.49, weakest=0.7)
    assert kept("kmeans:3", best, former).k == 3
    assert kept("kmeans:3", best, replace(former, weakest=0.5)).k == 4
    assert kept("mixture:3", best, former).k == 4


def verdict(c: Candidate, *others: Candidate) -> Candidate:
    return choose([c, *others], SelectionSettings(rules=RULES_USED))[0]


#: Rule → a candidate that breaks this rule and no other, and the sentence it gets. For a rule with a
#: border: also the candidate that lies on it and passes.
BROKEN: dict[str, tuple[Candidate, str, Candidate]] = {
    "effective_k": (
        candidate(effective_k=3),
        "only 3 of 4 clusters got customers",
        candidate(effective_k=4),
    ),
    "min_segments": (
        candidate(k=2, sizes=(100, 100)),
        "fewer than 3 segments",
        candidate(k=3),
    ),
    "max_segments": (
        candidate(k=6),
        "more than 5 segments",
        candidate(k=5),
    ),
    "min_segment_share": (
        candidate(sizes=(400, 300, 201, 99)),
        "smallest segment has 9.9% of customers, fewer than 10.0%",
        candidate(sizes=(400, 300, 200, 100)),
    ),
    "min_segment_customers": (
        candidate(sizes=(20, 20, 20, 19)),
        "smallest segment has 19 customers, fewer than 20",
        candidate(sizes=(20, 20, 20, 20)),
    ),
    "max_segment_share": (
        candidate(sizes=(501, 199, 150, 150)),
        "largest segment has 50.1% of customers, more than 50.0%",
        candidate(sizes=(500, 200, 150, 150)),
    ),
    "indices_finite": (
        candidate(davies_bouldin=None),
        "an index is undefined on this clustering",
        candidate(davies_bouldin=0.0),
    ),
    "min_stability": (
        candidate(weakest=0.59),
        "a segment keeps 59% of itself in refits, less than 60%",
        candidate(weakest=0.6),
    ),
    "min_separation": (
        candidate(separation={"monetary": 0.139, "frequency": 0.9}),
        "segments explain only 13.9% of monetary, less than 14.0%",
        candidate(separation={"monetary": 0.14}),
    ),
    "components_spread": (
        candidate(algorithm="mixture", collapsed=1),
        "1 of 4 components have shrunk to a plane: their likelihood says nothing",
        candidate(algorithm="mixture", collapsed=0),
    ),
}


def test_every_rule_is_in_the_table_of_broken_rules() -> None:
    assert set(BROKEN) == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_alone_rejects_with_its_sentence_and_its_border_passes(rule: str) -> None:
    broken, sentence, on_the_border = BROKEN[rule]
    assert [name for name, judge in RULES.items() if judge(broken, RULES_USED) is not None] == [rule]
    assert [name for name, judge in RULES.items() if judge(on_the_border, RULES_USED) is not None] == []
    rejected = verdict(broken)
    assert (rejected.accepted, rejected.chosen, rejected.reason) == (False, False, sentence)
    assert verdict(on_the_border).chosen


@pytest.mark.parametrize("rule", RULES)
def test_case_32_a_candidate_that_breaks_a_rule_never_wins_however_good_its_indices_are(rule: str) -> None:
    perfect = {
        name: value
        for name, value in {"silhouette": 1.0, "davies_bouldin": 0.0, "calinski_harabasz": 1e9}.items()
        if getattr(BROKEN[rule][0], name) is not None
    }
    winner = chosen(replace(BROKEN[rule][0], **perfect), candidate(algorithm="mixture", silhouette=0.01))
    assert winner is not None
    assert winner.algorithm == "mixture"


def test_all_broken_rules_are_named_in_the_order_of_the_table() -> None:
    worst = candidate(k=6, effective_k=2, sizes=(990, 10), silhouette=float("nan"))
    reasons = [sentence for judge in RULES.values() if (sentence := judge(worst, RULES_USED)) is not None]
    assert len(reasons) == 6
    assert verdict(worst).reason == "; ".join(reasons)


@pytest.mark.parametrize("figure", [None, float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("index", INDICES)
def test_an_index_that_is_not_a_finite_number_rejects(index: str, figure: float | None) -> None:
    settings = SelectionSettings(rules=RULES_USED, index=index)  # type: ignore[arg-type]
    (told,) = choose([candidate(**{index: figure})], settings)  # type: ignore[arg-type]
    named = "bic" if index == "bic" else "an index"
    assert (told.accepted, told.reason) == (False, f"{named} is undefined on this clustering")


def test_a_candidate_without_sizes_is_rejected_and_not_an_error() -> None:
    assert verdict(candidate(sizes=(), effective_k=0)).accepted is False


@pytest.mark.parametrize(("index", "higher_is_better"), INDICES.items())
def test_each_index_decides_in_its_direction(index: str, higher_is_better: bool) -> None:
    low, high = candidate("bisecting", **{index: 0.2}), candidate("kmeans", **{index: 0.9})  # type: ignore[arg-type]
    winner = chosen(low, high, index=index, tolerance=0.0)
    assert winner is not None
    assert winner.algorithm == ("kmeans" if higher_is_better else "bisecting")
    assert winner.reason == f"best {index} of 2 acceptable candidates"


def test_the_direction_of_every_index_is_that_of_its_definition() -> None:
    assert INDICES == {
        "silhouette": True,
        "davies_bouldin": False,
        "calinski_harabasz": True,
        "bic": False,
    }


def test_bic_has_no_tolerance_and_must_be_defined() -> None:
    result = choose(
        [candidate(k=3, bic=1001.0), candidate("mixture", k=5, bic=1000.0), candidate("bisecting", k=3)],
        SelectionSettings(rules=RULES_USED, index="bic", tolerance=0.5),
    )
    assert [(c.chosen, c.reason) for c in result] == [
        (False, "bic 1001.000, behind mixture k=5 with 1000.000"),
        (True, "best bic of 2 acceptable candidates"),
        (False, "bic is undefined on this clustering"),
    ]


def test_the_smallest_k_within_the_tolerance_of_the_best_wins() -> None:
    small, middle, best = (
        candidate(k=3, silhouette=0.489),
        candidate(k=4, silhouette=0.495),
        candidate(k=5, silhouette=0.5),
    )
    at_two_percent = chosen(best, middle, small, tolerance=0.02)
    assert at_two_percent is not None
    assert at_two_percent.k == 4
    assert at_two_percent.reason == "smallest k within 2% of the best silhouette (kmeans k=5: 0.500)"
    at_three_percent = chosen(best, middle, small, tolerance=0.03)
    assert at_three_percent is not None
    assert at_three_percent.k == 3
    at_zero = chosen(best, middle, small, tolerance=0.0)
    assert at_zero is not None
    assert at_zero.k == 5


def test_without_groups_the_smallest_acceptable_k_wins_however_good_the_index_of_others() -> None:
    rejected, plain = candidate(k=2, silhouette=0.9), candidate("mixture", k=3, silhouette=0.2)
    better, best = candidate("bisecting", k=3, silhouette=0.3), candidate(k=5, silhouette=0.5)
    shaky = candidate("mixture", k=3, silhouette=0.4, weakest=0.7)
    given, settings = [rejected, plain, better, best, shaky], SelectionSettings(rules=RULES_USED)
    result = choose(given, settings, structured=False)
    assert [(c.chosen, c.reason) for c in result[1:4]] == [
        (False, "silhouette 0.200, behind bisecting k=3 with 0.300"),
        (
            True,
            "smallest k: without groups a better silhouette (kmeans k=5: 0.500) is no reason for more "
            "segments",
        ),
        (False, "silhouette 0.500 is without groups no reason for more segments than bisecting k=3 has"),
    ]
    assert not result[0].accepted and not result[4].chosen
    assert next(c for c in choose(given, settings) if c.chosen).label == best.label
    # bic weighs k itself, and knows of long groups that k-means does not see.
    likely = [replace(c, bic=-float(c.k)) for c in given]
    by_bic = choose(likely, settings.model_copy(update={"index": "bic"}), structured=False)
    assert next(c for c in by_bic if c.chosen).label == best.label
    # Consumers need not follow here either.
    near = candidate(k=4, silhouette=0.49)
    stays = choose([*given, near], settings, "kmeans:4", structured=False)
    assert next(c for c in stays if c.chosen).label == near.label


def test_a_candidate_exactly_on_the_tolerance_is_within_it() -> None:
    winner = chosen(candidate(k=5, silhouette=0.5), candidate(k=3, silhouette=0.375), tolerance=0.25)
    assert winner is not None
    assert winner.k == 3


def test_the_tolerance_is_measured_from_the_best_acceptable_candidate() -> None:
    rejected = candidate(k=2, silhouette=0.99)
    winner = chosen(rejected, candidate(k=5, silhouette=0.5), candidate(k=3, silhouette=0.3))
    assert winner is not None
    assert winner.k == 5


def test_stable_candidates_go_before_those_that_only_pass() -> None:
    shaky = candidate(k=4, silhouette=0.6, weakest=0.7499)
    steady = candidate(k=5, silhouette=0.5, weakest=0.75)
    steadier = candidate(k=3, silhouette=0.4, weakest=0.99)
    result = choose([shaky, steady, steadier], SelectionSettings(rules=RULES_USED))
    assert [(c.accepted, c.chosen, c.reason) for c in result] == [
        (True, False, "a segment keeps 75% of itself in refits; kmeans k=5 goes before, with 75% at least"),
        (True, True, "best silhouette of 2 stable of 3 acceptable candidates"),
        (True, False, "silhouette 0.400, behind kmeans k=5 with 0.500"),
    ]


def test_when_none_is_stable_the_index_decides_among_all_that_pass() -> None:
    winner = chosen(candidate(k=4, silhouette=0.6, weakest=0.61), candidate(k=5, weakest=0.74))
    assert winner is not None
    assert (winner.k, winner.reason) == (4, "best silhouette of 2 acceptable candidates")


def test_without_refits_all_are_equally_stable() -> None:
    winner = chosen(candidate(k=4, silhouette=0.6), candidate(k=5, silhouette=0.5))
    assert winner is not None
    assert winner.k == 4


@pytest.mark.parametrize("index", ["silhouette", "davies_bouldin"])
def test_the_tolerance_widens_whatever_the_sign_of_the_index(index: str) -> None:
    """Below zero a relative margin must still reach away from the best, not towards it."""
    best, near = (-0.100, -0.101) if index == "silhouette" else (0.100, 0.101)
    winner = chosen(
        candidate(k=5, **{index: best}), candidate(k=3, **{index: near}), index=index, tolerance=0.02
    )  # type: ignore[arg-type]
    assert winner is not None
    assert winner.k == 3


def test_of_the_same_k_the_better_index_wins_and_then_the_name() -> None:
    better = chosen(candidate("kmeans", silhouette=0.499), candidate("mixture", silhouette=0.5))
    assert better is not None
    assert better.algorithm == "mixture"
    equal = [candidate("mixture"), candidate("bisecting"), candidate("kmeans")]
    for order in (equal, equal[::-1]):
        winner = chosen(*order)
        assert winner is not None
        assert winner.algorithm == "bisecting"


def test_losers_are_told_what_they_lost_to() -> None:
    result = choose(
        [
            candidate(k=5, silhouette=0.5),
            candidate(k=4, silhouette=0.499),
            candidate("mixture", silhouette=0.2),
        ],
        SelectionSettings(rules=RULES_USED),
    )
    assert [(c.accepted, c.chosen, c.reason) for c in result] == [
        (True, False, "silhouette 0.500 is within 2% of kmeans k=4, which is simpler"),
        (True, True, "smallest k within 2% of the best silhouette (kmeans k=5: 0.500)"),
        (True, False, "silhouette 0.200, behind kmeans k=4 with 0.499"),
    ]


@pytest.mark.parametrize("reason", ["baseline", "only 2 distinct customers, fewer than k"])
def test_a_candidate_that_came_with_a_reason_keeps_it_and_is_not_chosen(reason: str) -> None:
    baseline = candidate(BASELINE, silhouette=0.99, reason=reason)
    result = choose([baseline, candidate(silhouette=0.1)], SelectionSettings(rules=RULES_USED))
    assert [(c.accepted, c.chosen) for c in result] == [(False, False), (True, True)]
    assert result[0].reason == reason
    assert choose([baseline], SelectionSettings(rules=RULES_USED))[0].chosen is False


def test_when_none_is_acceptable_none_is_chosen_and_each_has_a_reason() -> None:
    result = choose([broken for broken, _, _ in BROKEN.values()], SelectionSettings(rules=RULES_USED))
    assert [c.chosen or c.accepted for c in result] == [False] * len(BROKEN)
    assert [c.reason for c in result] == [sentence for _, sentence, _ in BROKEN.values()]


def test_nothing_comes_from_nothing() -> None:
    assert choose([], SelectionSettings()) == []


def _turned(candidates: list[Candidate]) -> list[Candidate]:
    return candidates[::-1]


@pytest.mark.parametrize("order", [list, _turned])
def test_candidates_keep_their_order_and_are_not_changed(
    order: Callable[[list[Candidate]], list[Candidate]],
) -> None:
    candidates = order(
        [*(broken for broken, _, _ in BROKEN.values()), candidate(k=3), candidate("mixture", 5)]
    )
    copies = [replace(c) for c in candidates]
    result = choose(candidates, SelectionSettings(rules=RULES_USED))
    assert candidates == copies
    assert [(c.algorithm, c.k, c.sizes, c.silhouette) for c in result] == [
        (c.algorithm, c.k, c.sizes, c.silhouette) for c in candidates
    ]
    assert sum(c.chosen for c in result) == 1
    assert next(c for c in result if c.chosen).k == 3


def test_shares_of_a_candidate_come_from_its_sizes() -> None:
    c = candidate(sizes=(60, 30, 10), k=3)
    assert (c.customers, c.smallest_share, c.largest_share, c.label) == (100, 0.1, 0.6, "kmeans k=3")
    empty = candidate(sizes=())
    assert (empty.customers, empty.smallest_share, empty.largest_share) == (0, None, None)


def test_a_pick_overrides_rules_and_index_and_says_so() -> None:
    settings = SelectionSettings(rules=RULES_USED, pick="mixture:6")
    result = choose([candidate(), candidate("mixture", 6, 0.1)], settings)
    assert [c.chosen for c in result] == [False, True]
    assert result[0].reason == "mixture:6 was picked by hand"
    assert not result[1].accepted
    assert result[1].reason == "picked by hand (selection.pick); more than 5 segments"


def test_a_pick_that_could_not_be_fitted_chooses_nothing() -> None:
    settings = SelectionSettings(rules=RULES_USED, pick="kmeans:6")
    result = choose([candidate(), candidate(k=6, reason="only 2 distinct customers")], settings)
    assert not any(c.chosen for c in result)
