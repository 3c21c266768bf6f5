"""What consumers count on, held against the segments of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from spark_seg.config import SegmentContract
from spark_seg.profiles import Profile

Segments = Mapping[str, Profile]

#: What to do about most breaches.
_LOOK = "See what the run would move with --dry-run --against current, or change the contract"


def breaches(
    contract: SegmentContract,
    segments: Segments,
    moved_share: float | None,
    model_age_days: int,
    newest_order_days: int | None,
) -> list[str]:
    """A sentence for each clause that is broken.

    `segments`: name → profile of those that have customers. `moved_share`: of the customers of two runs,
    those who changed their segment (None: there is no former run). `newest_order_days`: days from the last
    order of anybody to as_of (None: nobody has ordered, or the contract does not ask).
    """
    return [
        *_missing(contract, segments),
        *_sizes(contract, segments),
        *_means(contract, segments),
        *_movement(contract, moved_share),
        *_freshness(contract, model_age_days, newest_order_days),
    ]


def _missing(contract: SegmentContract, segments: Segments) -> Iterator[str]:
    there = ", ".join(sorted(segments)) or "none"
    for name in contract.required:
        if name not in segments:
            yield f"contract.required: segment {name} must be there; got {there}. {_LOOK}"
    for consumer, names in contract.consumers.items():
        for name in names:
            if name not in segments:
                yield (
                    f"contract.consumers.{consumer}: segment {name} must be there, because {consumer} reads "
                    f"it; got {there}. Tell {consumer} first, and take it out of the contract. {_LOOK}"
                )


def _sizes(contract: SegmentContract, segments: Segments) -> Iterator[str]:
    bounds = {name: (f"contract.shares.{name}", own) for name, own in contract.shares.items()}
    if contract.share is not None:
        bounds = dict.fromkeys(segments, ("contract.share", contract.share)) | bounds
    for name, (clause, (low, high)) in bounds.items():
        share = segments[name].customer_share if name in segments else 0.0
        if not low <= share <= high:
            yield (
                f"{clause}: segment {name} must have {low:.1%} to {high:.1%} of customers; got {share:.1%}. "
                f"{_LOOK}"
            )


def _means(contract: SegmentContract, segments: Segments) -> Iterator[str]:
    """Of a segment that is not there `required` says whether it must be."""
    for name, features in contract.means.items():
        if name not in segments:
            continue
        means = {stat.feature: stat.mean for stat in segments[name].stats}
        for feature, (least, most) in features.items():
            mean = means.get(feature)
            if mean is not None and (least is None or mean >= least) and (most is None or mean <= most):
                continue
            borders = (("at least", least), ("at most", most))
            wanted = " and ".join(f"{words} {value:g}" for words, value in borders if value is not None)
            got = f"{mean:g}" if mean is not None else "nobody who has one"
            if feature not in means:
                got = "no such feature"
            yield f"contract.means.{name}.{feature}: the mean must be {wanted}; got {got}. {_LOOK}"


def _movement(contract: SegmentContract, moved_share: float | None) -> Iterator[str]:
    if contract.max_moved is not None and moved_share is not None and moved_share > contract.max_moved:
        yield (
            f"contract.max_moved: at most {contract.max_moved:.1%} of customers may change their segment in "
            f"one run; got {moved_share:.1%}. {_LOOK}"
        )


def _freshness(
    contract: SegmentContract, model_age_days: int, newest_order_days: int | None
) -> Iterator[str]:
    most = contract.max_model_age_days
    if most is not None and model_age_days > most:
        yield (
            f"contract.max_model_age_days: the model must be at most {most} days old; got {model_age_days}. "
            "Train again (train_segments or run_all)"
        )
    most = contract.max_order_age_days
    if most is not None and (newest_order_days is None or newest_order_days > most):
        got = "none at all" if newest_order_days is None else f"the last one {newest_order_days} days before"
        yield (
            f"contract.max_order_age_days: somebody must have ordered in the {most} days before as_of; got "
            f"{got}. Check the job that fills the orders"
        )
