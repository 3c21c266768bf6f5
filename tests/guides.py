"""The guides as tests see them: their blocks, links, headings and code spans."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import docs
import typer

from spark_seg.cli import app

REPOSITORY = Path(__file__).parents[1]


#: Every guide, by its path in the repository.
GUIDES = {str(path.relative_to(REPOSITORY)): path.read_text("utf-8") for path in docs.GUIDES}

_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (.*) -->\n\Z")
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block. `note`: the comment right above it."""

    guide: str
    line: int
    language: str
    text: str
    note: str

    def __str__(self) -> str:
        return f"{self.guide}:{self.line}-{self.language or 'none'}"


def blocks() -> Iterator[Block]:
    """Every fenced block of every guide."""
    for guide, text in GUIDES.items():
        for found in _FENCE.finditer(text):
            above = _COMMENT.search(text[: found.start()])
            line = text[: found.start()].count("\n") + 1
            content = re.sub(f"^{found[1]}", "", found[3], flags=re.MULTILINE)
            yield Block(guide, line, found[2].strip(), content, above[1] if above else "")


def prose(guide: str) -> str:
    """A guide without its blocks."""
    return _FENCE.sub("", GUIDES[guide])


def spans(guide: str) -> list[str]:
    """What stands in code within sentences and tables."""
    return [span.replace("\\|", "|") for span in _SPAN.findall(prose(guide))]


def links(guide: str) -> list[str]:
    """Targets of links and pictures, but for those of other sites."""
    return [target for target in _LINK.findall(prose(guide)) if not target.startswith("https://")]


def anchors(guide: str) -> set[str]:
    """What GitHub calls the headings of a guide."""
    plain = [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in _HEADING.findall(prose(guide))]
    before = [plain[:i].count(name) for i, name in enumerate(plain)]
    return {f"{name}-{n}" if n else name for name, n in zip(plain, before, strict=True)}


@cache
def commands() -> dict[str, Any]:
    """Commands of `spark-seg` by their full names."""
    return dict(docs.every_command(typer.main.get_command(app)))


def command_of(words: list[str]) -> tuple[str, list[str]]:
    """The command that `words` call, and its arguments. Underscores may stand for dashes."""
    for count in (2, 1):
        name = " ".join(words[:count]).replace("_", "-")
        if name in commands():
            return name, words[count:]
    raise AssertionError(f"spark-seg {' '.join(words)}: no such command; known: {', '.join(commands())}")


def options_of(name: str) -> set[str]:
    """Options of a command, and those that may stand anywhere."""
    anywhere: Any = typer.main.get_command(app)
    return {option for parameter in (*commands()[name].params, *anywhere.params) for option in parameter.opts}
