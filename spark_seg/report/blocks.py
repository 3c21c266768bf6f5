"""What a document is made of: blocks, each of which a template knows by its kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

#: More segments or rows than these stand closer together, or behind a click.
MANY = 12


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    tone: str = ""
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Bullets:
    """A list of sentences. `tone`: alert for what a person must look at."""

    items: tuple[str, ...]
    tone: str = ""
    title: str = ""
    kind: ClassVar[str] = "bullets"


@dataclass(frozen=True)
class Cell:
    """One cell of a table. `shade`: its colour; `bar`: length of a bar behind it, 0..1."""

    text: str
    shade: str | None = None
    bar: float | None = None


@dataclass(frozen=True)
class Table:
    """Rows of cells under `head`, whose names end in > where numbers stand below. The first cell of a row
    names it."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    form: str = ""
    marked: frozenset[int] = frozenset()
    kind: ClassVar[str] = "table"

    @property
    def columns(self) -> list[tuple[str, bool]]:
        """Name of each column, and whether it holds numbers."""
        return [(name.removesuffix(">"), name.endswith(">")) for name in self.head]


@dataclass(frozen=True)
class Code:
    """Something to be copied as it stands."""

    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Details:
    """Blocks that a reader opens. `printed`: on paper they are open; else they are left out."""

    summary: str
    blocks: tuple[Any, ...]
    printed: bool = False
    kind: ClassVar[str] = "details"


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    id: str
    title: str
    blocks: tuple[Any, ...]


@dataclass(frozen=True)
class Tile:
    """A figure that a reader takes away."""

    value: str
    name: str


@dataclass(frozen=True)
class Tiles:
    """Such figures beside each other."""

    tiles: tuple[Tile, ...]
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True)
class Strip:
    """Where a segment lies among all customers in one feature: `place` from 0 (lowest) to 100."""

    feature: str
    place: float
    median: str


@dataclass(frozen=True)
class SegmentCard:
    """Who is in a segment. Of a suppressed one there are only name, size, share and play."""

    anchor: str
    name: str
    colour: str
    size: str
    play: str
    description: str
    told: bool
    differences: tuple[str, ...]
    strips: tuple[Strip, ...]
    sentences: tuple[str, ...]
    rules: tuple[tuple[str, str, str], ...]
    kpis: tuple[tuple[str, str, str], ...]
    makeup: tuple[str, ...]
    stats: Table | None


@dataclass(frozen=True)
class Cards:
    """Cards beside each other. `dense`: they are many."""

    cards: tuple[SegmentCard, ...]
    dense: bool
    kind: ClassVar[str] = "cards"


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str | Cell]],
    form: str = "",
    marked: Iterable[int] = (),
) -> Table:
    """A table of texts. `marked`: positions of the rows that stand out."""
    cells = tuple(tuple(Cell(c) if isinstance(c, str) else c for c in row) for row in rows)
    return Table(caption, tuple(head), cells, form, frozenset(marked))
