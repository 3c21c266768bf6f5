"""What a person reads in the terminal."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from spark_seg.report import candidate_table, print_outcome, segment_table


def shown(thing: Any, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(thing)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def profile(**changes: Any) -> dict[str, Any]:
    return {
        "scheme": "clusters",
        "segment_id": 1,
        "segment_name": "champions",
        "customers": 1412,
        "suppressed": False,
        "customer_share": 0.17,
        "revenue": 100.0,
        "revenue_share": 0.41,
        "differences": ["4.1 × spend", "2 days since the last order"],
        "play": "keep: early access",
    } | changes


def test_of_small_groups_and_of_who_is_in_none_only_the_size_is_shown() -> None:
    nothing = {"revenue": None, "revenue_share": None, "differences": []}
    few = profile(segment_name="whales", customers=4, suppressed=True, **nothing)
    outside = profile(segment_id=0, segment_name="unsegmented", customers=37, customer_share=None, **nothing)
    text = shown(segment_table([few, profile(), outside | {"play": None}]))
    assert re.search(r"1 whales +4 +17% +- +too few customers to tell more +keep", text)
    assert re.search(r"0 unsegmented +37 +- +- +-", text)


def candidate(**changes: Any) -> dict[str, Any]:
    return {
        "algorithm": "kmeans",
        "k": 4,
        "silhouette": 0.4567,
        "davies_bouldin": 0.9123,
        "calinski_harabasz": 12345.6,
        "smallest_share": 0.051,
        "agreement": 0.93,
        "largest_share": 0.4,
        "accepted": True,
        "chosen": False,
        "reason": "silhouette 0.457, behind kmeans k=3 with 0.460",
    } | changes


def test_a_segment_is_shown_with_its_size_its_revenue_what_sets_it_apart_and_its_play() -> None:
    line = next(line for line in shown(segment_table([profile()])).splitlines() if "champions" in line)
    assert line.split("  ") != []
    for part in ("1 champions", "1,412", "17%", "41%", "4.1 × spend, 2 days since the last order",
                 "keep: early access"):  # fmt: skip
        assert part in line


def test_segments_come_by_revenue_and_only_those_of_the_wanted_scheme() -> None:
    rows = [
        profile(segment_id=1, segment_name="small", revenue=1.0),
        profile(segment_id=2, segment_name="large", revenue=10.0),
        profile(segment_id=3, segment_name="unknown", revenue=None, revenue_share=None, play=None),
        profile(segment_id=4, segment_name="hibernating", scheme="rfm_grid"),
    ]
    text = shown(segment_table(rows))
    assert [name for name in text.split() if name in ("small", "large", "unknown", "hibernating")] == [
        "large", "small", "unknown"
    ]  # fmt: skip
    assert "-" in text.splitlines()[-1]
    assert "hibernating" in shown(segment_table(rows, "rfm_grid"))


def test_a_candidate_is_shown_with_its_figures_and_its_verdict() -> None:
    text = shown(candidate_table([candidate()]))
    for part in ("kmeans k=4", "0.457", "0.912", "12,346", "5.1%", "40.0%", "behind kmeans k=3 with 0.460"):
        assert part in text


def test_the_chosen_candidate_comes_first_then_the_acceptable_then_the_rejected_each_by_silhouette() -> None:
    rows = [
        candidate(k=2, accepted=False, silhouette=0.99, reason="fewer than 3 segments"),
        candidate(k=8, silhouette=None, accepted=False, reason="only 7 distinct customers, fewer than k"),
        candidate(k=5, silhouette=0.3),
        candidate(k=6, silhouette=0.4),
        candidate(k=4, silhouette=0.2, chosen=True, reason="smallest k"),
    ]
    text = shown(candidate_table(rows))
    positions = [text.index(f"k={k}") for k in (4, 6, 5, 2, 8)]
    assert positions == sorted(positions)
    assert "chosen: smallest k" in text
    assert "only 7 distinct customers" in text


@pytest.mark.parametrize("name", ["[red]", "[bold]loud[/bold]", "[/]", "[link=http://x]y[/link]", "\\[red]"])
def test_case_45_markup_in_a_name_a_play_or_a_reason_is_shown_as_it_is(name: str) -> None:
    segment = profile(segment_name=name, play=f"play {name}", differences=[f"sets {name}"])
    text = shown(segment_table([segment]))
    for part in (f"1 {name}", f"play {name}", f"sets {name}"):
        assert part in text
    text = shown(candidate_table([candidate(algorithm=name, reason=f"because {name}")]))
    assert f"{name} k=4" in text
    assert f"because {name}" in text


def test_many_candidates_are_cut_to_the_best_and_two_rejected_ones_and_the_rest_is_counted() -> None:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    rows = [candidate(k=k, silhouette=0.9 - k / 100, chosen=k == 4) for k in range(3, 13)]
    rows += [candidate(k=k, accepted=False, reason="rejected") for k in (20, 21, 22)]
    print_outcome(console, [profile()], rows)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("kmeans k=") - text.count("behind kmeans k=") == 6
    assert text.index("k=4 ") < text.index("k=3 ")
    assert text.count("rejected") == 2
    assert "7 more in the table candidates" in text
    assert "champions" in text


def test_nothing_is_printed_for_a_run_without_segments() -> None:
    console = Console(file=io.StringIO(), width=160)
    print_outcome(console, [], [])
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [70, 80, 100, 200])
def test_a_verdict_is_folded_and_not_cut_on_a_narrow_terminal(width: int) -> None:
    words = " ".join(f"word{i}" for i in range(40))
    text = shown(candidate_table([candidate(reason=words)]), width=width)
    assert "…" not in text
    assert all(f"word{i}" in text.split() for i in range(40))


def test_the_verdict_on_structure_stands_below_the_tables() -> None:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    print_outcome(console, [profile()], [candidate(chosen=True)], "no groups beyond chance")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.splitlines()[-1] == "structure  no groups beyond chance"
