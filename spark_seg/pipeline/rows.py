"""Results as rows of the published tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from spark_seg.pipeline.plan import Plan
from spark_seg.profiles import Profile, differences
from spark_seg.segments import GRID, Segment
from spark_seg.selection import Candidate, Split
from spark_seg.tables import CANDIDATES


def candidate_row(plan: Plan, c: Candidate) -> dict[str, Any]:
    """One row of `candidates`."""
    own = {name: getattr(c, name) for name in CANDIDATES.columns if name not in ("as_of", "run_id")}
    own |= {"sizes": list(c.sizes), "separation": dict(c.separation)}
    return {"as_of": plan.as_of, "run_id": plan.run_id, **own}


def split_rows(plan: Plan, splits: Sequence[Split], published: Mapping[int, int]) -> list[dict[str, Any]]:
    """The rows of `splits`. `published`: node → segment, where the tree is what was published."""
    own = {"as_of": plan.as_of, "run_id": plan.run_id}
    return [own | asdict(split) | {"segment_id": published.get(split.node)} for split in splits]


def profile_rows(
    plan: Plan, profiles: list[Profile], segments: list[Segment], grid: list[Profile]
) -> list[dict[str, Any]]:
    """The rows of `profiles`: the segments that have customers, then the RFM grid."""
    archetypes = {a.name: a for a in plan.settings.segments.archetypes}
    by_label = {p.label: p for p in profiles}
    rows = []
    for s in segments:
        if s.cluster in by_label:
            known = archetypes.get(s.name)
            text = (known.description, known.play) if known else (None, None)
            rows.append(_profile_row(plan, "clusters", s.segment_id, s.name, text, by_label[s.cluster]))
    names = list(GRID)
    rows += [_profile_row(plan, "rfm_grid", p.label, names[p.label], (None, None), p) for p in grid]
    return rows


def _profile_row(
    plan: Plan, scheme: str, segment_id: int, name: str, text: tuple[str | None, str | None], p: Profile
) -> dict[str, Any]:
    return {
        "as_of": plan.as_of,
        "run_id": plan.run_id,
        "scheme": scheme,
        "segment_id": segment_id,
        "segment_name": name,
        "description": text[0],
        "play": text[1],
        "customers": p.customers,
        "customer_share": p.customer_share,
        "revenue": p.revenue,
        "revenue_share": p.revenue_share,
        "differences": differences(p),
        "feature_stats": [asdict(stat) for stat in p.stats],
    }
