"""Segment ids that outlive a refit, names by position, and the RFM grid."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_seg.config import Archetype, SegmentSettings
from spark_seg.segments import (
    Relation,
    by_centres,
    by_customers,
    misfits,
    name_clusters,
    overlaps,
    stable_ids,
)
from spark_seg.segments.names import LEVELS

ARCHETYPES = SegmentSettings.model_validate(
    yaml.safe_load((Path(__file__).parents[2] / "conf" / "archetypes.yaml").read_text(encoding="utf-8"))[
        "segments"
    ]
).archetypes
BY_NAME = {archetype.name: archetype for archetype in ARCHETYPES}


def archetype(name: str, **signature: str) -> Archetype:
    return Archetype.model_validate({"name": name, "description": "d", "play": "p", "signature": signature})


def planted(name: str) -> dict[str, float | None]:
    """A cluster that lies exactly where the archetype says, and in the middle of everything else."""
    everything = dict.fromkeys(sorted({f for a in ARCHETYPES for f in a.signature}), 0.0)
    return everything | {feature: LEVELS[level] for feature, level in BY_NAME[name].signature.items()}


# ---------------------------------------------------------------- ids and lineage


def related(common: dict[tuple[int, int], int], clusters: int, *formers: int) -> list[Relation]:
    """What became of the former segments, by MONIC's thresholds."""
    return by_customers(range(clusters), formers, common, 0.7, 0.3)


def events(relations: list[Relation]) -> set[tuple[int | None, str, int | None]]:
    return {(r.former, r.event, r.cluster) for r in relations}


def test_the_first_run_numbers_its_clusters_in_the_given_order() -> None:
    assert stable_ids([2, 0, 1], [], 1) == {2: 1, 0: 2, 1: 3}


@pytest.mark.parametrize("order", list(permutations([0, 1, 2])))
def test_case_34_the_same_clusters_under_other_numbers_keep_their_ids(order: tuple[int, int, int]) -> None:
    common = {(order[0], 7): 100, (order[1], 8): 50, (order[2], 9): 10}
    relations = related(common, 3, 7, 8, 9)
    assert events(relations) == {
        (7, "survived", order[0]),
        (8, "survived", order[1]),
        (9, "survived", order[2]),
    }
    ids = stable_ids([0, 1, 2], [relations], 10)
    assert ids == {order[0]: 7, order[1]: 8, order[2]: 9}
    assert overlaps(relations, ids) == dict.fromkeys(order, 1.0)


def test_shares_and_overlap_of_a_segment_that_survives() -> None:
    (survived, *_) = related({(0, 5): 75, (1, 5): 25, (0, 6): 25, (1, 6): 75}, 2, 5, 6)
    assert (survived.event, survived.common) == ("survived", 75)
    assert (survived.share_of_former, survived.share_of_cluster) == (0.75, 0.75)
    assert survived.overlap == 75 / 125


def test_case_34_a_split_gives_the_larger_part_the_old_id_and_exactly_one_new_id() -> None:
    relations = related({(0, 1): 60, (1, 1): 40, (2, 2): 50}, 3, 1, 2)
    assert events(relations) == {(1, "split", 0), (1, "split", 1), (2, "survived", 2)}
    assert stable_ids([0, 1, 2], [relations], 3) == {0: 1, 1: 3, 2: 2}


def test_case_34_a_merger_continues_the_segment_it_has_most_of_and_retires_the_other_id() -> None:
    relations = related({(0, 4): 70, (0, 5): 30}, 1, 4, 5)
    assert events(relations) == {(4, "merged", 0), (5, "merged", 0)}
    assert stable_ids([0], [relations], 6) == {0: 4}


def test_a_segment_without_heirs_dies_and_a_cluster_without_ancestors_is_born() -> None:
    # Segment 5 is scattered over three clusters, none of which it makes up; nobody of before is in cluster 3.
    common = {(0, 4): 100, (0, 5): 12, (1, 5): 8, (2, 5): 8, (1, 6): 90, (2, 7): 80}
    relations = related(common, 4, 4, 5, 6, 7)
    assert {e for e in events(relations) if e[1] != "survived"} == {(5, "died", None), (None, "born", 3)}
    assert stable_ids([0, 1, 2, 3], [relations], 8) == {0: 4, 1: 6, 2: 7, 3: 8}


def test_who_survives_keeps_the_id_also_where_a_part_of_another_is_larger() -> None:
    # Half of the large segment 1 joins segment 2, which survives there.
    relations = related({(0, 1): 500, (1, 1): 500, (1, 2): 100}, 2, 1, 2)
    assert events(relations) == {(1, "split", 0), (1, "split", 1), (2, "survived", 1)}
    assert stable_ids([0, 1], [relations], 3) == {0: 1, 1: 2}


def test_a_day_that_is_published_anew_goes_on_from_the_day_before_and_then_from_what_it_sets_right() -> None:
    # The day before had 1 and 2. The revision that is set right had merged them, and found a new one, 3.
    before = related({(0, 1): 50, (1, 2): 40}, 3, 1, 2)
    same_day = related({(0, 1): 50, (1, 1): 40, (2, 3): 30}, 3, 1, 3)
    assert stable_ids([0, 1, 2], [before, same_day], 4) == {0: 1, 1: 2, 2: 3}


def test_case_34_retired_ids_are_not_used_again() -> None:
    # Segments 1 to 9 existed once; only 2 and 3 are left.
    ids = stable_ids([0, 1, 2, 3], [related({(0, 2): 10, (1, 3): 10}, 4, 2, 3)], 10)
    assert [ids[c] for c in range(4)] == [2, 3, 10, 11]


def test_new_ids_are_given_in_the_order_of_the_clusters_whatever_their_numbers() -> None:
    relations = by_customers([5, 3, 9], [1], {(3, 1): 10}, 0.7, 0.3)
    assert stable_ids([5, 3, 9], [relations], 4) == {5: 4, 3: 1, 9: 5}


@pytest.mark.parametrize(("threshold", "event"), [(0.6, "survived"), (0.61, "died"), (1.0, "died")])
def test_a_segment_survives_from_the_threshold_on(threshold: float, event: str) -> None:
    (relation, *_) = by_customers([0, 1, 2], [1], {(0, 1): 60, (1, 1): 20, (2, 1): 20}, threshold, 0.3)
    assert relation.event == event


@pytest.mark.parametrize(("share", "event"), [(0.3, "split"), (0.31, "died")])
def test_a_part_counts_from_its_threshold_on(share: float, event: str) -> None:
    (relation, *_) = by_customers([0, 1, 2], [1], {(0, 1): 60, (1, 1): 30, (2, 1): 10}, 0.7, share)
    assert relation.event == event


def test_segments_without_common_customers_are_matched_by_where_they_lie() -> None:
    before = {1: {"r": -0.8, "m": 0.8}, 2: {"r": 0.7, "m": -0.5}, 3: {"r": 0.0, "m": 0.0}}
    now = {0: {"r": 0.75, "m": -0.5}, 1: {"r": -0.7, "m": 0.8}, 2: {"r": 0.0, "m": 0.6}}
    relations = by_centres(now, before, 0.25)
    assert events(relations) == {
        (1, "survived", 1),
        (2, "survived", 0),
        (3, "died", None),
        (None, "born", 2),
    }
    assert {r.basis for r in relations} == {"centres"}
    assert {r.cluster: r.distance for r in relations}[1] == pytest.approx(0.1 / 2**0.5)
    assert stable_ids([0, 1, 2], [relations], 4) == {0: 2, 1: 1, 2: 4}
    # What is known of one side only says nothing.
    assert events(by_centres({0: {"r": 0.1}}, {1: {"m": 0.1}}, 2.0)) == {(1, "died", None), (None, "born", 0)}


_commons = st.dictionaries(st.tuples(st.integers(0, 5), st.integers(1, 6)), st.integers(1, 1000), max_size=20)


@settings(deadline=None)
@given(st.integers(1, 6), _commons, st.floats(0.51, 1), st.floats(0.01, 0.5), st.permutations(range(6)))
def test_ids_are_unique_never_invented_twice_and_blind_to_the_numbers_of_clusters(
    k: int, common: dict[tuple[int, int], int], survival: float, split: float, order: list[int]
) -> None:
    common = {pair: n for pair, n in common.items() if pair[0] < k}
    relations = by_customers(range(k), range(1, 7), common, survival, split)
    # Everybody ends in one way: survived, merged, split or died; and every cluster has some origin.
    for former in range(1, 7):
        ends = [r for r in relations if r.former == former]
        assert len({r.event for r in ends}) == 1
        assert len(ends) > 1 if ends[0].event == "split" else len(ends) == 1
    assert {r.cluster for r in relations} >= set(range(k))
    ids = stable_ids(list(range(k)), [relations], 7)
    assert set(ids) == set(range(k))
    assert len(set(ids.values())) == k
    new = sorted(i for i in ids.values() if i >= 7)
    assert new == list(range(7, 7 + len(new)))
    for r in relations:
        if r.event == "survived":
            assert ids[r.cluster or 0] == r.former
    renamed = [order[c] for c in range(k)]
    other = {(order[c], s): n for (c, s), n in common.items()}
    again = by_customers(renamed, range(1, 7), other, survival, split)
    assert events(again) == {(f, e, None if c is None else order[c]) for f, e, c in events(relations)}


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", BY_NAME)
def test_a_cluster_where_an_archetype_lies_gets_its_name(name: str) -> None:
    assert name_clusters({3: planted(name)}, ARCHETYPES, 0.6) == {3: name}


def test_every_archetype_is_reachable_beside_all_the_others_whatever_the_cluster_numbers() -> None:
    names = list(BY_NAME)
    for order in (names, names[::-1]):
        named = name_clusters({i: planted(name) for i, name in enumerate(order)}, ARCHETYPES, 0.6)
        assert [named[i] for i in range(len(order))] == order


@pytest.mark.parametrize("name", BY_NAME)
def test_a_cluster_near_an_archetype_still_gets_its_name(name: str) -> None:
    near = {feature: (p or 0) * 0.85 + 0.03 for feature, p in planted(name).items()}
    assert name_clusters({0: near}, ARCHETYPES, 0.6)[0] == name


def test_signatures_of_the_package_are_all_different() -> None:
    signatures = [tuple(sorted(a.signature.items())) for a in ARCHETYPES]
    assert len(set(signatures)) == len(signatures)


def test_each_name_goes_to_one_cluster_and_the_nearest_total_wins() -> None:
    champions = planted("champions")
    nearly = champions | {"recency_days": -0.6}
    named = name_clusters({0: nearly, 1: champions}, ARCHETYPES, 0.6)
    assert named[1] == "champions"
    assert named[0] != "champions"


def test_a_cluster_far_from_everything_gets_a_name_that_describes_it_and_no_archetype() -> None:
    only = [archetype("champions", frequency="very_high", monetary="very_high")]
    far: dict[str, float | None] = {
        "frequency": -0.9,
        "monetary": -0.2,
        "tenure_days": 0.7,
        "recency_days": None,
    }
    assert name_clusters({0: far}, only, 0.6) == {0: "low_frequency_high_tenure_days"}


@pytest.mark.parametrize(("distance", "name"), [(0.19, "high_monetary"), (0.21, "big")])
def test_the_greatest_distance_decides_between_an_archetype_and_a_description(
    distance: float, name: str
) -> None:
    only = [archetype("big", monetary="very_high")]
    assert name_clusters({0: {"monetary": 0.6}}, only, distance)[0] == name


def test_clusters_beyond_the_number_of_archetypes_get_different_describing_names() -> None:
    only = [archetype("big", monetary="very_high")]
    same: dict[str, float | None] = {"monetary": 0.8, "frequency": 0.1}
    named = name_clusters(dict.fromkeys(range(4), same), only, 0.6)
    assert sorted(named.values()) == [
        "big",
        "high_monetary_high_frequency",
        "high_monetary_high_frequency_2",
        "high_monetary_high_frequency_3",
    ]


def test_a_far_cluster_does_not_push_another_off_its_archetype() -> None:
    two = [archetype("big", monetary="very_high"), archetype("rare", frequency="very_low")]
    near = {"monetary": 0.6, "frequency": -0.3}  # 0.2 from big, 0.5 from rare
    far = {"monetary": -0.2, "frequency": 1.0}  # 1.0 from big, 1.8 from rare: the total would swap them
    assert name_clusters({0: near, 1: far}, two, 0.6) == {
        0: "big",
        1: "high_frequency_low_monetary",
    }


def test_an_archetype_that_the_run_cannot_judge_in_full_is_not_given() -> None:
    only = [archetype("x", a="high", b="high", c="high")]
    assert name_clusters({0: {"a": 0.4, "b": 0.4, "c": 0.4}}, only, 0.6)[0] == "x"
    assert name_clusters({0: {"a": 0.4, "b": 0.4, "c": None}}, only, 0.6)[0] == "high_b_high_a"


def test_one_feature_that_contradicts_an_archetype_is_enough() -> None:
    new = [archetype("new", tenure_days="very_low", frequency="low", monetary="low")]
    known_for_years = {"tenure_days": -0.1, "frequency": -0.4, "monetary": -0.4}
    assert name_clusters({0: known_for_years}, new, 0.6)[0] != "new"
    assert name_clusters({0: known_for_years | {"tenure_days": -0.3}}, new, 0.6)[0] == "new"


def test_a_cluster_of_which_nothing_is_known_has_a_name_too() -> None:
    assert name_clusters({0: {}, 1: {"monetary": None}}, ARCHETYPES, 0.6) == {
        0: "mixed",
        1: "mixed_2",
    }


_positions = st.dictionaries(
    st.sampled_from(sorted({f for a in ARCHETYPES for f in a.signature})),
    st.one_of(st.none(), st.floats(-1, 1)),
)


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 20), _positions, min_size=1, max_size=14), st.floats(0.05, 2))
def test_every_cluster_gets_one_name_and_no_name_is_given_twice(
    clusters: dict[int, dict[str, float | None]], max_difference: float
) -> None:
    named = name_clusters(clusters, ARCHETYPES, max_difference)
    assert set(named) == set(clusters)
    assert len(set(named.values())) == len(named)


def test_a_segment_that_continues_keeps_its_name_and_no_other_gets_it() -> None:
    champions = planted("champions")
    named = name_clusters({0: champions, 1: planted("lapsed")}, ARCHETYPES, 0.6, kept={1: "champions"})
    assert named[1] == "champions"
    assert named[0] not in ("champions", "lapsed")


def test_an_archetype_that_no_longer_fits_is_told_with_what_contradicts_it() -> None:
    positions = {0: planted("champions"), 1: planted("lapsed") | {"recency_days": -0.2}}
    (told,) = misfits(positions, ARCHETYPES, 0.6, {0: "champions", 1: "lapsed", 2: "a_name_of_its_own"})
    assert told.startswith(
        "segment lapsed: must lie where its archetype says, within 0.6; got recency_days is at"
    )
    assert "recency_days is at -0.2, where very_high means +0.8" in told
    assert misfits(positions, ARCHETYPES, 1.1, {1: "lapsed"}) == []


def test_no_clusters_get_no_names() -> None:
    assert name_clusters({}, ARCHETYPES, 0.6) == {}
