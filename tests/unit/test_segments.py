"""Segment ids that outlive a refit, names by position, and the RFM grid."""

from __future__ import annotations

from collections import Counter
from itertools import permutations, product
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_seg.config import Archetype, SegmentSettings
from spark_seg.segments import GRID, Match, name_clusters, stable_ids
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


# ---------------------------------------------------------------- ids


def test_the_first_run_numbers_its_clusters_in_the_given_order() -> None:
    assert stable_ids([2, 0, 1], {}, 1, 0.3) == {2: Match(1, None), 0: Match(2, None), 1: Match(3, None)}


@pytest.mark.parametrize("order", list(permutations([0, 1, 2])))
def test_case_34_the_same_clusters_under_other_numbers_keep_their_ids(order: tuple[int, int, int]) -> None:
    common = {(order[0], 7): 100, (order[1], 8): 50, (order[2], 9): 10}
    assert stable_ids([0, 1, 2], common, 10, 0.3) == {
        order[0]: Match(7, 1.0),
        order[1]: Match(8, 1.0),
        order[2]: Match(9, 1.0),
    }


def test_overlap_is_shared_customers_over_all_customers_of_either() -> None:
    common = {(0, 5): 60, (0, 6): 20, (1, 5): 40, (1, 6): 80}
    ids = stable_ids([0, 1], common, 7, 0.3)
    assert ids[0] == Match(5, 60 / 120)
    assert ids[1] == Match(6, 80 / 140)


def test_case_34_a_split_gives_the_larger_part_the_old_id_and_exactly_one_new_id() -> None:
    ids = stable_ids([0, 1, 2], {(0, 1): 70, (1, 1): 30, (2, 2): 50}, 3, 0.3)
    assert ids == {0: Match(1, 0.7), 1: Match(3, None), 2: Match(2, 1.0)}


def test_case_34_a_merger_continues_the_segment_it_has_most_of_and_retires_the_other_id() -> None:
    assert stable_ids([0], {(0, 4): 70, (0, 5): 30}, 6, 0.3) == {0: Match(4, 0.7)}


def test_the_matching_with_the_largest_total_overlap_wins_over_the_greedy_one() -> None:
    # Greedy gives cluster 0 segment 1 (the best pair) and leaves cluster 1 with nothing.
    common = {(0, 1): 60, (0, 2): 50, (1, 1): 50}
    ids = stable_ids([0, 1], common, 3, 0.0)
    assert {cluster: match.segment_id for cluster, match in ids.items()} == {0: 2, 1: 1}


def test_case_34_retired_ids_are_not_used_again() -> None:
    # Segments 1 to 9 existed once; only 2 and 3 are left.
    ids = stable_ids([0, 1, 2, 3], {(0, 2): 10, (1, 3): 10}, 10, 0.3)
    assert [ids[c].segment_id for c in range(4)] == [2, 3, 10, 11]


def test_new_ids_are_given_in_the_order_of_the_clusters_whatever_their_numbers() -> None:
    ids = stable_ids([5, 3, 9], {(3, 1): 10}, 4, 0.3)
    assert {c: m.segment_id for c, m in ids.items()} == {5: 4, 3: 1, 9: 5}


@pytest.mark.parametrize(("min_overlap", "kept"), [(0.29, True), (0.3, True), (0.31, False), (1.0, False)])
def test_an_id_is_kept_from_the_minimal_overlap_on(min_overlap: float, kept: bool) -> None:
    ids = stable_ids([0, 1], {(0, 1): 30, (1, 1): 70}, 2, min_overlap=0.75)
    assert ids == {0: Match(2, None), 1: Match(3, None)}
    ids = stable_ids([0], {(0, 1): 30, (0, 2): 20, (0, 3): 25, (0, 4): 25}, 5, min_overlap)
    assert ids[0] == (Match(1, 0.3) if kept else Match(5, None))


def test_clusters_without_common_customers_are_new_even_when_any_overlap_would_do() -> None:
    ids = stable_ids([0, 1], {(0, 1): 10}, 2, min_overlap=0.1)
    assert ids[1] == Match(2, None)


_commons = st.dictionaries(st.tuples(st.integers(0, 5), st.integers(1, 6)), st.integers(1, 1000), max_size=20)


@settings(deadline=None)
@given(st.integers(0, 6), _commons, st.floats(0.01, 1), st.randoms())
def test_ids_are_unique_never_invented_twice_and_blind_to_the_numbers_of_clusters(
    k: int, common: dict[tuple[int, int], int], min_overlap: float, random: object
) -> None:
    common = {pair: n for pair, n in common.items() if pair[0] < k}
    next_id = 7
    ids = stable_ids(list(range(k)), common, next_id, min_overlap)
    assert set(ids) == set(range(k))
    given_ids = [match.segment_id for match in ids.values()]
    assert len(set(given_ids)) == k
    kept = [m for m in ids.values() if m.overlap is not None]
    assert all(m.segment_id < next_id and min_overlap <= (m.overlap or 0) <= 1 for m in kept)
    new = sorted(m.segment_id for m in ids.values() if m.overlap is None)
    assert new == list(range(next_id, next_id + len(new)))
    shift = {c: (c + 1) % k for c in range(k)}
    moved = stable_ids(
        [shift[c] for c in range(k)], {(shift[c], s): n for (c, s), n in common.items()}, next_id, min_overlap
    )
    total = sum(m.overlap or 0 for m in ids.values())
    assert sum(m.overlap or 0 for m in moved.values()) == pytest.approx(total)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", BY_NAME)
def test_a_cluster_where_an_archetype_lies_gets_its_name(name: str) -> None:
    assert name_clusters({3: planted(name)}, ARCHETYPES, 0.6) == {3: (name, BY_NAME[name])}


def test_every_archetype_is_reachable_beside_all_the_others_whatever_the_cluster_numbers() -> None:
    names = list(BY_NAME)
    for order in (names, names[::-1]):
        named = name_clusters({i: planted(name) for i, name in enumerate(order)}, ARCHETYPES, 0.6)
        assert [named[i][0] for i in range(len(order))] == order


@pytest.mark.parametrize("name", BY_NAME)
def test_a_cluster_near_an_archetype_still_gets_its_name(name: str) -> None:
    near = {feature: (p or 0) * 0.85 + 0.03 for feature, p in planted(name).items()}
    assert name_clusters({0: near}, ARCHETYPES, 0.6)[0][0] == name


def test_signatures_of_the_package_are_all_different() -> None:
    signatures = [tuple(sorted(a.signature.items())) for a in ARCHETYPES]
    assert len(set(signatures)) == len(signatures)


def test_each_name_goes_to_one_cluster_and_the_nearest_total_wins() -> None:
    champions = planted("champions")
    nearly = champions | {"recency_days": -0.6}
    named = name_clusters({0: nearly, 1: champions}, ARCHETYPES, 0.6)
    assert named[1][0] == "champions"
    assert named[0][0] != "champions"


def test_a_cluster_far_from_everything_gets_a_name_that_describes_it_and_no_archetype() -> None:
    only = [archetype("champions", frequency="very_high", monetary="very_high")]
    far: dict[str, float | None] = {
        "frequency": -0.9,
        "monetary": -0.2,
        "tenure_days": 0.7,
        "recency_days": None,
    }
    assert name_clusters({0: far}, only, 0.6) == {0: ("low_frequency_high_tenure_days", None)}


@pytest.mark.parametrize(("distance", "name"), [(0.19, "high_monetary"), (0.21, "big")])
def test_the_greatest_distance_decides_between_an_archetype_and_a_description(
    distance: float, name: str
) -> None:
    only = [archetype("big", monetary="very_high")]
    assert name_clusters({0: {"monetary": 0.6}}, only, distance)[0][0] == name


def test_clusters_beyond_the_number_of_archetypes_get_different_describing_names() -> None:
    only = [archetype("big", monetary="very_high")]
    same: dict[str, float | None] = {"monetary": 0.8, "frequency": 0.1}
    named = name_clusters(dict.fromkeys(range(4), same), only, 0.6)
    names = [name for name, _ in named.values()]
    assert sorted(names) == [
        "big",
        "high_monetary_high_frequency",
        "high_monetary_high_frequency_2",
        "high_monetary_high_frequency_3",
    ]
    assert Counter(kind is None for _, kind in named.values()) == {True: 3, False: 1}


def test_a_far_cluster_does_not_push_another_off_its_archetype() -> None:
    two = [archetype("big", monetary="very_high"), archetype("rare", frequency="very_low")]
    near = {"monetary": 0.6, "frequency": -0.3}  # 0.2 from big, 0.5 from rare
    far = {"monetary": -0.2, "frequency": 1.0}  # 1.0 from big, 1.8 from rare: the total would swap them
    assert {c: name for c, (name, _) in name_clusters({0: near, 1: far}, two, 0.6).items()} == {
        0: "big",
        1: "high_frequency_low_monetary",
    }


def test_an_archetype_that_the_run_cannot_judge_in_full_is_not_given() -> None:
    only = [archetype("x", a="high", b="high", c="high")]
    assert name_clusters({0: {"a": 0.4, "b": 0.4, "c": 0.4}}, only, 0.6)[0][0] == "x"
    assert name_clusters({0: {"a": 0.4, "b": 0.4, "c": None}}, only, 0.6)[0][0] == "high_b_high_a"


def test_one_feature_that_contradicts_an_archetype_is_enough() -> None:
    new = [archetype("new", tenure_days="very_low", frequency="low", monetary="low")]
    known_for_years = {"tenure_days": -0.1, "frequency": -0.4, "monetary": -0.4}
    assert name_clusters({0: known_for_years}, new, 0.6)[0][1] is None
    assert name_clusters({0: known_for_years | {"tenure_days": -0.3}}, new, 0.6)[0][0] == "new"


def test_a_cluster_of_which_nothing_is_known_has_a_name_too() -> None:
    assert name_clusters({0: {}, 1: {"monetary": None}}, ARCHETYPES, 0.6) == {
        0: ("mixed", None),
        1: ("mixed_2", None),
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
    names = [name for name, _ in named.values()]
    assert len(set(names)) == len(names)
    assert all(kind is None or kind.name == name for name, kind in named.values())


def test_no_clusters_get_no_names() -> None:
    assert name_clusters({}, ARCHETYPES, 0.6) == {}


# ---------------------------------------------------------------- the RFM grid

#: Worked by hand from the definition: rows are recency 5 to 1, columns are frequency 1 to 5.
CELLS = """
new_customers  potential_loyalists  potential_loyalists  champions        champions
promising      potential_loyalists  potential_loyalists  loyal_customers  loyal_customers
about_to_sleep about_to_sleep       need_attention       loyal_customers  loyal_customers
hibernating    hibernating          at_risk              at_risk          cant_lose
hibernating    hibernating          at_risk              at_risk          cant_lose
"""


def test_each_of_the_25_cells_has_exactly_its_one_segment() -> None:
    rows = [line.split() for line in CELLS.strip().splitlines()]
    expected = {(5 - i, 1 + j): name for i, row in enumerate(rows) for j, name in enumerate(row)}
    found = [
        ((r, f), name) for name, (recency, frequency) in GRID.items() for r, f in product(recency, frequency)
    ]
    assert len(found) == 25
    assert dict(found) == expected
