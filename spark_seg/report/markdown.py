"""Sections → Markdown. What comes from data or configuration is text in it, nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from jinja2 import Template

from spark_seg.report.assets import environment
from spark_seg.report.blocks import Section
from spark_seg.report.words import bare

#: What begins markup, also in dialects that take formulas, mentions and bare addresses.
_MARKUP = re.compile(r"[\\`*\[\]{}|~$@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?i:(?<=\bmailto)|(?<=\bxmpp)):")
_ADDRESS = re.compile(r"(?i)\b(www)\.")
_BEGINS = re.compile(r"^(\d{1,9})(?=[.)](\s|$))|^(?=#|[-+](\s|$)|[-=]{2})")


def markdown(title: str, sections: Sequence[Section]) -> str:
    """A document with a title and sections of texts, lists and tables."""
    return _template().render(title=title, sections=sections)


def escaped(text: object) -> str:
    """A text that Markdown and HTML show as it is: no markup, link, picture or column begins in it."""
    shown = bare(str(text)).replace("\n", " ")
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    shown = _MARKUP.sub(r"\\\g<0>", shown)
    shown = _ADDRESS.sub(r"\1\\.", shown)
    return _BEGINS.sub(lambda m: f"{m[1] or ''}\\", shown)


@cache
def _template() -> Template:
    # Markdown has its own filter: to escape for HTML as well would show the entities.
    made = environment(autoescape=False, finalize=escaped, keep_trailing_newline=True)
    return made.get_template("card.md.j2")
