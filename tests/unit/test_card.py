"""The model card: the same facts in Markdown and on the page, and texts that stay texts."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pages
import pytest
from test_page import planted, variant

from spark_seg.report.blocks import Bullets, Table, Text
from spark_seg.report.card import card, chapters
from spark_seg.report.markdown import escaped
from spark_seg.report.words import bare, clean, share

CHAPTERS = (
    "Purpose and intended use", "Data", "Features and their preparation", "Algorithm and parameters",
    "Why this candidate", "Stability", "How well rules stand for the model", "Known limits", "Fairness",
    "Privacy", "Versions",
)  # fmt: skip


def plain(text: str) -> str:
    """Markdown as a reader sees it."""
    text = re.sub(r"\\([^\w\s]|_)", r"\1", text)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text


def chapter(text: str, title: str) -> str:
    return plain(re.split(r"^## ", text, flags=re.MULTILINE)[CHAPTERS.index(title) + 1])


@pytest.mark.parametrize("name", pages.VARIANTS)
def test_every_run_has_every_chapter_with_something_in_it(name: str) -> None:
    text = card(pages.VARIANTS[name]())
    assert tuple(re.findall(r"^## (.*)$", text, flags=re.MULTILINE)) == CHAPTERS
    assert all(len(part.strip().splitlines()) > 1 for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    # Tables have as many cells in each row as in their head, whatever is in them.
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


@pytest.mark.parametrize("name", pages.VARIANTS)
def test_the_page_shows_the_same_facts(name: str) -> None:
    text, shown = plain(card(pages.VARIANTS[name]())), variant(name).of("card")
    for section in chapters(pages.VARIANTS[name]()):
        for block in section.blocks:
            match block:
                case Text(said):
                    facts = [said]
                case Bullets(items):
                    facts = list(items)
                case Table(rows=rows):
                    facts = [cell.text for row in rows for cell in row]
            for fact in facts:
                assert clean(fact) in shown
                assert bare(fact) in text


def test_numbers_are_those_of_the_rows() -> None:
    published = pages.typical()
    text = card(published)
    purpose = chapter(text, "Purpose and intended use")
    for p in published.profiles[:4]:
        row = f"| {p['segment_name']} | {p['segment_id']} | {p['description']} | {p['play']} | "
        assert row + f"{p['customers']:,} | {share(p['customer_share'])} |" in purpose
    data = chapter(text, "Data")
    assert "from 2017-01-01 to the day before 2018-01-01 (365 days)" in data
    for source, table, version, rows in published.run.inputs:
        assert f"| {source} | {table} | {version} | {rows:,} |" in data
    chosen = next(c for c in published.candidates if c["chosen"])
    selection = chapter(text, "Why this candidate")
    assert f"{len(published.candidates)} candidates were measured; 4 of them" in selection
    assert f"| silhouette (-1 to 1, high is good) | {chosen['silhouette']:.3f} |" in selection
    assert "- kmeans k=2: Fewer than 3 segments." in selection
    assert "| max_segment_share | 0.4 |" in selection
    stability = chapter(text, "Stability")
    assert f"agree with the model to {chosen['agreement']:.2f}" in stability
    assert f"keeps {share(chosen['weakest'])} of itself" in stability
    assert "The former model agrees with this one to 0.88" in stability
    assert "they place 94 as the model does" in chapter(text, "How well rules stand for the model")
    algorithm = chapter(text, "Algorithm and parameters")
    assert "| algorithm | kmeans |" in algorithm and "| k | 4 |" in algorithm and "| seed | 42 |" in algorithm


def test_limits_follow_from_the_figures() -> None:
    start = pages.approximate()
    rough = [s | {"negative": 0.31} if s["segment_id"] == 1 else s for s in start.silhouettes]
    candidates = [c | {"weakest": 0.64} if c["chosen"] else c for c in start.candidates]
    metrics = start.run.metrics | {"silhouette": 0.21}
    limits = chapter(
        card(
            replace(
                start,
                run=replace(start.run, metrics=metrics),
                silhouettes=rough,
                candidates=candidates,
                config=pages.config(selection={"pick": "kmeans:4"}),
                profiles=[*start.profiles, pages.outside(37)],
            )
        ),
        "Known limits",
    )
    for sentence in (
        "Faint groups: at k=4",
        "The mean silhouette is 0.210",
        "31.0% of loyal_customers are nearer to another segment.",
        "keeps only 64.0% of itself in refits; 75.0%",
        "they place 73 as the model does, and 90 are wanted.",
        "picked by hand: kmeans:4.",
        "Not enough data to be in a segment: 37 customers.",
    ):
        assert sentence in limits
    fine = replace(
        start.run, structure="clear groups", metrics=start.run.metrics | {"surrogate_fidelity": 0.95}
    )
    none = card(replace(start, run=fine, trained=fine))
    assert "The figures of this run point to none." in chapter(none, "Known limits")


def test_fairness_is_told_or_said_not_to_have_been_looked_at() -> None:
    start = pages.typical()
    assert "so fairness was not looked at" in chapter(card(start), "Fairness")
    protected = pages.config(monitoring={"protected": ["age"], "benefit_segments": ["loyal_customers"]})
    assert "no measures of them" in chapter(card(replace(start, config=protected)), "Fairness")
    drift = [
        pages.drift("size_share", "age=45-54 in lapsed", 0.3, threshold=None, breached=False, sentence="30%"),
        pages.drift("size_share", "lapsed", 0.1111, sentence="not of an attribute"),
        pages.drift(
            "four_fifths", "age=19-24 in loyal_customers", 0.61, breached=True, sentence="ratio 0.61"
        ),
        pages.drift("proxy", "monetary by age", 0.05, sentence="5% of the variance"),
    ]
    told = chapter(card(replace(start, config=protected, drift=drift)), "Fairness")
    assert (
        "| four_fifths | age=19-24 in loyal_customers | 0.610 | – | 0.250 | breached | ratio 0.61 |" in told
    )
    assert told.index("four_fifths") < told.index("size_share")
    assert "age=45-54 in lapsed" in told and "monetary by age" in told
    assert "not of an attribute" not in told


def test_privacy_measures_are_those_of_the_run() -> None:
    start = pages.typical()
    assert "ids of customers as the sources have them" in chapter(card(start), "Privacy")
    keyed = pages.config(
        privacy={"key": "env:KEY", "key_id": "first", "raw_ids": False, "min_group": 25},
        sources={"consents": [{"path": "/lake/consents"}]},
    )
    rejects = (("orders", "no_consent", 1_234), ("events", "no_consent", 6), ("orders", "erased", 7))
    own = replace(start.run, rejects=rejects)
    told = chapter(card(replace(start, run=own, config=keyed)), "Privacy")
    assert "made by the key first" in told
    assert "fewer than 25 customers" in told
    assert "1,240 rows were left out" in told
    assert "7 rows of persons who asked to be erased" in told


def test_of_suppressed_segments_the_card_tells_nothing_more() -> None:
    text = plain(card(planted()))
    for leak in ("98765", "98,765", "98.8%", "secret"):
        assert leak not in text
    assert "Of 2 segments only the size is told" in text


INERT: list[tuple[str, str]] = [
    ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
    ("a | b", r"a \| b"),
    ("`code`", r"\`code\`"),
    ("[a](http://x.example)", r"\[a\](http\://x.example)"),
    ("![i](//x.example/i.png)", r"!\[i\](//x.example/i.png)"),
    ("<https://x.example>", r"&lt;https\://x.example&gt;"),
    ("www.x.example", r"www\.x.example"),
    ("mailto:a@x.example", r"mailto\:a\@x.example"),
    ("*bold* __strong__ ~~gone~~", r"\*bold\* \_\_strong\_\_ \~\~gone\~\~"),
    ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
    ("# title", r"\# title"),
    ("- item", r"\- item"),
    ("1. item", r"1\. item"),
    ("---", r"\---"),
    ("back\\slash", r"back\\slash"),
    ("{{7*7}}", r"\{\{7\*7\}\}"),
    ("loyal_customers -1.5 30.1%", "loyal_customers -1.5 30.1%"),
]


@pytest.mark.parametrize(("text", "written"), INERT)
def test_texts_begin_no_markup(text: str, written: str) -> None:
    assert escaped(text) == written
    assert plain(written) == text


def test_case_45_hostile_names_are_inert_in_the_card() -> None:
    text = card(pages.hostile())
    assert not re.search(r"<[a-z/!]", text)
    assert not re.search(r"(?<!\\)[`\[\]*]", text)
    assert "http://" not in text
    shown = plain(text)
    for name in pages.HOSTILE:
        assert bare(clean(name)) in re.sub("[\u2068\u2069]", "", shown)


def test_texts_with_line_breaks_stay_in_their_line() -> None:
    def with_play(play: str) -> Any:
        start = pages.first()
        return replace(start, profiles=[p | {"play": play} for p in start.profiles])

    one, other = (card(with_play(play)).count("\n") for play in ("a", "a\n\n# b\n- c\r\nd"))
    assert one == other
    assert "\n" not in escaped("a\n# b")
