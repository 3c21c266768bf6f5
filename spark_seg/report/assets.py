"""Files of this room that are no code: templates, the style and the script of the page."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined


@cache
def asset(name: str) -> str:
    """The text of one of them, also where the package is a zip file on the path."""
    return resources.files("spark_seg.report").joinpath("templates", name).read_text(encoding="utf-8")


def environment(autoescape: bool, finalize: Callable[[Any], Any], **more: Any) -> Environment:
    """An environment of templates that stand there. `finalize`: what becomes of every value that is shown."""
    return Environment(
        loader=FunctionLoader(asset),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=autoescape,  # noqa: S701 - the callers say how they escape
        finalize=finalize,
        **more,
    )
