"""What may be told of small groups, so that nobody is singled out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

Label = TypeVar("Label", bound=Hashable)


def too_small(sizes: Mapping[Label, int], smallest: int) -> set[Label]:
    """Labels of groups of which nothing may be told, because they are smaller than `smallest`.

    What one group hides can be worked out from the total and all others. So further groups are hidden with
    it, the smallest first, until at least two are and they have `smallest` customers together (primary and
    complementary suppression, as statistical offices do it; Hundepool et al. 2012, Statistical Disclosure
    Control).
    """
    order = sorted(sizes, key=lambda label: (sizes[label], str(label)))
    hidden = [label for label in order if sizes[label] < smallest]
    while hidden and len(hidden) < len(order):
        if len(hidden) > 1 and sum(sizes[label] for label in hidden) >= smallest:
            break
        hidden.append(order[len(hidden)])
    return set(hidden)


def hidden_cells(counts: Mapping[tuple[int, str | None], int], smallest: int) -> set[tuple[int, str | None]]:
    """Cells of a table segment × value that may not be told, so that none can be worked out from its row or
    its column, whose sums are known."""
    hidden: set[tuple[int, str | None]] = set()
    while True:
        more = set(hidden)
        for axis in (0, 1):
            for line in {cell[axis] for cell in counts}:
                # What is hidden already counts as small, whatever it holds.
                sizes = {c: n for c, n in counts.items() if c[axis] == line}
                more |= _with(sizes, smallest, {c for c in sizes if c in more})
        if more == hidden:
            return hidden
        hidden = more


def _with(
    sizes: Mapping[tuple[int, str | None], int], smallest: int, hidden: set[tuple[int, str | None]]
) -> set[tuple[int, str | None]]:
    """`too_small` of a row or column in which some cells are hidden already."""
    hidden = hidden | {cell for cell, n in sizes.items() if n < smallest}
    order = sorted(sizes.keys() - hidden, key=lambda cell: (sizes[cell], str(cell)))
    while hidden and order and (len(hidden) < 2 or sum(sizes[cell] for cell in hidden) < smallest):
        hidden.add(order.pop(0))
    return hidden
