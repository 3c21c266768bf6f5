"""Labelled customers → why each is in its segment, and what would change that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.kernels import REASONS_DDL, Adder, Explainer, Floats, Shape, Units, importances, located
from spark_seg.profiles.summary import Profile

#: Customers whose features are shuffled to see which of them matter.
SHUFFLED = 5_000


def reasons(
    customers: DataFrame,
    shape: Shape,
    units: Units,
    segments: Mapping[int, int],
    rule: Column,
    everybody: Profile,
) -> DataFrame:
    """The columns of `EXPLANATIONS` but for who wrote them.

    `customers`: labelled ones in canonical layout, with the features of `units` and `cluster`,
    `second_cluster`, `confidence` and `second_confidence`. `segments`: cluster → segment id. `rule`: id of
    the rule of the surrogate that applies. `everybody`: the profile of all, whose medians pulls are against.
    Two passes over the customers, both narrow: one adds up, one explains.
    """
    medians = ((stat.median if (stat := everybody.stat(name)) else None) for name in units.names)
    typical = np.array([f if m is None else m for m, f in zip(medians, units.fill, strict=True)])
    features = [F.col(name).cast("double").alias(name) for name in units.names]
    adder = Adder(shape, units, located(shape, units, typical[None, :])[0])
    rows = customers.select("cluster", *features).mapInArrow(adder, "figures binary").collect()
    totals = adder.total([bytes(row["figures"]) for row in rows])
    ids = tuple(segments.get(cluster, 0) for cluster in range(shape.k))
    margin = F.col("confidence") - F.coalesce("second_confidence", F.lit(0.0))
    asked = customers.select(
        "customer_id", "cluster", "second_cluster", margin.alias("margin"), rule.alias("rule_id"), *features
    )
    return asked.mapInArrow(Explainer(shape, units, totals, typical, ids), REASONS_DDL)


def feature_importance(customers: DataFrame, shape: Shape, units: Units, seed: int) -> dict[str, float]:
    """Feature → share of customers who get another cluster when its values are shuffled among them.

    Measured on `SHUFFLED` customers at most, drawn by a hash of their id (permutation importance: Breiman
    2001, with the assignment in the place of the answer).
    """
    drawn = customers.orderBy(F.xxhash64("customer_id"), "customer_id").limit(SHUFFLED)
    rows = drawn.select(*(F.col(name).cast("double") for name in units.names)).collect()
    raw: Floats = np.array(rows, dtype=np.float64).reshape(-1, len(units.names))
    shares: Sequence[float] = importances(shape, units, raw, seed).tolist()
    return dict(zip(units.names, shares, strict=True))
