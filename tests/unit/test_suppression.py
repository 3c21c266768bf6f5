"""Which groups are too small for anything to be told of them."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_seg.profiles import hidden_cells, too_small


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


# ---------------------------------------------------------------- a table of segments and values


def derivable(counts: dict[tuple[int, str | None], int], hidden: set[tuple[int, str | None]]) -> set[object]:
    """Hidden cells that stand alone in their row or column, whose sums are known."""
    alone = set()
    for axis in (0, 1):
        for line in {cell[axis] for cell in counts}:
            inside = [cell for cell in hidden if cell[axis] == line]
            if len(inside) == 1 and sum(cell[axis] == line for cell in counts) > 1:
                alone.add(inside[0])
    return alone


@given(
    st.dictionaries(
        st.tuples(st.integers(1, 4), st.sampled_from("abcd")), st.integers(1, 60), min_size=1, max_size=16
    )
)
def test_no_small_cell_is_told_and_none_can_be_worked_out(
    counts: dict[tuple[int, str | None], int],
) -> None:
    hidden = hidden_cells(counts, 10)
    assert {cell for cell, n in counts.items() if n < 10} <= hidden <= counts.keys()
    assert not derivable(counts, hidden)
    if all(n >= 10 for n in counts.values()):
        assert not hidden


def test_the_smallest_other_cells_are_hidden_with_a_small_one() -> None:
    counts: dict[tuple[int, str | None], int] = {
        (1, "a"): 3, (1, "b"): 40, (1, "c"): 20, (2, "a"): 50, (2, "b"): 60, (2, "c"): 30,
    }  # fmt: skip
    assert hidden_cells(counts, 10) == {(1, "a"), (1, "c"), (2, "a"), (2, "c")}
