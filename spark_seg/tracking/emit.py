"""OpenLineage events → a file of this machine, or whoever listens at an address."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from spark_seg.errors import SegmentationError

#: Variable with the key of a receiver that asks for one.
API_KEY = "OPENLINEAGE_API_KEY"
#: Where receivers listen, unless the address says otherwise.
_PATH = "/api/v1/lineage"
_TRIES, _TIMEOUT = 3, 10.0


def emit(events: Sequence[dict[str, Any]], to: str, pause: float = 1.0) -> None:
    """Add the events that are missing to the file `to`, or post all of them to the address `to`.

    `pause`: seconds before another try. Raises `SegmentationError` when they do not get there.
    """
    lines = [json.dumps(event, ensure_ascii=False) for event in events]
    if to.startswith(("http:", "https:")):
        address = to if urlsplit(to).path.strip("/") else f"{to.rstrip('/')}{_PATH}"
        for line in lines:
            _post(address, line, pause)
    else:
        _add(Path(to.removeprefix("file:")), lines)


def _add(file: Path, lines: Sequence[str]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a+", encoding="utf-8") as stream:
            stream.seek(0)
            held = {line.rstrip("\n") for line in stream}
            # One write, so that lines of others who add to it stay whole.
            stream.write("".join(f"{line}\n" for line in lines if line not in held))
    except (OSError, UnicodeDecodeError) as error:
        raise SegmentationError(
            f"tracking.openlineage.to: must be a file that can be added to at {file}; got "
            f"{type(error).__name__}. Name another one"
        ) from error


class _NoRedirects(HTTPRedirectHandler):
    """A redirected POST would arrive as a GET, without what it says."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """None: the answer is taken as it is."""


def _post(address: str, line: str, pause: float) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    key = os.environ.get(API_KEY)
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = Request(address, line.encode(), headers, method="POST")  # noqa: S310 - held to http and https
    opener = build_opener(_NoRedirects)
    got = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(pause * attempt)
        try:
            with opener.open(request, timeout=_TIMEOUT):
                return
        except HTTPError as error:
            got = f"status {error.code}"
            if error.code < 500 and error.code != 429:
                break
        except (OSError, HTTPException, ValueError) as error:
            got = type(getattr(error, "reason", error)).__name__
    raise SegmentationError(
        f"tracking.openlineage.to: must take events at {address}; got {got}. Look whether it is there, "
        f"and whether it asks for a key ({API_KEY})"
    )
