"""A model of how runs are published and persons erased, and a search of all its interleavings.

Writers, erasers, a collector of garbage and a reader take turns in every possible order; between two steps
of one, any of the others may come in, and writers and erasers may be killed. A step is what is atomic: one
commit of Delta, or one look at a table. What the model knows of the data is who is in it, and in which
partition. States are named tuples, because they are compared millions of times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal, NamedTuple, TypeAlias

People: TypeAlias = frozenset[str]
#: What the protocol may be made to lack.
Without = Literal[
    "", "a partition for each attempt", "suppressed as published features are read", "stage before commit",
    "recheck suppressions", "txn version", "verify", "suppress before erasing", "erase what was read",
    "conflict of erasers", "wait for runs at work",
]  # fmt: skip

EVERYBODY: People = frozenset({"ann", "bob", "eve"})
NOBODY: People = frozenset()
TABLES = ("assignments", "profiles")


class File(NamedTuple):
    """Rows of one partition, as one commit wrote them. In `profiles`, people are only counted."""

    table: str
    stamp: str
    people: People


Files: TypeAlias = frozenset[File]


class Committed(NamedTuple):
    """A row of the ledger. `people`: of whom the attempt made assignments and profiles."""

    revision: int
    definition: str
    attempt: str
    stamp: str
    people: People


class World(NamedTuple):
    """All tables: those that are staged into, the ledger, and the suppressions in their order."""

    files: Files = frozenset()
    ledger: tuple[Committed, ...] = ()
    suppressions: tuple[str, ...] = ()

    def partition(self, table: str, stamp: str) -> Files:
        """What stands in one partition."""
        return frozenset(f for f in self.files if f.table == table and f.stamp == stamp)

    def replaced(self, old: Files, new: Files) -> World:
        """One commit."""
        return self._replace(files=(self.files - old) | new)


class Writer(NamedTuple):
    """A run at work. `suppressions`: how many it counted. `seen`: what it is about to discard."""

    name: str
    definition: str = "x"
    revise: bool = False
    from_features: bool = False
    retries: int = 1
    attempt: int = 0
    at: str = "plan"
    revision: int = 0
    stamp: str = ""
    suppressions: int = 0
    people: People = NOBODY
    seen: Files = frozenset()

    @property
    def label(self) -> str:
        """The attempt."""
        return f"{self.name}{self.attempt}"

    @property
    def at_work(self) -> bool:
        """Has it begun, and is it not over?"""
        return self.at not in ("plan", "published", "over")

    def over(self) -> Writer:
        """It ends without a word of success, whatever it has done."""
        return Writer(self.name, at="over")

    def killed(self) -> Writer:
        """Another attempt, which knows nothing of this one, while there may be one."""
        if not self.retries:
            return self.over()
        return Writer(*self[:4], retries=self.retries - 1, attempt=self.attempt + 1)


class Eraser(NamedTuple):
    """Somebody is being erased; at "repeat" the receipt is pending, at "erased" it is clean.

    `calm`: see `_is_calm`. `found`: what had the person when looked for. `seen`: what is read and replaced.
    """

    name: str
    person: str
    tables: tuple[str, ...] = ("assignments",)
    retries: int = 1
    at: str = "start"
    calm: bool = False
    table: int = 0
    found: Files = frozenset()
    seen: Files = frozenset()

    def told(self) -> Eraser:
        """Everything was looked at: the receipt. While it is pending, the command is to be repeated."""
        return Eraser(*self[:4], at="erased" if self.calm else "repeat")


class Collector(NamedTuple):
    """Removes what runs have left that are over and not committed, again and again."""

    name: str = "collector"
    at: str = "find garbage"
    found: Files = frozenset()


class Reader(NamedTuple):
    """Resolves the current attempt once, and reads both tables by it."""

    name: str = "reader"
    at: str = "resolve"
    stamp: str = ""
    assignments: Files = frozenset()
    profiles: Files = frozenset()


Process: TypeAlias = Writer | Eraser | Collector | Reader


class State(NamedTuple):
    """All there is to know at one moment."""

    processes: tuple[Process, ...]
    world: World = World()

    @property
    def at_work(self) -> list[Writer]:
        """Runs that may still stage or commit."""
        return [w for w in self.processes if isinstance(w, Writer) and w.at_work]


#: What a step makes of the world and of who takes it. Where it may be None, the step cannot be taken yet.
Outcome: TypeAlias = tuple[World, Process]


# What a writer does.


@cache
def _after(without: Without, at: str) -> str:
    """The step of a writer that follows when all goes well."""
    stage = ("stage assignments", "audit", "stage profiles", "recheck suppressions")
    commit = ("commit", "verify")
    body = commit + stage if without == "stage before commit" else stage + commit
    path = [s for s in ("plan", "count suppressions", "read inputs", *body, "published") if s != without]
    return path[path.index(at) + 1]


def _on(without: Without, me: Writer, **learned: Any) -> Writer:
    at = _after(without, me.at)
    if at == "published":
        return Writer(me.name, attempt=me.attempt, at=at)
    return me._replace(at=at, **learned)


def _plan(without: Without, state: State, me: Writer) -> Outcome:
    last = max(state.world.ledger, key=lambda row: row.revision, default=None)
    if last is not None and (last.definition == me.definition or not me.revise):
        return state.world, me.over()
    revision = 0 if last is None else last.revision + 1
    attempt = "" if without == "a partition for each attempt" else me.label
    return state.world, _on(without, me, revision=revision, stamp=f"{me.definition}{revision}/{attempt}")


def _count_suppressions(without: Without, state: State, me: Writer) -> Outcome:
    return state.world, _on(without, me, suppressions=len(state.world.suppressions))


def _read_inputs(without: Without, state: State, me: Writer) -> Outcome:
    """Sources keep everybody; published features, or kept activity, whom no eraser has reached there."""
    people = EVERYBODY
    if me.from_features:
        people = frozenset(p for f in state.world.files if f.table == "features" for p in f.people)
    if not (me.from_features and without == "suppressed as published features are read"):
        people -= frozenset(state.world.suppressions)
    return state.world, _on(without, me, people=people)


def _stage(table: str, without: Without, state: State, me: Writer) -> Outcome:
    """Who finds the table altered meanwhile tries again, so this is one step."""
    old, new = state.world.partition(table, me.stamp), frozenset({File(table, me.stamp, me.people)})
    return state.world.replaced(old, new), _on(without, me)


def _check(without: Without, state: State, me: Writer) -> Outcome:
    """Who does not pass takes back what it staged. At the audit, an eraser may have been there already."""
    world = state.world
    passed = {
        "audit": sum(len(f.people) for f in world.partition("assignments", me.stamp)) == len(me.people),
        "recheck suppressions": len(world.suppressions) == me.suppressions,
        "verify": any(row.attempt == me.label for row in world.ledger),
    }
    return world, _on(without, me) if passed[me.at] else me._replace(at="take back")


def _commit(without: Without, state: State, me: Writer) -> Outcome:
    """Delta takes a transaction version once. Who comes later is skipped, or refused; both are read back."""
    world = state.world
    if without == "txn version" or all(row.revision < me.revision for row in world.ledger):
        row = Committed(me.revision, me.definition, me.label, me.stamp, me.people)
        world = world._replace(ledger=(*world.ledger, row))
    return world, _on(without, me)


def _take_back(without: Without, state: State, me: Writer) -> Outcome:
    """Nobody else commits this attempt, so that the ledger and the rows are one look."""
    if any(row.attempt == me.label for row in state.world.ledger):
        return state.world, me.over()
    seen = state.world.partition("assignments", me.stamp)
    return state.world, me._replace(at="discard assignments", people=NOBODY, seen=seen)


def _discard_assignments(without: Without, state: State, me: Writer) -> Outcome:
    """Who meets an eraser leaves what is there."""
    found = state.world.partition("assignments", me.stamp)
    world = state.world.replaced(found, frozenset()) if found == me.seen else state.world
    return world, me._replace(at="discard profiles", seen=frozenset())


def _discard_profiles(without: Without, state: State, me: Writer) -> Outcome:
    found = state.world.partition("profiles", me.stamp)
    return state.world.replaced(found, frozenset()), me.over()


# What an eraser does.


def _is_calm(state: State, person: str) -> bool:
    """Is no run at work that may have read the person before the first suppression, or before now?"""
    asked = state.world.suppressions
    first = asked.index(person) if person in asked else len(asked)
    return all(writer.suppressions > first for writer in state.at_work)


def _suppress(without: Without, state: State, me: Eraser) -> Outcome:
    calm = _is_calm(state, me.person) or without == "wait for runs at work"
    me = me._replace(at="look", calm=calm)
    world = state.world._replace(suppressions=(*state.world.suppressions, me.person))
    return world, me.told() if without == "suppress before erasing" else me


def _look(without: Without, state: State, me: Eraser) -> Outcome:
    table = me.tables[me.table]
    found = frozenset(f for f in state.world.files if f.table == table and me.person in f.people)
    return state.world, _next_partition(without, me._replace(found=found))


def _next_partition(without: Without, me: Eraser) -> Eraser:
    """On to the next partition with the person, the next table, or the end."""
    me = me._replace(at="begin", seen=frozenset())
    if me.found:
        return me
    if me.table + 1 < len(me.tables):
        return me._replace(at="look", table=me.table + 1)
    return me._replace(at="suppress", table=0) if without == "suppress before erasing" else me.told()


def _begin(without: Without, state: State, me: Eraser) -> Outcome:
    """The partition is read in the transaction that will replace it."""
    table, stamp, _ = min(me.found)
    return state.world, me._replace(at="rewrite", seen=state.world.partition(table, stamp))


def _rewrite(without: Without, state: State, me: Eraser) -> Outcome:
    """Delta refuses what others have changed since the transaction began; then all is looked at again.

    A partition that changed and changed back is taken for the same: as if the transaction had begun later.
    """
    file = min(me.found)
    now = state.world.partition(file.table, file.stamp)
    if now != me.seen and without != "conflict of erasers":
        return state.world, me._replace(at="look", found=frozenset(), seen=frozenset())
    read = {file} if without == "erase what was read" else me.seen
    new = frozenset(f._replace(people=f.people - {me.person}) for f in read)
    return state.world.replaced(now, new), _next_partition(without, me._replace(found=me.found - {file}))


# What the collector and a reader do.


def _find_garbage(without: Without, state: State, me: Collector) -> Outcome | None:
    keep = {row.stamp for row in state.world.ledger}
    if without != "wait for runs at work":
        keep |= {writer.stamp for writer in state.at_work}
    found = frozenset(f for f in state.world.files if f.stamp not in keep)
    return (state.world, me._replace(at="collect", found=found)) if found else None


def _collect(without: Without, state: State, me: Collector) -> Outcome:
    file = min(me.found)
    rest = me.found - {file}
    world = state.world.replaced(state.world.partition(file.table, file.stamp), frozenset())
    return world, me._replace(found=rest) if rest else Collector(me.name)


def _resolve(without: Without, state: State, me: Reader) -> Outcome | None:
    last = max(state.world.ledger, key=lambda row: row.revision, default=None)
    return (state.world, me._replace(at="read assignments", stamp=last.stamp)) if last is not None else None


def _read_assignments(without: Without, state: State, me: Reader) -> Outcome:
    files = state.world.partition("assignments", me.stamp)
    return state.world, me._replace(at="read profiles", assignments=files)


def _read_profiles(without: Without, state: State, me: Reader) -> Outcome:
    return state.world, me._replace(at="read", profiles=state.world.partition("profiles", me.stamp))


STEPS: Mapping[str, Callable[[Without, State, Any], Outcome | None]] = {
    **{f"stage {table}": partial(_stage, table) for table in TABLES},
    **dict.fromkeys(("audit", "recheck suppressions", "verify"), _check),
    **{
        step.__name__.replace("_", " ").strip(): step
        for step in (
            _plan, _count_suppressions, _read_inputs, _commit, _take_back, _discard_assignments,
            _discard_profiles, _suppress, _look, _begin, _rewrite, _find_garbage, _collect, _resolve,
            _read_assignments, _read_profiles,
        )
    },
}  # fmt: skip


def turns(without: Without, state: State, me: Process) -> Iterator[tuple[str, World, Process]]:
    """What a process may do next, or what may happen to it: the step, and what comes of it."""
    step = me.at
    if step in ("start", "repeat"):
        step = "look" if without == "suppress before erasing" else "suppress"
    waits = isinstance(me, Eraser) and me.at == "repeat" and not _is_calm(state, me.person)
    outcome = STEPS[step](without, state, me) if step in STEPS and not waits else None
    if outcome is not None:
        yield step, *outcome
    if isinstance(me, Writer) and me.at_work:
        yield "is killed", state.world, me.killed()
    if isinstance(me, Eraser) and me.retries and me.at not in ("start", "repeat", "erased"):
        # One that is not started again is as good as one that takes no further step.
        yield "is killed", state.world, Eraser(*me[:3], retries=me.retries - 1)


# What must hold in every state.


def _whole(people: People, suppressions: tuple[str, ...], assignments: Files, profiles: Files) -> bool:
    """Are both tables there, and of `people`, but for those who were erased?"""
    if len(assignments) != 1 or {f.people for f in profiles} != {people}:
        return False
    (file,) = assignments
    return people - set(suppressions) <= file.people <= people


def readers_see_whole_runs(state: State) -> bool:
    people = {row.stamp: row.people for row in state.world.ledger}
    return all(
        _whole(people[r.stamp], state.world.suppressions, r.assignments, r.profiles)
        for r in state.processes
        if isinstance(r, Reader) and r.at == "read"
    )


def committed_runs_stay(state: State) -> bool:
    """Former revisions can be read too."""
    asked, files = state.world.suppressions, state.world.partition
    return all(
        _whole(row.people, asked, files("assignments", row.stamp), files("profiles", row.stamp))
        for row in state.world.ledger
    )


def one_run_a_revision(state: State) -> bool:
    revisions = [row.revision for row in state.world.ledger]
    return len(set(revisions)) == len(revisions)


def _left(state: State, *receipts: str) -> Files:
    """Rows of persons with such a receipt. Profiles are counts, which stay as they were."""
    erased = {e.person for e in state.processes if isinstance(e, Eraser) and e.at in receipts}
    return frozenset(f for f in state.world.files if f.table != "profiles" and f.people & erased)


def who_is_erased_is_never_seen(state: State) -> bool:
    """From the first receipt on, even if it is pending."""
    committed = {row.stamp for row in state.world.ledger}
    return not any(f.stamp in committed for f in _left(state, "repeat", "erased"))


def who_is_erased_is_nowhere(state: State) -> bool:
    """Nor among staged rows, once the receipt is clean."""
    return not _left(state, "erased")


def success_is_told_of_committed_runs(state: State) -> bool:
    attempts = {row.attempt for row in state.world.ledger}
    told = {w.label for w in state.processes if isinstance(w, Writer) and w.at == "published"}
    return told <= attempts


INVARIANTS: Mapping[str, Callable[[State], bool]] = {
    "readers see whole runs": readers_see_whole_runs,
    "committed runs stay": committed_runs_stay,
    "one run a revision": one_run_a_revision,
    "who is erased is never seen": who_is_erased_is_never_seen,
    "who is erased is nowhere": who_is_erased_is_nowhere,
    "success is told of committed runs": success_is_told_of_committed_runs,
}


# The search.


@dataclass(frozen=True)
class Explored:
    """How many states there are, where each process came to, and the shortest way to a fault, by its name."""

    states: int
    reached: frozenset[tuple[str, str]]
    faults: Mapping[str, tuple[str, ...]]


def explore(first: State, without: Without = "") -> Explored:
    """Breadth first, so that the first way to a fault is a shortest one."""
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    faults: dict[str, tuple[str, ...]] = {}
    queue = deque([first])
    while queue:
        state = queue.popleft()
        for name, holds in INVARIANTS.items():
            if name not in faults and not holds(state):
                faults[name] = _trace(came_from, state)
        if any(me.at == "read" for me in state.processes):
            continue  # a reader changes nothing: from here all goes on as if it had not read
        for place, me in enumerate(state.processes):
            for step, world, after in turns(without, state, me):
                processes = (*state.processes[:place], after, *state.processes[place + 1 :])
                following = State(processes, world)
                if following not in came_from:
                    came_from[following] = (state, f"{me.name}: {step}")
                    queue.append(following)
    reached = frozenset((me.name, me.at) for state in came_from for me in state.processes)
    return Explored(len(came_from), reached, faults)


def _trace(came_from: Mapping[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    steps = []
    while (before := came_from[state]) is not None:
        state, step = before
        steps.append(step)
    return tuple(reversed(steps))
