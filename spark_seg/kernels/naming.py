"""Names that stand for customers: one spelling for each id, and a keyed hash where nobody may read it."""

from __future__ import annotations

import hmac
import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

#: Bytes of a key below which guessing it is no longer out of the question (RFC 2104: the hash's own length
#: is best; NIST SP 800-107 asks for 112 bits at least).
SHORTEST_KEY = 16


@dataclass(frozen=True)
class Naming:
    """How ids of customers become the `customer_id` of everything that follows.

    `variable`: environment variable with the key of HMAC-SHA256; None: ids stay readable.
    """

    variable: str | None
    unicode: Literal["nfc", "keep"]
    case: Literal["keep", "lower", "upper"]

    @property
    def changes_text(self) -> bool:
        """May an id that is text get another name?"""
        return self.variable is not None or self.unicode != "keep" or self.case != "keep"

    def names(self, ids: Iterable[str | None]) -> list[str | None]:
        """The name of each id, None for None. Raises `KeyError` where the key is not there."""
        spelled = (None if i is None else self._spelled(i) for i in ids)
        if self.variable is None:
            return list(spelled)
        key = key_in(self.variable)
        return [None if i is None else hmac.digest(key, i.encode(), "sha256").hex() for i in spelled]

    def _spelled(self, one: str) -> str:
        cased = {"lower": one.lower, "upper": one.upper}.get(self.case, lambda: one)()
        # Last: another case may take an id apart again.
        return unicodedata.normalize("NFC", cased) if self.unicode == "nfc" else cased


def key_in(variable: str) -> bytes:
    """The key in an environment variable. Raises `KeyError` when it is not set, or too short."""
    key = os.environ.get(variable, "").encode()
    if len(key) < SHORTEST_KEY:
        raise KeyError(f"{variable} must hold a key of at least {SHORTEST_KEY} bytes here")
    return key
