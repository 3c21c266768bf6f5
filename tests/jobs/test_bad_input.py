"""Bad input: each gets its exit code and its sentence, and nothing of it is published."""

# ruff: noqa: E501 - the sentences of the table are not broken

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet
import pytest
from landed import (
    FAST,
    TABLES,
    Cli,
    arguments,
    planted_orders,
    published,
    segments,
    settings_of,
    versions,
    write_delta,
    write_settings,
)
from pyspark.sql import SparkSession

Rows = list[dict[str, Any]]


@dataclass
class Shop:
    """One bad shop: what is in its tables, and how it is configured and called."""

    folder: Path
    orders: Rows | None = field(default_factory=lambda: planted_orders()[:8])
    settings: dict[str, Any] = field(default_factory=dict)
    as_of: str = "2025-01-01"
    sets: tuple[str, ...] = FAST

    def columns(self) -> dict[str, Any]:
        found: dict[str, Any] = self.settings["sources"]["orders"]["columns"]
        return found


def no_orders(s: Shop) -> None:
    s.orders = None


def empty(s: Shop) -> None:
    write_delta(s.folder / "orders", pyarrow.Table.from_pylist(planted_orders()[:1]).slice(0, 0))
    s.orders = None


def missing_column(s: Shop) -> None:
    s.columns()["amount"] = "pricee"


def wrong_type_of_time(s: Shop) -> None:
    s.columns()["ordered_at"] = "price"


def wrong_type_of_amount(s: Shop) -> None:
    s.columns()["amount"] = "created"


def with_rows(**changes: Any) -> Callable[[Shop], None]:
    """Every row with these values, so that all of them are bad."""

    def prepare(s: Shop) -> None:
        s.orders = [row | changes for row in s.orders or []]

    return prepare


def before_the_first_order(s: Shop) -> None:
    s.as_of = "2024-03-01"


def too_many_rejected(s: Shop) -> None:
    s.orders = [row | ({"price": float("nan")} if i < 2 else {}) for i, row in enumerate(s.orders or [])]


def text_dates(s: Shop) -> None:
    s.orders = [row | {"created": "the other day"} for row in s.orders or []]


def wrong_pattern(s: Shop) -> None:
    s.orders = [row | {"created": "2024-12-24"} for row in s.orders or []]
    s.columns()["ordered_at"] = {"column": "created", "format": "no pattern at all"}


def parquet_without_format(s: Shop) -> None:
    (s.folder / "orders").mkdir()
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(planted_orders()[:5]), s.folder / "orders" / "part.parquet"
    )
    s.orders = None


def csv_without_the_column(s: Shop) -> None:
    pyarrow.csv.write_csv(pyarrow.Table.from_pylist(planted_orders()[:5]), s.folder / "orders.csv")
    s.settings["sources"]["orders"] |= {"path": str(s.folder / "orders.csv"), "format": "csv"}
    s.columns()["amount"] = "total"
    s.orders = None


def csv_with_bad_numbers(s: Shop) -> None:
    rows = [row | {"price": "12,50 EUR"} for row in planted_orders()[:5]]
    pyarrow.csv.write_csv(pyarrow.Table.from_pylist(rows), s.folder / "orders.csv")
    s.settings["sources"]["orders"] |= {"path": str(s.folder / "orders.csv"), "format": "csv"}
    s.orders = None


def missing_catalog_table(s: Shop) -> None:
    s.settings["sources"]["orders"]["table"] = "default.order_lines"
    del s.settings["sources"]["orders"]["path"]
    s.orders = None


def missing_schema(s: Shop) -> None:
    missing_catalog_table(s)
    s.settings["sources"]["orders"]["table"] = "no_such_schema.order_lines"


def lookup(key_values: list[str]) -> Callable[[Shop], None]:
    def prepare(s: Shop) -> None:
        write_delta(s.folder / "kinds", [{"order_no": key, "kind": "x"} for key in key_values])
        s.settings["sources"]["orders"]["lookups"] = [
            {"path": str(s.folder / "kinds"), "key": ["order_no"], "columns": ["kind"]}
        ]
        s.columns()["category"] = "kind"

    return prepare


def one_customer(s: Shop) -> None:
    s.orders = [row for row in planted_orders() if row["customer"] == "star00"]


def customers(*prices: float) -> Callable[[Shop], None]:
    """Customers who differ in nothing but what they spent, once and on the same day."""

    def prepare(s: Shop) -> None:
        day = datetime(2024, 12, 24, 9)
        s.orders = [
            {"customer": f"c{i}", "order_no": f"o{i}", "created": day, "price": price}
            for i, price in enumerate(prices)
        ]

    return prepare


def no_rule_passes(s: Shop) -> None:
    s.orders = planted_orders()
    s.sets = (*FAST, "selection.rules.min_segment_customers=1000")


def setting(*values: str) -> Callable[[Shop], None]:
    def prepare(s: Shop) -> None:
        s.sets = values

    return prepare


def as_of(text: str) -> Callable[[Shop], None]:
    def prepare(s: Shop) -> None:
        s.as_of = text

    return prepare


def missing_customers_and_events(s: Shop) -> None:
    s.settings["sources"]["events"] = [
        {"path": str(s.folder / "visits"),
         "columns": {"customer_id": "user", "occurred_at": "ts", "kind": {"value": "visit"}}}
    ]  # fmt: skip
    s.settings["sources"]["customers"] = {"path": str(s.folder / "crm"), "columns": {"customer_id": "id"}}
    s.settings["features"] = {"engagement": {"kinds": {"visit": 1}}}
    s.columns()["amount"] = "total"


#: Name → (what is wrong, exit code, what is said; `<folder>` stands for the folder of the shop).
CASES: dict[str, tuple[Callable[[Shop], None], int, tuple[str, ...]]] = {
    # 2: usage and configuration
    "unknown setting": (
        setting("selection.k_maks=4"),
        2,
        ("--set: selection.k_maks: unknown setting; did you mean 'k_max'?",),
    ),
    "impossible range of k": (
        setting("selection.k_min=6", "selection.k_max=4"),
        2,
        ("--set: selection: k_max must be at least k_min (6); got 4",),
    ),
    "a setting that is no setting": (setting("k_max"), 2, ("--set: must be key.path=value; got 'k_max'",)),
    "a value that is no YAML": (setting("seed={"), 2, ("--set seed line 1: must be valid YAML",)),
    "an unknown feature": (
        setting("preparation.features={recency: {}}"),
        2,
        ("preparation.features: unknown feature 'recency'; did you mean 'frequency'?",),
    ),
    "an expression that is not allowed": (
        setting("sources.orders.columns.amount={expression: \"reflect('a', 'b')\"}"),
        2,
        ("sources.orders.columns.amount.expression: function 'reflect' is not allowed",),
    ),
    "as_of that is no date": (as_of("yesterday"), 2, ("--as-of: must be a date YYYY-MM-DD; got 'yesterday'",)),
    "as_of that does not exist": (as_of("2025-02-30"), 2, ("--as-of: must be a date YYYY-MM-DD",)),
    "as_of with a time": (as_of("2025-01-01T00:00"), 2, ("--as-of: must be a date YYYY-MM-DD",)),
    "as_of out of bounds": (as_of("0001-01-01"), 2, ("--as-of: must lie between 1971-01-01 and 9000-01-01",)),
    # 3: the input
    "no table": (no_orders, 3, ("sources.orders: <folder>/orders must be a Delta table; got nothing there",)),
    "not a Delta table": (
        parquet_without_format,
        3,
        ("<folder>/orders must be a Delta table; got other files", "set `format`"),
    ),
    "no catalog table": (missing_catalog_table, 3, ("sources.orders: default.order_lines not found",)),
    "no schema": (missing_schema, 3, ("there is no schema no_such_schema",)),
    "empty table": (empty, 3, ("sources.orders: <folder>/orders must have rows; got an empty table",)),
    "missing column in a CSV file": (
        csv_without_the_column,
        3,
        ("<folder>/orders.csv must have a column 'total'",),
    ),
    "amounts that are no time": (
        wrong_type_of_time,
        3,
        ("sources.orders.columns.ordered_at: must be a timestamp, a date or text; got double",),
    ),
    "times that are no amount": (
        wrong_type_of_amount,
        3,
        ("sources.orders.columns.amount: must be a number or text; got timestamp",),
    ),
    "a pattern that is none": (wrong_pattern, 3, ("sources.orders.columns.ordered_at.format: must be a date pattern of Spark",)),
    "a lookup that repeats a key": (
        lookup(["star00-0", "star00-0", "star00-1"]),
        3,
        ("sources.orders.lookups.0: <folder>/kinds must have one row for each order_no; got several",),
    ),
    "as_of before the first order": (
        before_the_first_order,
        3,
        ("orders: must have rows before as_of 2024-03-01; the first is on 2024-", "Give a later --as-of"),
    ),
    "amounts that are not a number": (
        with_rows(price=float("nan")),
        3,
        ("orders: at most 5.0% of the rows may be rejected", "got 100.0% (8 amount_not_finite)"),
    ),
    "infinite amounts": (with_rows(price=float("inf")), 3, ("got 100.0% (8 amount_not_finite)",)),
    "amounts of zero": (with_rows(price=0.0), 3, ("got 100.0% (8 amount_zero)",)),
    "amounts that are text": (csv_with_bad_numbers, 3, ("got 100.0% (5 unparseable_amount)",)),
    "dates that do not parse": (text_dates, 3, ("got 100.0% (8 unparseable_ordered_at)",)),
    "dates before the earliest day": (
        with_rows(created=datetime(1900, 1, 1)),
        3,
        ("got 100.0% (8 before_earliest)",),
    ),
    "no customer anywhere": (with_rows(customer=None), 3, ("null_customer_id",)),
    "one row too many rejected": (
        too_many_rejected,
        3,
        ("got 25.0% (2 amount_not_finite)", "cleaning.max_reject_share"),
    ),
    "nobody ordered in the observation period": (
        with_rows(created=datetime(2010, 1, 1)),
        3,
        ("must have eligible customers (features.eligible: buyers)", "the 365 days before 2025-01-01"),
    ),
    # 4: nothing acceptable
    "no candidate passes": (
        no_rule_passes,
        4,
        (
            "selection: no candidate passes the rules (selection.rules)",
            "kmeans k=3",
            "customers, fewer than 1,000",
            "baseline",
            "Nothing was published",
        ),
    ),
}  # fmt: skip

#: The same, of customers who are too few, or too much alike.
FEW: dict[str, tuple[Callable[[Shop], None], int, tuple[str, ...]]] = {
    "nobody who bought": (
        with_rows(price=-5.0),
        3,
        ("must have eligible customers (features.eligible: buyers)", "got none in the 365 days"),
    ),
    "one customer": (one_customer, 4, ("preparation: at least one feature must differ between customers",)),
    "fewer customers than segments": (
        customers(10.0, 90.0),
        4,
        ("selection: no candidate passes the rules", "only 2 distinct customers, fewer than k"),
    ),
    "as many customers as segments": (
        customers(10.0, 50.0, 90.0),
        4,
        ("smallest segment has 1 customers, fewer than 10", "only 3 distinct customers, fewer than k"),
    ),
    "two kinds of customers": (
        customers(*[10.0, 90.0] * 20),
        4,
        ("kmeans k=4", "only 2 distinct customers, fewer than k", "Nothing was published"),
    ),
    "all customers identical": (
        customers(*[10.0] * 40),
        4,
        ("preparation: at least one feature must differ between customers",),
    ),
}  # fmt: skip


def nothing_is_published(folder: Path) -> bool:
    root = folder / "published"
    left = {table: len(rows) for table in TABLES if (rows := published(root, table))}
    return left == {} and not list((root / "models").glob("*"))


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_its_code_and_its_sentence_and_publishes_nothing(
    cli: Cli, tmp_path: Path, name: str
) -> None:
    refused(cli, tmp_path, *CASES[name])


def test_case_17_a_missing_column_is_named_before_anything_is_written(cli: Cli, tmp_path: Path) -> None:
    must = "<folder>/orders must have a column 'pricee'; got customer, order_no, created, price"
    sentence = f"sources.orders.columns.amount: {must} (did you mean 'price'?)"
    refused(cli, tmp_path, missing_column, 3, (sentence,))
    assert not (tmp_path / "published").exists()


@pytest.mark.parametrize("name", FEW)
def test_case_28_customers_who_are_too_few_or_too_much_alike_are_no_segmentation(
    cli: Cli, tmp_path: Path, name: str
) -> None:
    refused(cli, tmp_path, *FEW[name])


def refused(
    cli: Cli, tmp_path: Path, prepare: Callable[[Shop], None], code: int, sentences: tuple[str, ...]
) -> None:
    shop = Shop(tmp_path, settings=settings_of(tmp_path))
    prepare(shop)
    if shop.orders is not None:
        write_delta(tmp_path / "orders", shop.orders)
    config = write_settings(tmp_path, shop.settings)
    ended = cli(arguments("run_all", config, as_of=shop.as_of, sets=shop.sets))
    assert ended.code == code, ended.said
    for sentence in sentences:
        assert sentence.replace("<folder>", str(tmp_path)) in ended.said
    assert "Traceback" not in ended.said
    assert "at org.apache" not in ended.said
    assert "JVM stacktrace" not in ended.said
    assert nothing_is_published(tmp_path)


def test_a_view_is_not_taken_for_a_table(cli: Cli, spark: SparkSession, tmp_path: Path) -> None:
    spark.sql("CREATE OR REPLACE VIEW default.orders_view AS SELECT 'a' customer, 1 order_no, 2 price")
    try:
        shop = Shop(tmp_path, settings=settings_of(tmp_path))
        shop.settings["sources"]["orders"]["table"] = "default.orders_view"
        del shop.settings["sources"]["orders"]["path"]
        ended = cli(arguments("run_all", write_settings(tmp_path, shop.settings)))
    finally:
        spark.sql("DROP VIEW default.orders_view")
    assert ended.code == 3
    assert "default.orders_view must be a Delta table; got a view" in ended.said
    assert nothing_is_published(tmp_path)


def test_all_broken_tables_are_reported_at_once(cli: Cli, tmp_path: Path) -> None:
    shop = Shop(tmp_path, settings=settings_of(tmp_path))
    missing_customers_and_events(shop)
    write_delta(tmp_path / "orders", planted_orders()[:3])
    ended = cli(arguments("run_all", write_settings(tmp_path, shop.settings)))
    assert ended.code == 3
    for sentence in (
        f"sources.orders.columns.amount: {tmp_path}/orders must have a column 'total'",
        f"sources.events.0: {tmp_path}/visits must be a Delta table; got nothing there",
        f"sources.customers: {tmp_path}/crm must be a Delta table; got nothing there",
        "3 problems; nothing was published.",
    ):
        assert sentence in ended.said
    assert nothing_is_published(tmp_path)


def test_a_wrong_day_and_a_wrong_configuration_are_reported_at_once(cli: Cli, tmp_path: Path) -> None:
    config = write_settings(tmp_path, settings_of(tmp_path, seed="many"))
    ended = cli(arguments("run_all", config, tmp_path / "absent.yaml", as_of="soon"))
    assert ended.code == 2
    assert "--as-of: must be a date YYYY-MM-DD; got 'soon'" in ended.said
    assert f"{tmp_path}/absent.yaml: the configuration file does not exist. Check --config" in ended.said


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        ("train_segments", "features: must be published for as_of 2025-01-01"),
        ("assign_segments", "features: must be published for as_of 2025-01-01"),
    ],
)
def test_a_job_without_the_work_of_the_one_before_it_says_which(
    cli: Cli, tmp_path: Path, job: str, sentence: str
) -> None:
    ended = cli(arguments(job, write_settings(tmp_path, settings_of(tmp_path))))
    assert ended.code == 3
    assert sentence in ended.said
    assert "Run build_features --as-of 2025-01-01 first" in ended.said
    assert nothing_is_published(tmp_path)


def test_case_05_and_18_bad_rows_are_kept_apart_and_what_was_published_survives_a_later_bad_table(
    cli: Cli, tmp_path: Path
) -> None:
    """Amounts come as text, as from a CSV file."""
    good = [row | {"price": str(row["price"])} for row in planted_orders()]
    reasons = {
        "abc": "unparseable_amount",
        "1,234.50": "unparseable_amount",
        "": "null_amount",
        "NaN": "amount_not_finite",
        "Infinity": "amount_not_finite",
        "1e400": "amount_not_finite",
        "0": "amount_zero",
    }
    bad = [good[0] | {"order_no": f"n{i}", "price": text} for i, text in enumerate(reasons)]
    bad += [good[0] | {"order_no": "undated", "created": None}, good[0]]
    write_delta(tmp_path / "orders", [*good, *bad, good[0] | {"order_no": "fine", "price": " 12.5 "}])
    config = write_settings(tmp_path, settings_of(tmp_path))
    root = tmp_path / "published"
    ended = cli(arguments("run_all", config))
    assert ended.code == 0, ended.said
    rejects = {(json.loads(row["row"]).get("amount"), row["reason"]) for row in published(root, "rejects")}
    assert rejects == {
        *reasons.items(),
        (good[0]["price"], "null_ordered_at"),
        (good[0]["price"], "duplicate"),
    }
    assert len(published(root, "rejects")) == len(bad)
    before, tables = segments(root), versions(root)
    assert len(before) == 48

    tables_after = {
        "at most 5.0% of the rows may be rejected (cleaning.max_reject_share); got": [*good, *bad, *bad],
        "orders must have rows; got an empty table": pyarrow.Table.from_pylist(good).slice(0, 0),
    }
    for sentence, rows in tables_after.items():
        write_delta(tmp_path / "orders", rows)
        for again in (
            arguments("run_all", config, as_of="2025-01-02"),
            [*arguments("run_all", config), "--revise"],
        ):
            ended = cli(again)
            assert ended.code == 3
            assert sentence in ended.said
            assert (segments(root), versions(root)) == (before, tables)
    assert "nothing that was published before has been touched" in ended.said
