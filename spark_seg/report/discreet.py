"""What may not be told: of segments with too few customers, and of figures of too few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from spark_seg.config import UNSEGMENTED_ID
from spark_seg.report.facts import Row, hidden_ids, min_group, segments
from spark_seg.report.published import Published

_KEPT = ("scheme", "segment_id", "segment_name", "play", "customers", "suppressed", "customer_share")
_LISTS = ("differences", "sentences", "feature_stats", "kpis", "makeup", "rf_grid")


def discreet(published: Published) -> Published:
    """The same without anything that must not be told.

    Of suppressed segments only name, size, share and play are left, wherever they stand; figures of fewer
    than `min_group` customers are taken out.
    """
    hidden, smallest = hidden_ids(published), min_group(published)
    names = tuple(p["segment_name"] for p in segments(published) if p["suppressed"])
    drift = [_without_hidden(d, names) for d in published.drift if not _tells_of(d, names)]
    kept = {d["sentence"] for d in drift}
    picture = published.picture
    if picture is not None:
        picture = replace(picture, points=tuple(p for p in picture.points if p[2] not in hidden))
    return replace(
        published,
        profiles=[_profile(p, hidden, names, smallest) for p in published.profiles],
        rules=[
            r | ({"tested_precision": None} if (r["tested"] or 0) < smallest else {})
            for r in published.rules
            if r["segment_id"] not in hidden and r["customers"] >= smallest
        ],
        lineage=[_lineage(row, hidden, smallest) for row in published.lineage],
        alerts=[_alert(a, names) for a in published.alerts],
        drift=drift,
        decisions=[_decision(d, names, kept) for d in published.decisions],
        silhouettes=[
            s
            for s in published.silhouettes
            if s["segment_id"] not in hidden | {UNSEGMENTED_ID} and s["customers"] >= smallest
        ],
        picture=picture,
    )


def _profile(row: dict[str, Any], hidden: set[int], names: Sequence[str], smallest: int) -> dict[str, Any]:
    lists: dict[str, Any] = {name: list(row.get(name) or []) for name in _LISTS}
    if row["suppressed"]:
        nothing: dict[str, Any] = dict.fromkeys(row) | {name: [] for name in _LISTS}
        return nothing | {name: row[name] for name in _KEPT}
    lists["feature_stats"] = [s for s in lists["feature_stats"] if (s["known"] or 0) >= smallest]
    for name in ("kpis", "makeup"):
        lists[name] = [x for x in lists[name] if x["customers"] is not None and x["customers"] >= smallest]
    if row["nearest_segment_id"] in hidden and row["scheme"] == "clusters":
        lists["feature_stats"] = [s | {"nearest_difference": None} for s in lists["feature_stats"]]
        lists["sentences"] = [s for s in lists["sentences"] if not _mentions(s, names)]
        return row | lists | {"nearest_segment_id": None, "nearest_segment_name": None}
    return row | lists


def _lineage(row: dict[str, Any], hidden: set[int], smallest: int) -> dict[str, Any]:
    secret = {row["from_segment_id"], row["to_segment_id"]} & hidden
    if not secret and (row["common"] is None or row["common"] >= smallest):
        return row
    return row | dict.fromkeys(("common", "share_of_from", "share_of_to", "overlap", "distance"))


def _alert(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    if row["subject"] not in names and not _mentions(row["sentence"], names):
        return row
    return row | {
        "sentence": f"{row['subject']} has too few customers to tell what was found ({row['kind']})"
    }


def _tells_of(row: Row, names: Sequence[str]) -> bool:
    """Does a measure tell more than the size of a suppressed segment?"""
    subject = str(row["subject"] or "")
    own = any(subject == name or subject.endswith(f" in {name}") for name in names)
    return own and (row["measure"] != "size_share" or subject not in names)


def _without_hidden(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    own = row["measure"] == "size_share" and row["subject"] in names
    return row if own or not _mentions(row["sentence"], names) else row | {"sentence": ""}


def _decision(row: dict[str, Any], names: Sequence[str], kept: set[str]) -> dict[str, Any]:
    lines = (row["reasons"] or "").splitlines()
    shown = [line for line in lines if line in kept or not _mentions(line, names)]
    if len(shown) < len(lines):
        shown.append("something about segments with too few customers to tell more of them")
    return row | {"reasons": "\n".join(shown)}


def _mentions(text: str | None, names: Sequence[str]) -> bool:
    return any(name in (text or "") for name in names)
