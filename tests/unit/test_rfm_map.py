"""RFM maps: how rows may be written, what the linter finds, and the command that shows it."""

# ruff: noqa: E501 - the sentences of the tables are not broken

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from spark_seg.cli import main
from spark_seg.config import DEFAULT_MAP, RfmRow, load_rfm_map, names_of
from spark_seg.errors import ConfigError
from spark_seg.segments.rfm_map import CONTRADICTIONS, TURNING, lint

Written = int | list[int] | str
CELLS = set(product(range(1, 6), repeat=3))
CLEAN = "0 uncovered · 0 overlaps · 0 unreachable · 0 contradictions"


def row(name: str, **scores: Written) -> RfmRow:
    return RfmRow.model_validate({"name": name, **scores})


def told(rows: Sequence[RfmRow]) -> list[tuple[str, tuple[int, ...]]]:
    """Kind and rows of each finding."""
    return [(finding.kind, finding.rows) for finding in lint(rows)]


def sentences(rows: Sequence[RfmRow]) -> list[str]:
    return [finding.sentence for finding in lint(rows)]


def changed(name: str, **scores: Written) -> list[RfmRow]:
    """The default map with other scores in one row."""
    return [row(name, **scores) if known.name == name else known for known in DEFAULT_MAP]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize(
    ("written", "scores"),
    [
        (4, (4,)), ([4], (4,)), ("4", (4,)), ([5, 1, 3], (1, 3, 5)), ((2, 1), (1, 2)), ("4-5", (4, 5)),
        (" 2 - 4 ", (2, 3, 4)), ("3-3", (3,)), ("1-5", (1, 2, 3, 4, 5)), (["1", 2.0], (1, 2)), (3.0, (3,)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("axis", ["r", "f", "m"])
def test_scores_are_a_number_a_list_or_a_span_and_are_kept_in_order(
    axis: str, written: Written, scores: tuple[int, ...]
) -> None:
    made = row("a", **{axis: written})
    assert getattr(made, axis) == scores
    assert all(type(score) is int for score in getattr(made, axis))
    assert {getattr(made, other) for other in {"r", "f", "m"} - {axis}} == {(1, 2, 3, 4, 5)}


@pytest.mark.parametrize("scores", [list(c) for n in range(1, 6) for c in combinations(range(1, 6), n)])
def test_a_row_that_is_written_out_reads_as_the_same_row_again(scores: list[int]) -> None:
    made = row("a", r=scores, f=scores[:1])
    out = made.model_dump(mode="json")
    assert RfmRow.model_validate(out) == made
    assert out["m"] == "1-5"
    assert out["f"] == scores[0]
    assert made.model_dump()["r"] == tuple(scores)


def test_the_schema_for_editors_takes_all_three_forms() -> None:
    jsonschema = RfmRow.model_json_schema()["properties"]
    for axis in ("r", "f", "m"):
        number, several, text = jsonschema[axis]["anyOf"]
        assert (number["type"], number["minimum"], number["maximum"]) == ("integer", 1, 5)
        assert (several["type"], several["items"]) == ("array", number)
        assert text["type"] == "string"
        assert [bool(re.search(text["pattern"], t)) for t in ("4-5", " 2 - 4 ", "4", "5-", "0", "4,5")] == [
            True, True, True, False, False, False,
        ]  # fmt: skip
        assert jsonschema[axis]["description"]


def test_names_are_told_once_in_order_of_first_appearance() -> None:
    assert names_of([row("b", r=1), row("a", r=2), row("b", r=3), row("c")]) == ("b", "a", "c")


#: Worked by hand from the definition: rows are recency 5 to 1, columns are frequency 1 to 5.
GRID = """
new_customers  potential_loyalists  potential_loyalists  champions        champions
promising      potential_loyalists  potential_loyalists  loyal_customers  loyal_customers
about_to_sleep about_to_sleep       need_attention       loyal_customers  loyal_customers
hibernating    hibernating          at_risk              at_risk          cant_lose
hibernating    hibernating          at_risk              at_risk          cant_lose
"""


def test_each_of_the_125_cells_has_exactly_its_one_segment_in_the_default_map() -> None:
    expected = [line.split() for line in GRID.strip().splitlines()]
    found = [(cell, r.name) for r in DEFAULT_MAP for cell in product(r.r, r.f, r.m)]
    assert len(found) == 125
    assert dict(found) == {(r, f, m): expected[5 - r][f - 1] for r, f, m in CELLS}
    assert names_of(DEFAULT_MAP)[0] == "champions"
    assert names_of(DEFAULT_MAP)[-1] == "hibernating"


# ---------------------------------------------------------------- the linter


def test_nothing_is_wrong_with_the_default_map_nor_with_one_row_for_all() -> None:
    assert lint(DEFAULT_MAP) == []
    assert lint([row("everybody")]) == []
    assert lint([*DEFAULT_MAP[3:], row("rest")]) == []


HOLES: dict[str, tuple[list[RfmRow], list[str]]] = {
    "no rows": ([], ["r 1-5, f 1-5, m 1-5"]),
    "a row of the default map": ([r for r in DEFAULT_MAP if r.name != "cant_lose"], ["r 1-2, f 5, m 1-5"]),
    "one cell": (changed("need_attention", r=3, f=3, m=[1, 2, 3, 4]), ["r 3, f 3, m 5"]),
    "scores on both sides": ([row("a", r=[1, 3, 5])], ["r 2, f 1-5, m 1-5", "r 4, f 1-5, m 1-5"]),
    "all but a corner": (
        [row("a", r=5, f=5, m=5)],
        ["r 1-4, f 1-5, m 1-5", "r 5, f 1-4, m 1-5", "r 5, f 5, m 1-4"],
    ),
    "two rows": (
        [r for r in DEFAULT_MAP if r.name not in ("champions", "promising")],
        ["r 5, f 4-5, m 1-5", "r 4, f 1, m 1-5"],
    ),
}


@pytest.mark.parametrize(("rows", "boxes"), HOLES.values(), ids=HOLES)
def test_cells_without_a_row_are_told_in_few_boxes(rows: list[RfmRow], boxes: list[str]) -> None:
    assert told(rows) == [("uncovered", ())] * len(boxes)
    assert sentences(rows) == [
        f"{box}: must have a row; got none. Add one, or a last row without r, f and m for the rest"
        for box in boxes
    ]


def test_rows_of_two_segments_with_common_scores_overlap_and_the_common_scores_are_told() -> None:
    rows = changed("loyal_customers", r="3-5", f="4-5", m="2-5")
    rows.insert(2, row("big", r="3-4", f="4-5", m=1))
    assert told(rows) == [("overlap", (0, 1))]
    assert sentences(rows) == [
        "rfm_map.1 (loyal_customers): must have no scores in common with rfm_map.0 (champions), another "
        "segment; got r 5, f 4-5, m 2-5 in both, where the earlier row wins. Take them out of one"
    ]


def test_each_pair_of_rows_that_overlap_is_told_and_common_scores_apart_are_told_as_boxes() -> None:
    rows = [row("a", r="1-3"), row("b", r="3-4"), row("c", r=[1, 3, 4, 5])]
    assert told(rows) == [("overlap", (0, 1)), ("overlap", (0, 2)), ("overlap", (1, 2))]
    assert "got r 1, f 1-5, m 1-5 and r 3, f 1-5, m 1-5 in both" in sentences(rows)[1]
    assert "got r 3-4, f 1-5, m 1-5 in both" in sentences(rows)[2]


def test_rows_of_one_segment_may_have_common_scores() -> None:
    assert lint([row("a", r="1-3"), row("a", r="3-5")]) == []


def test_a_last_row_of_all_scores_means_the_rest_and_anywhere_else_it_does_not() -> None:
    named = [row("a", r=5, f=5), row("b", r=1, f=1)]
    assert lint([*named, row("rest")]) == []
    assert told([named[0], row("rest"), named[1]]) == [("overlap", (0, 1)), ("unreachable", (2,))]
    nearly = row("nearly", r="1-5", f="1-5", m="2-5")
    assert [t for t in told([*named, nearly]) if t[0] == "overlap"] == [
        ("overlap", (0, 2)),
        ("overlap", (1, 2)),
    ]


def test_a_row_whose_scores_are_all_taken_is_unreachable_and_counts_for_no_overlap() -> None:
    rows = [*DEFAULT_MAP, row("steady", r="4-5", f=4)]
    assert told(rows) == [("unreachable", (10,))]
    assert sentences(rows) == [
        "rfm_map.10 (steady): must have scores that no earlier row has; got none beside rfm_map.0 (champions), "
        "rfm_map.1 (loyal_customers). Move it up, or take it out"
    ]


def test_an_unreachable_row_stands_in_nobodys_way_and_takes_nothing_from_later_ones() -> None:
    rows = [row("a", r="1-3"), row("hidden", r=2), row("b", r="2-5")]
    assert told(rows) == [("overlap", (0, 2)), ("unreachable", (1,))]
    assert told([row("a"), row("hidden", r=2), row("b", r=2)]) == [
        ("unreachable", (1,)),
        ("unreachable", (2,)),
    ]
    assert "beside rfm_map.0 (a). Move" in sentences([row("a"), row("hidden", r=2), row("b", r=2)])[1]


def test_a_row_is_unreachable_below_rows_of_its_own_segment_and_a_rest_below_a_full_map_too() -> None:
    assert told([row("a", r="1-4"), row("a", r=2), row("b", r=5)]) == [("unreachable", (1,))]
    assert told([*DEFAULT_MAP, row("rest")]) == [("unreachable", (10,))]


def test_a_row_is_unreachable_too_where_no_single_row_takes_all_of_it() -> None:
    rows = [row("a", r="1-2"), row("b", r="3-5"), row("c", r="2-3", f=1)]
    assert told(rows) == [("unreachable", (2,))]


GONE = ["churned", "lost", "lapsed", "hibernating", "dormant", "sleeping", "inactive", "at_risk", "cant_lose"]
#: Name → the scores that contradict it, one score at a time; with all others it goes well.
AGAINST: dict[str, str] = {
    **dict.fromkeys(GONE, "r4 r5"),
    **dict.fromkeys(["recent", "active", "promising"], "r1 r2"),
    **dict.fromkeys(["champion", "champions"], "r1 r2 f1"),
    "new": "r1 r2 f4 f5",
    **dict.fromkeys(["low_value", "cheap"], "m5"),
    **dict.fromkeys(["loyal", "frequent", "regular"], "f1"),
    # a word among others, in any case
    "long_lost_friends": "r4 r5",
    "Churned": "r4 r5",
    "big_at_risk": "r4 r5",
    "loyal_new": "r1 r2 f1 f4 f5",
    # what is gone was something else before
    "lost_champions": "r4 r5 f1",
    # whole words only, and in a row
    **dict.fromkeys(
        ["renewed", "reactivated", "infrequent", "riskless", "at_high_risk", "lose", "newish"], ""
    ),
    # what they are not
    **dict.fromkeys(
        ["not_active", "former_champions", "almost_lost", "potential_loyalists", "ex_regular"], ""
    ),
    "lost_not_loyal": "r4 r5",
}


@pytest.mark.parametrize(("name", "wrong"), AGAINST.items(), ids=AGAINST)
def test_a_name_is_held_against_each_of_the_scores(name: str, wrong: str) -> None:
    found = set()
    for axis, score in product("rfm", range(1, 6)):
        # The two other scores are of the middle, which goes with every name.
        findings = told([row(name, **({"r": 3, "f": 3, "m": 3} | {axis: score})), row("rest")])
        assert findings in ([], [("contradiction", (0,))])
        found |= {f"{axis}{score}"} if findings else set()
    assert found == set(wrong.split())


def test_every_word_of_the_table_is_found_and_no_word_turns_itself() -> None:
    for rule in CONTRADICTIONS:
        assert rule.words
        for word in rule.words:
            assert not TURNING & set(word.split("_"))
            planted = row(word, **({"r": 3, "f": 3, "m": 3} | {rule.axis: rule.against[0]}))
            assert ("contradiction", (0,)) in told([planted, row("rest")])


def test_the_words_and_the_scores_that_contradict_are_told_once_for_each_rule() -> None:
    rows = [row("lost_dormant_cheap", r=[1, 4, 5], m="4-5"), row("rest")]
    assert told(rows) == [("contradiction", (0,))] * 2
    assert sentences(rows) == [
        "rfm_map.0 (lost_dormant_cheap): must not have r 4-5 with 'lost' and 'dormant' in its name (the last order is long ago); got r 4-5. Change the name or the scores",
        "rfm_map.0 (lost_dormant_cheap): must not have m 5 with 'cheap' in its name (little is spent); got m 5. Change the name or the scores",
    ]
    assert "must not have r 4-5" in sentences([row("lost", r=[2, 5]), row("rest")])[0]
    assert "got r 5. " in sentences([row("lost", r=[2, 5]), row("rest")])[0]


def test_a_renamed_row_of_the_default_map_is_the_only_finding() -> None:
    rows = [r.model_copy(update={"name": "churned"}) if r.name == "promising" else r for r in DEFAULT_MAP]
    assert told(rows) == [("contradiction", (4,))]


def test_the_name_of_the_rest_is_held_against_what_is_left_for_it() -> None:
    assert lint([row("a", r="3-5"), row("lost")]) == []
    assert told([row("a", r="3-4"), row("lost")]) == [("contradiction", (1,))]
    # In any other place a name is held against the scores that stand beside it.
    assert ("contradiction", (1,)) in told([row("a", r="3-5"), row("lost", f="1-4"), row("rest")])


def test_several_kinds_are_told_kind_after_kind() -> None:
    rows = [
        row("a", r="1-4"),
        row("b", r="4-5", f="2-5"),
        row("hidden", r=1),
        row("loyal", r=5, f=1, m="2-5"),
    ]
    assert told(rows) == [
        ("uncovered", ()),
        ("overlap", (0, 1)),
        ("unreachable", (2,)),
        ("contradiction", (3,)),
    ]
    assert sentences(rows)[0].startswith("r 5, f 1, m 1: ")


_scores = st.sets(st.integers(1, 5), min_size=1).map(lambda scores: tuple(sorted(scores)))
_rows = st.builds(RfmRow, name=st.sampled_from("abcd"), r=_scores, f=_scores, m=_scores)
_SPAN = r"(\d)(?:-(\d))?"


def cells_in(text: str) -> list[tuple[int, int, int]]:
    """Every cell of the boxes that stand in a sentence."""
    boxes = re.findall(rf"r {_SPAN}, f {_SPAN}, m {_SPAN}", text)
    spans = [[range(int(b[i]), int(b[i + 1] or b[i]) + 1) for i in (0, 2, 4)] for b in boxes]
    return [(r, f, m) for box in spans for r, f, m in product(*box)]


@settings(deadline=None, max_examples=200)
@given(st.lists(_rows, max_size=6))
def test_findings_are_those_of_looking_at_every_cell(rows: list[RfmRow]) -> None:
    covered = [set(product(r.r, r.f, r.m)) for r in rows]
    winner = {cell: next((i for i, own in enumerate(covered) if cell in own), None) for cell in CELLS}
    holes = {cell for cell, i in winner.items() if i is None}
    hidden = [i for i in range(len(rows)) if i not in winner.values()]
    last = len(rows) - 1
    pairs = [
        (i, j)
        for i, j in combinations(range(len(rows)), 2)
        if covered[i] & covered[j] and rows[i].name != rows[j].name and not {i, j} & set(hidden)
        and not (j == last and covered[j] == CELLS)
    ]  # fmt: skip
    findings = lint(rows)
    assert [f.rows for f in findings if f.kind == "overlap"] == pairs
    assert [f.rows for f in findings if f.kind == "unreachable"] == [(i,) for i in hidden]
    uncovered = [cell for f in findings if f.kind == "uncovered" for cell in cells_in(f.sentence)]
    assert sorted(uncovered) == sorted(holes)
    for f in findings:
        if f.kind == "overlap":
            assert sorted(cells_in(f.sentence)) == sorted(covered[f.rows[0]] & covered[f.rows[1]])
    assert not [f for f in findings if f.kind == "contradiction"]


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    "head", ["rfm_map:", "seed: 7\nxyzzy: 1\nsegments:\n  min_overlap: many\n  rfm_map:"]
)
def test_a_map_is_read_from_an_overlay_or_alone_and_nothing_else_is_looked_at(
    tmp_path: Path, head: str
) -> None:
    text = f"{head}\n  - {{name: a, r: 4-5, f: [1, 5]}}\n  - {{name: rest}}\n"
    assert load_rfm_map(write(tmp_path / "o.yaml", text)) == (row("a", r="4-5", f=[1, 5]), row("rest"))


SCORES_WANTED = "must be scores 1-5: a number, a list of them, or a text such as '4-5'"
PLAIN = "must be letters, digits and _ and not start with a digit"

#: Rows of a map → what is said of them, after the file.
BAD_ROWS: dict[str, list[str]] = {
    "[{name: a, r: 6}]": [f"rfm_map.0.r: {SCORES_WANTED}; got 6"],
    "[{name: a, r: 0}]": [f"rfm_map.0.r: {SCORES_WANTED}; got 0"],
    "[{name: a, r: 4.5}]": [f"rfm_map.0.r: {SCORES_WANTED}; got 4.5"],
    "[{name: a, r: 4-6}]": [f"rfm_map.0.r: {SCORES_WANTED}; got '4-6'"],
    "[{name: a, r: 5-4}]": [f"rfm_map.0.r: {SCORES_WANTED}; got '5-4'"],
    "[{name: a, r: '4,5'}]": [f"rfm_map.0.r: {SCORES_WANTED}; got '4,5'"],
    "[{name: a, r: best}]": [f"rfm_map.0.r: {SCORES_WANTED}; got 'best'"],
    "[{name: a, r: '٤'}]": [f"rfm_map.0.r: {SCORES_WANTED}; got '٤'"],
    "[{name: a, r: null}]": [f"rfm_map.0.r: {SCORES_WANTED}; got nothing"],
    "[{name: a, r: {from: 4}}]": [f"rfm_map.0.r: {SCORES_WANTED}; got a mapping"],
    "[{name: a, r: .nan}]": [f"rfm_map.0.r: {SCORES_WANTED}; got nan"],
    "[{name: a, r: true}]": ["rfm_map.0.r: must be a number; got True"],
    "[{name: a, r: [true]}]": ["rfm_map.0.r.0: must be a number; got True"],
    "[{name: a, r: []}]": ["rfm_map.0.r: must be filled with at least one entry; got a list"],
    "[{name: a, r: [5, 6]}]": ["rfm_map.0.r.1: must be less than or equal to 5; got 6"],
    "[{name: a, r: [0]}]": ["rfm_map.0.r.0: must be greater than or equal to 1; got 0"],
    "[{name: a, r: [4-5]}]": ["rfm_map.0.r.0: must be a whole number; got '4-5'"],
    "[{name: a, r: [4, 4]}]": ["rfm_map.0.r: must not repeat a score; got [4, 4]"],
    "[{r: 4}]": ["rfm_map.0.name: is required"],
    "[{name: my best}]": [
        f"rfm_map.0.name: {PLAIN}; got 'my best'. Rename it at the source, or give it a plain name in a view"
    ],
    "[{name: a, nmae: b}]": ["rfm_map.0.nmae: unknown setting; did you mean 'name'?"],
    "[{name: a, R: 5}]": ["rfm_map.0.R: unknown setting; known: f, m, name, r"],
    "[champions]": ["rfm_map.0: must be a mapping of settings; got 'champions'"],
    "[]": ["rfm_map: must be filled with at least one entry; got a list"],
    "null": ["rfm_map: must be a list; got nothing"],
    "{champions: {r: 5}}": ["rfm_map: must be a list; got a mapping"],
    "[{name: a, r: 9}, {name: b}, {name: c, f: 9, x: 1}]": [
        f"rfm_map.0.r: {SCORES_WANTED}; got 9",
        f"rfm_map.2.f: {SCORES_WANTED}; got 9",
        "rfm_map.2.x: unknown setting; known: f, m, name, r",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("rows", "expected"), BAD_ROWS.items(), ids=BAD_ROWS)
@pytest.mark.parametrize("within", [False, True], ids=["alone", "overlay"])
def test_bad_rows_get_the_sentences_of_settings_with_their_file(
    tmp_path: Path, rows: str, expected: list[str], within: bool
) -> None:
    file = write(tmp_path / "o.yaml", f"segments: {{rfm_map: {rows}}}" if within else f"rfm_map: {rows}")
    with pytest.raises(ConfigError) as caught:
        load_rfm_map(file)
    prefix = "segments." if within else ""
    assert list(caught.value.problems) == [
        # What is missing was given by no file.
        f"{prefix}{text}" if text.endswith("is required") else f"{file}: {prefix}{text}"
        for text in expected
    ]
    assert caught.value.title == str(file)


#: File → what is said of it.
BAD_FILES: dict[str, str] = {
    "": ": must have exactly one of `segments.rfm_map` and `rfm_map`, a list of rows; got none",
    "segments: [a]": ": must have exactly one of `segments.rfm_map` and `rfm_map`, a list of rows; got none",
    "segments: {rfm_map: [{name: a}]}\nrfm_map: [{name: a}]":
        ": must have exactly one of `segments.rfm_map` and `rfm_map`, a list of rows; got both",
    "- {name: a}": ": must be a mapping of settings; got list",
    "rfm_map:\n  - name: a\n    r: 4\n    r: 5": " line 4: must be valid YAML; key 'r' is given twice",
    "rfm_map: [{name: a}]\nrfm_map: [{name: b}]": " line 2: must be valid YAML; key 'rfm_map' is given twice",
    "rfm_map: *nowhere": " line 1: must be valid YAML; found undefined alias 'nowhere'",
    "rfm_map: &a [*a]": ": must not contain itself; an alias (*) stands inside its own anchor (&)",
    "rfm_map: !!python/object/apply:os.getcwd []":
        " line 1: must be valid YAML; could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.getcwd'",
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), BAD_FILES.items(), ids=[text[:40] for text in BAD_FILES])
def test_bad_files_are_answered_as_bad_configurations(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path / "o.yaml", text)
    with pytest.raises(ConfigError) as caught:
        load_rfm_map(file)
    assert caught.value.problems == (f"{file}{said}",)


def test_anchors_serve_rows(tmp_path: Path) -> None:
    text = "rfm_map:\n  - &best {name: a, r: 5}\n  - {<<: *best, name: b, f: 1}\n"
    assert load_rfm_map(write(tmp_path / "o.yaml", text)) == (row("a", r=5), row("b", r=5, f=1))


# ---------------------------------------------------------------- the command


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, list[str], str]:
    """Exit code, lines, and what was said of errors."""
    code: object = 0
    try:
        main(["segments", "lint", *arguments])
    except SystemExit as exited:
        code = exited.code
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


def test_the_built_in_map_is_looked_over_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(capsys) == (0, [CLEAN], "")


def test_a_map_without_findings_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = TypeAdapter(list[RfmRow]).dump_json(list(DEFAULT_MAP), by_alias=True).decode()
    file = write(tmp_path / "map.yaml", f"segments: {{rfm_map: {rows}}}")
    assert ended(capsys, str(file)) == (0, [CLEAN], "")


def test_each_finding_is_shown_then_their_count_and_the_end_is_that_of_a_wrong_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "rfm_map:\n- {name: a, r: 1-4}\n- {name: b, r: 4-5, f: 2-5}\n- {name: hidden, r: 1}\n"
        "- {name: loyal, r: 5, f: 1, m: 2-5}\n- {name: lost, r: 5, f: 1, m: 2}\n"
    )
    file = write(tmp_path / "map.yaml", text)
    code, lines, said = ended(capsys, str(file))
    assert code == 2
    assert lines == [
        "uncovered      r 5, f 1, m 1: must have a row; got none. Add one, or a last row without r, f and m for the rest",
        "overlap        rfm_map.1 (b): must have no scores in common with rfm_map.0 (a), another segment; got r 4, f 2-5, m 1-5 in both, where the earlier row wins. Take them out of one",
        "unreachable    rfm_map.2 (hidden): must have scores that no earlier row has; got none beside rfm_map.0 (a). Move it up, or take it out",
        "unreachable    rfm_map.4 (lost): must have scores that no earlier row has; got none beside rfm_map.3 (loyal). Move it up, or take it out",
        "contradiction  rfm_map.3 (loyal): must not have f 1 with 'loyal' in its name (there are many orders); got f 1. Change the name or the scores",
        "contradiction  rfm_map.4 (lost): must not have r 4-5 with 'lost' in its name (the last order is long ago); got r 5. Change the name or the scores",
        "1 uncovered · 1 overlap · 2 unreachable · 2 contradictions",
    ]
    assert said == f"{file}: the RFM map must be free of findings; got 6 (above)\n"


def test_a_file_that_is_wrong_ends_as_a_wrong_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "map.yaml", "rfm_map: [{name: a, r: 9}]")
    code, lines, said = ended(capsys, str(file))
    assert (code, lines) == (2, [])
    assert f"{file}: rfm_map.0.r: {SCORES_WANTED}; got 9" in said
    assert ended(capsys, str(tmp_path / "absent.yaml"))[0] == 2
