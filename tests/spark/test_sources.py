"""Source tables: opened at one version, mapped by configuration, refused with all their problems."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from chispa import assert_df_equality
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from shop import ORDER_ROLES, customers_of, events_of, orders_of, settings, table, text_rows

from spark_seg.activity import daily_activity
from spark_seg.cleaning import Rules, clean_orders
from spark_seg.config import CleaningSettings, FeatureSettings, SessionSettings
from spark_seg.errors import InputError
from spark_seg.features import build_features
from spark_seg.session import start_session
from spark_seg.sources import (
    OpenedSources,
    OpenedTable,
    canonical_customers,
    canonical_events,
    canonical_orders,
    open_sources,
)
from spark_seg.tables import CUSTOMERS, EVENTS, ORDERS

AS_OF = date(2024, 7, 1)
COLUMNS = {"customer_id": "who", "order_id": "nr", "ordered_at": "at", "amount": "paid"}


def raw_orders(spark: SparkSession) -> DataFrame:
    return spark.sql(
        "select * from values (1, 'o1', timestamp'2024-01-05 10:00:00', 12.5d, 'web'), "
        "(2, 'o2', timestamp'2024-01-06 11:00:00', 7d, 'shop') as t(who, nr, at, paid, channel)"
    )


def open_one(spark: SparkSession, folder: Path, orders: Mapping[str, Any]) -> OpenedTable:
    return open_sources(spark, settings(folder, {"orders": {"columns": COLUMNS, **orders}}), AS_OF).orders


def problems_of(spark: SparkSession, folder: Path, sources: Mapping[str, Any], **more: Any) -> list[str]:
    with pytest.raises(InputError) as error:
        open_sources(spark, settings(folder, sources, **more), AS_OF)
    return [problem.replace(str(folder), "<folder>") for problem in error.value.problems]


@pytest.fixture(scope="module")
def shop(spark: SparkSession) -> Iterator[str]:
    """A schema with a Delta table, a view over it and a Parquet table."""
    spark.sql("create schema if not exists shop_sources")
    raw_orders(spark).coalesce(1).write.format("delta").mode("overwrite").saveAsTable("shop_sources.orders")
    spark.sql("create or replace view shop_sources.orders_view as select * from shop_sources.orders")
    raw_orders(spark).write.format("parquet").mode("overwrite").saveAsTable("shop_sources.files")
    yield "shop_sources"
    spark.sql("drop schema shop_sources cascade")


# ---------------------------------------------------------------- places


@pytest.mark.parametrize("name", ["shop_sources.orders", "spark_catalog.shop_sources.orders"])
def test_a_catalog_table_is_opened_by_two_or_three_level_name(
    spark: SparkSession, shop: str, tmp_path: Path, name: str
) -> None:
    opened = open_one(spark, tmp_path, {"table": name})
    assert (opened.label, opened.version) == (name, "0")
    assert_df_equality(opened.frame, raw_orders(spark), ignore_row_order=True, ignore_nullable=True)


def test_what_was_opened_is_read_at_its_version_whatever_is_written_later(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = str(tmp_path / "a table")
    for _ in range(2):
        raw_orders(spark).coalesce(1).write.format("delta").mode("overwrite").save(path)
    opened = open_one(spark, tmp_path, {"path": path})
    raw_orders(spark).limit(1).write.format("delta").mode("overwrite").save(path)
    assert opened.version == "1"
    assert opened.frame.count() == 2
    again = open_one(spark, tmp_path, {"path": path})
    assert (again.version, again.frame.count()) == ("2", 1)


def test_a_relative_path_is_read_from_the_working_directory(spark: SparkSession, in_folder: Path) -> None:
    raw_orders(spark).write.parquet(str(in_folder / "orders"))
    assert open_one(spark, in_folder, {"path": "orders", "format": "parquet"}).frame.count() == 2


def test_the_fingerprint_of_parquet_files_changes_with_their_content_and_only_then(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "orders"
    source = {"path": str(path), "format": "parquet"}
    raw_orders(spark).coalesce(1).write.parquet(str(path))
    first, second = (open_one(spark, tmp_path, source).version for _ in range(2))
    raw_orders(spark).coalesce(1).write.mode("append").parquet(str(path))
    third = open_one(spark, tmp_path, source).version
    assert first == second != third
    assert first.startswith("files:")


def test_the_fingerprint_of_a_csv_file_changes_when_it_is_written_again(
    spark: SparkSession, tmp_path: Path
) -> None:
    file = tmp_path / "orders.csv"
    source = {"path": str(file), "format": "csv"}
    file.write_text("who,nr,at,paid\n1,o1,2024-01-05,12.5\n")
    first = open_one(spark, tmp_path, source).version
    file.write_text("who,nr,at,paid\n1,o1,2024-01-05,12.6\n")
    os.utime(file, (1_700_000_000, 1_700_000_000))
    assert open_one(spark, tmp_path, source).version != first


def test_a_csv_file_is_read_as_text_with_its_separator(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text('who;nr;at;paid\n007;o1;05.01.2024;"12.5"\n', encoding="utf-8")
    opened = open_sources(
        spark,
        settings(
            tmp_path,
            {
                "orders": {
                    "path": str(tmp_path / "orders.csv"),
                    "format": "csv",
                    "options": {"sep": ";"},
                    "columns": COLUMNS | {"ordered_at": {"column": "at", "format": "dd.MM.yyyy"}},
                }
            },
        ),
        AS_OF,
    )
    row = canonical_orders(opened, "UTC").first()
    assert row is not None
    found = (row["customer_id"], row["ordered_at"], row["amount"])
    assert found == ("007", datetime(2024, 1, 5), Decimal("12.5000"))


def test_versions_name_every_table_that_is_read_lookups_included(spark: SparkSession, tmp_path: Path) -> None:
    raw_orders(spark).write.format("delta").save(f"{tmp_path}/orders")
    spark.sql("select 'web' as channel, 'online' as kind").write.format("delta").save(f"{tmp_path}/channels")
    spark.sql("select 1 as who, 'DE' as country").write.format("delta").save(f"{tmp_path}/people")
    sources = {
        "orders": {
            "path": f"{tmp_path}/orders",
            "columns": COLUMNS,
            "lookups": [{"path": f"{tmp_path}/channels", "key": ["channel"], "columns": ["kind"]}],
        },
        "events": [
            {
                "path": f"{tmp_path}/orders",
                "columns": {"customer_id": "who", "occurred_at": "at", "kind": {"value": "visit"}},
            }
        ],
        "customers": {"path": f"{tmp_path}/people", "columns": {"customer_id": "who", "country": "country"}},
    }
    opened = open_sources(
        spark, settings(tmp_path, sources, features={"engagement": {"kinds": {"visit": 1}}}), AS_OF
    )
    assert opened.versions == [
        ("orders", f"{tmp_path}/orders", "0"),
        ("orders", f"{tmp_path}/channels", "0"),
        ("events.0", f"{tmp_path}/orders", "0"),
        ("customers", f"{tmp_path}/people", "0"),
    ]
    assert [t.source for t in opened.tables] == ["orders", "events.0", "customers"]


# ---------------------------------------------------------------- refusals of places


def test_case_09_each_wrong_place_gets_its_own_sentence_and_nothing_is_made_there(
    spark: SparkSession, shop: str, tmp_path: Path
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.parquet").write_text("no parquet at all")
    before = sorted(tmp_path.rglob("*"))
    must = "must be a Delta table; got"
    check = "Check the name, or set `format` when these are Parquet or CSV files"
    cases = [
        ({"table": f"{shop}.order"}, " not found (shop_sources has: shop_sources.files, shop_sources.orders, "
         "shop_sources.orders_view)"),
        ({"table": "no_schema.orders"}, " not found (there is no schema no_schema)"),
        ({"table": "no_catalog.shop.orders"}, " not found (there is no schema no_catalog.shop)"),
        ({"table": f"{shop}.orders_view"}, f" {must} a view or another kind of table. {check}"),
        ({"table": f"{shop}.files"}, f" {must} a view or another kind of table. {check}"),
        ({"path": "/no/where"}, f" {must} nothing there. {check}"),
        ({"path": f"{tmp_path}/files"}, f" {must} other files. {check}"),
        ({"path": "file:///no/where"}, f" {must} no Delta log there. {check}"),
        ({"path": "/no/where", "format": "csv"}, " not found. Check the path"),
        ({"path": "/no/where", "format": "parquet"}, " not found. Check the path"),
        ({"path": f"{tmp_path}/fils"}, f" {must} nothing there. {check}"),
    ]  # fmt: skip
    events = [
        {**place, "columns": {"customer_id": "who", "occurred_at": "at", "kind": "channel"}}
        for place, _ in cases
    ]
    found = problems_of(
        spark,
        tmp_path,
        {"orders": {"table": f"{shop}.orders", "columns": COLUMNS}, "events": events},
    )
    expected = [
        f"sources.events.{i}: {place.get('table') or place['path']}{text}"
        for i, (place, text) in enumerate(cases)
    ]
    assert found == [text.replace(str(tmp_path), "<folder>") for text in expected]
    assert sorted(tmp_path.rglob("*")) == [*before, tmp_path / "settings.yaml"]
    assert not spark.catalog.tableExists(f"{shop}.order")


def test_files_that_are_not_of_the_given_format_are_refused_without_a_trace(
    spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.parquet").write_text("no parquet at all")
    [found] = problems_of(
        spark,
        tmp_path,
        {"orders": {"path": f"{tmp_path}/files", "format": "parquet", "columns": COLUMNS}},
    )
    assert found.startswith("sources.orders: <folder>/files must be readable as parquet; got ")
    assert "\n" not in found


def test_an_empty_orders_table_is_refused_before_anything_is_computed(
    spark: SparkSession, tmp_path: Path
) -> None:
    raw_orders(spark).limit(0).write.format("delta").save(f"{tmp_path}/orders")
    found = problems_of(spark, tmp_path, {"orders": {"path": f"{tmp_path}/orders", "columns": COLUMNS}})
    assert found == [
        "sources.orders: <folder>/orders must have rows; got an empty table. Check the job that fills it; "
        "nothing that was published before has been touched"
    ]


def test_the_problems_of_all_tables_are_told_at_once(spark: SparkSession, shop: str, tmp_path: Path) -> None:
    found = problems_of(
        spark,
        tmp_path,
        {
            "orders": {
                "table": f"{shop}.orders",
                "columns": {"customer_id": "whom", "order_id": "nr", "ordered_at": "who", "amount": "at"},
            },
            "events": [
                {"table": f"{shop}.nope", "columns": {"customer_id": "a", "occurred_at": "b", "kind": "c"}}
            ],
            "customers": {"table": f"{shop}.orders", "columns": {"customer_id": "id"}},
        },
    )
    assert [problem.partition(": ")[0] for problem in found] == [
        "sources.orders.columns.customer_id",
        "sources.orders.columns.ordered_at",
        "sources.orders.columns.amount",
        "sources.events.0",
        "sources.customers.columns.customer_id",
    ]
    assert found[0].endswith(
        "shop_sources.orders must have a column 'whom'; got who, nr, at, paid, channel (did you mean 'who'?)"
    )


# ---------------------------------------------------------------- columns


def test_case_17_columns_nobody_mapped_are_told(spark: SparkSession, shop: str, tmp_path: Path) -> None:
    opened = open_one(spark, tmp_path, {"table": f"{shop}.orders"})
    assert opened.unmapped == ("channel",)
    mapped = COLUMNS | {"category": {"expression": "upper(CHANNEL)"}}
    assert open_one(spark, tmp_path, {"table": f"{shop}.orders", "columns": mapped}).unmapped == ()


def test_case_17_order_and_case_of_the_source_columns_do_not_matter(
    spark: SparkSession, tmp_path: Path
) -> None:
    raw = raw_orders(spark)
    shuffled = raw.select("paid", F.col("nr").alias("NR"), F.col("who").alias("Who"), "channel", "at")
    shuffled.write.parquet(f"{tmp_path}/orders")
    opened = open_one(spark, tmp_path, {"path": f"{tmp_path}/orders", "format": "parquet"})
    assert opened.unmapped == ("channel",)
    expected = canonical_orders(OpenedSources(table(raw, COLUMNS), (), None), "UTC")
    found = canonical_orders(OpenedSources(opened, (), None), "UTC")
    columns = [*ORDERS.columns, "source_row"]
    assert_df_equality(
        found.select(columns), expected.select(columns), ignore_row_order=True, ignore_nullable=True
    )


def wrong_types(spark: SparkSession, tmp_path: Path, frame: str, columns: Mapping[str, Any]) -> list[str]:
    spark.sql(frame).write.parquet(f"{tmp_path}/orders")
    return problems_of(
        spark,
        tmp_path,
        {"orders": {"path": f"{tmp_path}/orders", "format": "parquet", "columns": COLUMNS | dict(columns)}},
    )


def test_columns_of_a_wrong_type_are_refused_each_with_what_it_must_be(
    spark: SparkSession, tmp_path: Path
) -> None:
    found = wrong_types(
        spark,
        tmp_path,
        "select 1.5d as who, array('o') as nr, 20240101 as at, true as paid, map('a', 1) as m, "
        "1.50bd as line, 'x' as text",
        {
            "category": "m",
            "line_id": "line",
            "status": {"expression": "text + 1"},
            "currency": {"column": "text", "format": "dd/MM/yyyy"},
        },
    )
    another = "Map another column, or an expression"
    whole = "must be text or a whole number; got"
    assert [f.removeprefix("sources.orders.columns.") for f in found[:6]] == [
        f"customer_id: {whole} double. Map an expression such as try_cast(… as bigint)",
        f"order_id: must be a plain value; got array<string>. {another}",
        f"ordered_at: must be a timestamp, a date or text; got int. {another}",
        f"amount: must be a number or text; got boolean. {another}",
        f"category: must be a plain value; got map<string,int>. {another}",
        f"line_id: {whole} decimal(3,2). Map an expression such as try_cast(… as bigint)",
    ]
    assert found[-1] == (
        "sources.orders.columns.currency.format: belongs to a date given as text; got string"
    )


def test_an_expression_that_does_not_fit_its_columns_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    [found] = wrong_types(
        spark,
        tmp_path,
        "select 'a' as who, 'o' as nr, date'2024-01-01' as at, 1 as paid, array(1) as tags",
        {"amount": {"expression": "abs(tags)"}},
    )
    assert found.startswith(
        "sources.orders.columns.amount: the expression must fit its columns; got DATATYPE_MI"
    )


@pytest.mark.parametrize(
    "pattern", ["nonsense", "dd/mm/yyyy", "MM/yyyy", "yyyy-MM-dd {", "dd/MM", "yyyy-MM-ddT"]
)
def test_a_pattern_that_cannot_give_a_day_is_refused(
    spark: SparkSession, tmp_path: Path, pattern: str
) -> None:
    [found] = wrong_types(
        spark,
        tmp_path,
        "select 'a' as who, 'o' as nr, '31/12/2024' as at, 1 as paid",
        {"ordered_at": {"column": "at", "format": pattern}},
    )
    assert found == (
        "sources.orders.columns.ordered_at.format: must be a date pattern of Spark with year, month and day "
        f"such as dd/MM/yyyy (MM is the month, mm the minute); got {pattern!r}"
    )


# ---------------------------------------------------------------- lookups


def with_lookup(
    spark: SparkSession, folder: Path, orders: str, lookup: str, key: str = "sku", columns: str = "department"
) -> dict[str, Any]:
    spark.sql(orders).write.parquet(f"{folder}/lines")
    spark.sql(lookup).write.parquet(f"{folder}/products")
    return {
        "orders": {
            "path": f"{folder}/lines",
            "format": "parquet",
            "columns": COLUMNS | {"category": "department"},
            "lookups": [
                {"path": f"{folder}/products", "format": "parquet", "key": [key], "columns": [columns]}
            ],
        }
    }


LINES = (
    "select * from values ({0}, 'o1'), ({1}, 'o2'), ({2}, 'o3') as t(sku, nr) "
    "cross join (select 'a' as who, date'2024-01-01' as at, 1 as paid)"
)


@pytest.mark.parametrize(
    ("skus", "products"),
    [
        (("1", "2", "null"), "(1, 'food'), (2, 'toys')"),
        (("'1'", "'2'", "'x'"), "(1, 'food'), (2, 'toys')"),
        (("1", "2", "null"), "('1', 'food'), ('2', 'toys'), ('x', 'odd')"),
        (("1L", "2L", "null"), "(1, 'food'), (2, 'toys'), (null, 'p'), (null, 'q')"),
    ],
    ids=[
        "same type",
        "text against a number",
        "a number against text",
        "a key that is not given matches none",
    ],
)
def test_a_lookup_brings_columns_and_keeps_rows_without_a_match(
    spark: SparkSession, tmp_path: Path, skus: tuple[str, str, str], products: str
) -> None:
    sources = with_lookup(
        spark,
        tmp_path,
        LINES.format(*skus),
        f"select * from values {products} as t(sku, department)",
    )
    opened = open_sources(spark, settings(tmp_path, sources), AS_OF)
    rows = canonical_orders(opened, "UTC").collect()
    assert {row["order_id"]: row["category"] for row in rows} == {"o1": "food", "o2": "toys", "o3": None}
    assert opened.orders.unmapped == ()


@pytest.mark.parametrize(
    ("lookup", "key", "columns", "sentence"),
    [
        ("select * from values (1, 'food'), (1, 'food') as t(sku, department)", "sku", "department",
         "<folder>/products must have one row for each sku; got several for some. A lookup that repeats a "
         "key would multiply rows: use a table or view that is unique"),
        ("select 1 as sku, 'food' as departments", "sku", "department",
         "<folder>/products must have a column 'department'; got sku, departments (did you mean "
         "'departments'?)"),
        ("select 1 as id, 'food' as department", "id", "department",
         "<folder>/lines must have a column 'id'; got sku, nr, who, at, paid "
         "(did you mean 'paid'?)"),
        ("select 1 as sku, 2 as PAID, 'x' as department", "sku", "PAID",
         "column 'PAID' is already in <folder>/lines; leave it out of the lookup"),
        ("select date'2024-01-01' as sku, 'food' as department", "sku", "department",
         "key 'sku' must have one type on both sides; got int in <folder>/lines and date in "
         "<folder>/products"),
    ],
    ids=["repeated key", "missing column", "key missing in the source", "column present", "types"],
)  # fmt: skip
def test_a_lookup_that_cannot_be_trusted_is_refused(
    spark: SparkSession, tmp_path: Path, lookup: str, key: str, columns: str, sentence: str
) -> None:
    sources = with_lookup(spark, tmp_path, LINES.format(1, 2, 3), lookup, key, columns)
    sources["orders"]["columns"]["category"] = columns
    sources["orders"]["columns"]["amount"] = "at"
    found = problems_of(spark, tmp_path, sources)
    assert found[0] == f"sources.orders.lookups.0: {sentence}"
    # The rest of the table is checked all the same.
    assert found[1].startswith("sources.orders.columns.amount: must be a number or text; got date")
    assert len(found) == 2


def test_lookups_may_build_on_one_another(spark: SparkSession, tmp_path: Path) -> None:
    spark.sql(LINES.format(1, 2, 3)).write.parquet(f"{tmp_path}/lines")
    spark.sql("select 1 as sku, 10 as group_id").write.parquet(f"{tmp_path}/products")
    spark.sql("select 10 as group_id, 'food' as department").write.parquet(f"{tmp_path}/groups")
    lookups = [
        {"path": f"{tmp_path}/products", "format": "parquet", "key": ["sku"], "columns": ["group_id"]},
        {"path": f"{tmp_path}/groups", "format": "parquet", "key": ["group_id"], "columns": ["department"]},
    ]
    opened = open_one(
        spark,
        tmp_path,
        {
            "path": f"{tmp_path}/lines",
            "format": "parquet",
            "lookups": lookups,
            "columns": COLUMNS | {"category": "department"},
        },
    )
    rows = canonical_orders(OpenedSources(opened, (), None), "UTC").collect()
    assert {row["order_id"]: row["category"] for row in rows} == {"o1": "food", "o2": None, "o3": None}


# ---------------------------------------------------------------- mapping


def test_a_canonical_frame_has_the_columns_of_its_contract_and_the_row_as_it_came(
    spark: SparkSession,
) -> None:
    opened = table(raw_orders(spark), COLUMNS | {"category": {"expression": "upper(channel)"}})
    found = canonical_orders(OpenedSources(opened, (), None), "UTC")
    types = {field.name: field.dataType for field in found.schema}
    assert {name: types[name] for name in ORDERS.columns} == {f.name: f.type for f in ORDERS.fields}
    assert list(types) == [*ORDERS.columns, "source_row", "source_table", "source_version", "breach"]
    row = found.where("order_id = 'o1'").first()
    assert row is not None
    assert row.asDict(recursive=True) == {
        "customer_id": "1",
        "order_id": "o1",
        "line_id": None,
        "ordered_at": datetime(2024, 1, 5, 10),
        "amount": Decimal("12.5000"),
        "category": "WEB",
        "currency": None,
        "status": None,
        "source_row": {
            "customer_id": "1",
            "order_id": "o1",
            "ordered_at": "2024-01-05 10:00:00Z",
            "amount": "12.5",
            "category": "WEB",
            "line_id": None,
            "currency": None,
            "status": None,
        },
        "source_table": "shop.orders",
        "source_version": "7",
        "breach": None,
    }


def test_a_column_a_cast_an_expression_and_a_constant_are_mapped(spark: SparkSession) -> None:
    frame = spark.sql("select 7L as id, '3' as price, 2 as quantity, true as paid, date'2024-01-05' as at")
    opened = table(
        frame,
        {
            "customer_id": "id",
            "order_id": {"expression": "concat('o', id)"},
            "ordered_at": "at",
            "amount": {"expression": "try_cast(price as decimal(10,2)) * quantity"},
            "status": "paid",
            "currency": {"value": "EUR"},
            "category": {"expression": "paid and quantity > 1"},
        },
    )
    row = canonical_orders(OpenedSources(opened, (), None), "UTC").first()
    assert row is not None
    assert row["customer_id"] == "7"
    assert row["order_id"] == "o7"
    assert row["amount"] == Decimal("6.0000")
    assert row["status"] == row["category"] == "true"
    assert row["currency"] == "EUR"
    assert row["source_row"]["category"] == "true"


def test_event_tables_with_their_roles_in_another_order_keep_their_values_apart(spark: SparkSession) -> None:
    one = table(
        spark.sql("select 'a' as c, 'junk' as t, 'visit' as k"),
        {"customer_id": "c", "occurred_at": "t", "kind": "k"},
        "events.0",
    )
    two = table(
        spark.sql("select 'b' as c, '2024-01-05' as t, 's' as s, 'click' as k"),
        {"kind": "k", "subject": "s", "occurred_at": "t", "customer_id": "c"},
        "events.1",
    )
    found = canonical_events(OpenedSources(one, (one, two), None), "UTC")
    assert found is not None
    assert [f.name for f in found.schema][: len(EVENTS.fields)] == EVENTS.columns
    rows = {row["customer_id"]: row for row in found.collect()}
    assert rows["a"]["source_row"]["occurred_at"] == "junk"
    assert rows["b"]["source_row"].asDict() == {
        "customer_id": "b",
        "occurred_at": "2024-01-05",
        "kind": "click",
        "subject": "s",
        "event_id": None,
    }
    assert (rows["a"]["source_table"], rows["b"]["source_table"]) == ("shop.events.0", "shop.events.1")


def test_every_other_role_of_customers_becomes_an_attribute_as_text(spark: SparkSession) -> None:
    frame = spark.sql("select 7 as customer_id, 42 as age, true as amount, cast(null as date) as since")
    row = customers_of(frame).first()
    assert row is not None
    assert row["customer_id"] == "7"
    assert row["attributes"] == {"age": "42", "amount": "true", "since": None}
    assert customers_of(frame).schema["attributes"].dataType == CUSTOMERS.schema["attributes"].dataType


def test_case_43_a_constant_stays_the_text_that_it_is(spark: SparkSession) -> None:
    texts = [
        "; drop table segments",
        "' or 1=1",
        "reflect('java.lang.System','getenv','HOME')",
        "csv.`/etc/passwd`",
        "${env:HOME}",
        "a\nb\0c",
    ]
    columns = {f"t{i}": {"value": text} for i, text in enumerate(texts)}
    opened = table(spark.sql("select 1 as id"), {"customer_id": "id", **columns}, "customers")
    found = canonical_customers(OpenedSources(opened, (), opened), "UTC")
    assert found is not None
    assert [row["attributes"] for row in found.collect()] == [{f"t{i}": text for i, text in enumerate(texts)}]


def test_customers_without_attributes_get_an_empty_map(spark: SparkSession) -> None:
    row = customers_of(spark.sql("select 7 as customer_id")).first()
    assert row is not None
    assert row["attributes"] == {}


def test_an_attribute_may_be_named_like_a_role_of_orders(spark: SparkSession, tmp_path: Path) -> None:
    raw_orders(spark).write.parquet(f"{tmp_path}/orders")
    spark.sql("select 1 as id, true as amount, 3 as ordered_at").write.parquet(f"{tmp_path}/people")
    files = {"format": "parquet"}
    opened = open_sources(
        spark,
        settings(
            tmp_path,
            {
                "orders": {**files, "path": f"{tmp_path}/orders", "columns": COLUMNS},
                "customers": {
                    **files,
                    "path": f"{tmp_path}/people",
                    "columns": {"customer_id": "id", "amount": "amount", "ordered_at": "ordered_at"},
                },
            },
        ),
        AS_OF,
    )
    found = canonical_customers(opened, "UTC")
    assert found is not None
    assert [row["attributes"] for row in found.collect()] == [{"amount": "true", "ordered_at": "3"}]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [("a1", "a1"), ("  a1\t", "a1"), ("\u00a0a1\u00a0\n", "a1"), ("a 1", "a 1"), ("A1", "A1"), ("007", "007"),
     ("", None), ("   ", None), ("\u00a0", None), (None, None)],
)  # fmt: skip
def test_ids_lose_the_blanks_around_them_and_blank_means_not_given(
    spark: SparkSession, raw: str | None, clean: str | None
) -> None:
    frame = text_rows(spark, ORDER_ROLES, [dict.fromkeys(ORDER_ROLES, raw)])
    row = orders_of(frame).first()
    assert row is not None
    given = {"customer_id", "order_id", "line_id", "category", "currency", "status"}
    assert {row[role] for role in given} == {clean}
    assert row["source_row"]["customer_id"] == raw


def test_case_18_amounts_given_as_text_are_numbers_or_nothing(spark: SparkSession) -> None:
    texts = {
        "12.5": "12.5000",
        " -3 ": "-3.0000",
        "\u00a01e2": "100.0000",
        "0.00005": "0.0001",
        "0.00004": "0.0000",
        "99999999999999.9999": "99999999999999.9999",
        "100000000000000": None,
        "abc": None,
        "": None,
        "1,234.50": None,
        "12,5": None,
        "NaN": None,
        "Infinity": None,
        "-inf": None,
        "1e400": None,
        "5 EUR": None,
    }
    frame = text_rows(spark, ("order_id", "amount"), [{"order_id": t, "amount": t} for t in texts])
    found = {r["source_row"]["amount"]: r["amount"] for r in orders_of(frame).collect()}
    assert found == {t: None if v is None else Decimal(v) for t, v in texts.items()}


@pytest.mark.parametrize(
    ("value", "amount"),
    [("double('NaN')", None), ("double('Infinity')", None), ("1e300d", None), ("2.5d", "2.5"),
     ("float(0.1)", "0.1"), ("7L", "7"), ("9223372036854775807L", None), ("1.23456bd", "1.2346"),
     ("decimal(null)", None)],
)  # fmt: skip
def test_amounts_given_as_numbers_are_rounded_to_four_places_or_nothing(
    spark: SparkSession, value: str, amount: str | None
) -> None:
    row = orders_of(spark.sql(f"select {value} as amount")).first()
    assert row is not None
    assert row["amount"] == (None if amount is None else Decimal(amount))


# ---------------------------------------------------------------- time

LATE = "timestamp'2024-03-01 23:30:00Z'"


@pytest.mark.parametrize(
    ("zone", "day"),
    [("UTC", 1), ("America/New_York", 1), ("Europe/Berlin", 2), ("Asia/Kolkata", 2)],
)
@pytest.mark.parametrize("value", [LATE, "'2024-03-01T23:30:00Z'", "'2024-03-02T05:00:00+05:30'"])
def test_an_instant_falls_on_the_day_of_the_business_zone(
    spark: SparkSession, zone: str, day: int, value: str
) -> None:
    row = orders_of(spark.sql(f"select {value} as ordered_at"), zone).select(F.to_date("ordered_at")).first()
    assert row is not None
    assert row[0] == date(2024, 3, day)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata"])
@pytest.mark.parametrize(
    ("value", "wall"),
    [
        ("timestamp_ntz'2024-03-01 23:30:00'", datetime(2024, 3, 1, 23, 30)),
        ("date'2024-03-01'", datetime(2024, 3, 1)),
        ("'2024-03-01'", datetime(2024, 3, 1)),
        ("' 2024-03-01T23:30:00 '", datetime(2024, 3, 1, 23, 30)),
        ("'2024-03-01 23:30'", datetime(2024, 3, 1, 23, 30)),
        ("'2024-03-01 23:30:00.123'", datetime(2024, 3, 1, 23, 30, 0, 123000)),
        ("timestamp_ntz'2024-03-31 02:30:00'", datetime(2024, 3, 31, 2, 30)),
    ],
)
def test_a_time_without_a_zone_is_taken_as_it_is_written(
    spark: SparkSession, zone: str, value: str, wall: datetime
) -> None:
    row = orders_of(spark.sql(f"select {value} as ordered_at"), zone).first()
    assert row is not None
    assert row["ordered_at"] == wall


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-01T23:30:00Z",
        "2024-03-01 23:30:00 UTC",
        "2024-03-01T23:30Z",
        "2024-03-01T23:30:00.000+00:00",
        "2024-03-02 05:00:00 +05:30",
        "2024-03-02T05:00:00+0530",
        "2024-03-01T18:30:00-05",
        "2024-03-01 18:30:00 America/New_York",
        "2024-03-01 23:30:00GMT",
    ],
)
def test_a_text_that_names_a_zone_is_an_instant_however_it_is_written(spark: SparkSession, text: str) -> None:
    frame = text_rows(spark, ("ordered_at",), [{"ordered_at": text}])
    row = orders_of(frame, "Europe/Berlin").first()
    assert row is not None
    assert row["ordered_at"] == datetime(2024, 3, 2, 0, 30)


def test_texts_that_are_no_time_are_nothing_and_stop_nothing(spark: SparkSession) -> None:
    texts = ["abc", "", "12:30", "now", "today", "2024-02-30", "2024-13-01", "01/02/2024", "20240301",
             "2024-03-01 11:30:00 PM", "2024-03-01 25:00", "2024-03-01 10:00:00 Nowhere/X", None]  # fmt: skip
    frame = text_rows(spark, ("ordered_at",), [{"ordered_at": t} for t in texts])
    assert {row["ordered_at"] for row in orders_of(frame, "Europe/Berlin").collect()} == {None}


@pytest.mark.parametrize(
    ("text", "pattern", "wall"),
    [
        ("31/12/2024", "dd/MM/yyyy", datetime(2024, 12, 31)),
        ("12/31/2024 23:30", "MM/dd/yyyy HH:mm", datetime(2024, 12, 31, 23, 30)),
        ("12/31/2024", "dd/MM/yyyy", None),
        ("31/12/24", "dd/MM/yyyy", None),
        ("2024-12-31", "dd/MM/yyyy", None),
        ("", "dd/MM/yyyy", None),
        ("20241231T2330Z", "yyyyMMdd'T'HHmmX", datetime(2025, 1, 1, 0, 30)),
        ("31.12.2024 18:30 -05:00", "dd.MM.yyyy HH:mm XXX", datetime(2025, 1, 1, 0, 30)),
    ],
)
def test_a_date_pattern_is_followed_to_the_letter_and_its_zone_counts(
    spark: SparkSession, text: str, pattern: str, wall: datetime | None
) -> None:
    frame = text_rows(spark, ("t",), [{"t": text}])
    opened = table(frame, {"ordered_at": {"column": "t", "format": pattern}})
    row = canonical_orders(OpenedSources(opened, (), None), "Europe/Berlin").first()
    assert row is not None
    assert row["ordered_at"] == wall


@pytest.mark.parametrize(
    ("instant", "wall"),
    [
        ("2024-03-31 00:59:00Z", datetime(2024, 3, 31, 1, 59)),  # winter time ends: 02:00 never comes
        ("2024-03-31 01:00:00Z", datetime(2024, 3, 31, 3, 0)),
        ("2024-10-27 00:30:00Z", datetime(2024, 10, 27, 2, 30)),  # summer time ends: 02:30 comes twice
        ("2024-10-27 01:30:00Z", datetime(2024, 10, 27, 2, 30)),
        ("1969-12-31 23:30:00Z", datetime(1970, 1, 1, 0, 30)),
    ],
)
def test_the_hours_where_berlin_changes_its_clocks_are_right(
    spark: SparkSession, instant: str, wall: datetime
) -> None:
    for value in (f"timestamp'{instant}'", f"'{instant}'"):
        row = orders_of(spark.sql(f"select {value} as ordered_at"), "Europe/Berlin").first()
        assert row is not None
        assert row["ordered_at"] == wall


def test_case_23_neither_the_zone_of_the_session_nor_that_of_the_machine_matters(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    jvm_zone = spark._jvm.java.util.TimeZone  # the driver's own zone, which TZ sets at its start
    before = jvm_zone.getDefault()
    # Late in the evening, in the hour that Berlin skips, and twice in the one that it repeats.
    instants = [
        "2024-03-01 23:30:00Z",
        "2024-03-31 01:00:00Z",
        "2024-10-27 00:30:00Z",
        "2024-10-27 01:30:00Z",
    ]
    texts = ["2024-03-01T23:30:00+01:00", "2024-03-31 02:30", "2024-10-27 02:30", "2024-07-01"]
    expected = {
        "i0": datetime(2024, 3, 2, 0, 30),
        "i1": datetime(2024, 3, 31, 3),
        "i2": datetime(2024, 10, 27, 2, 30),
        "i3": datetime(2024, 10, 27, 2, 30),
        "t0": datetime(2024, 3, 1, 23, 30),
        "t1": datetime(2024, 3, 31, 2, 30),
        "t2": datetime(2024, 10, 27, 2, 30),
        "t3": datetime(2024, 7, 1),
    }
    typed = [f"select 'i{i}' as order_id, timestamp'{at}' as ordered_at" for i, at in enumerate(instants)]
    frames = [
        spark.sql(" union all ".join(typed)),
        text_rows(
            spark,
            ("order_id", "ordered_at"),
            [{"order_id": f"t{i}", "ordered_at": at} for i, at in enumerate(texts)],
        ),
    ]
    as_of = date(2024, 11, 1)
    features = FeatureSettings()
    found = []
    try:
        for zone in ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata"):
            jvm_zone.setDefault(jvm_zone.getTimeZone(zone))
            monkeypatch.setenv("TZ", zone)
            spark.conf.set("spark.sql.session.timeZone", zone)
            start_session(SessionSettings())
            lines = [
                orders_of(
                    frame.withColumns({"customer_id": F.col("order_id"), "amount": F.lit("1")}),
                    "Europe/Berlin",
                )
                for frame in frames
            ]
            rows = lines[0].unionByName(lines[1])
            assert {r["order_id"]: r["ordered_at"] for r in rows.collect()} == expected
            kept = clean_orders(rows, Rules(CleaningSettings(), as_of)).kept
            built = build_features(daily_activity(kept, None, features.engagement), None, as_of, features)
            found.append(sorted(built.drop("attributes").collect()))
    finally:
        jvm_zone.setDefault(before)
        spark.conf.set("spark.sql.session.timeZone", "UTC")
    assert found[1:] == found[:1] * 3
    recency = {row["customer_id"]: row["recency_days"] for row in found[0]}
    assert recency == {name: (as_of - at.date()).days for name, at in expected.items()}


def test_events_are_mapped_like_orders(spark: SparkSession) -> None:
    frame = spark.sql(f"select 1 as customer_id, ' visit ' as kind, {LATE} as occurred_at")
    row = events_of(frame, "Europe/Berlin").select(*EVENTS.columns).first()
    assert row is not None
    assert tuple(row) == ("1", None, datetime(2024, 3, 2, 0, 30), "visit", None)


def test_an_expression_that_computes_with_text_is_refused_and_overflow_is_null(
    spark: SparkSession, tmp_path: Path
) -> None:
    frame = spark.sql("select 'c' who, 'o' nr, '2024-01-01' at, '12.5' price, 9000000000000000000 big")
    path = str(tmp_path / "lines")
    frame.write.format("delta").save(path)

    def orders(expression: str) -> dict[str, Any]:
        return {"path": path, "columns": {**COLUMNS, "amount": {"expression": expression}}}

    def amount(expression: str) -> Any:
        opened = open_sources(spark, settings(tmp_path, {"orders": orders(expression)}), AS_OF)
        row = canonical_orders(opened, "UTC").select("amount").first()
        return row[0] if row is not None else "no row"

    assert problems_of(spark, tmp_path, {"orders": orders("price * 2")}) == [
        "sources.orders.columns.amount.expression: must not compute with text; got the column price of "
        "type string. Write try_cast(price as decimal(18,4)) there"
    ]
    assert amount("try_cast(price as decimal(18,4)) * 2") == Decimal("25.0000")
    assert amount("big * big") is None
