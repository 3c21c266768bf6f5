"""Failures raised on purpose: what they say and how a process ends with them."""

from __future__ import annotations

import pytest

from spark_seg import errors
from spark_seg.errors import (
    ConfigError,
    InputError,
    NoAcceptableCandidate,
    NoModel,
    PublishConflict,
    SegmentationError,
    suggestion,
)

EXIT_CODES = {
    SegmentationError: 1,
    ConfigError: 2,
    InputError: 3,
    NoAcceptableCandidate: 4,
    PublishConflict: 6,
    NoModel: 7,
}


@pytest.mark.parametrize(("kind", "code"), EXIT_CODES.items())
def test_each_failure_has_its_exit_code(kind: type[SegmentationError], code: int) -> None:
    assert kind("a problem").exit_code == code
    assert issubclass(kind, SegmentationError)
    assert f"{code} " in (errors.__doc__ or "")


def test_no_failure_is_missing_from_the_table_of_exit_codes_and_no_code_means_two_things() -> None:
    def below(kind: type[SegmentationError]) -> list[type[SegmentationError]]:
        return [kind, *(k for child in kind.__subclasses__() for k in below(child))]

    kinds = below(SegmentationError)
    with_own = {kind for kind in kinds if "exit_code" in vars(kind)}
    assert with_own == set(EXIT_CODES)
    assert {kind.exit_code for kind in kinds} == set(EXIT_CODES.values())
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)


def test_one_problem_is_its_own_message() -> None:
    error = InputError("orders: must have rows; got none")
    assert str(error) == error.render() == "orders: must have rows; got none"
    assert error.problems == ("orders: must have rows; got none",)


def test_several_problems_are_listed_and_counted_below_the_title() -> None:
    assert str(ConfigError(["a: is wrong", "b: is wrong"], title="shop.yaml")) == (
        "shop.yaml\n  a: is wrong\n  b: is wrong\n2 problems; nothing was published."
    )
    assert str(ConfigError(["a: is wrong"], title="shop.yaml")) == (
        "shop.yaml\n  a: is wrong\n1 problem; nothing was published."
    )
    assert str(ConfigError(["a", "b"])) == "  a\n  b\n2 problems; nothing was published."


def test_rejected_candidates_travel_with_the_failure() -> None:
    rows = [{"algorithm": "kmeans", "k": 3}]
    error = NoAcceptableCandidate(["kmeans k=3: too small"], title="selection", candidates=rows)
    assert error.candidates == tuple(rows)
    assert "kmeans k=3: too small" in str(error)
    assert NoAcceptableCandidate("nothing differs").candidates == ()


def test_a_near_miss_gets_the_closest_name_and_anything_else_the_whole_sorted_list() -> None:
    known = ["recency_days", "monetary", "frequency"]
    assert suggestion("monetry", known) == "did you mean 'monetary'?"
    assert suggestion("x", known) == "known: frequency, monetary, recency_days"
    assert suggestion("x", iter(known)) == "known: frequency, monetary, recency_days"
    assert suggestion("x", []) == "there are none"
