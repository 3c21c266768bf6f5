"""What tables promise: judged for all of them before anything is written, and row by row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from shop import settings

from spark_seg.cleaning import Rules, clean_orders
from spark_seg.config import CleaningSettings, Settings
from spark_seg.errors import ConfigError, InputError
from spark_seg.pipeline import check_settings
from spark_seg.pipeline.plan import ALLOWED_ROOTS
from spark_seg.sources import breaches, canonical_orders, open_sources, with_repairs

AS_OF = date(2024, 7, 1)
COLUMNS = {"customer_id": "who", "order_id": "nr", "ordered_at": "at", "amount": "paid", "status": "state"}
ROWS = [
    ("a", "o1", "2024-06-01", "10.50", "paid", "EUR", "web"),
    ("a", "o2", "2024-06-28", "20.00", None, "USD", "web"),
    ("b", "o3", "2024-06-20", "30.00", "odd", "CHF", "shop"),
    ("b", "o4", "2024-07-09", "40.00", "paid", "EUR", "shop"),
]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    rows(spark, ROWS).write.format("delta").save(f"{folder}/orders")
    rates = [("USD", "0.9", "2024-01-01"), ("USD", "0.5", "2024-06-28"), ("EUR", "1", "2024-01-01")]
    frame = spark.createDataFrame(rates, "code string, worth string, day string")
    frame.write.format("delta").save(f"{folder}/rates")
    frame.where("day < '2024-02-01'").drop("day").write.format("delta").save(f"{folder}/fixed")
    return folder


def rows(spark: SparkSession, values: list[tuple[Any, ...]]) -> DataFrame:
    schema = "who string, nr string, at string, paid string, state string, money string, channel string"
    return spark.createDataFrame(values, schema)


def config(lake: Path, folder: Path, contract: Mapping[str, Any] | None = None, **more: Any) -> Settings:
    columns = COLUMNS | more.pop("columns", {})
    orders = {"path": f"{lake}/orders", "columns": columns, "contract": contract or {}}
    return settings(folder, {"orders": orders, **more.pop("sources", {})}, **more)


def refused(spark: SparkSession, settings: Settings, before: dict[tuple[str, str], int] | None = None) -> Any:
    with pytest.raises(InputError) as error:
        open_sources(spark, settings, AS_OF, before)
    return error.value.problems


def test_all_that_a_table_does_not_keep_is_told_at_once(
    spark: SparkSession, lake: Path, tmp_path: Path
) -> None:
    contract = {
        "types": {"paid": "decimal(10, 2)", "WHO": "text", "at": "timestamp", "colour": "string"},
        "extra_columns": "refuse",
    }
    label = f"{lake}/orders"
    assert refused(spark, config(lake, tmp_path, contract)) == (
        f"sources.orders.contract.types.paid: must be decimal(10,2) in {label}; got string. Ask who fills "
        "the table, or declare the new type",
        f"sources.orders.contract.types.at: must be timestamp in {label}; got string. Ask who fills the "
        "table, or declare the new type",
        f"sources.orders.contract.types.colour: {label} must have a column 'colour'; got who, nr, at, paid, "
        "state, money, channel (known: at, channel, money, nr, paid, state, who)",
        f"sources.orders.contract.extra_columns: {label} must have no columns but those that are mapped; got "
        "money, channel. Map them, leave them out in a view, or set extra_columns: report",
    )


def test_too_old_too_few_and_too_different_tables_are_told_at_once(
    spark: SparkSession, lake: Path, tmp_path: Path
) -> None:
    bounds = {"at_least": 5, "max_loss": 0.1, "max_growth": 0.5}
    place = ("sources.orders.contract", f"{lake}/orders")
    strict = config(lake, tmp_path, {"max_age_days": 2, "rows": bounds})
    few, fewer, old = refused(spark, strict, {("orders", place[1]): 100})
    assert few == (
        f"{place[0]}.rows.at_least: {place[1]} must have at least 5 rows; got 4. Check the job that fills it"
    )
    assert fewer == (
        f"{place[0]}.rows.max_loss: {place[1]} may have lost at most 10.0% of the 100 rows of the last run; "
        "got 4. Check the job that fills it, or allow it once with --set"
    )
    # Rows after as_of do not make a table fresh.
    assert old == (
        f"{place[0]}.max_age_days: {place[1]} must have rows of the 2 days before 2024-07-01; the newest is "
        "of 2024-06-28. Wait for the job that fills it, or check that job"
    )
    (more,) = refused(spark, config(lake, tmp_path, {"rows": {"max_growth": 0.5}}), {("orders", place[1]): 2})
    assert "may have gained at most 50.0% of the 2 rows" in more
    kept = config(lake, tmp_path, {"max_age_days": 3, "rows": {"at_least": 4, "max_loss": 0}})
    opened = open_sources(spark, kept, AS_OF, {("orders", place[1]): 4}).orders
    assert (opened.rows, opened.unmapped) == (4, ("money", "channel"))


def test_rows_that_break_the_contract_are_rejected_and_say_how(
    spark: SparkSession, lake: Path, tmp_path: Path
) -> None:
    contract = {"required": ["status"], "allowed": {"status": ["paid", "open"]}}
    opened = open_sources(spark, config(lake, tmp_path, contract), AS_OF)
    reasons = tuple(breaches(opened.orders.ref.contract))
    rules = Rules(CleaningSettings(), AS_OF, breaches={"orders": reasons})
    cleaned = clean_orders(canonical_orders(opened, "UTC"), rules)
    assert [r.order_id for r in cleaned.kept.collect()] == ["o1"]
    counts = cleaned.counts()
    assert counts.reasons == {"after_as_of": 1, "null_status": 1, "status_not_allowed": 1}
    rejects = cleaned.rejects(counts, keep_after_as_of=False)
    assert rejects is not None
    told = {json.loads(r.row)["order_id"]: r.reason for r in rejects.collect()}
    assert told == {"o2": "null_status", "o3": "status_not_allowed"}


@pytest.mark.parametrize(
    ("contract", "sentence"),
    [
        ({"types": {"paid": "money"}}, "must be a plain type of Spark; got 'money'"),
        ({"required": ["state"]}, "contract: 'state' is not in columns; did you mean 'status'?"),
        ({"allowed": {"amount": ["1"]}}, "'amount' is a time or an amount"),
        ({"rows": {"max_loss": 2}}, "contract.rows.max_loss: must be less than or equal to 1; got 2"),
    ],
)
def test_a_contract_that_makes_no_sense_is_a_configuration_error(
    lake: Path, tmp_path: Path, contract: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError) as error:
        config(lake, tmp_path, contract)
    assert sentence in str(error.value)


# ---------------------------------------------------------------- currencies


def amounts(spark: SparkSession, settings: Settings) -> dict[str, tuple[Decimal, str, str]]:
    found = canonical_orders(open_sources(spark, settings, AS_OF), "UTC").collect()
    return {r.order_id: (r.amount, r.currency, r.source_row.amount) for r in found}


def test_case_22_amounts_are_converted_at_the_rate_of_their_day_and_others_stay_as_they_are(
    spark: SparkSession, lake: Path, tmp_path: Path
) -> None:
    columns = {"currency": "code", "rate": "worth", "valid_from": "day"}
    given = {
        "columns": {"currency": "money"},
        "sources": {"rates": {"path": f"{lake}/rates", "columns": columns}},
        "cleaning": {"currency": "EUR"},
    }
    dated = config(lake, tmp_path, **given)
    assert amounts(spark, dated) == {
        "o1": (Decimal("10.5000"), "EUR", "10.50"),
        "o2": (Decimal("10.0000"), "EUR", "20.00"),  # the rate that holds from this day on
        "o3": (Decimal("30.0000"), "CHF", "30.00"),  # no rate: rejected as currency_unknown
        "o4": (Decimal("40.0000"), "EUR", "40.00"),
    }
    assert ("rates", f"{lake}/rates", "0") in open_sources(spark, dated, AS_OF).versions
    del columns["valid_from"]
    given["sources"] = {"rates": {"path": f"{lake}/fixed", "columns": columns}}
    given["columns"] = {"currency": "money"}
    assert amounts(spark, config(lake, tmp_path, **given))["o2"][:2] == (Decimal("18.0000"), "EUR")


def test_rates_that_nothing_can_be_converted_by_are_refused(
    spark: SparkSession, lake: Path, tmp_path: Path
) -> None:
    bad = [
        ("USD", "0", None),
        ("USD", "x", "2024-01-01"),
        (None, "1", "2024-01-01"),
        ("USD", "2", "2024-01-01"),
    ]
    spark.createDataFrame(bad, "code string, worth string, day string").write.format("delta").save(
        f"{tmp_path}/rates"
    )
    columns = {"currency": "code", "rate": "worth", "valid_from": "day"}
    sources = {"rates": {"path": f"{tmp_path}/rates", "columns": columns}}
    more = {"columns": {"currency": "money"}, "sources": sources, "cleaning": {"currency": "EUR"}}
    problems = refused(spark, config(lake, tmp_path, **more))
    assert [p.split(" must have ")[1].split(";")[0] for p in problems] == [
        "a currency and a rate above 0 on every row",
        "a day on every row",
        "one rate for each currency and valid_from",
    ]


# ---------------------------------------------------------------- ids, zones, repairs, places


def test_case_19_spellings_that_look_alike_are_one_customer_and_capitals_as_it_is_configured(
    spark: SparkSession, tmp_path: Path
) -> None:
    ids = ["A1", "a1", " A1", "A1\t", "A1\u00a0", "\u212b", "\u00c5", "A\u030a", "", "\u00a0", None]
    frame = rows(spark, [(i, f"o{n}", "2024-06-01", "1", "paid", "EUR", "web") for n, i in enumerate(ids)])
    frame.write.format("delta").save(f"{tmp_path}/orders")
    for cleaning, wanted in (
        ({}, {"A1", "a1", "\u00c5"}),
        ({"id_case": "lower"}, {"a1", "\u00e5"}),
        ({"id_unicode": "keep"}, {"A1", "a1", "\u212b", "\u00c5", "A\u030a"}),
    ):
        opened = open_sources(spark, config(tmp_path, tmp_path, cleaning=cleaning), AS_OF)
        cleaned = clean_orders(canonical_orders(opened, "UTC"), Rules(CleaningSettings(), AS_OF))
        assert {r.customer_id for r in cleaned.kept.collect()} == wanted
        assert cleaned.counts().reasons == {"null_customer_id": 3}


def test_times_without_a_zone_are_of_the_business_unless_their_column_has_another(
    spark: SparkSession, lake: Path, tmp_path: Path
) -> None:
    berlin = {"time_zone": "Europe/Berlin"}
    spark.sql(
        "select 'a' who, 'o1' nr, timestamp_ntz'2024-06-30 23:30:00' at, 1 paid, 'paid' state"
    ).write.format("delta").save(f"{tmp_path}/orders")

    def at(column: Any) -> str:
        opened = open_sources(
            spark, config(tmp_path, tmp_path, columns={"ordered_at": column}, **berlin), AS_OF
        )
        return str(
            canonical_orders(opened, "Europe/Berlin")
            .select(F.col("ordered_at").cast("string"))
            .collect()[0][0]
        )

    assert at("at") == "2024-06-30 23:30:00"
    assert at({"column": "at", "time_zone": "UTC"}) == "2024-07-01 01:30:00"
    assert at({"column": "at", "time_zone": "America/New_York"}) == "2024-07-01 05:30:00"


def test_repaired_rows_are_read_beside_their_table_as_the_rejects_show_them(
    spark: SparkSession, tmp_path: Path
) -> None:
    spark.sql(
        "select 'a' who, 'o1' nr, timestamp'2024-06-30 23:30:00' at, 'x' paid, 'paid' state"
    ).write.format("delta").save(f"{tmp_path}/orders")
    opened = open_sources(spark, config(tmp_path, tmp_path, time_zone="Europe/Berlin"), AS_OF)
    zone = "Europe/Berlin"
    rules = Rules(CleaningSettings(), date(2024, 7, 2))
    cleaned = clean_orders(canonical_orders(opened, zone), rules)
    cleaned.kept.collect()
    rejects = cleaned.rejects(cleaned.counts(), keep_after_as_of=True)
    assert rejects is not None
    [reject] = rejects.collect()
    row = json.loads(reject.row)
    assert row["ordered_at"] == "2024-06-30 23:30:00Z"
    label = f"{tmp_path}/orders"
    repaired = [("orders", label, json.dumps(row | {"amount": "7.25"})), ("orders", "elsewhere", "{}")]
    repairs = spark.createDataFrame(repaired, "source string, source_table string, row string")
    more = with_repairs(opened, repairs, "the repairs", "3")
    again = clean_orders(canonical_orders(more, zone), rules)
    [kept] = again.kept.collect()
    assert (kept.customer_id, kept.amount) == ("a", Decimal("7.2500"))
    assert str(kept.ordered_at) == "2024-07-01 01:30:00"
    assert again.counts().reasons == {"unparseable_amount": 1}
    assert ("repairs", "the repairs", "3") in more.versions


def test_paths_must_lie_under_the_roots_that_whoever_runs_the_job_allows(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(lake)
    given = config(tmp_path / "link", tmp_path)
    check_settings(given)
    monkeypatch.setenv(ALLOWED_ROOTS, f"{tmp_path},s3a://shop/lake")
    with pytest.raises(ConfigError) as error:
        check_settings(given)
    (problem,) = error.value.problems
    assert problem.startswith(f"sources.orders.path: must lie under {tmp_path} or s3a://shop/lake")
    monkeypatch.setenv(ALLOWED_ROOTS, f"{tmp_path},{lake}/")
    check_settings(given)
