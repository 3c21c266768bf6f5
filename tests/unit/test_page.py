"""The page of a run: what it shows, what it must not show, and that nothing in it can run or be fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pages
import pytest

from spark_seg.report import Published
from spark_seg.report.discreet import discreet
from spark_seg.report.facts import apart, segments, told
from spark_seg.report.figures import COLOURS, diverging, inert_json, sequential, styles
from spark_seg.report.page import page
from spark_seg.report.words import clean, count, money, number, share, signed, things

SECTIONS = (
    "happened", "segments", "who", "compared", "pictured", "grid", "choice", "silhouettes", "changes",
    "quality", "card", "reproduce",
)  # fmt: skip
VOID = {"meta", "link", "br", "path"}
OWN_TAGS = frozenset(
    [
        "a",
        "article",
        "bdi",
        "body",
        "br",
        "caption",
        "code",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "head",
        "header",
        "html",
        "i",
        "li",
        "link",
        "main",
        "meta",
        "nav",
        "noscript",
        "ol",
        "p",
        "path",
        "pre",
        "script",
        "section",
        "small",
        "span",
        "style",
        "summary",
        "svg",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
    ]
)


@dataclass
class Read(HTMLParser):
    """A page as a parser has it: tags with attributes, texts, scripts, and tables by caption."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    scripts: list[tuple[dict[str, str | None], str]] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)
    under: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.caption = ""
        self.section = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section" and dict(attrs).get("class") == "part":
            self.section = str(dict(attrs)["id"])
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        elif tag == "caption":
            self.caption = ""
        elif tag == "tr":
            self.tables.setdefault(self.caption, []).append([])
        elif tag in ("td", "th"):
            self.tables[self.caption][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            attrs, before = self.scripts[-1]
            self.scripts[-1] = (attrs, before + data)
            return
        if "style" in self.open or "noscript" in self.open:
            return
        self.texts.append(data)
        self.under.setdefault(self.section, []).append(data)
        if "caption" in self.open:
            self.caption += data
        elif "td" in self.open or "th" in self.open:
            self.tables[self.caption][-1][-1] += data

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))

    def of(self, section: str) -> str:
        """The text of one section."""
        return re.sub(r"\s+", " ", "".join(self.under.get(section, ())))

    @property
    def specs(self) -> dict[str, Any]:
        """Figure → its specification."""
        data = [(a, text) for a, text in self.scripts if a.get("type") == "application/json"]
        return {str(a["id"]).removeprefix("spec-"): json.loads(text) for a, text in data}


def read(published: Published) -> Read:
    found = Read()
    # Where a long name may break is none of its text.
    found.feed(page(published).replace("<wbr>", ""))
    found.close()
    assert not found.open
    return found


@cache
def variant(name: str) -> Read:
    return read(pages.VARIANTS[name]())


every = pytest.mark.parametrize("name", pages.VARIANTS)


@every
def test_every_run_has_every_section_with_something_in_it(name: str) -> None:
    found = variant(name)
    parts = [a["id"] for tag, a in found.tags if tag == "section" and a.get("class") == "part"]
    assert tuple(parts) == SECTIONS
    for section in SECTIONS:
        assert len(found.of(section)) > 40, section
    links = [a["href"] for tag, a in found.tags if tag == "a" and a.get("class") != "skip"]
    assert links == [f"#{s}" for s in SECTIONS]


@every
def test_the_page_asks_for_nothing_and_names_every_script_it_runs(name: str) -> None:
    text = page(pages.VARIANTS[name]())
    assert len(text.encode()) < 6_000_000
    found = variant(name)
    for tag, attributes in found.tags:
        assert tag in OWN_TAGS, tag
        for attribute, value in attributes.items():
            assert not attribute.startswith("on")
            if attribute in ("src", "href", "srcset", "action", "data", "poster"):
                assert (value or "").startswith(("#", "data:"))
    (policy,) = (str(a["content"]) for _, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "'unsafe-" not in rules["script-src"]
    run = [script for attributes, script in found.scripts if attributes.get("type") != "application/json"]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in run]
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    assert len(run) == 2
    assert not any(re.search(r"url\(|@import", a.get("style") or "") for _, a in found.tags)


@every
def test_every_figure_has_a_name_and_a_specification_that_is_json(name: str) -> None:
    found = variant(name)
    plots = [a for tag, a in found.tags if a.get("class") == "plot"]
    assert all(a["role"] == "img" and a["aria-label"] for a in plots)
    assert [str(a["id"]).removeprefix("plot-") for a in plots] == list(found.specs)
    heads = [a for tag, a in found.tags if tag == "th"]
    assert all(a.get("scope") in ("col", "row") for a in heads)
    ids = [a["id"] for _, a in found.tags if "id" in a]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for v in value.values():
            yield from strings(v)
    elif isinstance(value, list):
        for v in value:
            yield from strings(v)


@pytest.mark.parametrize("hostile", pages.HOSTILE)
def test_case_45_hostile_names_are_shown_and_are_nothing_but_text(hostile: str) -> None:
    found = variant("hostile")
    assert clean(hostile) in found.of("segments")
    assert clean(hostile) in found.of("who")
    assert {tag for tag, _ in found.tags} <= OWN_TAGS
    assert "49" not in clean(hostile)  # what {{7*7}} would become


def test_plotly_gets_no_markup_but_ours() -> None:
    found = variant("hostile")
    for text in strings(found.specs):
        assert set(re.findall(r"</?[a-z]+", text)) <= {"<br", "<b", "</b", "<extra", "</extra"}, text
        assert "<b>bold" not in text
    names = found.specs["treemap"]["data"][0]["labels"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in names
    assert max(map(len, names)) < 60


def test_json_ends_no_script_and_holds_no_figure_that_json_lacks() -> None:
    text = inert_json({"</script>": [float("nan"), float("inf"), "\u2028\u2029 & <!--"], "n": Decimal("1.5")})
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"</script>": [None, None, "\u2028\u2029 & <!--"], "n": 1.5}


def test_control_characters_and_marks_of_direction_do_not_reach_the_page() -> None:
    text = page(pages.hostile()).split("<script>")[0]  # plotly has a few itself
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", text)
    assert re.search(r"<bdi>קונים נאמנים exe\.live</bdi>", text)
    broken = replace(pages.first(), warnings=("half a character \ud800",))
    assert "half a character \ufffd" in page(broken).encode().decode()


# What must not be told

SECRET = 987_654_321


def planted() -> Published:
    """Figures of two suppressed segments, with the digits 98765 or the word secret, wherever they can be."""
    start = pages.partly_suppressed()
    hidden = (2, 4)

    def figures(p: dict[str, Any]) -> dict[str, Any]:
        return p | {
            "description": "secret description",
            "revenue": Decimal(SECRET),
            "revenue_share": 0.98765,
            "engagement_share": 0.98765,
            "differences": ["secret difference"],
            "sentences": ["secret sentence"],
            "nearest_segment_name": "secret nearest",
            "feature_stats": [
                s | dict.fromkeys(("mean", "median", "p10", "p90", "lift", "difference", "position"), 98765.4)
                for s in p["feature_stats"]
            ],
            "kpis": [{"kpi": "secret kpi", "value": 0.98765, "customers": 98765}],
            "makeup": [
                {"attribute": "secret", "value": "secret", "customers": 98765, "share": 0.9, "lift": 9}
            ],
        }

    def own(p: dict[str, Any]) -> bool:
        return p["scheme"] == "clusters" and p["segment_id"] in hidden

    near = {"nearest_segment_id": 2, "nearest_segment_name": "need_attention"}
    unlike = ["Unlike need_attention, who spend 98765, they come often."]
    picture = pages.picture((1, 2, 3, 4), 2469)
    points = tuple((98765.4, y, i) if i in hidden else (x, y, i) for x, y, i in picture.points)
    silhouettes = [
        s | {"p5": -0.98765, "negative": 0.98765} if s["segment_id"] in hidden else s
        for s in start.silhouettes
    ]
    return replace(
        start,
        profiles=[
            figures(p) if own(p) else p | near | {"sentences": unlike} if p["segment_id"] == 1 else p
            for p in start.profiles
        ],
        rules=[r | {"text": "secret rule", "condition": "secret"} if r["segment_id"] in hidden else r
               for r in start.rules],
        silhouettes=silhouettes,
        picture=replace(picture, points=points),
        migrations=[m | {"customers": 98765} if (m["from_segment_id"], m["to_segment_id"]) == (2, 2) else m
                    for m in start.migrations],
        lineage=[pages.lineage("survived", 2, 2, common=98765, share_of_from=0.98765)],
        alerts=[
            {"kind": "engagement", "subject": "lapsed", "sentence": "secret engagement of lapsed is 98765"},
            {"kind": "psi", "subject": "frequency", "sentence": "frequency: 98765 in need_attention"},
        ],
        drift=[
            pages.drift("revenue_share", "lapsed", 0.98765, sentence="secret revenue of lapsed"),
            pages.drift("four_fifths", "age=45-54 in lapsed", 0.98765, sentence="secret ratio in lapsed"),
            pages.drift("psi", "monetary", 0.3),
        ],
        decisions=[start.decisions[0] | {"reasons": "secret revenue of lapsed\nPSI of monetary is 0.30"}],
    )  # fmt: skip


def test_of_suppressed_segments_only_name_size_share_and_play_are_told() -> None:
    published = planted()
    found = read(published)
    for leak in ("98765", "987,65", "987.65", "98,765", "98.8%", "0.988", "secret"):
        assert leak not in found.text, leak
        assert not any(leak in text for text in strings(found.specs)), leak
        assert not any(leak in str(v) for _, a in found.tags for v in a.values()), leak
    assert "98765" not in json.dumps(found.specs)
    rows = {row[0]: row for row in found.tables["Segments, the most valuable first"]}
    assert rows["need_attention"] == ["need_attention", "620", "25.1%", "–", "–", "–", "–",
                                      "grow: loyalty tiers, cross-sell from their top category"]  # fmt: skip
    for figure in ("picture", "snake"):
        assert {t["name"] for t in found.specs[figure]["data"]} == {"loyal_customers", "light_regulars"}
    assert "PSI of monetary is 0.30" in found.of("happened")
    assert "A sample of 120 of 2,469 customers" in found.of("pictured")
    assert {r["segment_id"] for r in discreet(published).rules} == {1, 3}


def test_ways_of_few_customers_are_put_together() -> None:
    found = variant("typical")
    rows = found.tables["Who went where, the largest ways first"][1:]
    assert min(int(row[4].replace(",", "")) for row in rows) >= 10
    # 6 and 3 make nine, from which a total would give both away: the next way, of 15, goes with them.
    assert "Other moves: 24 customers" in found.of("changes")
    assert [row[4] for row in rows][:3] == ["61", "52", "43"]
    flows = found.specs["sankey"]["data"][0]["link"]["value"]
    assert sum(flows) == sum(int(row[4].replace(",", "")) for row in rows)


@pytest.mark.parametrize(
    ("sizes", "shown", "together"),
    [([5, 3, 20, 30], [30], 28), ([20, 30], [20, 30], 0), ([5, 6, 20], [20], 11), ([3], [], 3), ([], [], 0)],
)
def test_what_is_hidden_cannot_be_worked_out(sizes: list[int], shown: list[int], together: int) -> None:
    rows, others = apart([{"customers": n} for n in sizes], 10)
    assert [r["customers"] for r in rows] == shown
    assert others == together


def test_small_cells_of_the_grid_are_put_together() -> None:
    start = pages.first()
    rows = [dict(p) for p in start.profiles]
    row = next(p for p in rows if p["scheme"] == "everybody")
    row["rf_grid"] = [c | ({"customers": 7} if (c["r"], c["f"]) == (1, 1) else {}) for c in row["rf_grid"]]
    found = read(replace(start, profiles=rows))
    grid = found.tables["Customers by recency and frequency score"]
    # 7 alone would follow from the total: the next smallest cells go with it.
    assert grid[-1][:3] == ["R 1", "–", "–"]
    assert "62 customers are in cells that are too small" in found.of("grid")


# What must be told


def test_coverage_is_told_of_features_and_attributes() -> None:
    row = next(p for p in pages.first().profiles if p["scheme"] == "everybody")
    told = variant("first").tables["Coverage: share of customers who have a value"][1:]
    known = {s["feature"]: s["known"] for s in row["feature_stats"]}
    expected = known | {"age": 60 + 30, "home": 55}
    assert {name: customers for name, customers, _ in told} == {n: count(k) for n, k in expected.items()}
    assert {name: part for name, _, part in told}["home"] == share(55 / row["customers"])


def test_numbers_are_those_of_the_rows() -> None:
    published, found = pages.typical(), variant("typical")
    rows = {row[0]: row for row in found.tables["Segments, the most valuable first"]}
    for p in segments(published):
        assert rows[p["segment_name"]][1:6] == [
            count(p["customers"]),
            share(p["customer_share"]),
            money(p["revenue"]),
            share(p["revenue_share"]),
            money(float(p["revenue"]) / p["customers"]),
        ]
        stats = {r[0]: r for r in found.tables[f"{p['segment_name']}, feature by feature"]}
        for s in p["feature_stats"]:
            assert stats[s["feature"]][2] == number(s["median"])
            assert stats[s["feature"]][7] == signed(s["difference"])
    candidates = {row[0]: row for row in found.tables["All candidates, the chosen one first"]}
    for c in published.candidates:
        assert candidates[f"{c['algorithm']} k={c['k']}"][2] == f"{c['silhouette']:.3f}"
    assert list(candidates)[1] == "kmeans k=4"
    heat = {row[0]: row[1:] for row in next(t for n, t in found.tables.items() if n.startswith("Difference"))}
    order = told(published)
    assert heat["monetary *"] == [signed(p["feature_stats"][2]["difference"]) for p in order]


def test_the_figures_are_those_of_the_rows() -> None:
    published, specs = pages.typical(), variant("typical").specs
    order = told(published)
    for trace, p in zip(specs["snake"]["data"], order, strict=True):
        assert trace["y"] == pytest.approx([s["difference"] for s in p["feature_stats"][:4]])
    assert specs["treemap"]["data"][0]["values"] == [p["customers"] for p in order]
    assert sum(len(t["x"]) for t in specs["picture"]["data"]) == len(published.picture.points)  # type: ignore[union-attr]
    boxes = [t for t in specs["silhouette"]["data"] if t["type"] == "box"]
    assert sorted(t["median"][0] for t in boxes) == sorted(s["median"] for s in published.silhouettes)
    assert [k for k in specs if k.startswith("choice-")] == [
        "choice-silhouette", "choice-davies-bouldin", "choice-calinski-harabasz", "choice-cost",
        "choice-agreement", "choice-weakest",
    ]  # fmt: skip


def test_the_first_sentences_say_what_happened() -> None:
    said = variant("typical").of("happened")
    assert "As of 2018-01-01 2,469 customers are in 4 segments, by kmeans with k=4. 37 more" in said
    assert "1,476,697 rows were read; 8,528 of them were rejected (0.6%)." in said
    assert "197 moved to another segment: 145 by their behaviour and 52 by the new model alone." in said
    assert "41 came new and 26 are not there any more." in said
    assert said.index("light_regulars no longer fits") < said.index("As of 2018-01-01")
    assert "Decision of the monitor: fit the model anew. The model is 92 days old." in said
    assert "There is no former run" in variant("first").of("happened")


@pytest.mark.parametrize(
    ("name", "section", "sentence"),
    [
        ("empty", "segments", "The run has no segments"),
        ("empty", "choice", "No candidates are published"),
        ("empty", "changes", "There is no history"),
        ("empty", "pictured", "There is no picture: none was made."),
        ("empty", "quality", "No row was rejected."),
        ("empty", "silhouettes", "No silhouettes by segment"),
        ("all suppressed", "compared", "nothing to compare"),
        ("all suppressed", "pictured", "no picture: fewer than 10 customers"),
        ("all suppressed", "segments", "Of 2 segments only size and play are told"),
        ("one segment", "compared", "There is only one segment"),
        ("mixture", "who", "No rules are shown: this run has none. no rules: the model of earlier has none"),
        ("mixture", "choice", "This run fitted nothing. What follows is the choice of run earlier"),
        ("mixture", "pictured", "distances between groups, and how large these look, mean nothing"),
        ("mixture", "silhouettes", "a mixture has no distance"),
        ("typical", "pictured", "A sample of 240 of 2,469 customers"),
        ("typical", "pictured", "they hold 79.0% of the variance, so 21.0% is not seen here"),
        ("typical", "who", "of 100 customers whom the rules were not made from, they place 94"),
        ("approximate", "who", "The rules are only approximate: of 100 customers whom the rules were not "
         "made from, they place 73 as the model does, and 90 are wanted."),
        ("typical", "reproduce", "spark-seg replay 4f6d2a90c1b7e835 --config …"),
    ],
)  # fmt: skip
def test_sections_say_why_there_is_nothing(name: str, section: str, sentence: str) -> None:
    assert sentence.lower() in variant(name).of(section).lower()


def test_without_a_measured_fidelity_there_are_no_rules() -> None:
    start = pages.first()
    metrics = {k: v for k, v in start.run.metrics.items() if k != "surrogate_fidelity"}
    found = read(replace(start, run=replace(start.run, metrics=metrics)))
    assert "how well they stand for the model was not measured" in found.of("who")
    assert start.rules[0]["text"] not in found.text


def test_many_segments_repeat_colours_but_not_styles() -> None:
    published = pages.forty_segments()
    own = styles(published)
    assert len({(s.colour, s.dash, s.symbol) for s in own.values()}) == 40
    assert {s.colour for s in own.values()} == set(COLOURS)
    assert [styles(pages.first())[i] for i in (1, 2)] == [own[i] for i in (1, 2)]


def contrast(one: str, other: str) -> float:
    def light(colour: str) -> float:
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    bright, dark = sorted((light(one), light(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_text_can_be_read_on_every_colour_of_a_table() -> None:
    shades = [diverging(v) for v in (-5.0, -2.0, -0.3, 0.0, 0.7, 2.0, 9.0)] + [
        sequential(x) for x in (0.0, 1.0)
    ]
    for shade in shades:
        assert shade is not None
        assert contrast("#1F2933", shade) >= 4.5, shade
    style = (Path(__file__).parents[2] / "spark_seg/report/templates/style.css").read_text(encoding="utf-8")
    for name in ("ink", "soft", "link", "alert"):
        (colour,) = re.findall(rf"--{name}: (#[0-9a-f]{{6}});", style)
        for ground in ("#ffffff", "#f6f8fa", "#fff5ec", "#eef5fb"):
            assert contrast(colour, ground) >= 4.5, (name, ground)


def test_drift_names_breaches_first() -> None:
    rows = variant("typical").tables["Drift, breaches first"][1:]
    assert rows[0][1] == "recency_days"
    assert rows[0][5] == "breached: refit"
    assert {row[5] for row in rows[1:]} == {"ok"}


@pytest.mark.parametrize(
    ("write", "value", "shown"),
    [
        (number, 1234.5, "1,234"), (number, 0.04, "0.040"), (number, 12.34, "12.3"), (number, None, "–"),
        (number, float("nan"), "–"), (number, 0.00001, "1.0e-05"), (share, 0.0004, "<0.1%"),
        (share, 0.0, "0.0%"),
        (money, Decimal("1234.56"), "1,235"), (money, 12.5, "12.50"), (count, None, "–"),
        (signed, -0.5, "-0.50"),
        (lambda n: things(n, "customer"), 1, "1 customer"),
        (lambda n: things(n, "customer"), 2000, "2,000 customers"),
    ],
)  # fmt: skip
def test_numbers_are_written_to_be_read(write: Callable[[Any], str], value: Any, shown: str) -> None:
    assert write(value) == shown


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium")
@every
def test_a_browser_has_nothing_to_complain_of(name: str, tmp_path: Path) -> None:
    import subprocess
    import sys

    report = tmp_path / "report.html"
    report.write_text(page(pages.VARIANTS[name]()), encoding="utf-8")
    script = Path(__file__).parents[2] / "scripts" / "pictures.py"
    done = subprocess.run(
        [sys.executable, script, report, "--out", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
