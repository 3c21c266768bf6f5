"""Results as rows of the published tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from spark_seg.config import UNSEGMENTED, UNSEGMENTED_ID, names_of
from spark_seg.pipeline.plan import Plan
from spark_seg.profiles import LeftOut, Profile, differences, too_small
from spark_seg.segments import Segment
from spark_seg.selection import Candidate, Split
from spark_seg.tables import CANDIDATES


def candidate_row(c: Candidate) -> dict[str, Any]:
    """One row of `candidates`."""
    own = {name: getattr(c, name) for name in CANDIDATES.columns if name not in CANDIDATES.partition_by}
    return own | {"sizes": list(c.sizes), "separation": dict(c.separation)}


def split_rows(splits: Sequence[Split], published: Mapping[int, int]) -> list[dict[str, Any]]:
    """The rows of `splits`. `published`: node → segment, where the tree is what was published."""
    return [asdict(split) | {"segment_id": published.get(split.node)} for split in splits]


def profile_rows(
    plan: Plan, profiles: list[Profile], segments: list[Segment], grid: list[Profile], others: LeftOut
) -> list[dict[str, Any]]:
    """The rows of `profiles`: the segments that have customers, who is in none, then the RFM grid.

    `profiles` are labelled by segment id, `grid` by position in the grid.
    """
    archetypes = {a.name: a for a in plan.settings.segments.archetypes}
    smallest = plan.settings.privacy.min_group
    by_label = {p.label: p for p in profiles}
    hidden = too_small({p.label: p.customers for p in profiles}, smallest)
    rows = []
    for s in segments:
        if s.segment_id in by_label:
            known = archetypes.get(s.name)
            text = (known.description, known.play) if known else (None, None)
            row = _profile_row("clusters", s.segment_id, s.name, text, by_label[s.segment_id])
            rows.append(_suppressed(row) if s.segment_id in hidden else row)
    if others.customers:
        row = _unsegmented_row(others)
        rows.append(_suppressed(row) if others.customers < smallest else row)
    names = names_of(plan.settings.segments.rfm_map)
    hidden = too_small({p.label: p.customers for p in grid}, smallest)
    for p in grid:
        row = _profile_row("rfm_grid", p.label, names[p.label], (None, None), p)
        rows.append(_suppressed(row) if p.label in hidden else row)
    return rows


def _profile_row(
    scheme: str, segment_id: int, name: str, text: tuple[str | None, str | None], p: Profile
) -> dict[str, Any]:
    return {
        "scheme": scheme,
        "segment_id": segment_id,
        "segment_name": name,
        "description": text[0],
        "play": text[1],
        "customers": p.customers,
        "suppressed": False,
        "customer_share": p.customer_share,
        "revenue": p.revenue,
        "revenue_share": p.revenue_share,
        "differences": differences(p),
        "feature_stats": [asdict(stat) for stat in p.stats],
    }


def _unsegmented_row(others: LeftOut) -> dict[str, Any]:
    """How many they are and what they spent; shares are of those who were segmented."""
    return {
        "scheme": "clusters",
        "segment_id": UNSEGMENTED_ID,
        "segment_name": UNSEGMENTED,
        "description": "Not enough data to be in a segment (features.eligible).",
        "play": None,
        "customers": others.customers,
        "suppressed": False,
        "customer_share": None,
        "revenue": others.revenue,
        "revenue_share": None,
        "differences": [],
        "feature_stats": [],
    }


def _suppressed(row: dict[str, Any]) -> dict[str, Any]:
    """The same without what could be traced to a few persons."""
    nothing: dict[str, Any] = {"revenue": None, "revenue_share": None, "differences": [], "feature_stats": []}
    return row | nothing | {"suppressed": True}
