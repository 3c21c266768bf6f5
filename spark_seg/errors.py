"""Every failure raised on purpose. Each class maps to one exit code of the command line.

0 done · 1 unexpected · 2 usage or configuration · 3 the input breaks its contract ·
4 nothing acceptable: no candidate, or segments that break their contract ·
5 published, but alerts were raised · 6 already published differently · 7 fit a model: there is none yet, or
the monitor asks for a new one
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any


class SegmentationError(Exception):
    """Base of every deliberate failure; shows all its problems at once.

    `problems` are sentences of the form
    `<where>: <what must hold>; got <what was found>. <what to do>`.
    """

    exit_code = 1

    def __init__(self, problems: str | Sequence[str], title: str = "") -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        self.title = title
        super().__init__(self.render())

    def render(self) -> str:
        """The whole message: the title, a line for each problem, and their count when several."""
        if not self.title and len(self.problems) == 1:
            return self.problems[0]
        lines = [self.title] if self.title else []
        lines += [f"  {problem}" for problem in self.problems]
        count = len(self.problems)
        lines.append(f"{count} problem{'s' if count != 1 else ''}; nothing was published.")
        return "\n".join(lines)


class ConfigError(SegmentationError):
    """The configuration or a command-line argument is wrong."""

    exit_code = 2


class InputError(SegmentationError):
    """A source table or its rows break the input contract."""

    exit_code = 3


class ModelIntegrityError(InputError):
    """A saved model is not what its training run wrote. It is not loaded."""


class NoModel(SegmentationError):
    """Customers are to be assigned by a model, and none has been trained up to that day."""

    exit_code = 7


class Interrupted(SegmentationError):
    """Something around the run failed that may be well at the next try: a network, a cluster, a disk."""


class NoAcceptableCandidate(SegmentationError):
    """No clustering passes the business rules, or the data cannot be divided at all.

    `candidates` are the rows the table `candidates` would have got, with figures and reasons.
    """

    exit_code = 4

    def __init__(
        self,
        problems: str | Sequence[str],
        title: str = "",
        candidates: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.candidates = tuple(candidates)
        super().__init__(problems, title)


class ContractBreach(NoAcceptableCandidate):
    """The segments of a run are not what their consumers count on. The former run stays in force."""

    def __init__(self, problems: Sequence[str], owner: str | None = None) -> None:
        asked = f" (ask {owner})" if owner is not None else ""
        super().__init__(problems, title=f"contract{asked}: the segments must keep it; the former run stays")


class PublishConflict(SegmentationError):
    """This `as_of` is already published from something else, or another writer was faster."""

    exit_code = 6


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean 'amount'?` for the closest known name, else the list of all of them."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(names)}" if names else "there are none"
