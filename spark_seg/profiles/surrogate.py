"""Labelled customers → a small decision tree in business units that imitates the segmentation, as rules.

The tree is MLlib's, over features as they are published: neither scaled nor capped. It is fitted on about
70 % of the customers, whom a hash of their id picks, and judged on the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.ml.classification import DecisionTreeClassifier
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegralType

from spark_seg.preparation import canonical_layout
from spark_seg.profiles.rules import Rule, Surrogate, rules_of
from spark_seg.profiles.tree import Leaf, Tree, customers_in_leaves, filled, parse_tree, rounded
from spark_seg.session import keep, release

#: Customers fall into so many buckets by a hash of their id; the tree may see those below `_SEEN`.
_BUCKETS = 10_000
_SEEN = 7_000
_SALT = "surrogate"
#: Largest number of candidate thresholds per feature, plus one.
_BINS = 128


@dataclass(frozen=True)
class RuleFigures:
    """How well one rule imitates the segmentation.

    `customers`: to whom it applies; `hits`: those of them who are in its segment; `tested`,
    `tested_hits`: the same among customers whom the tree has not seen; `segment_customers`: all in the
    segment.
    """

    rule_id: int
    label: int
    customers: int
    hits: int
    tested: int
    tested_hits: int
    segment_customers: int

    @property
    def precision(self) -> float | None:
        """Share of the rule's customers who are in its segment; None without customers."""
        return self.hits / self.customers if self.customers else None

    @property
    def coverage(self) -> float | None:
        """Share of the segment's customers to whom the rule applies; None without customers."""
        return self.hits / self.segment_customers if self.segment_customers else None

    @property
    def tested_precision(self) -> float | None:
        """`precision` among customers whom the tree has not seen; None when there are none."""
        return self.tested_hits / self.tested if self.tested else None


def fit_surrogate(
    customers: DataFrame,
    label: str,
    features: Mapping[str, float],
    seed: int,
    max_depth: int,
    smallest: int,
    sample: int,
) -> Surrogate | None:
    """The tree that tells the segment `label` (whole numbers) from `features`; None without customers.

    `customers`: `customer_id`, `label` and the features in business units, one row per customer; rows
    without a label count nowhere. `features`: feature → value that counts where a customer has none.
    The tree has at most `max_depth` questions in a row, every leaf at least `smallest` customers, and it is
    fitted on at most `sample` (or 1/10,000 of all, if that is more). It follows from the customers and
    `seed` alone, not from order or partitions. Its thresholds are the shortest numbers with which every
    customer of `customers` falls into the same leaf as by MLlib's own. When there is nobody whom it may see,
    it says the commonest segment of all, and has seen everybody.

    Raises `ValueError` when the name of a feature is no plain identifier, or MLlib describes its tree in
    another way than is known here.
    """
    for name in features:
        if not (name.isascii() and name.isidentifier()):
            raise ValueError(f"features: must be plain identifiers; got {name!r}")
    customers = customers.where(F.col(label).isNotNull())
    chosen = _choose(customers, label, sample)
    sampled = customers.where(_bucket() < chosen.below) if chosen.customers else customers
    if len(chosen.labels) < 2 or not features:
        commonest = _commonest(sampled, label)
        if commonest is None:
            return None
        return Surrogate(
            dict(features),
            Leaf(commonest),
            (Rule(1, commonest, ()),),
            saw_everybody=not chosen.customers,
        )
    tree = _fitted(sampled, label, features, chosen, seed, max_depth, max(1, smallest))
    whole = {name for name in features if isinstance(customers.schema[name].dataType, IntegralType)}
    leaves = customers_in_leaves(customers, tree, features)
    short = rounded(tree, leaves, whole)
    return Surrogate(dict(features), short, rules_of(short, features, whole, leaves))


def measure_rules(customers: DataFrame, label: str, surrogate: Surrogate) -> list[RuleFigures]:
    """The figures of every rule, in their order, from one pass over `customers` as in `fit_surrogate`."""
    rows = (
        customers.where(F.col(label).isNotNull())
        .groupBy(
            surrogate.column().alias("rule_id"),
            F.col(label).alias("segment"),
            (F.lit(False) if surrogate.saw_everybody else unseen()).alias("unseen"),
        )
        .agg(F.count(F.lit(1)).alias("customers"))
        .collect()
    )
    segments: Counter[int] = Counter()
    by_rule: Counter[tuple[int, bool, bool]] = Counter()
    said = {rule.rule_id: rule.label for rule in surrogate.rules}
    for row in rows:
        segments[row["segment"]] += row["customers"]
        hit = row["segment"] == said[row["rule_id"]]
        by_rule[row["rule_id"], row["unseen"], hit] += row["customers"]
    figures = []
    for rule in surrogate.rules:
        hits, tested_hits = (by_rule[rule.rule_id, unseen, True] for unseen in (False, True))
        misses, tested_misses = (by_rule[rule.rule_id, unseen, False] for unseen in (False, True))
        tested = tested_hits + tested_misses
        figures.append(
            RuleFigures(
                rule.rule_id,
                rule.label,
                customers=hits + misses + tested,
                hits=hits + tested_hits,
                tested=tested,
                tested_hits=tested_hits,
                segment_customers=segments[rule.label],
            )
        )
    return figures


def fidelity(figures: Sequence[RuleFigures]) -> float | None:
    """Share of the customers whom the tree has not seen that the rules put into their segment."""
    tested = sum(f.tested for f in figures)
    return sum(f.tested_hits for f in figures) / tested if tested else None


def unseen() -> Column:
    """Is a customer (`customer_id`) one of those whom no tree may see, unless there are no others?"""
    return _bucket() >= _SEEN


def _bucket() -> Column:
    """0 to 9,999, the same for a customer in every run."""
    return F.pmod(F.xxhash64("customer_id", F.lit(_SALT)), F.lit(_BUCKETS))


@dataclass(frozen=True)
class _Chosen:
    """Whom the tree is fitted on: the buckets below `below`, how many they are, and their segments."""

    below: int
    customers: int
    labels: tuple[int, ...]


def _choose(customers: DataFrame, label: str, sample: int) -> _Chosen:
    """As many of the first buckets as have `sample` customers at most, and at least one with any."""
    rows = (
        customers.groupBy(_bucket().alias("bucket"))
        .agg(F.count(F.lit(1)).alias("customers"), F.collect_set(label).alias("labels"))
        .where(F.col("bucket") < _SEEN)
        .collect()
    )
    total, labels, below = 0, set[int](), _SEEN
    for row in sorted(rows, key=lambda row: int(row["bucket"])):
        if total and total + row["customers"] > sample:
            below = row["bucket"]
            break
        total += row["customers"]
        labels.update(row["labels"])
    return _Chosen(below, total, tuple(sorted(labels)))


def _commonest(customers: DataFrame, label: str) -> int | None:
    """The segment of most customers, of equal ones the first; None without customers."""
    counts = customers.groupBy(F.col(label).alias("segment")).agg(F.count(F.lit(1)).alias("customers"))
    row = counts.orderBy(F.desc("customers"), "segment").first()
    return None if row is None else int(row["segment"])


def _fitted(
    sampled: DataFrame,
    label: str,
    features: Mapping[str, float],
    chosen: _Chosen,
    seed: int,
    max_depth: int,
    smallest: int,
) -> Tree:
    """MLlib's tree; leaves side by side that say the same are one already."""
    inputs = [f"x{i}" for i in range(len(features))]
    values = [filled(*item).alias(x) for x, item in zip(inputs, features.items(), strict=True)]
    index = F.array_position(F.array(*map(F.lit, chosen.labels)), F.col(label).cast("int")) - 1
    rows = sampled.select("customer_id", *values, index.cast("double").alias("index"))
    vectors = VectorAssembler(inputCols=inputs, outputCol="vector", handleInvalid="error").transform(
        canonical_layout(rows, chosen.customers)
    )
    classifier = DecisionTreeClassifier(
        featuresCol="vector",
        labelCol="index",
        maxDepth=max_depth,
        maxBins=_BINS,
        minInstancesPerNode=smallest,
        impurity="gini",
        seed=seed,
    )
    kept = keep(vectors.select("vector", "index"))
    try:
        description = classifier.fit(kept).toDebugString
    finally:
        release(kept)
    return parse_tree(description, list(features), chosen.labels)
