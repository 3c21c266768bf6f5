"""The rules of a decision tree in business units: in words, in SQL and as a column."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column

from spark_seg.preparation import literal
from spark_seg.profiles.tree import Reached, Tree, leaf_number, paths

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
class Surrogate:
    """A tree and its rules, of which exactly one is true of every customer.

    `fills`: feature → value that counts where a customer has none. `saw_everybody`: it was fitted on all
    customers, for want of any whom it may see, so on none of them can it be judged.
    """

    fills: Mapping[str, float]
    tree: Tree
    rules: tuple[Rule, ...]
    saw_everybody: bool = False

    def column(self) -> Column:
        """`rule_id` of the rule that is true of a row with the columns of `features`."""
        return leaf_number(self.tree, self.fills, 1)

    def case_sql(self, names: Mapping[int, str] | None = None) -> str:
        """`CASE WHEN … THEN 'name of the segment' … END`, without `names` the labels themselves."""
        return case_sql(
            (rule.sql(), str(rule.label) if names is None else _sql_text(names[rule.label]))
            for rule in self.rules
        )


def case_sql(cases: Iterable[tuple[str, str]]) -> str:
    """One CASE expression from pairs of a condition and the value where it is true."""
    return "\n".join(("CASE", *(f"  WHEN {condition} THEN {value}" for condition, value in cases), "END"))


def rules_of(
    tree: Tree,
    fills: Mapping[str, float],
    whole: set[str],
    leaves: Sequence[Reached],
) -> tuple[Rule, ...]:
    """The rule of each leaf of `tree`, from left to right.

    `fills`: feature → value that counts where a customer has none. `whole`: features whose values are whole
    numbers. `leaves`: the customers in each leaf.
    """
    rules = []
    for place, ((label, bounds), reached) in enumerate(zip(paths(tree, {}), leaves, strict=True)):
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
    """A string literal. Databases, and versions of Spark, disagree about quotes and backslashes in one, so
    these stand outside."""
    return "'" + re.sub(r"['\\]", lambda m: f"' || chr({ord(m[0])}) || '", text) + "'"


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
