"""Publishing and erasing, side by side in every order in which their steps can come."""

from __future__ import annotations

from functools import cache
from typing import get_args

import pytest
from protocol import (
    EVERYBODY,
    INVARIANTS,
    TABLES,
    Collector,
    Committed,
    Eraser,
    Explored,
    File,
    Reader,
    State,
    Without,
    World,
    Writer,
    explore,
)

#: The earlier run `w`, of which everybody has assignments.
PUBLISHED = World(
    frozenset(File(table, "w0/W0", EVERYBODY) for table in TABLES),
    (Committed(0, "w", "W0", "w0/W0", EVERYBODY),),
)
#: Features of everybody, for runs that read them.
FEATURES = World(frozenset({File("features", "f0/F0", EVERYBODY)}))

READER, COLLECTOR = Reader(), Collector()
SLOW, AGAIN, OTHER, REVISION = Writer("A"), Writer("B"), Writer("B", "y"), Writer("B", "y", revise=True)
ERASER, SECOND = Eraser("eraser", "ann"), Eraser("second eraser", "bob")
DEPENDENT, BOTH = Writer("A", from_features=True), Eraser("eraser", "ann", ("features", "assignments"))


def once(process: Writer | Eraser) -> Writer | Eraser:
    """Not started again when it is killed: with three at work, states would be too many."""
    return process._replace(retries=0)


#: Where there is no reader, committed runs stay whole in every state all the same.
SCENARIOS = {
    "a writer": State((SLOW, READER)),
    "a writer and an eraser": State((SLOW, ERASER, READER)),
    "a writer from features and an eraser": State((DEPENDENT, BOTH, READER), FEATURES),
    "a writer and two erasers": State((once(SLOW), ERASER, once(SECOND))),
    "a writer, an eraser and the collector": State((SLOW, ERASER, COLLECTOR)),
    "two of the same run": State((SLOW, AGAIN, READER)),
    "two of the same run and an eraser": State((SLOW, once(AGAIN), once(ERASER))),
    "two of the same run and the collector": State((SLOW, once(AGAIN), COLLECTOR, READER)),
    "two definitions": State((SLOW, OTHER, READER)),
    "a revision": State((SLOW, REVISION, READER)),
    "a revision and an eraser": State((once(SLOW), once(REVISION), once(ERASER))),
    "a second revision and two erasers": State((once(REVISION), once(ERASER), once(SECOND)), PUBLISHED),
    "two erasers": State((ERASER, SECOND, READER), PUBLISHED),
}

WHOLE, STAY, ONE, UNSEEN, NOWHERE, TOLD = INVARIANTS
#: What the protocol lacks → scenario and invariant of a fault that is found then, and steps on the way to it.
REMOVED: dict[Without, tuple[str, str, tuple[str, ...]]] = {
    "a partition for each attempt": (
        "two of the same run", STAY, ("A: commit", "B: stage assignments", "B: discard assignments"),
    ),
    "suppressed as published features are read": (
        "a writer from features and an eraser", UNSEEN,
        ("eraser: suppress", "A: count suppressions", "A: read inputs", "eraser: look", "A: commit"),
    ),
    "stage before commit": ("a writer", WHOLE, ("A: commit", "reader: read assignments")),
    "recheck suppressions": (
        "a writer and an eraser", UNSEEN,
        ("A: read inputs", "eraser: suppress", "eraser: look", "A: stage assignments", "A: commit"),
    ),
    "txn version": ("two definitions", ONE, ("B: plan", "A: commit", "B: commit")),
    "verify": ("two definitions", TOLD, ("B: plan", "A: commit", "B: commit")),
    "suppress before erasing": (
        "a writer and an eraser", UNSEEN, ("eraser: look", "A: stage assignments", "eraser: suppress"),
    ),
    "erase what was read": (
        "two erasers", UNSEEN,
        ("second eraser: look", "eraser: rewrite", "second eraser: begin", "second eraser: rewrite"),
    ),
    "conflict of erasers": (
        "two erasers", UNSEEN, ("second eraser: begin", "eraser: rewrite", "second eraser: rewrite"),
    ),
    "wait for runs at work": (
        "a writer and an eraser", NOWHERE, ("A: read inputs", "eraser: suppress", "A: stage assignments"),
    ),
}  # fmt: skip


@cache
def explored(scenario: str, without: Without = "") -> Explored:
    return explore(SCENARIOS[scenario], without)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_protocol_has_no_fault(scenario: str) -> None:
    result = explored(scenario)
    assert not result.faults
    ends = {Writer: "published", Eraser: "erased", Collector: "collect", Reader: "read"}
    assert {(me.name, ends[type(me)]) for me in SCENARIOS[scenario].processes} <= result.reached


def test_the_search_is_not_vacuous() -> None:
    assert ("eraser", "repeat") in explored("a writer and an eraser").reached
    assert explored("a writer and an eraser").states > 2_000
    assert explored("two of the same run and an eraser").states > 50_000
    assert sum(explored(scenario).states for scenario in SCENARIOS) > 150_000


@pytest.mark.parametrize("without", [without for without in get_args(Without) if without])
def test_without_one_of_its_steps_a_fault_is_found(without: Without) -> None:
    scenario, invariant, steps = REMOVED[without]
    trace = iter(explored(scenario, without).faults[invariant])
    assert all(step in trace for step in steps), "one after the other"


def test_a_collector_that_does_not_wait_takes_rows_that_are_committed() -> None:
    trace = explored("a writer, an eraser and the collector", "wait for runs at work").faults[STAY]
    assert trace[-3:] == ("collector: find garbage", "A: commit", "collector: collect")
