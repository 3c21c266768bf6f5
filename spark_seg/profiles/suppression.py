"""What may be told of small groups, so that nobody is singled out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Set
from typing import TypeVar

Label = TypeVar("Label", bound=Hashable)


def too_small(sizes: Mapping[Label, int], smallest: int, hidden: Set[Label] = frozenset()) -> set[Label]:
    """Labels of groups of which nothing may be told: those smaller than `smallest`, and those of `hidden`.

    What one group hides can be worked out from the total and all others. So further groups are hidden with
    it, the smallest first, until at least two are and they have `smallest` customers together (primary and
    complementary suppression, as statistical offices do it; Hundepool et al. 2012, Statistical Disclosure
    Control).
    """
    result = {label for label, n in sizes.items() if n < smallest or label in hidden}
    order = sorted(sizes.keys() - result, key=lambda label: (sizes[label], str(label)))
    while result and order and (len(result) < 2 or sum(sizes[label] for label in result) < smallest):
        result.add(order.pop(0))
    return result


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
                more |= too_small(sizes, smallest, more)
        if more == hidden:
            return hidden
        hidden = more
