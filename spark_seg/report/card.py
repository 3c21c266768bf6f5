"""The model card: what the model is for, what it was made from, how good it is, and where it ends.

One list of facts, which the page shows as HTML and `card` writes as Markdown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from spark_seg.report.blocks import Section
from spark_seg.report.chapters import limits, model, purpose
from spark_seg.report.discreet import discreet
from spark_seg.report.markdown import markdown
from spark_seg.report.published import Published
from spark_seg.report.words import foreign

_CHAPTERS: tuple[tuple[str, str, Callable[[Published], Iterator[Any]]], ...] = (
    ("purpose", "Purpose and intended use", purpose.purpose),
    ("data", "Data", purpose.data),
    ("features", "Features and their preparation", purpose.features),
    ("algorithm", "Algorithm and parameters", model.algorithm),
    ("selection", "Why this candidate", model.selection),
    ("stability", "Stability", model.stability),
    ("explanation", "How well rules stand for the model", model.explanation),
    ("limits", "Known limits", limits.limits),
    ("fairness", "Fairness", limits.fairness),
    ("privacy", "Privacy", limits.privacy),
    ("versions", "Versions", model.versions),
)


def card(published: Published) -> str:
    """The model card as Markdown. Texts that come from data or configuration are text in it, nothing else."""
    pipeline = foreign(published.config.get("pipeline", "this segmentation"))
    return markdown(f"Model card of {pipeline} as of {published.run.as_of}", chapters(published))


def chapters(published: Published) -> tuple[Section, ...]:
    """The facts of the card, a section for each question."""
    seen = discreet(published)
    return tuple(Section(f"card-{name}", title, tuple(blocks(seen))) for name, title, blocks in _CHAPTERS)
