"""A decision tree as data: read from MLlib's description, asked of customers, with short thresholds."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

_HEADER = re.compile(
    r"DecisionTreeClassificationModel: uid=\w+, depth=(\d+), numNodes=(\d+), numClasses=(\d+), "
    r"numFeatures=(\d+)"
)
_IF = re.compile(r"If \(feature (\d+) <= (-?\d+\.\d+(?:E-?\d+)?)\)")
_PREDICT = re.compile(r"Predict: (\d+)\.0")


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
#: On a way through a tree: feature → what it is above, and what it is at most; None: open.
Bounds: TypeAlias = Mapping[str, tuple[float | None, float | None]]


@dataclass(frozen=True)
class Reached:
    """The customers in one leaf: feature → lowest and highest value, and the features that some lack."""

    lowest: Mapping[str, float]
    highest: Mapping[str, float]
    unknown: frozenset[str]


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


def leaf_number(tree: Tree, fills: Mapping[str, float], first: int) -> Column:
    """Number of the leaf that a row with the tree's features falls into: from `first`, from left to right.

    `fills`: feature → value that counts where a customer has none.

    One question inside another: as a list of rules the column would outgrow what the JVM compiles.
    """
    if isinstance(tree, Leaf):
        return F.lit(first)
    left = leaf_number(tree.left, fills, first)
    right = leaf_number(tree.right, fills, first + _size(tree.left))
    value = filled(tree.feature, fills[tree.feature])
    return F.when(value <= F.lit(tree.threshold), left).otherwise(right)


def filled(feature: str, fill: float) -> Column:
    """The column `feature` as doubles, with `fill` where there is no value."""
    return F.coalesce(F.col(feature).cast("double"), F.lit(float(fill)))


def customers_in_leaves(customers: DataFrame, tree: Tree, fills: Mapping[str, float]) -> list[Reached]:
    """Who is in which leaf, from left to right: one pass, one row per leaf.

    `customers`: the features of `tree`, one row per customer, and somebody in every leaf. `fills`: as in
    `leaf_number`.
    """
    names = sorted(_asked(tree))
    measures = [
        measure
        for name in names
        for measure in (
            F.min(filled(name, fills[name])).alias(f"{name}__lowest"),
            F.max(filled(name, fills[name])).alias(f"{name}__highest"),
            F.count_if(F.col(name).isNull()).alias(f"{name}__unknown"),
        )
    ]
    rows = (
        customers.groupBy(leaf_number(tree, fills, 1).alias("rule_id"))
        .agg(F.count(F.lit(1)), *measures)
        .collect()
    )
    return [
        Reached(
            {name: row[f"{name}__lowest"] for name in names},
            {name: row[f"{name}__highest"] for name in names},
            frozenset(name for name in names if row[f"{name}__unknown"]),
        )
        for row in sorted(rows, key=lambda row: int(row["rule_id"]))
    ]


def rounded(tree: Tree, leaves: Sequence[Reached], whole: set[str]) -> Tree:
    """The same tree for everybody in `leaves`, with thresholds as short as that allows.

    `leaves`: the customers in each, from left to right. `whole`: features whose values are whole numbers.
    """
    if isinstance(tree, Leaf):
        return tree
    name, here = tree.feature, _size(tree.left)
    left, right = leaves[:here], leaves[here:]
    low, high = max(leaf.highest[name] for leaf in left), min(leaf.lowest[name] for leaf in right)
    threshold = float(math.floor(tree.threshold))
    if name not in whole or threshold < low:
        threshold = shortest(tree.threshold, low, high)
    return Split(name, threshold, rounded(tree.left, left, whole), rounded(tree.right, right, whole))


def shortest(threshold: float, low: float, high: float) -> float:
    """`threshold` rounded to the fewest digits, two at least, that leave it in [low, high).

    `low` is the highest value of customers on the one side, `high` the lowest of those on the other.
    """
    roundings = (float(f"{threshold:.{digits - 1}e}") for digits in range(2, 18))
    return next((number for number in roundings if low <= number < high), threshold)


def paths(tree: Tree, bounds: Bounds) -> list[tuple[int, Bounds]]:
    """From left to right every leaf's label, and the bounds per feature on the way to it, within `bounds`."""
    if isinstance(tree, Leaf):
        return [(tree.label, bounds)]
    low, high = bounds.get(tree.feature, (None, None))
    # A later threshold is the narrower one: it has customers on both sides, who are within the earlier.
    return [
        *paths(tree.left, {**bounds, tree.feature: (low, tree.threshold)}),
        *paths(tree.right, {**bounds, tree.feature: (tree.threshold, high)}),
    ]


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
