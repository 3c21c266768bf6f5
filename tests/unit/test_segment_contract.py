"""What consumers count on, clause by clause."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from spark_seg.config import SegmentContract
from spark_seg.errors import ContractBreach
from spark_seg.monitoring.contract import breaches
from spark_seg.profiles import FeatureStat, Profile


def segment(share: float, **means: float | None) -> Profile:
    stats = tuple(FeatureStat(f, 9, mean, 1.0, mean, mean, mean, 1.0, 0.0, 0.0) for f, mean in means.items())
    return Profile(1, int(1000 * share), share, Decimal(1), share, stats)


SEGMENTS = {"champions": segment(0.2, monetary=900.0), "lapsed": segment(0.8, monetary=None)}


def broken(moved: float | None = 0.1, age: int = 10, newest: int | None = 1, **clauses: Any) -> list[str]:
    return breaches(SegmentContract.model_validate(clauses), SEGMENTS, moved, age, newest)


@pytest.mark.parametrize(
    ("clauses", "sentence"),
    [
        (
            {"required": ["new_customers"]},
            "contract.required: segment new_customers must be there; got champions, ",
        ),
        (
            {"consumers": {"newsletter": ["vip"]}},
            "contract.consumers.newsletter: segment vip must be there, because newsletter reads it; got ",
        ),
        (
            {"share": [0.0, 0.6]},
            "contract.share: segment lapsed must have 0.0% to 60.0% of customers; got 80.0%.",
        ),
        (
            {"shares": {"champions": [0.25, 0.5]}},
            "contract.shares.champions: segment champions must have 25.0% to 50.0% of customers; got 20.0%.",
        ),
        ({"shares": {"vip": [0.1, 0.5]}}, "contract.shares.vip: segment vip must have 10.0% to 50.0%"),
        (
            {"means": {"champions": {"monetary": [1000, None]}}},
            "contract.means.champions.monetary: the mean must be at least 1000; got 900.",
        ),
        (
            {"means": {"champions": {"monetary": [None, 800]}}},
            "contract.means.champions.monetary: the mean must be at most 800; got 900.",
        ),
        ({"means": {"champions": {"tenure_days": [1, 2]}}}, "at least 1 and at most 2; got no such feature."),
        ({"means": {"lapsed": {"monetary": [1, 2]}}}, "got nobody who has one."),
        (
            {"max_moved": 0.05},
            "contract.max_moved: at most 5.0% of customers may change their segment in one run; got 10.0%.",
        ),
        (
            {"max_model_age_days": 9},
            "contract.max_model_age_days: the model must be at most 9 days old; got 10.",
        ),
    ],
)
def test_a_broken_clause_is_named_with_what_was_found(clauses: dict[str, Any], sentence: str) -> None:
    (told,) = broken(**clauses)
    assert sentence in told


def test_orders_that_have_stopped_are_told() -> None:
    (told,) = broken(newest=8, max_order_age_days=7)
    assert "somebody must have ordered in the 7 days before as_of; got the last one 8 days before." in told
    (told,) = broken(newest=None, max_order_age_days=7)
    assert "got none at all" in told


def test_what_holds_is_not_told() -> None:
    assert broken() == []
    assert (
        broken(
            required=["champions"],
            consumers={"newsletter": ["champions", "lapsed"]},
            share=[0.1, 0.5],
            shares={"lapsed": [0.5, 0.9]},
            means={"champions": {"monetary": [900, 900]}, "vip": {"monetary": [1, 2]}},
            max_moved=0.1,
            max_model_age_days=10,
            max_order_age_days=1,
        )
        == []
    )
    # The first run has moved nobody.
    assert broken(moved=None, max_moved=0.0) == []


def test_bounds_that_fall_are_refused() -> None:
    for clauses in ({"share": [0.5, 0.1]}, {"shares": {"a": [0.5, 0.1]}}, {"means": {"a": {"b": [2, 1]}}}):
        with pytest.raises(ValidationError, match="must be \\[least, greatest\\]"):
            SegmentContract.model_validate(clauses)


def test_a_breach_has_every_clause_the_owner_and_the_code_of_what_cannot_be_accepted() -> None:
    error = ContractBreach(["one", "two"], "crm")
    assert error.exit_code == 4
    assert str(error).startswith(
        "contract (ask crm): the segments must keep it; the former run stays\n  one\n  two"
    )
