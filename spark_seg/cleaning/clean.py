"""Canonical rows → trusted rows, and rejected rows with a reason. Nothing disappears uncounted.

A rule is a named predicate; a row is rejected for the first rule of its table that it breaks. The
counts ride along with the first pass over the data (`Observation`), so they cost no pass of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, Observation, Window
from pyspark.sql import functions as F

from spark_seg.cleaning.counts import Counts
from spark_seg.cleaning.rules import (
    AFTER_AS_OF,
    CONFLICT,
    CUSTOMER_RULES,
    DUPLICATE,
    EVENT_RULES,
    KEPT_NOWHERE,
    ORDER_RULES,
    Predicate,
    Rules,
    breaks,
    is_return,
)
from spark_seg.tables import CUSTOMERS, EVENTS, ORDERS, SPARK_FAILURES, Spec


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
            figures = dict(self.observation.get)
        except SPARK_FAILURES:
            figures = {}
        if figures:
            return figures
        # Spark saw from the plan alone that no row can pass (a constant that breaks a rule), and read none,
        # for which a session of its own raises and Connect has no figures: count in a pass of its own.
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
        currencies = sorted({c for c in (rows.get("currency"), rows.get("other_currency")) if c is not None})
        return Counts(self.source, int(rows["rows"]), reasons, rows.get("first"), tuple(currencies))

    def rejects(self, counts: Counts, keep_after_as_of: bool) -> DataFrame | None:
        """Rejected rows with the columns `source`, `source_table`, `source_version`, `reason`, `row`.

        None when there are none. Duplicates cost a shuffle, so they are looked for only when counted.
        """
        frames = []
        only_counted = KEPT_NOWHERE if keep_after_as_of else KEPT_NOWHERE | {AFTER_AS_OF}
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


def clean_orders(orders: DataFrame, rules: Rules) -> Cleaned:
    """Trusted purchase lines: `customer_id, order_id, ordered_at, amount, category, is_return`.

    `amount` is signed: a return is negative whatever sign its source gave it.
    """
    cleaned = _clean("orders", orders, ORDERS, ORDER_RULES, rules, time="ordered_at")
    returned = is_return(rules)
    signed = F.when(returned, -F.abs("amount")).otherwise(F.col("amount"))
    return replace(
        cleaned,
        kept=cleaned.kept.select(
            "customer_id",
            "order_id",
            "ordered_at",
            signed.cast(ORDERS.schema["amount"].dataType).alias("amount"),
            "category",
            returned.alias("is_return"),
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


# ---------------------------------------------------------------- the one way to clean


def _clean(
    source: str, frame: DataFrame, spec: Spec, table: dict[str, Predicate], rules: Rules, time: str | None
) -> Cleaned:
    for mark, marked in (("erased", rules.erased), ("consenting", rules.consenting)):
        if marked is not None:
            marks = marked.select("customer_id", F.lit(True).alias(mark))
            frame = frame.join(marks, on="customer_id", how="left")
    own = rules.breaches.get(source, ())
    table = table | {reason: breaks(reason) for reason in own if reason not in table}
    reason = F.coalesce(*(F.when(predicate(rules), name) for name, predicate in table.items()))
    flagged = frame.withColumn("reason", reason)
    figures = [F.count(F.lit(1)).alias("rows"), *_count_reasons(table)]
    if time is not None:
        # As text: a year that Python's dates do not have must not stop the run.
        figures.append(F.min(F.to_date(time)).cast("string").alias("first"))
    if "currency" in spec.columns:
        trusted = F.when(F.col("reason").isNull(), F.col("currency"))
        figures += [F.min(trusted).alias("currency"), F.max(trusted).alias("other_currency")]
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


def _count_reasons(names: Iterable[str]) -> list[Column]:
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
