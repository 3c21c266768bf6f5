"""Which groups are too small for anything to be told of them."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_seg.profiles import too_small


@pytest.mark.parametrize(
    ("sizes", "hidden"),
    [
        ({1: 50, 2: 10}, set()),
        ({1: 50, 2: 9, 3: 20}, {2, 3}),  # alone it could be worked out from the total
        ({1: 50, 2: 4, 3: 5, 4: 20}, {2, 3, 4}),  # and so could the two together, who are nine
        ({1: 50, 2: 6, 3: 5}, {2, 3}),
        ({1: 9}, {1}),
        ({1: 9, 2: 500}, {1, 2}),
        ({}, set()),
    ],
)
def test_case_46_small_groups_and_as_many_others_as_it_takes_are_hidden(
    sizes: dict[int, int], hidden: set[int]
) -> None:
    assert too_small(sizes, 10) == hidden


@given(st.dictionaries(st.integers(0, 20), st.integers(1, 60), max_size=12), st.integers(1, 30))
def test_what_is_hidden_cannot_be_worked_out_and_no_group_is_hidden_without_need(
    sizes: dict[int, int], smallest: int
) -> None:
    hidden = too_small(sizes, smallest)
    small = {label for label, size in sizes.items() if size < smallest}
    assert small <= hidden
    assert bool(hidden) == bool(small)
    if hidden and hidden != set(sizes):
        assert len(hidden) > 1 and sum(sizes[label] for label in hidden) >= smallest
        for less in combinations(hidden, len(hidden) - 1):
            kept = set(less)
            enough = len(kept) > 1 and sum(sizes[label] for label in kept) >= smallest
            assert not (small <= kept and enough) or max(map(sizes.get, hidden)) in map(sizes.get, kept)
