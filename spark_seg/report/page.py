"""The page of a run: one HTML file that explains itself, needs no network, and tells of no single person."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from spark_seg.report.assets import asset, environment
from spark_seg.report.blocks import Section
from spark_seg.report.card import chapters
from spark_seg.report.discreet import discreet
from spark_seg.report.published import Published
from spark_seg.report.sections import changes, choice, data, differences, happened, segments
from spark_seg.report.words import ISOLATE, POP, clean, foreign

_SECTIONS: tuple[tuple[str, str, Callable[[Published], Iterable[Any]]], ...] = (
    ("happened", "What happened", happened.happened),
    ("segments", "Segments by size and value", segments.sizes),
    ("who", "Who they are", segments.who),
    ("compared", "How they differ", differences.compared),
    ("pictured", "Customers in two dimensions", differences.pictured),
    ("grid", "Recency and frequency", differences.grid),
    ("choice", "How k was chosen", choice.choice),
    ("silhouettes", "How well customers fit their segments", choice.silhouettes),
    ("changes", "What changed since the last run", changes.changes),
    ("quality", "Data quality", data.quality),
    ("card", "Model card", chapters),
    ("reproduce", "How to reproduce it", data.reproduced),
)


def page(published: Published) -> str:
    """The whole page. It asks for nothing from elsewhere, and runs no script but its own."""
    seen = discreet(published)
    sections = tuple(Section(name, title, tuple(blocks(seen))) for name, title, blocks in _SECTIONS)
    # Parsers of HTML read any line end as one character: a digest must be of that.
    scripts = [text.replace("\r\n", "\n").replace("\r", "\n") for text in (_plotly(), asset("page.js"))]
    pipeline = clean(published.config.get("pipeline", "customers"))
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=f"Segments of {foreign(pipeline)} as of {published.run.as_of}",
            run=published.run,
            sections=sections,
            style=Markup(asset("style.css")),  # noqa: S704 - a file of this package
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - files of packages, not of data
            policy=_policy(scripts),
        )
    )


def _policy(scripts: list[str]) -> str:
    """What a browser may load and run: these scripts, whatever else the page came to hold."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    own = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {own}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]  # noqa: PLC0415 - slow to import

    script: str = get_plotlyjs()
    return script


@cache
def _environment() -> Environment:
    made = environment(autoescape=True, finalize=_isolated)
    made.filters["plain"] = lambda text: text.replace(ISOLATE, "").replace(POP, "")
    made.filters["clean"] = clean
    made.filters["inert"] = Markup  # JSON in which `inert_json` has left no markup
    return made


def _isolated(value: Any) -> Any:
    """Text with the isolates of `foreign` as elements, which browsers lay out by their own direction."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    shown = str(escape(value)).replace(ISOLATE, "<bdi>").replace(POP, "</bdi>")
    # A long name breaks where its words end.
    shown = re.sub("<bdi>[^<]*</bdi>", lambda found: found[0].replace("_", "_<wbr>"), shown)
    return Markup(shown)  # noqa: S704 - escaped in the line before
