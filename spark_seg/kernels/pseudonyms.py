"""Names that stand for persons: HMAC-SHA256 of their id, under a key that only the environment holds."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable

#: Bytes of a key below which guessing it is no longer out of the question (RFC 2104: the hash's own length
#: is best; NIST SP 800-107 asks for 112 bits at least).
SHORTEST_KEY = 16


def key_in(variable: str) -> bytes:
    """The key in an environment variable. Raises `KeyError` when it is not set, or too short."""
    key = os.environ.get(variable, "").encode()
    if len(key) < SHORTEST_KEY:
        raise KeyError(f"{variable} must hold a key of at least {SHORTEST_KEY} bytes here")
    return key


def pseudonyms(ids: Iterable[str | None], variable: str) -> list[str | None]:
    """64 hexadecimal digits for each id, None for None; the key is in the environment as `variable`."""
    key = key_in(variable)
    return [None if i is None else hmac.digest(key, i.encode(), "sha256").hex() for i in ids]
