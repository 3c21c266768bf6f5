"""Labelled customers → a small decision tree in business units that imitates the segmentation, as rules.

The tree is MLlib's, over features as they are published: neither scaled nor capped. It is fitted on about
70 % of the customers, whom a hash of their id picks, and judged on the others.
"""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pyspark.ml.classification import DecisionTreeClassifier
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegralType

from spark_seg.preparation import canonical_layout, literal
from spark_seg.session import keep, release

#: Customers fall into so many buckets by a hash of their id; the tree may see those below `_SEEN`.
_BUCKETS = 10_000
_SEEN = 7_000
_SALT = "surrogate"
#: Largest number of candidate thresholds per feature, plus one.
_BINS = 128
#: Up to so many digits every database reads a decimal literal as the same double.
_SAFE_DIGITS = 15

#: How a condition is told: feature → words around {range}, with {s} where one is singular. `<n>` stands
#: for a number in the feature's name. Others are told as "feature above 3".
RULE_PHRASES: dict[str, str] = {
    "recency_days": "last order {range} day{s} ago",
    "frequency": "{range} order{s}",
    "frequency_<n>d": "{range} order{s} in the last <n> days",
    "monetary": "spend {range}",
    "monetary_<n>d": "spend in the last <n> days {range}",
    "average_order_value": "spend per order {range}",
    "returned_share": "returned share of spend {range}",
    "tenure_days": "first order {range} day{s} ago",
    "purchase_interval_days": "{range} day{s} from one order to the next on average",
    "purchase_interval_variation": "variation of the days between orders {range}",
    "last_gap_days": "{range} day{s} between the last two orders",
    "spend_trend": "spend trend (-1 to 1) {range}",
    "order_trend": "order trend (-1 to 1) {range}",
    "category_breadth": "{range} categor{y}",
    "top_category_share": "share of spend in the top category {range}",
    "engagement_score": "engagement {range}",
    "engagement_score_decayed": "recent engagement {range}",
    "engagement_recency_days": "last engagement {range} day{s} ago",
    "contacts": "{range} campaign{s} received",
    "response_rate": "share of campaigns answered {range}",
}


@dataclass(frozen=True)
class Condition:
    """`low` < feature <= `high`, in the feature's unit; None: open.

    `fill` counts where a customer has no value. `whole`: the known values are whole numbers. `unknown`:
    among the customers of the rule are some without a value.
    """

    feature: str
    low: float | None
    high: float | None
    fill: float
    whole: bool = False
    unknown: bool = False

    def sql(self) -> str:
        """The condition over the columns of `features`, for Spark, DuckDB and Postgres alike."""
        # With a fill that is a double the whole comparison is one of doubles, in every database.
        whole = self.whole and float(self.fill).is_integer()
        fill = _sql_number(self.fill) if whole else _sql_double(self.fill)
        value = f"coalesce({self.feature}, {fill})"
        bounds = ((">", self.low), ("<=", self.high))
        return " AND ".join(f"{value} {sign} {_sql_number(at)}" for sign, at in bounds if at is not None)

    def text(self) -> str:
        """The same in words."""
        number = re.search(r"_(\d+)d$", self.feature)
        name = self.feature if number is None else f"{self.feature[: number.start()]}_<n>d"
        phrase = RULE_PHRASES.get(name, f"{self.feature} {{range}}")
        if number is not None:
            phrase = phrase.replace("<n>", number[1])
        words = _whole_range(self.low, self.high) if self.whole else _range(self.low, self.high)
        if words is None:
            return f"{self.feature} unknown"
        one = re.fullmatch(r"\D* 1", words) is not None
        told = phrase.format(range=words, s="" if one else "s", y="y" if one else "ies")
        return f"{told} (or unknown)" if self.unknown else told


@dataclass(frozen=True)
class Rule:
    """One leaf of the tree: `rule_id` from left to right, from 1; `label`: the segment that it says.

    `conditions`: one for each feature that is asked on the way, in the order of the first question.
    """

    rule_id: int
    label: int
    conditions: tuple[Condition, ...]

    def sql(self) -> str:
        """The rule as SQL over the columns of `features`; TRUE when there is no condition."""
        return " AND ".join(condition.sql() for condition in self.conditions) or "TRUE"

    def text(self) -> str:
        """The same in words."""
        return ", ".join(condition.text() for condition in self.conditions) or "all customers"


@dataclass(frozen=True)
class Leaf:
    """End of a tree: the segment."""

    label: int


@dataclass(frozen=True)
class Split:
    """A question of a tree: `feature` <= `threshold` leads to `left`."""

    feature: str
    threshold: float
    left: Tree
    right: Tree


Tree: TypeAlias = Leaf | Split


@dataclass(frozen=True)
class Surrogate:
    """A tree and its rules, of which exactly one is true of every customer.

    `fills`: feature → value that counts where a customer has none.
    """

    fills: Mapping[str, float]
    tree: Tree
    rules: tuple[Rule, ...]

    def column(self) -> Column:
        """`rule_id` of the rule that is true of a row with the columns of `features`."""
        return _rule_id(self.tree, self.fills, 1)

    def case_sql(self, names: Mapping[int, str] | None = None) -> str:
        """`CASE WHEN … THEN 'name of the segment' … END`, without `names` the labels themselves."""
        cases = (
            f"WHEN {rule.sql()} THEN {rule.label if names is None else _sql_text(names[rule.label])}"
            for rule in self.rules
        )
        return "\n  ".join(("CASE", *cases)) + "\nEND"


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
    customer of `customers` falls into the same leaf as by MLlib's own.

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
        return Surrogate(dict(features), Leaf(commonest), (Rule(1, commonest, ()),))
    tree = _fitted(sampled, label, features, chosen, seed, max_depth, max(1, smallest))
    whole = {name for name in features if isinstance(customers.schema[name].dataType, IntegralType)}
    leaves = _leaves(customers, tree, features)
    rounded = _rounded(tree, leaves, whole)
    return Surrogate(dict(features), rounded, _rules(rounded, features, whole, leaves))


def measure_rules(customers: DataFrame, label: str, surrogate: Surrogate) -> list[RuleFigures]:
    """The figures of every rule, in their order, from one pass over `customers` as in `fit_surrogate`."""
    rows = (
        customers.where(F.col(label).isNotNull())
        .groupBy(
            surrogate.column().alias("rule_id"),
            F.col(label).alias("segment"),
            unseen().alias("unseen"),
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


_HEADER = re.compile(
    r"DecisionTreeClassificationModel: uid=\w+, depth=(\d+), numNodes=(\d+), numClasses=(\d+), "
    r"numFeatures=(\d+)"
)
_IF = re.compile(r"If \(feature (\d+) <= (-?\d+\.\d+(?:E-?\d+)?)\)")
_PREDICT = re.compile(r"Predict: (\d+)\.0")


def parse_tree(text: str, features: Sequence[str], labels: Sequence[int]) -> Tree:
    """The tree that MLlib describes in `toDebugString`, with names of features and segments for numbers.

    Raises `ValueError` when the text is not exactly of the known form, or not of a tree over these.
    """
    header, *lines = text.rstrip("\n").split("\n")
    match = _HEADER.fullmatch(header)
    if match is None:
        raise _unknown(header)
    rest = deque(lines)
    tree = _parsed(rest, 0, features, labels)
    if rest:
        raise _unknown(rest[0])
    told = tuple(map(int, match.groups()))
    found = (_depth(tree), len(lines) - sum("Else" in line for line in lines), len(labels), len(features))
    if told != found:
        raise _unknown(header)
    return tree


def _parsed(lines: deque[str], depth: int, features: Sequence[str], labels: Sequence[int]) -> Tree:
    """Take one node and all below it from the front of `lines`."""
    margin = " " * (depth + 2)
    line = lines.popleft() if lines else ""
    content = line.removeprefix(margin)
    if content == line:
        raise _unknown(line)
    if (leaf := _PREDICT.fullmatch(content)) is not None and int(leaf[1]) < len(labels):
        return Leaf(labels[int(leaf[1])])
    split = _IF.fullmatch(content)
    if split is None or int(split[1]) >= len(features):
        raise _unknown(line)
    left = _parsed(lines, depth + 1, features, labels)
    line = lines.popleft() if lines else ""
    if line != f"{margin}Else (feature {split[1]} > {split[2]})":
        raise _unknown(line)
    right = _parsed(lines, depth + 1, features, labels)
    return Split(features[int(split[1])], float(split[2]), left, right)


def _unknown(line: str) -> ValueError:
    return ValueError(
        f"decision tree: must be described as MLlib of Spark 4.2 does; got {line!r}. Use the Spark version "
        "that this version is tested with"
    )


def _depth(tree: Tree) -> int:
    return 0 if isinstance(tree, Leaf) else 1 + max(_depth(tree.left), _depth(tree.right))


def _size(tree: Tree) -> int:
    """Leaves of a tree."""
    return 1 if isinstance(tree, Leaf) else _size(tree.left) + _size(tree.right)


def _asked(tree: Tree) -> set[str]:
    """Features that a tree asks for."""
    return set() if isinstance(tree, Leaf) else {tree.feature} | _asked(tree.left) | _asked(tree.right)


def _value(feature: str, fill: float) -> Column:
    return F.coalesce(F.col(feature).cast("double"), F.lit(float(fill)))


def _rule_id(tree: Tree, fills: Mapping[str, float], first: int) -> Column:
    """Number of the leaf that a row falls into, from `first`.

    One question inside another: as a list of rules the column would outgrow what the JVM compiles.
    """
    if isinstance(tree, Leaf):
        return F.lit(first)
    left = _rule_id(tree.left, fills, first)
    right = _rule_id(tree.right, fills, first + _size(tree.left))
    value = _value(tree.feature, fills[tree.feature])
    return F.when(value <= F.lit(tree.threshold), left).otherwise(right)


def unseen() -> Column:
    """Is a customer (`customer_id`) one of those whom no tree may see?"""
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
    values = [_value(*item).alias(x) for x, item in zip(inputs, features.items(), strict=True)]
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


@dataclass(frozen=True)
class _Reached:
    """The customers in one leaf: feature → lowest and highest value, and the features that some lack."""

    lowest: Mapping[str, float]
    highest: Mapping[str, float]
    unknown: frozenset[str]


def _leaves(customers: DataFrame, tree: Tree, fills: Mapping[str, float]) -> list[_Reached]:
    """Who is in which leaf, from left to right: one pass, one row per leaf."""
    names = sorted(_asked(tree))
    measures = [
        measure
        for name in names
        for measure in (
            F.min(_value(name, fills[name])).alias(f"{name}__lowest"),
            F.max(_value(name, fills[name])).alias(f"{name}__highest"),
            F.count_if(F.col(name).isNull()).alias(f"{name}__unknown"),
        )
    ]
    rows = (
        customers.groupBy(_rule_id(tree, fills, 1).alias("rule_id"))
        .agg(F.count(F.lit(1)), *measures)
        .collect()
    )
    return [
        _Reached(
            {name: row[f"{name}__lowest"] for name in names},
            {name: row[f"{name}__highest"] for name in names},
            frozenset(name for name in names if row[f"{name}__unknown"]),
        )
        for row in sorted(rows, key=lambda row: int(row["rule_id"]))
    ]


def _rounded(tree: Tree, leaves: Sequence[_Reached], whole: set[str]) -> Tree:
    """The same tree for everybody in `leaves`, with thresholds as short as that allows."""
    if isinstance(tree, Leaf):
        return tree
    name, here = tree.feature, _size(tree.left)
    left, right = leaves[:here], leaves[here:]
    low, high = max(leaf.highest[name] for leaf in left), min(leaf.lowest[name] for leaf in right)
    threshold = float(math.floor(tree.threshold))
    if name not in whole or threshold < low:
        threshold = shortest(tree.threshold, low, high)
    return Split(name, threshold, _rounded(tree.left, left, whole), _rounded(tree.right, right, whole))


def shortest(threshold: float, low: float, high: float) -> float:
    """`threshold` rounded to the fewest digits, two at least, that leave it in [low, high).

    `low` is the highest value of customers on the one side, `high` the lowest of those on the other.
    """
    roundings = (float(f"{threshold:.{digits - 1}e}") for digits in range(2, 18))
    return next((number for number in roundings if low <= number < high), threshold)


def _rules(
    tree: Tree,
    fills: Mapping[str, float],
    whole: set[str],
    leaves: Sequence[_Reached],
) -> tuple[Rule, ...]:
    """The rule of each leaf of `tree`, from left to right."""
    rules = []
    for place, ((label, bounds), reached) in enumerate(zip(_paths(tree, {}), leaves, strict=True)):
        conditions = tuple(
            Condition(
                name,
                low,
                high,
                float(fills[name]),
                whole=name in whole,
                unknown=name in reached.unknown,
            )
            for name, (low, high) in bounds.items()
        )
        rules.append(Rule(place + 1, label, conditions))
    return tuple(rules)


_Bounds: TypeAlias = Mapping[str, tuple[float | None, float | None]]


def _paths(tree: Tree, bounds: _Bounds) -> list[tuple[int, _Bounds]]:
    """Every leaf's label, and the bounds per feature on the way to it."""
    if isinstance(tree, Leaf):
        return [(tree.label, bounds)]
    low, high = bounds.get(tree.feature, (None, None))
    # A later threshold is the narrower one: it has customers on both sides, who are within the earlier.
    return [
        *_paths(tree.left, {**bounds, tree.feature: (low, tree.threshold)}),
        *_paths(tree.right, {**bounds, tree.feature: (tree.threshold, high)}),
    ]


def _sql_number(number: float) -> str:
    """`number` in SQL: plain where that is safe, else as a double."""
    if float(number).is_integer() and abs(number) < 10**_SAFE_DIGITS:
        return str(int(number))
    plain = repr(number)
    digits = sum(sign.isdigit() for sign in plain)
    return plain if "e" not in plain and digits <= _SAFE_DIGITS else _sql_double(number)


def _sql_double(number: float) -> str:
    return literal(number).strip("()")


def _sql_text(text: str) -> str:
    """A string literal. Databases disagree about a backslash in one, so it stands outside."""
    return "'" + text.replace("'", "''").replace("\\", "' || chr(92) || '") + "'"


def _range(low: float | None, high: float | None) -> str:
    bounds = (("above", low), ("at most", high))
    return " and ".join(f"{words} {_told(at)}" for words, at in bounds if at is not None)


def _whole_range(low: float | None, high: float | None) -> str | None:
    """The whole numbers in a range; None when there are none."""
    least = None if low is None else math.floor(low) + 1
    most = None if high is None else math.floor(high)
    if least is None or most is None:
        return f"at most {most:,}" if least is None else f"at least {least:,}"
    if most <= least:
        return None if most < least else f"exactly {most:,}"
    return f"between {least:,} and {most:,}"


def _told(number: float) -> str:
    whole = float(number).is_integer() and abs(number) < 10**_SAFE_DIGITS
    return f"{number:,.0f}" if whole else f"{number:,}"
