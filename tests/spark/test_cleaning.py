"""Every rule of cleaning, what becomes of duplicates, and that nothing disappears uncounted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from shop import EVENT_ROLES, ORDER_ROLES, customers_of, events_of, orders_of, table, text_rows

from spark_seg.cleaning import (
    CUSTOMER_RULES,
    EVENT_RULES,
    ORDER_RULES,
    Cleaned,
    Counts,
    Rules,
    check_counts,
    clean_customers,
    clean_events,
    clean_orders,
    consents_of,
)
from spark_seg.cleaning.rules import AFTER_AS_OF
from spark_seg.config import CleaningSettings
from spark_seg.errors import InputError
from spark_seg.sources import OpenedSources, canonical_orders
from spark_seg.tables import REJECTS, Stamp, conform

Row = dict[str, str | None]

AS_OF = date(2024, 3, 1)
#: A customer who was erased, and one who was never asked.
GONE, UNASKED = "gone", "unasked"
#: Everything that can be strict is strict, so that every rule can be broken.
STRICT = CleaningSettings.model_validate(
    {
        "currency": "EUR",
        "returns": "reject",
        "returned_statuses": ["returned"],
        "cancelled_statuses": ["cancelled"],
        "earliest": "2020-01-01",
    }
)
RULES = Rules(STRICT, AS_OF, frozenset({"visit", "click"}))
LENIENT = Rules(CleaningSettings(zero_amounts="keep"), AS_OF, frozenset({"visit"}))

GOOD_ORDER: Row = {
    "customer_id": "a",
    "order_id": "o1",
    "line_id": "1",
    "ordered_at": "2024-02-29T23:59:59",
    "amount": "12.50",
    "category": "food",
    "currency": "EUR",
    "status": "paid",
}
GOOD_EVENT: Row = {
    "customer_id": "a",
    "event_id": "e1",
    "occurred_at": "2024-02-29 23:59:59",
    "kind": "visit",
    "subject": "s1",
}

#: Rule → what a row must say to break it, and it alone among the rules before it.
BROKEN_ORDERS: dict[str, list[Row]] = {
    "erased": [{"customer_id": GONE}],
    "null_customer_id": [{"customer_id": None}, {"customer_id": ""}, {"customer_id": " \u00a0"}],
    "no_consent": [{"customer_id": UNASKED}],
    "null_order_id": [{"order_id": None}, {"order_id": "\t"}],
    "null_ordered_at": [{"ordered_at": None}, {"ordered_at": "  "}, {"ordered_at": "\u00a0"}],
    "unparseable_ordered_at": [{"ordered_at": "2024-02-30"}, {"ordered_at": "soon"}],
    "before_earliest": [{"ordered_at": "2019-12-31T23:59:59"}, {"ordered_at": "0000-01-01"}],
    "after_as_of": [{"ordered_at": "2024-03-01"}, {"ordered_at": "2099-01-01"}],
    "null_amount": [{"amount": None}, {"amount": ""}, {"amount": "\u00a0\t"}],
    "amount_not_finite": [
        {"amount": "NaN"},
        {"amount": "Infinity"},
        {"amount": " -inf"},
        {"amount": "1e400"},
    ],
    "amount_out_of_range": [{"amount": "100000000000000"}, {"amount": "-1e20"}],
    "unparseable_amount": [{"amount": "abc"}, {"amount": "1,234.50"}, {"amount": "12.5d"}],
    "currency_unknown": [{"currency": "USD"}, {"currency": None}, {"currency": "eur"}],
    "cancelled": [{"status": "cancelled"}, {"status": "cancelled", "amount": "-5"}],
    "returned": [{"amount": "-0.01"}, {"status": "returned"}],
    "amount_zero": [{"amount": "0"}, {"amount": "-0.00"}, {"amount": "0.00004"}],
}
BROKEN_EVENTS: dict[str, list[Row]] = {
    "erased": [{"customer_id": GONE}],
    "null_customer_id": [{"customer_id": None}, {"customer_id": " "}],
    "no_consent": [{"customer_id": UNASKED}],
    "null_occurred_at": [{"occurred_at": None}],
    "unparseable_occurred_at": [{"occurred_at": "yesterday"}],
    "before_earliest": [{"occurred_at": "2019-12-31"}],
    "after_as_of": [{"occurred_at": "2024-03-01T00:00:00"}],
    "null_kind": [{"kind": None}, {"kind": ""}],
    "kind_unknown": [{"kind": "Visit"}, {"kind": "call"}],
}
BROKEN_CUSTOMERS: dict[str, list[Row]] = {
    "erased": [{"customer_id": GONE}],
    "null_customer_id": [{"customer_id": None}, {"customer_id": ""}],
    "no_consent": [{"customer_id": UNASKED}],
}


def orders(spark: SparkSession, rows: Sequence[Row]) -> DataFrame:
    return orders_of(text_rows(spark, ORDER_ROLES, [GOOD_ORDER | row for row in rows]))


def events(spark: SparkSession, rows: Sequence[Row]) -> DataFrame:
    return events_of(text_rows(spark, EVENT_ROLES, [GOOD_EVENT | row for row in rows]))


def customers(spark: SparkSession, rows: Sequence[Row]) -> DataFrame:
    return customers_of(text_rows(spark, ("customer_id", "town"), rows))


def rules(spark: SparkSession) -> Rules:
    """`RULES`, after somebody was erased, and the others but one have agreed."""

    def named(*names: str) -> DataFrame:
        return spark.createDataFrame([(name,) for name in names], "customer_id string")

    return replace(RULES, erased=named(GONE), consenting=named("a", "good", GONE))


def finished(cleaned: Cleaned) -> tuple[list[Any], Counts, list[Any]]:
    """Kept rows, counts, and rejected rows."""
    kept = cleaned.kept.collect()
    counts = cleaned.counts()
    rejects = cleaned.rejects(counts, keep_after_as_of=True)
    return kept, counts, [] if rejects is None else rejects.collect()


TABLES = {
    "orders": (ORDER_RULES, BROKEN_ORDERS, orders, clean_orders),
    "events": (EVENT_RULES, BROKEN_EVENTS, events, clean_events),
    "customers": (CUSTOMER_RULES, BROKEN_CUSTOMERS, customers, clean_customers),
}


@pytest.mark.parametrize("name", TABLES)
def test_every_rule_has_a_row_that_breaks_it(name: str) -> None:
    names, broken, _, _ = TABLES[name]
    assert list(names) == list(broken)


@pytest.mark.parametrize("name", TABLES)
def test_case_18_a_row_that_breaks_one_rule_is_rejected_for_exactly_that_reason(
    spark: SparkSession, name: str
) -> None:
    _, broken, frame_of, clean = TABLES[name]
    marks = {"orders": "line_id", "events": "event_id", "customers": "town"}
    # A mark makes each row another key, and tells rows apart afterwards.
    wanted = {f"{reason} {i}": (reason, row) for reason, rows in broken.items() for i, row in enumerate(rows)}
    rows = [{marks[name]: mark, **row} for mark, (_, row) in wanted.items()]
    rows.append({"customer_id": "good", marks[name]: "kept"})
    kept, counts, rejects = finished(clean(frame_of(spark, rows), rules(spark)))
    found = {json.loads(r["row"])[marks[name]]: r["reason"] for r in rejects}
    # Who was erased, or has not agreed, is counted, and kept nowhere.
    nowhere = {"erased", "no_consent"}
    assert found == {mark: reason for mark, (reason, _) in wanted.items() if reason not in nowhere}
    assert [row["customer_id"] for row in kept] == ["good"]
    assert counts.reasons == {reason: len(rows) for reason, rows in broken.items()}
    assert (counts.rows, counts.kept) == (len(rows), 1)


@pytest.mark.parametrize("name", TABLES)
def test_a_row_that_breaks_two_rules_is_rejected_for_the_first(spark: SparkSession, name: str) -> None:
    names, broken, frame_of, clean = TABLES[name]
    merged = [
        (first, broken[second][0] | broken[first][0])
        for first, second in combinations(names, 2)
        if not set(broken[first][0]) & set(broken[second][0])
    ]
    rows = [row for _, row in merged]
    if not rows:
        assert name == "customers"
        return
    cleaned = clean(frame_of(spark, rows), rules(spark))
    assert finished(cleaned)[1].reasons == dict(Counter(first for first, _ in merged))


def test_every_good_row_is_kept_and_nothing_is_written_to_rejects(spark: SparkSession) -> None:
    for cleaned in (
        clean_orders(orders(spark, [{}]), RULES),
        clean_events(events(spark, [{}]), RULES),
        clean_customers(customers(spark, [{"customer_id": "a", "town": None}]), RULES),
    ):
        kept, counts, rejects = finished(cleaned)
        assert (len(kept), counts.reasons, rejects) == (1, {}, [])
        assert cleaned.rejects(counts, keep_after_as_of=True) is None


def test_the_borders_of_the_dates_are_the_first_and_the_last_day(spark: SparkSession) -> None:
    days = ["2019-12-31T23:59:59", "2020-01-01", "2024-02-29T23:59:59.999999", "2024-03-01T00:00"]
    rows: list[Row] = [{"line_id": d, "ordered_at": d} for d in days]
    _, counts, rejects = finished(clean_orders(orders(spark, rows), RULES))
    assert counts.kept == 2
    assert {r["reason"] for r in rejects} == {"before_earliest", "after_as_of"}


def test_without_declared_kinds_every_event_is_unknown(spark: SparkSession) -> None:
    rules = replace(RULES, kinds=frozenset())
    assert finished(clean_events(events(spark, [{}]), rules))[1].reasons == {"kind_unknown": 1}


# ---------------------------------------------------------------- returns, cancellations, zero


def order_amounts(
    spark: SparkSession, rows: Sequence[Row], **cleaning: Any
) -> tuple[dict[str, tuple[Decimal, bool]], dict[str, int]]:
    """Line → (amount, is_return) of kept rows, and the counts of the others."""
    rules = Rules(CleaningSettings.model_validate({"zero_amounts": "keep"} | cleaning), AS_OF)
    marked = [{"order_id": f"o{i}", "category": str(i), **row} for i, row in enumerate(rows)]
    kept, counts, _ = finished(clean_orders(orders(spark, marked), rules))
    return {row["category"]: (row["amount"], row["is_return"]) for row in kept}, counts.reasons


SIGNS: list[Row] = [
    {"amount": "10"},
    {"amount": "-4"},
    {"amount": "3", "status": "returned"},
    {"amount": "-3", "status": "returned"},
    {"amount": "0"},
    {"status": None},
]


def test_returns_are_negative_whatever_sign_their_source_gave_them(spark: SparkSession) -> None:
    kept, reasons = order_amounts(spark, SIGNS, returned_statuses=["returned"])
    assert kept == {
        "0": (Decimal(10), False),
        "1": (Decimal(-4), True),
        "2": (Decimal(-3), True),
        "3": (Decimal(-3), True),
        "4": (Decimal(0), False),
        "5": (Decimal("12.5"), False),
    }
    assert reasons == {}


def test_returns_can_be_left_out(spark: SparkSession) -> None:
    kept, reasons = order_amounts(spark, SIGNS, returned_statuses=["returned"], returns="reject")
    assert set(kept) == {"0", "4", "5"}
    assert reasons == {"returned": 3}


def test_a_cancelled_purchase_is_left_out_whatever_its_sign(spark: SparkSession) -> None:
    rows: list[Row] = [{"status": "cancelled"}, {"status": "void", "amount": "-1"}, {}]
    kept, reasons = order_amounts(spark, rows, cancelled_statuses=["cancelled", "void"])
    assert set(kept) == {"2"}
    assert reasons == {"cancelled": 2}


def test_a_reversal_takes_its_amount_off_even_where_returns_are_left_out(spark: SparkSession) -> None:
    rows: list[Row] = [
        {"status": "cancelled", "amount": "5"},
        {"status": "cancelled", "amount": "-6"},
        {"amount": "-7"},
    ]
    kept, reasons = order_amounts(
        spark, rows, cancelled_statuses=["cancelled"], cancellations="net", returns="reject"
    )
    assert kept == {"0": (Decimal(-5), True), "1": (Decimal(-6), True)}
    assert reasons == {"returned": 1}


def test_zero_amounts_are_kept_or_left_out_as_declared(spark: SparkSession) -> None:
    rows: list[Row] = [{"amount": "0"}, {"amount": "0.00004"}, {"amount": "0.00005"}]
    assert set(order_amounts(spark, rows)[0]) == {"0", "1", "2"}
    kept, reasons = order_amounts(spark, rows, zero_amounts="reject")
    assert (set(kept), reasons) == ({"2"}, {"amount_zero": 2})


def test_without_a_currency_in_the_configuration_none_is_checked(spark: SparkSession) -> None:
    assert set(order_amounts(spark, [{"currency": "USD"}, {"currency": None}])[0]) == {"0", "1"}


# ---------------------------------------------------------------- duplicates


def test_case_20_an_exact_duplicate_counts_once(spark: SparkSession) -> None:
    kept, counts, rejects = finished(clean_orders(orders(spark, [{}, {}, {}]), RULES))
    assert len(kept) == 1
    assert counts.reasons == {"duplicate": 2}
    assert [r["reason"] for r in rejects] == ["duplicate"] * 2


def test_case_20_of_conflicting_rows_the_latest_stays_and_then_the_largest_amount(
    spark: SparkSession,
) -> None:
    rows: list[Row] = [
        {"amount": "99", "ordered_at": "2024-02-01"},
        {"amount": "10", "ordered_at": "2024-02-02"},
        {"amount": "20", "ordered_at": "2024-02-02"},
        {"amount": "20", "ordered_at": "2024-02-02"},
    ]
    for shuffled in (rows, rows[::-1]):
        kept, counts, rejects = finished(clean_orders(orders(spark, shuffled), RULES))
        assert [row["amount"] for row in kept] == [Decimal(20)]
        assert counts.reasons == {"duplicate": 1, "conflicting_duplicate": 2}
        found = sorted((json.loads(r["row"])["amount"], r["reason"]) for r in rejects)
        assert found == [
            ("10", "conflicting_duplicate"),
            ("20", "duplicate"),
            ("99", "conflicting_duplicate"),
        ]


def test_rows_that_differ_only_in_which_value_is_missing_are_in_conflict(spark: SparkSession) -> None:
    rows: list[Row] = [{"category": "x", "status": None}, {"category": None, "status": "x"}]
    _, counts, _ = finished(clean_orders(orders(spark, rows), LENIENT))
    assert counts.reasons == {"conflicting_duplicate": 1}


def test_the_key_of_a_line_is_customer_order_and_line(spark: SparkSession) -> None:
    rows: list[Row] = [
        {},
        {"customer_id": "b"},
        {"order_id": "o2"},
        {"line_id": "2"},
        {"line_id": None},
        {"line_id": ""},
    ]
    kept, counts, _ = finished(clean_orders(orders(spark, rows), RULES))
    assert len(kept) == 5
    assert counts.reasons == {"duplicate": 1}


def test_a_rejected_row_does_not_make_a_good_one_a_duplicate(spark: SparkSession) -> None:
    rows: list[Row] = [{"amount": "abc"}, {}, {"ordered_at": "2024-03-05"}]
    kept, counts, _ = finished(clean_orders(orders(spark, rows), RULES))
    assert len(kept) == 1
    assert counts.reasons == {"unparseable_amount": 1, "after_as_of": 1}


def test_events_are_one_when_everything_of_them_is_equal(spark: SparkSession) -> None:
    rows: list[Row] = [
        {},
        {},
        {"event_id": None},
        {"event_id": None},
        {"subject": None},
        {"kind": "click"},
        {"occurred_at": "2024-02-28"},
    ]
    kept, counts, _ = finished(clean_events(events(spark, rows), RULES))
    assert len(kept) == 5
    assert counts.reasons == {"duplicate": 2}


def test_a_customer_has_one_row_and_the_same_one_whatever_the_order(spark: SparkSession) -> None:
    rows: list[Row] = [
        {"customer_id": "a", "town": "Bonn"},
        {"customer_id": "a", "town": "Ulm"},
        {"customer_id": "a", "town": "Ulm"},
        {"customer_id": "b", "town": None},
    ]
    for shuffled in (rows, rows[::-1]):
        kept, counts, _ = finished(clean_customers(customers(spark, shuffled), RULES))
        assert {row["customer_id"]: row["attributes"]["town"] for row in kept} == {"a": "Ulm", "b": None}
        assert counts.reasons == {"duplicate": 1, "conflicting_duplicate": 1}


# ---------------------------------------------------------------- nothing disappears

MIXED: list[Row] = [
    {},
    {},
    {"amount": "13"},
    {"order_id": "o2"},
    {"order_id": "o3", "amount": "abc"},
    {"order_id": "o4", "ordered_at": "2024-03-01"},
    {"order_id": "o5", "customer_id": None},
]


@pytest.mark.parametrize("adaptive", ["true", "false"])
@pytest.mark.parametrize("partitions", [1, 3])
def test_rows_in_are_rows_kept_and_rows_rejected(spark: SparkSession, adaptive: str, partitions: int) -> None:
    spark.conf.set("spark.sql.adaptive.enabled", adaptive)
    try:
        cleaned = clean_orders(orders(spark, MIXED).repartition(partitions), RULES)
        kept, counts, rejects = finished(cleaned)
    finally:
        spark.conf.set("spark.sql.adaptive.enabled", "false")
    assert counts.rows == len(MIXED) == len(kept) + len(rejects)
    assert (counts.kept, counts.rejected) == (len(kept), len(rejects)) == (2, 5)
    assert dict(Counter(r["reason"] for r in rejects)) == counts.reasons


@pytest.mark.parametrize("adaptive", ["true", "false"])
@pytest.mark.parametrize(
    "rows", [[], [{"customer_id": None}], [{"ordered_at": "2024-03-02"}]], ids=["none", "all bad", "all late"]
)
def test_counts_are_there_when_nothing_is_kept(spark: SparkSession, adaptive: str, rows: list[Row]) -> None:
    spark.conf.set("spark.sql.adaptive.enabled", adaptive)
    try:
        cleaned = clean_orders(orders(spark, rows), RULES)
        assert cleaned.kept.groupBy("customer_id").count().collect() == []
        counts = cleaned.counts()
    finally:
        spark.conf.set("spark.sql.adaptive.enabled", "false")
    assert (counts.rows, counts.rejected) == (len(rows), len(rows))


def test_counts_do_not_grow_when_rows_are_read_again(spark: SparkSession) -> None:
    cleaned = clean_orders(orders(spark, MIXED), RULES)
    before = [finished(cleaned)[1] for _ in range(3)]
    assert before[0] == before[1] == before[2]
    assert before[0].rows == len(MIXED)


def test_rejected_rows_keep_what_the_source_said_and_where_it_came_from(spark: SparkSession) -> None:
    row: Row = {"amount": " 1,234.50", "ordered_at": "2024-02-01", "customer_id": "\u00a0a ", "status": None}
    cleaned = clean_orders(orders(spark, [row]), RULES)
    _, counts, _ = finished(cleaned)
    frame = cleaned.rejects(counts, keep_after_as_of=True)
    assert frame is not None
    stamp = Stamp(AS_OF, "r1", "a1")
    [reject] = conform(frame.withColumns(stamp.columns), REJECTS).collect()
    said = {k: v for k, v in (GOOD_ORDER | row).items() if v is not None}
    assert json.loads(reject["row"]) == said
    assert reject.asDict() | {"row": ""} == {
        "as_of": AS_OF,
        "run_id": "r1",
        "attempt_id": "a1",
        "source": "orders",
        "source_table": "shop.orders",
        "source_version": "7",
        "reason": "unparseable_amount",
        "row": "",
    }


def test_rows_after_as_of_can_be_counted_without_being_kept(spark: SparkSession) -> None:
    cleaned = clean_orders(orders(spark, MIXED), RULES)
    cleaned.kept.collect()
    counts = cleaned.counts()
    frame = cleaned.rejects(counts, keep_after_as_of=False)
    assert frame is not None
    assert counts.reasons[AFTER_AS_OF] == 1
    assert sorted(row["reason"] for row in frame.collect()) == [
        "conflicting_duplicate",
        "conflicting_duplicate",
        "null_customer_id",
        "unparseable_amount",
    ]


def test_nothing_is_written_when_only_rows_after_as_of_were_rejected(spark: SparkSession) -> None:
    cleaned = clean_orders(orders(spark, [{}, {"ordered_at": "2024-04-01", "order_id": "o2"}]), RULES)
    cleaned.kept.collect()
    assert cleaned.rejects(cleaned.counts(), keep_after_as_of=False) is None


# ---------------------------------------------------------------- the ceiling


def check(counts: Counts, **cleaning: Any) -> str | None:
    try:
        check_counts([counts], CleaningSettings.model_validate(cleaning), AS_OF)
    except InputError as error:
        return error.problems[0]
    return None


def test_case_18_too_many_rejected_rows_stop_the_run_with_the_reasons_largest_first() -> None:
    counts = Counts("orders", 2_000, {"null_amount": 40, "duplicate": 1_060})
    assert check(counts) == (
        "orders: at most 5.0% of the rows may be rejected (cleaning.max_reject_share); got 55.0% "
        "(1,060 duplicate, 40 null_amount). Repair the source, correct the mapping or the key, or raise "
        "the ceiling"
    )


def test_the_ceiling_itself_is_allowed() -> None:
    assert check(Counts("orders", 100, {"duplicate": 5})) is None
    assert check(Counts("orders", 100, {"duplicate": 6})) is not None
    assert check(Counts("orders", 100, {"duplicate": 60}), max_reject_share=0.6) is None


def test_rows_after_as_of_do_not_count_towards_the_ceiling() -> None:
    assert check(Counts("orders", 1_000, {AFTER_AS_OF: 900, "duplicate": 5})) is None
    assert check(Counts("orders", 1_000, {AFTER_AS_OF: 900, "duplicate": 6})) is not None


def test_an_as_of_before_the_first_order_is_told_as_such(spark: SparkSession) -> None:
    rows: list[Row] = [{"ordered_at": "2024-05-02"}, {"ordered_at": "2024-05-01T08:00:00"}]
    cleaned = clean_orders(orders(spark, rows), RULES)
    cleaned.kept.collect()
    assert check(cleaned.counts()) == (
        "orders: must have rows before as_of 2024-03-01; the first is on 2024-05-01. Give a later --as-of"
    )


def test_orders_of_which_none_is_left_stop_the_run() -> None:
    assert check(Counts("orders", 2, {"amount_zero": 2}), max_reject_share=1) == (
        "orders: must keep at least one row; all were rejected (2 amount_zero). "
        "Check the mapping of sources.orders"
    )


def test_events_and_customers_may_all_lie_after_as_of_or_be_empty() -> None:
    for source in ("events", "customers"):
        assert check(Counts(source, 3, {AFTER_AS_OF: 3}, "2024-05-01")) is None
        assert check(Counts(source, 0, {})) is None


def test_the_problems_of_all_sources_are_told_at_once() -> None:
    counts = [Counts("orders", 10, {"null_amount": 9}), Counts("events", 10, {"kind_unknown": 9})]
    with pytest.raises(InputError) as error:
        check_counts(counts, CleaningSettings(), AS_OF)
    assert [p.partition(":")[0] for p in error.value.problems] == ["orders", "events"]


def test_a_year_that_python_does_not_know_stops_nothing(spark: SparkSession) -> None:
    rows: list[Row] = [{"ordered_at": "-0044-03-15"}, {"order_id": "o2", "ordered_at": "12024-01-01"}, {
        "order_id": "o3"
    }]  # fmt: skip
    _, counts, _ = finished(clean_orders(orders(spark, rows), RULES))
    assert counts.reasons == {"before_earliest": 1, AFTER_AS_OF: 1}


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_case_24_rows_of_the_future_and_before_1970_are_counted_and_kept_apart(
    spark: SparkSession, zone: str
) -> None:
    reasons = {
        "2024-03-01": AFTER_AS_OF,
        "2099-01-01": AFTER_AS_OF,
        "9999-12-31T23:59:59.999999": AFTER_AS_OF,
        "9999-12-31T23:59:59Z": AFTER_AS_OF,  # in the year 10000 where it is five and a half hours later
        "1969-12-31T00:00:01": "before_earliest",
        "1969-12-31T12:00:00Z": "before_earliest",
        "0001-01-01": "before_earliest",
        "0000-12-31": "before_earliest",
    }
    rules = Rules(CleaningSettings(), AS_OF, frozenset({"visit"}))
    bought = [GOOD_ORDER | {"line_id": text, "ordered_at": text} for text in reasons]
    acted = [GOOD_EVENT | {"event_id": text, "occurred_at": text} for text in reasons]
    noon: Row = {"occurred_at": "2024-02-29 12:00"}
    orders_ = text_rows(spark, ORDER_ROLES, [GOOD_ORDER, *bought])
    # The same as instants, as a table with a column of this type has them.
    events_ = text_rows(spark, EVENT_ROLES, [GOOD_EVENT | noon, *acted])
    events_ = events_.withColumn("occurred_at", F.col("occurred_at").cast("timestamp"))
    for cleaned, mark in (
        (clean_orders(orders_of(orders_, zone), rules), "line_id"),
        (clean_events(events_of(events_, zone), rules), "event_id"),
    ):
        kept, counts, rejects = finished(cleaned)
        assert len(kept) == 1
        assert counts.reasons == {AFTER_AS_OF: 4, "before_earliest": 4}
        assert {json.loads(r["row"])[mark]: r["reason"] for r in rejects} == reasons
        # A backfill rightly sees the future; what is too old to be true counts towards the ceiling.
        assert check(counts, max_reject_share=0.8) is None
        assert "got 80.0% (4 before_earliest, 4 after_as_of)" in (check(counts, max_reject_share=0.7) or "")


@pytest.mark.usefixtures("classic")
def test_cleaning_shuffles_once_and_reads_its_source_once(spark: SparkSession) -> None:
    """One exchange for the duplicates; everything that follows finds a customer in one place."""
    kept = clean_orders(orders(spark, MIXED), RULES).kept
    plan = kept.groupBy("customer_id", "order_id").agg(F.sum("amount"))._jdf.queryExecution().executedPlan()
    assert plan.toString().count("Exchange hashpartitioning") == 1


@pytest.mark.parametrize(
    "constant", [{"amount": "abc"}, {"ordered_at": "soon"}, {"currency": "USD"}], ids=lambda c: str(*c)
)
def test_a_constant_that_breaks_a_rule_rejects_every_row_and_all_are_counted(
    spark: SparkSession, constant: Row
) -> None:
    frame = text_rows(spark, ORDER_ROLES, [GOOD_ORDER, GOOD_ORDER | {"order_id": "o2"}]).cache()
    mapping = {role: role for role in ORDER_ROLES} | {k: {"value": v} for k, v in constant.items()}
    opened = table(frame, mapping)
    kept, counts, rejects = finished(
        clean_orders(canonical_orders(OpenedSources(opened, (), None), "UTC"), RULES)
    )
    assert (kept, counts.rows, counts.kept, len(rejects)) == ([], 2, 0, 2)
    frame.unpersist()


# ---------------------------------------------------------------- consent


def test_of_the_decisions_for_a_purpose_the_latest_counts_and_a_refusal_breaks_ties(
    spark: SparkSession,
) -> None:
    rows = [
        ("a", "profile", True, "2024-01-01"),
        ("a", "Profile ", False, "2024-02-01"),
        ("b", "profile", False, "2024-01-01"),
        ("b", "profile", True, "2024-05-01"),  # after as_of: people may change their minds at any time
        ("c", "profile", True, "2024-01-01"),
        ("c", "profile", False, "2024-01-01"),
        ("d", "activate", True, None),
        ("d", "profile", True, None),
        ("e", "newsletter", True, "2024-01-01"),
        ("f", "profile", None, "2024-01-01"),
        (None, "profile", True, "2024-01-01"),
    ]
    schema = "customer_id string, purpose string, granted boolean, at string"
    frame = spark.createDataFrame(rows, schema).withColumn("decided_at", F.col("at").cast("timestamp_ntz"))
    found = {r.customer_id: (r.profile, r.activate, r.experiment) for r in consents_of(frame).collect()}
    no = (False, False, False)
    assert found == {"a": no, "b": (True, False, False), "c": no, "d": (True, True, False), "e": no, "f": no}


def test_case_42_rows_of_who_has_not_agreed_are_as_if_they_were_not_there(spark: SparkSession) -> None:
    agreed = spark.createDataFrame([("a",)], "customer_id string")
    asked = replace(RULES, consenting=agreed)
    rows: list[Row] = [{"line_id": "1"}, {"line_id": "2", "amount": "x"}]
    others: list[Row] = [
        {"customer_id": "never asked", "line_id": "1"},
        {"customer_id": "never asked", "line_id": "2", "amount": "x"},
        {"customer_id": "never asked", "line_id": "3", "ordered_at": "2031-01-01"},
    ]
    kept, counts, rejects = finished(clean_orders(orders(spark, rows + others), asked))
    alone, few, theirs = finished(clean_orders(orders(spark, rows), RULES))
    assert (kept, rejects) == (alone, theirs)
    assert counts.reasons == few.reasons | {"no_consent": 3}
    # Nobody is to blame: the share of bad rows is that of the others.
    only = Counts("orders", 100, {"no_consent": 99, "amount_zero": 1})
    assert "at most 5.0%" in str(check(only))
    assert check(Counts("orders", 100, {"no_consent": 90})) is None
    assert check(Counts("orders", 3, {"no_consent": 3}, "2024-01-01")) == (
        "orders: must keep at least one row; all were rejected (3 no_consent). "
        "Check the mapping of sources.orders"
    )


# ---------------------------------------------------------------- currencies


def test_case_22_amounts_in_several_currencies_are_not_added_up(spark: SparkSession) -> None:
    mixed: list[Row] = [{"line_id": "1", "currency": "USD"}, {"line_id": "2", "currency": "EUR"}]
    _, counts, _ = finished(clean_orders(orders(spark, mixed), LENIENT))
    assert counts.currencies == ("EUR", "USD")
    assert check(counts) == (
        "orders.currency: must be the same on every row; got EUR and USD. Set cleaning.currency, and "
        "sources.rates to convert the others (without rates they are rejected)"
    )
    assert check(counts, currency="EUR") is None
    one: list[Row] = [{"line_id": "1", "currency": "USD"}, {"line_id": "2", "currency": None}]
    _, counts, _ = finished(clean_orders(orders(spark, one), LENIENT))
    assert counts.currencies == ("USD",)
