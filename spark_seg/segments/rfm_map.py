"""What is wrong with an RFM map: scores without a row, rows in each other's way, names that say otherwise.

A cell is one triple of recency, frequency and monetary score; there are 125. The first row that covers a
cell gets its customers. No Spark here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, combinations, product, takewhile
from operator import or_
from typing import Literal

from spark_seg.config import RFM_SCORES, RfmRow

Kind = Literal["uncovered", "overlap", "unreachable", "contradiction"]
#: (recency, frequency, monetary).
Cell = tuple[int, int, int]
Cells = frozenset[Cell]


@dataclass(frozen=True)
class Rule:
    """Words in the name of a segment that do not go with some scores.

    `words`: whole words of a name in snake_case, or several in a row. `against`: neighbouring scores.
    `unless`: words beside which these mean something else.
    """

    words: tuple[str, ...]
    axis: Literal["r", "f", "m"]
    against: tuple[int, ...]
    meaning: str
    unless: tuple[str, ...] = ()


#: Words that say: they have not come for long.
GONE = (
    "churned", "lost", "gone", "lapsed", "hibernating", "dormant", "sleeping", "inactive",
    "at_risk", "cant_lose", "cannot_lose",
)  # fmt: skip

#: A name is held against these one by one. A middle score goes with every word: maps differ there.
CONTRADICTIONS: tuple[Rule, ...] = (
    # Who came in the last days is not gone, however seldom he comes.
    Rule(GONE, "r", (4, 5), "the last order is long ago"),
    # The mirror image. Lost champions are those who were: beside a word of the first rule it decides alone.
    Rule(
        ("new", "recent", "champion", "champions", "active", "promising"),
        "r", (1, 2), "the last order is not long ago", unless=GONE,
    ),
    # Somebody new has had no time to buy as often as the best fifths do.
    Rule(("new",), "f", (4, 5), "there are few orders yet"),
    # The lowest fifth by frequency is, in most shops, one order: no habit of any kind.
    Rule(
        (
            "loyal", "loyals", "loyalist", "loyalists", "champion", "champions",
            "frequent", "regular", "regulars",
        ),
        "f", (1,), "there are many orders",
    ),
    # The best fifth by spend is worth a lot, whatever each of its orders costs.
    Rule(("low_value", "low_spend", "low_spenders", "cheap"), "m", (5,), "little is spent"),
)  # fmt: skip

#: From one of these words on, a name says what its customers are not, or not any more, or not yet.
TURNING = frozenset({"not", "non", "no", "never", "former", "ex", "once", "almost", "nearly", "potential"})

_AXES = {"r": 0, "f": 1, "m": 2}
_ALL: Cells = frozenset(product(RFM_SCORES, RFM_SCORES, RFM_SCORES))


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    `rows`: positions in the map of the rows at fault, from 0, as paths of settings count; none where a row is
    missing. `sentence`: what must hold, what was found, and what to do.
    """

    kind: Kind
    rows: tuple[int, ...]
    sentence: str


def lint(rows: Sequence[RfmRow]) -> list[Finding]:
    """Everything that is wrong with a map: kind after kind as in `Kind`, then by row. Empty: it is right.

    `uncovered`: one for each box of cells that no row covers; few boxes, the largest first, and no cell in
    two of them. `overlap`: one for each pair of rows with different names that have cells in common.
    `unreachable`: one for each row all of whose cells belong to earlier ones; it counts for no overlap.
    `contradiction`: one for each row and rule of `CONTRADICTIONS` that its name breaks. A last row of all
    cells means the rest: it overlaps with nothing, and its name is held against the cells it gets.
    """
    covered: list[Cells] = [frozenset(product(row.r, row.f, row.m)) for row in rows]
    none: Cells = frozenset()
    before = list(accumulate(covered, or_, initial=none))  # before[i]: cells of the rows above row i
    left = [own - taken for own, taken in zip(covered, before[:-1], strict=True)]
    rest = len(rows) - 1 if rows and covered[-1] == _ALL else None
    return [
        *_uncovered(_ALL - before[-1]),
        *_overlaps(rows, covered, [i for i, own in enumerate(left) if own and i != rest]),
        *_unreachable(rows, covered, left),
        *_contradictions(rows, [left[i] if i == rest else own for i, own in enumerate(covered)]),
    ]


def _uncovered(cells: Cells) -> Iterator[Finding]:
    for box in _boxes(cells):
        yield Finding(
            "uncovered",
            (),
            f"{box}: must have a row; got none. Add one, or a last row without r, f and m for the rest",
        )


def _overlaps(rows: Sequence[RfmRow], covered: Sequence[Cells], among: Iterable[int]) -> Iterator[Finding]:
    for first, second in combinations(among, 2):
        common = covered[first] & covered[second]
        if common and rows[first].name != rows[second].name:
            yield Finding(
                "overlap",
                (first, second),
                f"{_where(rows, second)}: must have no scores in common with {_where(rows, first)}, another "
                f"segment; got {_told(common)} in both, where the earlier row wins. Take them out of one",
            )


def _unreachable(
    rows: Sequence[RfmRow], covered: Sequence[Cells], left: Sequence[Cells]
) -> Iterator[Finding]:
    for i, own in enumerate(left):
        if not own:
            takers = ", ".join(_where(rows, j) for j in range(i) if left[j] & covered[i])
            yield Finding(
                "unreachable",
                (i,),
                f"{_where(rows, i)}: must have scores that no earlier row has; got none beside {takers}. "
                "Move it up, or take it out",
            )


def _contradictions(rows: Sequence[RfmRow], judged: Sequence[Cells]) -> Iterator[Finding]:
    for i, row in enumerate(rows):
        for rule in CONTRADICTIONS:
            words = [] if _said(row.name, rule.unless) else _said(row.name, rule.words)
            against = sorted({cell[_AXES[rule.axis]] for cell in judged[i]} & set(rule.against))
            if words and against:
                yield Finding(
                    "contradiction",
                    (i,),
                    f"{_where(rows, i)}: must not have {rule.axis} {_numbers(rule.against)} with "
                    f"{' and '.join(map(repr, words))} in its name ({rule.meaning}); got {rule.axis} "
                    f"{_numbers(against)}. Change the name or the scores",
                )


def _said(name: str, words: Iterable[str]) -> list[str]:
    """Those of `words` that a name says of its customers."""
    known = "_".join(takewhile(lambda word: word not in TURNING, name.lower().split("_")))
    return [word for word in words if f"_{word}_" in f"_{known}_"]


def _where(rows: Sequence[RfmRow], i: int) -> str:
    return f"rfm_map.{i} ({rows[i].name})"


def _told(cells: Cells) -> str:
    return " and ".join(_boxes(cells))


def _boxes(cells: Cells) -> list[str]:
    """`cells` as few boxes of neighbouring scores: of those that fit into what is left, the largest first."""
    told, left = [], cells
    for text, box in _all_boxes():
        if box <= left:
            told.append(text)
            left -= box
    return told


@cache
def _all_boxes() -> tuple[tuple[str, Cells], ...]:
    """Every box of neighbouring scores with what it is called, the largest first, then by its scores."""
    spans = [range(low, high + 1) for low in RFM_SCORES for high in RFM_SCORES if low <= high]
    boxes = sorted(
        product(spans, repeat=3), key=lambda box: (-len(box[0]) * len(box[1]) * len(box[2]), *map(min, box))
    )
    return tuple(
        (f"r {_numbers(r)}, f {_numbers(f)}, m {_numbers(m)}", frozenset(product(r, f, m)))
        for r, f, m in boxes
    )


def _numbers(scores: Sequence[int]) -> str:
    """Neighbouring scores as a person writes them."""
    return str(scores[0]) if len(scores) == 1 else f"{scores[0]}-{scores[-1]}"
