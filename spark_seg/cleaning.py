"""Canonical rows → trusted rows, and rejected rows with a reason. Nothing disappears uncounted.

A rule is a named predicate; a row is rejected for the first rule of its table that it breaks. The
counts ride along with the first pass over the data (`Observation`), so they cost no pass of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, Observation, Window
from pyspark.sql import functions as F

from spark_seg.config import CleaningSettings
from spark_seg.errors import InputError
from spark_seg.tables import (
    AMOUNT,
    CUSTOMERS,
    EVENTS,
    ORDERS,
    REJECTS,
    SPARK_FAILURES,
    Spec,
    conform,
    trimmed,
)

AFTER_AS_OF = "after_as_of"
ERASED = "erased"
DUPLICATE = "duplicate"
CONFLICT = "conflicting_duplicate"


@dataclass(frozen=True)
class Rules:
    """What the predicates may depend on."""

    settings: CleaningSettings
    as_of: date
    kinds: frozenset[str] = frozenset()
    #: `customer_id` of persons who were erased: their rows are counted, and kept nowhere.
    erased: DataFrame | None = None


Predicate = Callable[[Rules], Column]


def _erased(r: Rules) -> Column:
    return F.col("erased").isNotNull() if r.erased is not None else F.lit(False)


def _given(role: str) -> Column:
    """The value as it came is neither NULL nor blank."""
    return F.length(trimmed(F.coalesce(F.col(f"source_row.{role}"), F.lit("")))) > 0


def _is_null(role: str) -> Predicate:
    return lambda _: F.col(role).isNull() & ~_given(role)


def _unparseable(role: str) -> Predicate:
    return lambda _: F.col(role).isNull() & _given(role)


def _null_key(role: str) -> Predicate:
    return lambda _: F.col(role).isNull()


def _before_earliest(role: str) -> Predicate:
    return lambda r: F.to_date(role) < F.lit(r.settings.earliest)


def _after_as_of(role: str) -> Predicate:
    return lambda r: F.to_date(role) >= F.lit(r.as_of)


def _number() -> Column:
    return trimmed(F.col("source_row.amount")).try_cast("double")


def _amount_not_finite(_: Rules) -> Column:
    return F.col("amount").isNull() & (F.isnan(_number()) | (F.abs(_number()) == F.lit(float("inf"))))


def _amount_out_of_range(_: Rules) -> Column:
    largest = F.lit(10.0 ** (AMOUNT.precision - AMOUNT.scale))
    return F.col("amount").isNull() & (F.abs(_number()) >= largest)


def _currency_unknown(r: Rules) -> Column:
    if r.settings.currency is None:
        return F.lit(False)
    return F.coalesce(F.col("currency") != r.settings.currency, F.lit(True))


def _has_status(statuses: tuple[str, ...]) -> Column:
    return F.coalesce(F.col("status").isin(*statuses), F.lit(False)) if statuses else F.lit(False)


def _is_reversal(r: Rules) -> Column:
    """Row that takes an earlier purchase back, when cancellations are netted."""
    return _has_status(r.settings.cancelled_statuses) & F.lit(r.settings.cancellations == "net")


def _is_return(r: Rules) -> Column:
    return (F.col("amount") < 0) | _has_status(r.settings.returned_statuses) | _is_reversal(r)


def _cancelled(r: Rules) -> Column:
    return _has_status(r.settings.cancelled_statuses) & F.lit(r.settings.cancellations == "reject")


def _returned(r: Rules) -> Column:
    return _is_return(r) & ~_is_reversal(r) & F.lit(r.settings.returns == "reject")


def _amount_zero(r: Rules) -> Column:
    return (F.col("amount") == 0) & F.lit(r.settings.zero_amounts == "reject")


def _kind_unknown(r: Rules) -> Column:
    return ~F.col("kind").isin(*sorted(r.kinds))


ORDER_RULES: dict[str, Predicate] = {
    ERASED: _erased,
    "null_customer_id": _null_key("customer_id"),
    "null_order_id": _null_key("order_id"),
    "null_ordered_at": _is_null("ordered_at"),
    "unparseable_ordered_at": _unparseable("ordered_at"),
    "before_earliest": _before_earliest("ordered_at"),
    AFTER_AS_OF: _after_as_of("ordered_at"),
    "null_amount": _is_null("amount"),
    "amount_not_finite": _amount_not_finite,
    "amount_out_of_range": _amount_out_of_range,
    "unparseable_amount": _unparseable("amount"),
    "currency_unknown": _currency_unknown,
    "cancelled": _cancelled,
    "returned": _returned,
    "amount_zero": _amount_zero,
}

EVENT_RULES: dict[str, Predicate] = {
    ERASED: _erased,
    "null_customer_id": _null_key("customer_id"),
    "null_occurred_at": _is_null("occurred_at"),
    "unparseable_occurred_at": _unparseable("occurred_at"),
    "before_earliest": _before_earliest("occurred_at"),
    AFTER_AS_OF: _after_as_of("occurred_at"),
    "null_kind": _null_key("kind"),
    "kind_unknown": _kind_unknown,
}

CUSTOMER_RULES: dict[str, Predicate] = {ERASED: _erased, "null_customer_id": _null_key("customer_id")}


@dataclass(frozen=True)
class Tally:
    """Figures of a frame that are taken while something else reads it."""

    frame: DataFrame
    figures: tuple[Column, ...]
    observation: Observation

    @classmethod
    def of(cls, frame: DataFrame, *figures: Column) -> Tally:
        """A tally to be taken of `frame`."""
        return cls(frame, figures, Observation())

    @property
    def observed(self) -> DataFrame:
        """The frame to read."""
        return self.frame.observe(self.observation, *self.figures)

    def get(self) -> dict[str, Any]:
        """The figures. Blocks until `observed` has been read once."""
        try:
            return dict(self.observation.get)
        except SPARK_FAILURES:
            # Spark saw from the plan alone that no row can pass (a constant that breaks a rule), and
            # read none: count in a pass of its own.
            row = self.frame.agg(*self.figures).first()
            return row.asDict() if row is not None else {}


@dataclass(frozen=True)
class Cleaned:
    """One source after cleaning. `counts` answers only after `kept` has been computed once."""

    source: str
    kept: DataFrame
    rules: dict[str, Predicate]
    flagged: DataFrame
    ranked: DataFrame
    row_tally: Tally
    duplicate_tally: Tally

    def counts(self) -> Counts:
        """Rows read, and rejected rows by reason. Blocks until `kept` has been computed."""
        rows = self.row_tally.get()
        reasons = {name: int(rows[name]) for name in self.rules if rows[name]}
        duplicates = self.duplicate_tally.get()
        reasons |= {name: int(duplicates[name]) for name in (DUPLICATE, CONFLICT) if duplicates[name]}
        return Counts(self.source, int(rows["rows"]), reasons, rows.get("first"))

    def rejects(self, counts: Counts, keep_after_as_of: bool) -> DataFrame | None:
        """Rejected rows with the columns `source`, `source_table`, `source_version`, `reason`, `row`.

        None when there are none. Duplicates cost a shuffle, so they are looked for only when counted.
        """
        frames = []
        only_counted = {ERASED} if keep_after_as_of else {ERASED, AFTER_AS_OF}
        wanted = F.col("reason").isNotNull() & ~F.col("reason").isin(*only_counted)
        if set(counts.reasons) & (set(self.rules) - only_counted):
            frames.append(self.flagged.where(wanted))
        if {DUPLICATE, CONFLICT} & set(counts.reasons):
            frames.append(self.ranked.where(F.col("reason").isNotNull()))
        columns = [
            F.lit(self.source).alias("source"),
            *map(F.col, ("source_table", "source_version", "reason")),
            F.to_json("source_row").alias("row"),
        ]
        return reduce(DataFrame.unionByName, [f.select(*columns) for f in frames]) if frames else None


@dataclass(frozen=True)
class Counts:
    """What cleaning saw of one source."""

    source: str
    rows: int
    reasons: dict[str, int]
    first: str | None = None

    @property
    def rejected(self) -> int:
        """Rejected rows, whatever the reason."""
        return sum(self.reasons.values())

    @property
    def kept(self) -> int:
        """Trusted rows."""
        return self.rows - self.rejected


def clean_orders(orders: DataFrame, rules: Rules) -> Cleaned:
    """Trusted purchase lines: `customer_id, order_id, ordered_at, amount, category, is_return`.

    `amount` is signed: a return is negative whatever sign its source gave it.
    """
    cleaned = _clean("orders", orders, ORDERS, ORDER_RULES, rules, time="ordered_at")
    is_return = _is_return(rules)
    signed = F.when(is_return, -F.abs("amount")).otherwise(F.col("amount"))
    return replace(
        cleaned,
        kept=cleaned.kept.select(
            "customer_id",
            "order_id",
            "ordered_at",
            signed.cast(ORDERS.schema["amount"].dataType).alias("amount"),
            "category",
            is_return.alias("is_return"),
        ),
    )


def clean_events(events: DataFrame, rules: Rules) -> Cleaned:
    """Trusted events: `customer_id, occurred_at, kind, subject`."""
    cleaned = _clean("events", events, EVENTS, EVENT_RULES, rules, time="occurred_at")
    return replace(cleaned, kept=cleaned.kept.select("customer_id", "occurred_at", "kind", "subject"))


def clean_customers(customers: DataFrame, rules: Rules) -> Cleaned:
    """Trusted customers: `customer_id, attributes`."""
    cleaned = _clean("customers", customers, CUSTOMERS, CUSTOMER_RULES, rules, time=None)
    return replace(cleaned, kept=cleaned.kept.select("customer_id", "attributes"))


def check_counts(
    counts: list[Counts], settings: CleaningSettings, as_of: date, known: Mapping[str, int] | None = None
) -> None:
    """Stop before anything is published when a source is mostly unusable. Raises `InputError`.

    `known`: source → rows that an earlier run has rejected already, where only rows that came since are
    read: there may be none, and the others are judged by themselves.
    """
    problems = []
    for c in counts:
        settled = c.reasons.get(AFTER_AS_OF, 0) + c.reasons.get(ERASED, 0) + (known or {}).get(c.source, 0)
        # A row without a day may be of somebody who was erased since, and settled twice.
        judged, bad = max(0, c.rows - settled), max(0, c.rejected - settled)
        reasons = ", ".join(f"{n:,} {name}" for name, n in sorted(c.reasons.items(), key=lambda x: -x[1]))
        if known is not None and judged == 0:
            continue
        if c.source == "orders" and judged == 0 and c.first is not None:
            problems.append(
                f"orders: must have rows before as_of {as_of}; the first is on {c.first}. "
                "Give a later --as-of"
            )
        elif judged and bad / judged > settings.max_reject_share:
            problems.append(
                f"{c.source}: at most {settings.max_reject_share:.1%} of the rows may be rejected "
                f"(cleaning.max_reject_share); got {bad / judged:.1%} ({reasons}). "
                "Repair the source, correct the mapping or the key, or raise the ceiling"
            )
        elif c.source == "orders" and c.kept == 0:
            problems.append(f"orders: must keep at least one row; all were rejected ({reasons}). "
                            "Check the mapping of sources.orders")  # fmt: skip
    if problems:
        raise InputError(problems, title="cleaning")


def reject_rows(frames: list[DataFrame], as_of: date, run_id: str) -> DataFrame | None:
    """All rejected rows as the published table `rejects`."""
    if not frames:
        return None
    union = reduce(DataFrame.unionByName, frames)
    return conform(union.withColumns({"as_of": F.lit(as_of), "run_id": F.lit(run_id)}), REJECTS)


# ---------------------------------------------------------------- the one way to clean


def _clean(
    source: str, frame: DataFrame, spec: Spec, table: dict[str, Predicate], rules: Rules, time: str | None
) -> Cleaned:
    if rules.erased is not None:
        marks = rules.erased.select("customer_id", F.lit(True).alias("erased"))
        frame = frame.join(marks, on="customer_id", how="left")
    reason = F.coalesce(*(F.when(predicate(rules), name) for name, predicate in table.items()))
    flagged = frame.withColumn("reason", reason)
    figures = [F.count(F.lit(1)).alias("rows"), *_count_reasons(table)]
    if time is not None:
        # As text: a year that Python's dates do not have must not stop the run.
        figures.append(F.min(F.to_date(time)).cast("string").alias("first"))
    rows = Tally.of(flagged, *figures)
    ranked = _rank_duplicates(rows.observed.where(F.col("reason").isNull()), spec)
    duplicates = Tally.of(ranked, *_count_reasons((DUPLICATE, CONFLICT)))
    return Cleaned(
        source,
        duplicates.observed.where(F.col("reason").isNull()),
        table,
        flagged,
        _rank_duplicates(flagged.where(F.col("reason").isNull()), spec),
        rows,
        duplicates,
    )


def _count_reasons(names: Any) -> list[Column]:
    return [F.count_if(F.coalesce(F.col("reason") == name, F.lit(False))).alias(name) for name in names]


def _rank_duplicates(rows: DataFrame, spec: Spec) -> DataFrame:
    """Of rows with one key the last in a total order of their content stays; the others get a reason.

    The order is by content alone (latest time and largest amount last), so neither the order of
    rows nor their partitioning decides. Everything of a customer lies in one partition from here on.
    """
    content = [
        F.to_json(F.col(f.name)) if f.name == "attributes" else F.col(f.name)
        for f in spec.fields
        if f.name not in spec.key
    ]
    by_content = [column.desc_nulls_last() for column in content] or [F.lit(1)]
    window = Window.partitionBy(*spec.key).orderBy(*by_content)
    return (
        rows.repartition("customer_id")
        .withColumns({"row": F.row_number().over(window), "place": F.rank().over(window)})
        .withColumn(
            "reason",
            F.when(F.col("row") == 1, F.lit(None))
            .when(F.col("place") == 1, F.lit(DUPLICATE))  # as good as the one that stays
            .otherwise(F.lit(CONFLICT)),
        )
        .drop("row", "place")
    )
