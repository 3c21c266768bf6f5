"""Files of this room that are no code: templates, the style and the script of the page."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def asset(name: str) -> str:
    """The text of one of them, also where the package is a zip file on the path."""
    return resources.files("spark_seg.report").joinpath("templates", name).read_text(encoding="utf-8")
