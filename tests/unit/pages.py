"""Runs as their reports get them, made up: what is typical, and what is not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from spark_seg.config import load_settings
from spark_seg.publishing import CommittedRun
from spark_seg.publishing.store import Receipt
from spark_seg.report import Picture, Published
from spark_seg.segments import Segment

Rows = list[dict[str, Any]]

AS_OF, BEFORE = date(2018, 1, 1), date(2017, 10, 1)
FEATURES = ("recency_days", "frequency", "monetary", "average_order_value")
OTHERS = ("tenure_days", "engagement_score", "category_breadth", "spend_trend")
NAMES = ("loyal_customers", "need_attention", "light_regulars", "lapsed")
SIZES = (742, 620, 897, 210)
#: Names that would be markup, code or another layout, if a page let them.
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(2)</script>",
    "{{7*7}} {% raw %} ${7*7}",
    "<b>bold</b> & <a href='javascript:alert(3)'>link</a>",
    "קונים נאמנים \u202eexe.live",
    '🛒 émojis \'n "quotes" `ticks` | pipes | [a](http://evil.example) ![i](http://evil.example/i.png)',
    "long_" * 60,
    "line\nbreak\ttab\x00nul\x1b[31m",
)


@cache
def _demo() -> dict[str, Any]:
    settings = load_settings([Path(__file__).parents[2] / "conf" / "demo.yaml"])
    return settings.model_dump(mode="json", exclude={"session"})


def config(**sections: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of the demo, with some settings of some sections changed."""
    return _demo() | {name: dict(_demo()[name]) | dict(changes) for name, changes in sections.items()}


def committed(**changes: Any) -> CommittedRun:
    facts: dict[str, Any] = {
        "as_of": AS_OF,
        "run_id": "4f6d2a90c1b7e835",
        "attempt_id": "a1b2c3d4",
        "job": "run_all",
        "revision": 1,
        "definition": "9a" * 32,
        "receipts": (Receipt("assignments", 12, 2469, "c0ffee"), Receipt("profiles", 11, 10, "beef")),
        "algorithm": "kmeans",
        "k": 4,
        "model_path": "/lake/models/4f6d2a90c1b7e835",
        "model_run_id": "4f6d2a90c1b7e835",
        "segments": tuple(Segment(i, i + 1, name, 0.9) for i, name in enumerate(NAMES)),
        "metrics": {
            "customers": 2469.0,
            "silhouette": 0.387,
            "agreement": 0.91,
            "weakest": 0.82,
            "surrogate_fidelity": 0.943,
            "importance_recency_days": 0.31,
            "importance_frequency": 0.422,
            "importance_monetary": 0.287,
            "importance_average_order_value": 0.118,
        },
        "structure": "faint groups: at k=4 only 7% less cost than the best of data without groups; "
        "segments cut a continuum",
        "inputs": (
            ("orders", "delta.`.demo/raw/transactions`", "3", 1_469_307),
            ("events", "delta.`.demo/raw/campaigns`", "1", 6_589),
            ("customers", "delta.`.demo/raw/demographics`", "0", 801),
        ),
        "model_digest": "5e" * 32,
        "committed_at": datetime(2026, 11, 26, 9, 41, tzinfo=UTC),
        "rejects": (("orders", "duplicate", 412), ("orders", "amount_not_positive", 8_116)),
        "code_version": "0.9.0",
        "spark_version": "4.2.0",
        "config": "{}",
        "seed": 42,
    }
    return CommittedRun(**facts | changes)


def stat(feature: str, i: int, j: int, n: int) -> dict[str, Any]:
    """Figures that differ from feature to feature and from segment to segment."""
    wave = math.sin(1.7 * i + 0.9 * j)
    return {
        "feature": feature,
        "known": n - j,
        "mean": 50.0 + 30 * wave,
        "sd": 12.5,
        "median": 48.0 + 31 * wave,
        "p10": 20.0 + 18 * wave,
        "p90": 90.0 + 40 * wave,
        "lift": 1 + 0.6 * wave,
        "difference": 2.4 * wave,
        "nearest_difference": 0.8 * wave,
        "position": 0.9 * wave,
    }


def profile(i: int, name: str, customers: int, total: int, **changes: Any) -> dict[str, Any]:
    revenue = Decimal(customers) * Decimal("1000.25") / (i + 1)
    row: dict[str, Any] = {
        "scheme": "clusters",
        "segment_id": i + 1,
        "segment_name": name,
        "description": "Come back steadily and spend above average.",
        "play": "grow: loyalty tiers, cross-sell from their top category",
        "customers": customers,
        "suppressed": False,
        "customer_share": customers / total,
        "revenue": revenue,
        "revenue_share": 0.4 / (i + 1),
        "engagement_share": 0.3 / (i + 1),
        "differences": [f"{2.4 / (i + 1):.1f} × spend", f"{3 + 9 * i} days since last order", "1.4 × orders"],
        "nearest_segment_id": None,
        "nearest_segment_name": None,
        "sentences": [
            f"They spend {2.4 / (i + 1):.1f} times as much as all customers, and order more often."
        ],
        "feature_stats": [stat(f, i, j, customers) for j, f in enumerate((*FEATURES, *OTHERS))],
        "kpis": [
            {"kpi": "average_order_value", "value": 31.4 + i, "customers": customers},
            {"kpi": "retention", "value": 0.81 / (i + 1), "customers": customers},
        ],
        "makeup": [
            {"attribute": "age", "value": "45-54", "customers": 60 + i, "share": 0.41, "lift": 1.38},
            {"attribute": "home", "value": "Homeowner", "customers": 55 + i, "share": 0.62, "lift": 1.12},
            {"attribute": "age", "value": None, "customers": 30, "share": 0.2, "lift": 0.7},
        ],
        "rf_grid": [],
    }
    return row | changes


def suppressed(row: dict[str, Any]) -> dict[str, Any]:
    """A profile of which nothing is told, as the table has it."""
    nothing = ("revenue", "revenue_share", "engagement_share", "nearest_segment_id", "nearest_segment_name")
    lists = {name: [] for name in ("differences", "sentences", "feature_stats", "kpis", "makeup", "rf_grid")}
    return row | {"suppressed": True} | dict.fromkeys(nothing) | lists


def outside(customers: int) -> dict[str, Any]:
    row = suppressed(profile(0, "unsegmented", customers, 1) | {"segment_id": 0})
    return row | {"suppressed": False, "customer_share": None, "description": None, "play": None}


def everybody(customers: int) -> dict[str, Any]:
    grid = [
        {"r": r, "f": f, "customers": 20 + 11 * r * f, "revenue": Decimal(1000 * r * f)}
        for r in range(1, 6)
        for f in range(1, 6)
        if (r, f) not in ((1, 5), (5, 1))
    ]
    grid.append({"r": None, "f": None, "customers": 13, "revenue": Decimal(77)})
    return profile(0, "everybody", customers, customers) | {
        "scheme": "everybody",
        "segment_id": 0,
        "description": None,
        "play": None,
        "differences": [],
        "sentences": [],
        "revenue": Decimal("4321987.65"),
        "revenue_share": 1.0,
        "engagement_share": 1.0,
        "rf_grid": grid,
    }


def candidate(algorithm: str, k: int, **changes: Any) -> dict[str, Any]:
    i = ("kmeans", "bisecting", "mixture").index(algorithm) if algorithm != "rfm_grid" else 3
    row: dict[str, Any] = {
        "algorithm": algorithm,
        "k": k,
        "effective_k": k,
        "seed": 7,
        "restarts": 10,
        "silhouette": 0.45 - 0.03 * k - 0.02 * i,
        "davies_bouldin": 0.9 + 0.05 * k + 0.04 * i,
        "calinski_harabasz": 2400.0 - 190 * k - 80 * i,
        "cost": 9000.0 / k**0.7 + 260 * i,
        "sample_cost": None,
        "sample_error": None,
        "elbow": k == 4,
        "bic": None,
        "aic": None,
        "posterior": None,
        "collapsed": 0,
        "agreement": 0.97 - 0.03 * k,
        "weakest": 0.95 - 0.05 * k,
        "separation": {},
        "sizes": [100] * k,
        "smallest_share": 0.3 / k,
        "largest_share": 1.2 / k,
        "accepted": k > 2,
        "chosen": False,
        "reason": f"silhouette {0.45 - 0.03 * k - 0.02 * i:.3f}, behind kmeans k=4",
    }
    return row | ({"reason": "fewer than 3 segments"} if k == 2 else {}) | changes


def candidates() -> Rows:
    swept = [candidate(a, k) for a in ("kmeans", "bisecting", "mixture") for k in range(2, 7)]
    swept[2] |= {"chosen": True, "reason": "smallest k within 2% of the best silhouette"}
    grid = candidate("rfm_grid", 10, agreement=None, weakest=None, elbow=False, accepted=False)
    return [*swept, grid | {"reason": "the baseline, never chosen"}]


def rule(i: int, segment: int, name: str, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "rule_id": i,
        "segment_id": segment,
        "segment_name": name,
        "text": f"the last order is at most {10 + i} days ago and there are more than {3 + i} orders",
        "condition": f"recency_days <= {10 + i} AND frequency > {3 + i}",
        "customers": 400 + i,
        "precision": 0.93 - i / 100,
        "coverage": 0.61 - i / 50,
        "tested": 120,
        "tested_precision": 0.92 - i / 100,
    }
    return row | changes


def silhouette(segment: int, customers: int) -> dict[str, Any]:
    low = 0.04 * (segment % 9)
    return {
        "segment_id": segment,
        "customers": customers,
        "negative": 0.031 * (segment % 9),
        "p5": -0.1 + low,
        "p25": 0.15 + low,
        "median": 0.31 + low,
        "p75": 0.45 + low,
        "p95": 0.6 + low,
        "mean": 0.3 + low,
    }


def way(source: int | None, target: int | None, customers: int, **changes: Any) -> dict[str, Any]:
    names = dict(enumerate(("unsegmented", *NAMES)))
    kind = (
        "new" if source is None else "gone" if target is None else "stayed" if source == target else "moved"
    )
    row: dict[str, Any] = {
        "against_as_of": BEFORE,
        "against_run_id": "former000",
        "from_segment_id": source,
        "from_segment_name": names.get(source) if source is not None else None,
        "to_segment_id": target,
        "to_segment_name": names.get(target) if target is not None else None,
        "kind": kind,
        "cause": None if kind == "stayed" else "behaviour",
        "customers": customers,
        "revenue_before": Decimal(customers * 90) if source is not None else None,
        "revenue": Decimal(customers * 100) if target is not None else None,
    }
    return row | changes


def drift(measure: str, subject: str, value: float, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "against_as_of": BEFORE,
        "against_run_id": "former000",
        "measure": measure,
        "subject": subject,
        "reference": None,
        "value": value,
        "threshold": 0.25,
        "breached": value >= 0.25,
        "advice": "refit",
        "sentence": f"PSI of {subject} is {value:.2f} (border 0.25, chance 0.02)",
    }
    return row | changes


def lineage(event: str, source: int | None, target: int | None, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "against_as_of": BEFORE,
        "against_run_id": "former000",
        "event": event,
        "from_segment_id": source,
        "from_segment_name": NAMES[source - 1] if source else None,
        "to_segment_id": target,
        "to_segment_name": NAMES[target - 1] if target else None,
        "basis": "model",
        "common": 611,
        "share_of_from": 0.885,
        "share_of_to": 0.823,
        "overlap": 0.74,
        "distance": None,
    }
    return row | changes


def picture(ids: Sequence[int], customers: int, method: str = "pca") -> Picture:
    points = tuple(
        (3 * math.cos(2.4 * i) + math.sin(n * 12.9898) * 1.1, 2 * math.sin(2.4 * i) + math.cos(n * 78.233), i)
        for i in ids
        for n in range(60)
    )
    return Picture(method, (0.52, 0.27) if method == "pca" else None, points, customers)


def first(names: Sequence[str] = NAMES, sizes: Sequence[int] = SIZES, **changes: Any) -> Published:
    """A run that nothing came before."""
    total = sum(sizes)
    ids = range(1, len(names) + 1)
    own = committed(
        k=len(names), segments=tuple(Segment(i - 1, i, n, None) for i, n in zip(ids, names, strict=True))
    )
    rows = [profile(i, n, s, total) for i, (n, s) in enumerate(zip(names, sizes, strict=True))]
    if len(names) > 1:
        rows[0] |= {"nearest_segment_id": 2, "nearest_segment_name": names[1]}
        rows[0]["sentences"].append(f"Unlike {names[1]}, they have ordered lately.")
    baseline = profile(0, "potential_loyalists", 500, total, scheme="rfm_grid")
    published = Published(
        run=own,
        trained=own,
        config=config(),
        profiles=[*rows, everybody(total), baseline],
        candidates=candidates(),
        rules=[rule(n, i, names[i - 1]) for n, i in enumerate([*ids, 1], start=1)],
        silhouettes=[silhouette(i, s) for i, s in zip(ids, sizes, strict=True)],
        picture=picture(ids, total),
        places={"assignments": "/lake/segments/assignments", "profiles": "/lake/segments/profiles"},
    )
    return replace(published, **changes)


def typical() -> Published:
    """A run with history, alerts, a decision, and customers without enough data."""
    start = first()
    own = replace(start.run, metrics=start.run.metrics | {"refit_agreement": 0.88, "moved": 197.0})
    return replace(
        start,
        run=own,
        trained=own,
        profiles=[*start.profiles, outside(37)],
        lineage=[
            lineage("survived", 1, 1),
            lineage("survived", 2, 2, common=544, share_of_from=0.871),
            lineage("split", 3, 3, common=401, share_of_from=0.55),
            lineage("split", 3, 4, common=305, share_of_from=0.42),
        ],
        migrations=[
            way(3, 3, 760),
            way(1, 1, 690),
            way(2, 2, 560),
            way(4, 4, 180),
            way(1, 2, 61),
            way(3, 2, 52, cause="model"),
            way(2, 3, 43),
            way(None, 3, 41),
            way(4, None, 26),
            way(2, 4, 17),
            way(2, 1, 15),
            way(1, 4, 6),
            way(4, 3, 3),
            way(1, 1, 999, against_run_id="older000"),
        ],
        alerts=[
            {
                "kind": "name",
                "subject": "light_regulars",
                "sentence": "light_regulars no longer fits its archetype: recency_days is high, not low. "
                "Give it another name or fit anew",
            }
        ],
        drift=[
            drift("psi", "frequency", 0.04),
            drift("psi", "recency_days", 0.31),
            drift("psi", "monetary", 0.02),
            drift(
                "silhouette",
                "",
                0.387,
                reference=0.401,
                threshold=0.301,
                breached=False,
                sentence="the silhouette went from 0.401 to 0.387 (border 0.301)",
            ),
        ],
        decisions=[
            {
                "against_as_of": BEFORE,
                "against_run_id": "former000",
                "action": "refit",
                "reasons": "PSI of recency_days is 0.31 (border 0.25, chance 0.02)",
                "model_age_days": 92,
            }
        ],
    )


def one_segment() -> Published:
    return first(NAMES[:1], (2469,))


def forty_segments() -> Published:
    names = [f"{NAMES[i % 4]}_{i // 4 + 1}" for i in range(40)]
    sizes = [30 + (i * 37) % 400 for i in range(40)]
    ways = [
        way(
            i,
            j,
            sizes[i - 1] - 5 if i == j else 12 + i,
            from_segment_name=names[i - 1],
            to_segment_name=names[j - 1],
        )
        for i in range(1, 41)
        for j in (i, i % 40 + 1)
    ]
    return replace(first(names, sizes), migrations=ways)


def empty() -> Published:
    """A run that assigned nobody, and holds nothing else."""
    own = committed(
        metrics={}, structure=None, inputs=(), rejects=(), segments=(), algorithm=None, k=None, seed=None
    )
    return Published(run=own, trained=own, config=config(), profiles=[])


def all_suppressed() -> Published:
    start = first(NAMES[:2], (4, 6))
    rows = [suppressed(p) for p in start.profiles if p["scheme"] == "clusters"]
    return replace(
        start,
        profiles=rows,
        rules=[],
        silhouettes=[],
        picture=None,
        warnings=("no picture: fewer than 10 customers",),
    )


def partly_suppressed() -> Published:
    """Two of four segments are too small, and every table still has figures of them."""
    start = typical()
    planted = [dict(p) for p in start.profiles]
    for p in planted:
        if p["scheme"] == "clusters" and p["segment_id"] in (2, 4):
            p |= {"suppressed": True}
    return replace(start, profiles=planted)


def hostile() -> Published:
    """Every name and text is an attack."""
    start = first(HOSTILE, [50 + 60 * i for i in range(len(HOSTILE))])
    bad = HOSTILE[0] + HOSTILE[2]
    rows = [
        p
        | {
            "description": bad,
            "play": HOSTILE[1],
            "differences": [HOSTILE[4], bad],
            "sentences": [*p["sentences"], bad],
            "makeup": [m | {"attribute": bad, "value": HOSTILE[6]} for m in p["makeup"]],
            "kpis": [*p["kpis"], {"kpi": bad, "value": 0.5, "customers": 99}],
            "feature_stats": [
                s | {"feature": s["feature"].replace("monetary", bad)} for s in p["feature_stats"]
            ],
        }
        for p in start.profiles
    ]
    features = {
        name.replace("monetary", bad): how for name, how in _demo()["preparation"]["features"].items()
    }
    own = replace(
        start.run,
        run_id=HOSTILE[2],
        algorithm=bad,
        structure=bad,
        inputs=((bad, HOSTILE[1], HOSTILE[6], 500),),
        rejects=((bad, HOSTILE[4], 12),),
        code_version=bad,
        metrics=start.run.metrics | {f"importance_{bad}": 0.2},
    )
    ways = [
        way(i, j, 20 + i + j, from_segment_name=HOSTILE[i - 1], to_segment_name=HOSTILE[j - 1])
        for i in range(1, 10)
        for j in (i, i % 9 + 1)
    ]
    return replace(
        start,
        run=own,
        trained=own,
        config=config(preparation={"features": features})
        | {"pipeline": bad, "notes": "\u2028 </script> \u202e"},
        profiles=rows,
        candidates=[
            c | {"reason": bad, "algorithm": bad if c["algorithm"] == "mixture" else c["algorithm"]}
            for c in start.candidates
        ],
        rules=[r | {"text": bad, "condition": f"name = '{HOSTILE[1]}'"} for r in start.rules],
        migrations=ways,
        lineage=[lineage("survived", 1, 1, from_segment_name=bad, to_segment_name=HOSTILE[5])],
        alerts=[{"kind": "name", "subject": bad, "sentence": f"{bad} is off"}],
        drift=[drift("psi", bad, 0.4)],
        decisions=[
            {
                "against_as_of": BEFORE,
                "against_run_id": bad,
                "action": bad,
                "reasons": bad,
                "model_age_days": 3,
            }
        ],
        places={bad: HOSTILE[1]},
        warnings=(bad,),
    )


def mixture() -> Published:
    """A mixture without silhouettes or rules, assigned by a model of an earlier day, with a t-SNE picture."""
    start = typical()
    trained = replace(start.run, run_id="earlier", as_of=BEFORE, algorithm="mixture")
    own = replace(
        start.run,
        job="assign_segments",
        algorithm="mixture",
        model_run_id="earlier",
        metrics={"silhouette": 0.19},
        structure=None,
        seed=None,
    )
    return replace(
        start,
        run=own,
        trained=trained,
        rules=[],
        lineage=[],
        silhouettes=[],
        picture=picture(range(1, 5), 2469, "tsne"),
        warnings=("no rules: the model of earlier has none", "no silhouettes: a mixture has no distance"),
    )


def approximate() -> Published:
    """Rules that place too few customers as the model does."""
    start = first()
    return replace(start, run=replace(start.run, metrics=start.run.metrics | {"surrogate_fidelity": 0.7312}))


VARIANTS = {
    "typical": typical,
    "first": first,
    "one segment": one_segment,
    "forty segments": forty_segments,
    "empty": empty,
    "all suppressed": all_suppressed,
    "partly suppressed": partly_suppressed,
    "hostile": hostile,
    "mixture": mixture,
    "approximate": approximate,
}
