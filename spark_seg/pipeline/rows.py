"""Results as rows of the published tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from spark_seg.config import UNSEGMENTED, UNSEGMENTED_ID, names_of
from spark_seg.pipeline.plan import Plan
from spark_seg.profiles import (
    EVERYBODY,
    FeatureStat,
    LeftOut,
    Profile,
    against,
    differences,
    engagement_share,
    hidden_cells,
    nearest_of,
    sentences,
    too_small,
)
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
    plan: Plan,
    profiles: list[Profile],
    segments: list[Segment],
    grid: list[Profile],
    everybody: Profile,
    others: LeftOut,
) -> list[dict[str, Any]]:
    """The rows of `profiles`: the segments that have customers, who is in none, the RFM grid, and all.

    `profiles` are labelled by segment id, `grid` by position in the grid.
    """
    archetypes = {a.name: a for a in plan.settings.segments.archetypes}
    smallest = plan.settings.privacy.min_group
    names = {s.segment_id: s.name for s in segments}
    rows = []
    for row in _rows_of("clusters", profiles, names, everybody, plan):
        known = archetypes.get(row["segment_name"])
        rows.append(row | ({"description": known.description, "play": known.play} if known else {}))
    if others.customers:
        row = _unsegmented_row(others)
        rows.append(_suppressed(row) if others.customers < smallest else row)
    rows += _rows_of(
        "rfm_grid", grid, dict(enumerate(names_of(plan.settings.segments.rfm_map))), everybody, plan
    )
    rows += [
        row | {"rf_grid": _grid(everybody, smallest)}
        for row in _rows_of(EVERYBODY, [everybody], {everybody.label: "all customers"}, everybody, plan)
    ]
    return rows


def _rows_of(
    scheme: str, profiles: Sequence[Profile], names: Mapping[int, str], everybody: Profile, plan: Plan
) -> list[dict[str, Any]]:
    smallest = plan.settings.privacy.min_group
    by_label = {p.label: p for p in profiles if p.label in names}
    hidden = too_small({label: p.customers for label, p in by_label.items()}, smallest)
    near = nearest_of([*by_label.values()], [*plan.settings.preparation.features])
    makeups = _makeups(by_label, everybody, smallest)
    rows = []
    for label in sorted(by_label, key=[*names].index):
        p, other = by_label[label], by_label.get(near.get(label, -1))
        told = makeups[label]
        nearest = (names[other.label], other) if other is not None and other.label not in hidden else None
        row = {
            "scheme": scheme,
            "segment_id": label,
            "segment_name": names[label],
            "description": None,
            "play": None,
            "customers": p.customers,
            "suppressed": False,
            "customer_share": p.customer_share,
            "revenue": p.revenue,
            "revenue_share": p.revenue_share,
            "engagement_share": engagement_share(p, everybody),
            "differences": differences(p) if scheme != EVERYBODY else [],
            "nearest_segment_id": nearest[1].label if nearest else None,
            "nearest_segment_name": nearest[0] if nearest else None,
            "sentences": sentences(p, everybody, nearest, told) if scheme != EVERYBODY else [],
            "feature_stats": [_stat(s, nearest[1] if nearest else None, everybody) for s in p.stats],
            "kpis": [asdict(kpi) for kpi in p.kpis],
            "makeup": told,
            "rf_grid": [],
        }
        rows.append(_suppressed(row) if label in hidden else row)
    return rows


def _stat(stat: FeatureStat, nearest: Profile | None, everybody: Profile) -> dict[str, Any]:
    theirs = nearest.stat(stat.feature) if nearest is not None else None
    return asdict(stat) | {"nearest_difference": against(stat, theirs, everybody.stat(stat.feature))}


def _makeups(
    profiles: Mapping[int, Profile], everybody: Profile, smallest: int
) -> dict[int, list[dict[str, Any]]]:
    """Label → its rows of `makeup`. Values that too few customers have are counted with all others."""
    rows: dict[int, list[dict[str, Any]]] = {label: [] for label in profiles}
    for attribute, of_all in everybody.makeup.items():
        counts: dict[tuple[int, str | None], int] = {
            (label, value): n
            for label, p in profiles.items()
            for value, n in p.makeup.get(attribute, {}).items()
            if value is not None
        }
        hidden = hidden_cells(counts, smallest)
        total = sum(of_all.values())
        for label, p in profiles.items():
            own = p.makeup.get(attribute, {})
            known = sum(own.values())
            shown = {v: n for v, n in own.items() if v is not None and (label, v) not in hidden}
            rest = known - sum(shown.values())
            for value, n in [*sorted(shown.items(), key=lambda x: (-x[1], x[0])), (None, rest)]:
                if n:
                    share = n / known
                    lift = share / (of_all[value] / total) if value is not None else None
                    told = {"attribute": attribute, "value": value, "customers": n, "share": share}
                    rows[label].append(told | {"lift": lift})
    return rows


def _grid(everybody: Profile, smallest: int) -> list[dict[str, Any]]:
    """The rows of `rf_grid`: cells with too few customers are counted together."""
    hidden = too_small({cell: n for cell, (n, _) in everybody.cells.items()}, smallest)
    rows = [
        {"r": r, "f": f, "customers": n, "revenue": revenue}
        for (r, f), (n, revenue) in sorted(everybody.cells.items())
        if (r, f) not in hidden
    ]
    few = [everybody.cells[cell] for cell in hidden]
    if few and sum(n for n, _ in few) >= smallest:
        revenue = sum((money for _, money in few), Decimal(0))
        rows.append({"r": None, "f": None, "customers": sum(n for n, _ in few), "revenue": revenue})
    return rows


_NOTHING: dict[str, Any] = {
    "revenue": None,
    "revenue_share": None,
    "engagement_share": None,
    "differences": [],
    "nearest_segment_id": None,
    "nearest_segment_name": None,
    "sentences": [],
    "feature_stats": [],
    "kpis": [],
    "makeup": [],
    "rf_grid": [],
}


def _unsegmented_row(others: LeftOut) -> dict[str, Any]:
    """How many they are and what they spent; shares are of those who were segmented."""
    return _NOTHING | {
        "scheme": "clusters",
        "segment_id": UNSEGMENTED_ID,
        "segment_name": UNSEGMENTED,
        "description": "Not enough data to be in a segment (features.eligible).",
        "play": None,
        "customers": others.customers,
        "suppressed": False,
        "customer_share": None,
        "revenue": others.revenue,
    }


def _suppressed(row: dict[str, Any]) -> dict[str, Any]:
    """The same without what could be traced to a few persons."""
    return row | _NOTHING | {"suppressed": True}
