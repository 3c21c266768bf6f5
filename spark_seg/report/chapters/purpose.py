"""What a model is for, and what it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from spark_seg.report.blocks import Bullets, Text, table
from spark_seg.report.facts import segments, settings_of
from spark_seg.report.published import Published
from spark_seg.report.shared import tables_read
from spark_seg.report.words import count, foreign, given, known, listed, share, things


def purpose(published: Published) -> Iterator[Any]:
    """What customers are divided by, into what, and for what."""
    rows, run = segments(published), published.run
    dropped = {feature for feature, _ in published.trained.dropped_features}
    features = [f for f in settings_of(published, "preparation", "features") if f not in dropped]
    plays = ", each with a marketing play" if rows and all(p["play"] for p in rows) else ""
    yield Text(
        f"The model divides customers by {listed([foreign(f) for f in features]) or 'their features'} into "
        f"{things(len(rows), 'segment')}{plays}. It was trained on customers as of "
        f"{published.trained.as_of} and used on those as of {run.as_of}. A segment says what its customers "
        "have in common; a single customer may differ from it."
    )
    if rows:
        yield table(
            "Segments, and what they are meant for",
            ("segment", "id>", "what it is", "play", "customers>", "share>"),
            [
                (
                    foreign(p["segment_name"]),
                    str(p["segment_id"]),
                    given(p["description"]),
                    given(p["play"]),
                    count(p["customers"]),
                    share(p["customer_share"]),
                )
                for p in rows
            ],
        )


def data(published: Published) -> Iterator[Any]:
    """What was read, of which time, and who is segmented."""
    run, features = published.run, settings_of(published, "features")
    if "lookback_days" in features:
        start = run.as_of - timedelta(days=int(features["lookback_days"]))
        yield Text(
            f"Observation period: from {start} to the day before {run.as_of} "
            f"({things(int(features['lookback_days']), 'day')})."
        )
    who = {"buyers": "who ordered in this period", "active": "who ordered or had an event in this period"}
    if features.get("eligible") in who:
        yield Text(f"Segmented are customers {who[features['eligible']]}.")
    yield tables_read(run, "Tables read")


def features(published: Published) -> Iterator[Any]:
    """What enters the clustering, how it is prepared, and what did not enter."""
    preparation = settings_of(published, "preparation")
    features: Mapping[str, Any] = settings_of(published, "preparation", "features")
    if features:
        yield table(
            "Features that enter the clustering",
            ("feature", "missing values become", "pulled in beyond", "log"),
            [
                (
                    foreign(name),
                    given((how or {}).get("impute")),
                    " and ".join(f"{c:.1%}" for c in (how or {}).get("cap") or []) or "not",
                    "yes" if (how or {}).get("log") else "no",
                )
                for name, how in features.items()
            ],
        )
    scales = {
        "standard": "divided by their standard deviation",
        "robust": "divided by their interquartile range",
        "min_max": "brought to 0 to 1",
    }
    if preparation.get("scale") in scales:
        yield Text(f"Prepared features are {scales[preparation['scale']]}.")
    if known(preparation.get("pca_variance")):
        kept = share(preparation["pca_variance"])
        yield Text(f"Principal components that explain {kept} of the variance are kept.")
    dropped = published.trained.dropped_features
    if dropped:
        yield Bullets(tuple(f"{foreign(name)} did not enter: {foreign(reason)}" for name, reason in dropped))
