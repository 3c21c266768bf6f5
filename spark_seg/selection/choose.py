"""Rules first, then stability, then the index and the smallest k. Pure Python over candidates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from spark_seg.config import SelectionRules, SelectionSettings
from spark_seg.selection.candidate import Candidate

Rule = Callable[[Candidate, SelectionRules], str | None]
#: Why a candidate may win whose index is not the best.
_SIMPLER, _NO_GROUPS, _FORMER = "simpler", "no groups", "former"


def _effective_k(c: Candidate, _: SelectionRules) -> str | None:
    if c.effective_k == c.k:
        return None
    return f"only {c.effective_k} of {c.k} clusters got customers"


def _min_segments(c: Candidate, r: SelectionRules) -> str | None:
    return None if c.k >= r.min_segments else f"fewer than {r.min_segments} segments"


def _max_segments(c: Candidate, r: SelectionRules) -> str | None:
    return None if c.k <= r.max_segments else f"more than {r.max_segments} segments"


def _min_segment_share(c: Candidate, r: SelectionRules) -> str | None:
    share = c.smallest_share or 0.0
    if share >= r.min_segment_share:
        return None
    return f"smallest segment has {share:.1%} of customers, fewer than {r.min_segment_share:.1%}"


def _min_segment_customers(c: Candidate, r: SelectionRules) -> str | None:
    smallest = min(c.sizes, default=0)
    if smallest >= r.min_segment_customers:
        return None
    return f"smallest segment has {smallest:,} customers, fewer than {r.min_segment_customers:,}"


def _max_segment_share(c: Candidate, r: SelectionRules) -> str | None:
    share = c.largest_share or 1.0
    if share <= r.max_segment_share:
        return None
    return f"largest segment has {share:.1%} of customers, more than {r.max_segment_share:.1%}"


def _finite(figure: float | None) -> bool:
    return figure is not None and math.isfinite(figure)


def _indices_finite(c: Candidate, _: SelectionRules) -> str | None:
    # Calinski-Harabasz divides by the cost: of clusters that are points each it is beyond all numbers.
    needed = (c.silhouette, c.davies_bouldin, *(() if c.cost == 0 else (c.calinski_harabasz,)))
    if all(map(_finite, needed)):
        return None
    return "an index is undefined on this clustering"


def _components_spread(c: Candidate, _: SelectionRules) -> str | None:
    if not c.collapsed:
        return None
    return f"{c.collapsed} of {c.k} components have shrunk to a plane: their likelihood says nothing"


def _min_stability(c: Candidate, r: SelectionRules) -> str | None:
    if c.weakest is None or c.weakest >= r.min_stability:
        return None
    return f"a segment keeps {c.weakest:.0%} of itself in refits, less than {r.min_stability:.0%}"


def _min_separation(c: Candidate, r: SelectionRules) -> str | None:
    weak = [
        f"{c.separation[name]:.1%} of {name}, less than {least:.1%}"
        for name, least in r.min_separation.items()
        if c.separation.get(name, least) < least
    ]
    return f"segments explain only {' and '.join(weak)}" if weak else None


#: Every rule a candidate must pass, in the order in which reasons are given.
RULES: dict[str, Rule] = {
    "effective_k": _effective_k,
    "min_segments": _min_segments,
    "max_segments": _max_segments,
    "min_segment_share": _min_segment_share,
    "min_segment_customers": _min_segment_customers,
    "max_segment_share": _max_segment_share,
    "indices_finite": _indices_finite,
    "components_spread": _components_spread,
    "min_separation": _min_separation,
    "min_stability": _min_stability,
}

#: Index → whether more is better.
INDICES = {"silhouette": True, "davies_bouldin": False, "calinski_harabasz": True, "bic": False}


def choose(
    candidates: Sequence[Candidate],
    settings: SelectionSettings,
    former: str | None = None,
    structured: bool = True,
) -> list[Candidate]:
    """The candidates again, in their order, with `accepted`, `chosen` and `reason` filled in.

    Candidates that pass every rule are accepted. Of them the stable ones compete, or all when none is; of
    these, those whose index is within `tolerance` (relative) of the best; the smallest k wins, then the
    better index, then the name. Where customers show no groups (not `structured`) no index but bic, which
    weighs k itself, knows how many: the smallest k wins, however good the index of others.

    `former`, the choice of the run before as `algorithm:k`, goes before all of them while it is accepted and
    within `keep_within` of the best: consumers need not follow each whim of an index. No candidate is chosen
    when none passes. A reason that a candidate came with (it was never fitted, it is the baseline) stays, and
    it is not accepted. `settings.pick` overrides all of this for a candidate that was fitted.
    """
    broken = [_objections(c, settings) for c in candidates]
    accepted = [c for c, reasons in zip(candidates, broken, strict=True) if not reasons]
    higher_is_better = INDICES[settings.index]

    def value(c: Candidate) -> float:
        figure = float(getattr(c, settings.index))
        return figure if higher_is_better else -figure

    blind = not structured and settings.index != "bic"
    winner, ground = None, _NO_GROUPS if blind else _SIMPLER
    competing = [c for c in accepted if _kept(c) >= settings.stable] or accepted
    if competing:
        best = max(value(c) for c in competing)
        margin = 0.0 if settings.index == "bic" else settings.tolerance * abs(best)
        close = [c for c in competing if value(c) >= best - margin or blind]
        winner = min(close, key=lambda c: (c.k, -value(c), c.algorithm))
        loyal = next((c for c in accepted if _pick_of(c) == former), None)
        if loyal is not None and _keeps(loyal, best, settings, value):
            winner, ground = loyal, _FORMER
            competing = competing if loyal in competing else [*competing, loyal]
    if settings.pick is not None:
        winner = next((c for c in candidates if _pick_of(c) == settings.pick and not c.reason), None)
    result = []
    for c, reasons in zip(candidates, broken, strict=True):
        if c is winner and settings.pick is not None:
            told = "; ".join(["picked by hand (selection.pick)", *reasons])
            result.append(replace(c, accepted=not reasons, chosen=True, reason=told))
        elif settings.pick is not None and not reasons:
            result.append(replace(c, accepted=True, reason=f"{settings.pick} was picked by hand"))
        elif reasons:
            result.append(replace(c, accepted=False, chosen=False, reason="; ".join(reasons)))
        elif c is winner:
            told = _why(c, competing, len(accepted), settings, value, ground)
            result.append(replace(c, accepted=True, chosen=True, reason=told))
        else:
            assert winner is not None  # noqa: S101 - somebody is accepted, so somebody won
            told = _why_not(c, winner, settings, value, ground) if c in competing else _unstable(c, winner)
            result.append(replace(c, accepted=True, reason=told))
    return result


def broken_rules(c: Candidate, rules: SelectionRules) -> list[str]:
    """A sentence for each rule that the candidate breaks."""
    return [reason for rule in RULES.values() if (reason := rule(c, rules)) is not None]


def _objections(c: Candidate, settings: SelectionSettings) -> list[str]:
    if c.reason:
        return [c.reason]
    broken = broken_rules(c, settings.rules)
    if not broken and not _finite(getattr(c, settings.index)):
        return [f"{settings.index} is undefined on this clustering"]
    return broken


def _keeps(
    c: Candidate, best: float, settings: SelectionSettings, value: Callable[[Candidate], float]
) -> bool:
    """Is the former choice near enough to the best one to be kept?"""
    if settings.keep_within is None or settings.index == "bic":
        return False
    return value(c) >= best - settings.keep_within * abs(best)


def _pick_of(c: Candidate) -> str:
    return f"{c.algorithm}:{c.k}"


def _shown(c: Candidate, index: str) -> str:
    return f"{index} {getattr(c, index):.3f}"


def _why(
    winner: Candidate,
    competing: Sequence[Candidate],
    accepted: int,
    settings: SelectionSettings,
    value: Callable[[Candidate], float],
    ground: str,
) -> str:
    best = max(competing, key=value)
    among = f"{len(competing)} stable of " if len(competing) < accepted else ""
    if best is winner:
        return f"best {settings.index} of {among}{accepted} acceptable candidates"
    if ground == _FORMER:
        return (
            f"the choice of the former run, within {settings.keep_within:.0%} of the best {settings.index} "
            f"({best.label}: {getattr(best, settings.index):.3f})"
        )
    if ground == _NO_GROUPS:
        return (
            f"smallest k: without groups a better {settings.index} ({best.label}: "
            f"{getattr(best, settings.index):.3f}) is no reason for more segments"
        )
    return (
        f"smallest k within {settings.tolerance:.0%} of the best {settings.index} "
        f"({best.label}: {getattr(best, settings.index):.3f})"
    )


def _kept(c: Candidate) -> float:
    """What the weakest segment keeps in refits; all of it where nothing was refitted (`resamples: 0`)."""
    return 1.0 if c.weakest is None else c.weakest


def _unstable(c: Candidate, winner: Candidate) -> str:
    return (
        f"a segment keeps {_kept(c):.0%} of itself in refits; {winner.label} goes before, "
        f"with {_kept(winner):.0%} at least"
    )


def _why_not(
    c: Candidate,
    winner: Candidate,
    settings: SelectionSettings,
    value: Callable[[Candidate], float],
    ground: str,
) -> str:
    shown = _shown(c, settings.index)
    if value(c) > value(winner) and ground == _FORMER:
        return f"{shown}, but not better enough than {winner.label}, the choice of the former run"
    if value(c) > value(winner) and ground == _NO_GROUPS:
        return f"{shown} is without groups no reason for more segments than {winner.label} has"
    if value(c) > value(winner):
        return f"{shown} is within {settings.tolerance:.0%} of {winner.label}, which is simpler"
    return f"{shown}, behind {winner.label} with {getattr(winner, settings.index):.3f}"
