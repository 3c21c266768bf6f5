"""What a page is written in: numbers and names as text, the blocks it is made of, and what may be told."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from spark_seg.report.published import Published, Rows

Row = Mapping[str, Any]

#: Stands where there is no figure.
NONE = "–"
#: First strong isolate and its end: a text between them has its own direction. The page writes them as <bdi>.
ISOLATE, POP = "\u2068", "\u2069"
_FORMAT = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]")
_UNSEGMENTED = 0
#: Metric of a run that counts rows which were read; the source follows.
_ROWS = "rows_"


# Names and texts that come from data or configuration


def clean(text: object) -> str:
    """One line of what may be shown: without control characters, marks of direction and half characters."""
    shown = "".join(
        " " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else "\ufffd" if "\ud800" <= c <= "\udfff" else c
        for c in _FORMAT.sub("", str(text))
    )
    return re.sub(r" {2,}", " ", shown).strip()


def foreign(text: object) -> str:
    """The same, kept apart from the direction of the text around it."""
    return f"{ISOLATE}{clean(text)}{POP}"


def bare(text: str) -> str:
    """Without the isolates of `foreign`, where nothing in the text runs from right to left."""
    if any(unicodedata.bidirectional(c) in ("R", "AL") for c in text):
        return text
    return text.replace(ISOLATE, "").replace(POP, "")


def short(text: object, width: int = 26) -> str:
    """A name for a figure: at most `width` characters."""
    shown = clean(text)
    return shown if len(shown) <= width else shown[: width - 1].rstrip() + "…"


# Numbers


def known(value: Any) -> bool:
    """Is there a figure, and a finite one?"""
    return value is not None and math.isfinite(value)


def count(value: Any) -> str:
    """A whole number: 12,345."""
    return f"{value:,.0f}" if known(value) else NONE


def money(value: Any) -> str:
    """An amount without decimals; small ones with two."""
    if not known(value):
        return NONE
    return f"{value:,.2f}" if 0 < abs(value) < 100 else f"{value:,.0f}"


def share(value: Any) -> str:
    """A share of one: 12.3%."""
    if not known(value):
        return NONE
    return "<0.1%" if 0 < value < 0.0005 else f"{value:.1%}"


def number(value: Any) -> str:
    """A measurement with about three digits."""
    if not known(value):
        return NONE
    size = abs(value)
    if size >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    if size < 0.001:
        return f"{value:.1e}"
    return f"{value:,.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"


def signed(value: Any) -> str:
    """A difference: +1.20."""
    return f"{value:+.2f}" if known(value) else NONE


def times(value: Any) -> str:
    """A ratio: 1.4 ×."""
    return f"{value:,.1f} ×" if known(value) else NONE


def index(value: Any) -> str:
    """An index of a candidate: three decimals."""
    return f"{value:.3f}" if known(value) else NONE


def things(n: Any, one: str, many: str | None = None) -> str:
    """`3 customers`, `1 customer`."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def few(n: int, smallest: int) -> str:
    """How many customers, unless they are so few that it says too much of them."""
    return f"fewer than {smallest:,}" if 0 < n < smallest else f"{n:,}"


def listed(items: Sequence[str]) -> str:
    """`a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


# What a document is made of


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


# What the rows say, as every part of the page needs it


def min_group(published: Published) -> int:
    """Customers from which on a group may be told of."""
    return int(published.config.get("privacy", {}).get("min_group", 10))


def segments(published: Published) -> Rows:
    """Profiles of the segments: the most valuable first, then those of which nothing is told."""
    rows = [p for p in published.profiles if p["scheme"] == "clusters" and p["segment_id"] != _UNSEGMENTED]
    return sorted(
        rows,
        key=lambda p: (p["revenue"] is None, -float(p["revenue"] or 0), -p["customers"], p["segment_id"]),
    )


def told(published: Published) -> Rows:
    """The same without the suppressed."""
    return [p for p in segments(published) if not p["suppressed"]]


def everybody(published: Published) -> Row | None:
    """The profile of all who are in a segment."""
    return next((p for p in published.profiles if p["scheme"] == "everybody"), None)


def unsegmented(published: Published) -> int:
    """Customers without enough data to be in a segment."""
    rows = [p for p in published.profiles if p["scheme"] == "clusters"]
    return sum(p["customers"] for p in rows if p["segment_id"] == _UNSEGMENTED)


def stats_of(profile: Row) -> dict[str, Row]:
    """Feature → its statistics in one profile."""
    return {s["feature"]: s for s in profile["feature_stats"] or []}


def clustered(published: Published) -> list[str]:
    """Features of the clustering that some segment has figures of."""
    named = published.config.get("preparation", {}).get("features", {})
    seen = {feature for p in told(published) for feature in stats_of(p)}
    return [feature for feature in named if feature in seen]


def rows_read(published: Published) -> dict[str, int]:
    """Source → rows that were read of it, its tables together, as far as the run has counted them."""
    run = published.run
    rows: dict[str, int] = {}
    for source, _, _, n in run.inputs:
        name = source.partition(".")[0]
        if n is not None:
            rows[name] = rows.get(name, 0) + n
    told = {m.removeprefix(_ROWS): int(n) for m, n in run.metrics.items() if m.startswith(_ROWS)}
    return rows | told


def fidelity(published: Published) -> tuple[float | None, float]:
    """How often the rules place a customer as the model does, and how often they should."""
    wanted = published.config.get("explanations", {}).get("min_fidelity", 0.9)
    return published.run.metrics.get("surrogate_fidelity"), float(wanted)


def of_hundred(value: float) -> int:
    """Of 100 customers how many, never more than there are."""
    return math.floor(100 * value + 1e-9)


@dataclass(frozen=True)
class Moves:
    """Who went where since one former run: ways of enough customers, and all others together."""

    as_of: Any
    run_id: str
    ways: Rows
    others: int


def moves(published: Published) -> Moves | None:
    """Ways since the first run that this one is compared with; None without one.

    Ways of fewer customers than `min_group`, and those from or to a suppressed segment, are put together;
    so are the smallest others, until there are enough of them together.
    """
    if not published.migrations:
        return None
    first = published.migrations[0]
    hidden = _hidden(published)
    ways: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in published.migrations:
        if row["against_run_id"] != first["against_run_id"]:
            continue
        way = (row["from_segment_id"], row["to_segment_id"], row["kind"], row["cause"])
        former = ways.get(way)
        ways[way] = row if former is None else former | {"customers": former["customers"] + row["customers"]}
    order = sorted(ways.values(), key=lambda m: m["customers"])
    secret = [m for m in order if {m["from_segment_id"], m["to_segment_id"]} & hidden]
    shown, together = apart([m for m in order if m not in secret], min_group(published), secret)
    return Moves(first["against_as_of"], first["against_run_id"], shown[::-1], together)


def apart(rows: Rows, smallest: int, hidden: Rows | None = None) -> tuple[Rows, int]:
    """Rows of at least `smallest` customers, and how many customers the others have together.

    What one row hides can be worked out from a total. So further rows go with the hidden ones, the smallest
    first, until they have `smallest` customers together.
    """
    order = sorted(rows, key=lambda r: r["customers"])
    few_ = [r for r in order if r["customers"] < smallest]
    shown = order[len(few_) :]
    together = sum(r["customers"] for r in [*few_, *(hidden or [])])
    while 0 < together < smallest and shown:
        together += shown.pop(0)["customers"]
    return shown, together


# What may not be told


def discreet(published: Published) -> Published:
    """The same without anything that must not be told.

    Of suppressed segments only name, size, share and play are left, wherever they stand; figures of fewer
    than `min_group` customers are taken out.
    """
    hidden, smallest = _hidden(published), min_group(published)
    names = _hidden_names(published)
    drift = [_without_hidden(d, names) for d in published.drift if not _tells_of(d, names)]
    kept = {d["sentence"] for d in drift}
    picture = published.picture
    if picture is not None:
        picture = replace(picture, points=tuple(p for p in picture.points if p[2] not in hidden))
    return replace(
        published,
        profiles=[_profile(p, hidden, names, smallest) for p in published.profiles],
        rules=[
            r | ({"tested_precision": None} if (r["tested"] or 0) < smallest else {})
            for r in published.rules
            if r["segment_id"] not in hidden and r["customers"] >= smallest
        ],
        lineage=[_lineage(row, hidden, smallest) for row in published.lineage],
        alerts=[_alert(a, names) for a in published.alerts],
        drift=drift,
        decisions=[_decision(d, names, kept) for d in published.decisions],
        silhouettes=[
            s
            for s in published.silhouettes
            if s["segment_id"] not in hidden | {_UNSEGMENTED} and s["customers"] >= smallest
        ],
        picture=picture,
    )


def _hidden(published: Published) -> set[int]:
    return {p["segment_id"] for p in published.profiles if p["scheme"] == "clusters" and p["suppressed"]}


def _hidden_names(published: Published) -> tuple[str, ...]:
    return tuple(
        p["segment_name"]
        for p in published.profiles
        if p["scheme"] == "clusters" and p["suppressed"] and p["segment_id"] != _UNSEGMENTED
    )


_KEPT = ("scheme", "segment_id", "segment_name", "play", "customers", "suppressed", "customer_share")
_LISTS = ("differences", "sentences", "feature_stats", "kpis", "makeup", "rf_grid")


def _profile(row: dict[str, Any], hidden: set[int], names: Sequence[str], smallest: int) -> dict[str, Any]:
    lists: dict[str, Any] = {name: list(row.get(name) or []) for name in _LISTS}
    if row["suppressed"]:
        nothing: dict[str, Any] = dict.fromkeys(row) | {name: [] for name in _LISTS}
        return nothing | {name: row[name] for name in _KEPT}
    lists["feature_stats"] = [s for s in lists["feature_stats"] if (s["known"] or 0) >= smallest]
    for name in ("kpis", "makeup"):
        lists[name] = [x for x in lists[name] if x["customers"] is not None and x["customers"] >= smallest]
    if row["nearest_segment_id"] in hidden and row["scheme"] == "clusters":
        lists["feature_stats"] = [s | {"nearest_difference": None} for s in lists["feature_stats"]]
        lists["sentences"] = [s for s in lists["sentences"] if not _mentions(s, names)]
        return row | lists | {"nearest_segment_id": None, "nearest_segment_name": None}
    return row | lists


def _lineage(row: dict[str, Any], hidden: set[int], smallest: int) -> dict[str, Any]:
    secret = {row["from_segment_id"], row["to_segment_id"]} & hidden
    if not secret and (row["common"] is None or row["common"] >= smallest):
        return row
    return row | dict.fromkeys(("common", "share_of_from", "share_of_to", "overlap", "distance"))


def _alert(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    if row["subject"] not in names and not _mentions(row["sentence"], names):
        return row
    return row | {
        "sentence": f"{row['subject']} has too few customers to tell what was found ({row['kind']})"
    }


def _tells_of(row: Row, names: Sequence[str]) -> bool:
    """Does a measure tell more than the size of a suppressed segment?"""
    subject = str(row["subject"] or "")
    own = any(subject == name or subject.endswith(f" in {name}") for name in names)
    return own and (row["measure"] != "size_share" or subject not in names)


def _without_hidden(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    own = row["measure"] == "size_share" and row["subject"] in names
    return row if own or not _mentions(row["sentence"], names) else row | {"sentence": ""}


def _decision(row: dict[str, Any], names: Sequence[str], kept: set[str]) -> dict[str, Any]:
    lines = (row["reasons"] or "").splitlines()
    shown = [line for line in lines if line in kept or not _mentions(line, names)]
    if len(shown) < len(lines):
        shown.append("something about segments with too few customers to tell more of them")
    return row | {"reasons": "\n".join(shown)}


def _mentions(text: str | None, names: Sequence[str]) -> bool:
    return any(name in (text or "") for name in names)
