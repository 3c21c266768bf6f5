"""Numbers, names and sentences as the text that a report shows."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

#: Stands where there is no figure.
NONE = "–"
#: First strong isolate and its end: a text between them has its own direction. The page writes them as <bdi>.
ISOLATE, POP = "\u2068", "\u2069"
_FORMAT = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]")


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


def given(value: object) -> str:
    """The same as `foreign`; a dash where there is nothing."""
    return NONE if value is None else foreign(value)


def capital(text: str) -> str:
    """With a capital at its beginning."""
    return text[:1].upper() + text[1:]


def sentence(text: object) -> str:
    """A text from elsewhere as a sentence; of nothing, nothing."""
    shown = clean(text or "")
    if not shown:
        return ""
    return foreign(capital(shown if shown[-1] in ".!?" else f"{shown}."))


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
