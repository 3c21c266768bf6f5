"""What others may use: its form, and what it does with frames that are there."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import spark_seg
from spark_seg import Segmentation, SegmentationError, read_published, segment_customers
from spark_seg.config import REMOTE

AS_OF = "2025-01-01"
#: Group → (days before `AS_OF` of each order, amount of an order). Twelve customers in each.
GROUPS = {
    "star": (range(2, 42, 4), 90.0),
    "steady": ((12, 40, 70, 100, 130), 35.0),
    "gone": ((260, 290), 60.0),
}
QUICK = {
    "clustering": {"algorithms": ["kmeans"], "restarts": {"kmeans": 2}},
    "selection": {"k_min": 3, "k_max": 3},
    "preparation": {"features": {"recency_days": {"log": True}, "monetary": {"log": True}}},
}


@pytest.fixture(scope="module")
def orders(spark: SparkSession) -> DataFrame:
    end = datetime.fromisoformat(AS_OF)
    rows = [
        (f"{group}{i:02d}", f"{group}{i}-{day}", end - timedelta(days=day + i % 3, hours=-9), amount + i)
        for group, (days, amount) in GROUPS.items()
        for i in range(12)
        for day in days
    ]
    return spark.createDataFrame(
        rows, "household string, order_id string, ordered_at timestamp, amount double"
    )


@pytest.fixture(scope="module")
def result(orders: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Segmentation:
    # A server may be another machine, and needs a folder that it can read.
    folder = str(tmp_path_factory.mktemp("segments")) if os.environ.get(REMOTE) else None
    return segment_customers(
        orders, AS_OF, columns={"customer_id": "household"}, settings=QUICK, folder=folder
    )


def test_three_lines_give_segments_of_the_frames_customers(result: Segmentation) -> None:
    found = {row["customer_id"]: row["segment_id"] for row in result.assignments.collect()}
    assert len(found) == 36
    pairs = {(customer.rstrip("0123456789"), segment) for customer, segment in found.items()}
    assert len(pairs) == len({segment for _, segment in pairs}) == 3
    assert result.as_of == date(2025, 1, 1)
    assert result.profiles.where("scheme = 'clusters'").count() == 3
    assert [row["k"] for row in result.candidates.where("chosen").collect()] == [3]
    labelled = result.model.transform(result.table("features"))
    assert labelled.groupBy("cluster").count().count() == 3


def test_it_displays_as_its_report_in_a_frame_of_its_own(result: Segmentation) -> None:
    shown = result._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')
    assert 'sandbox="allow-scripts"' in shown
    assert shown.count('"') == len(re.findall(r'(?:srcdoc|sandbox|style|title)="', shown)) * 2
    assert "How k was chosen" in result.report


def test_the_session_of_the_notebook_is_left_as_it_was(spark: SparkSession, orders: DataFrame) -> None:
    spark.conf.set("spark.sql.session.timeZone", "Asia/Kolkata")
    try:
        with pytest.raises(SegmentationError):
            segment_customers(orders, "2000-01-01", columns={"customer_id": "household"}, settings=QUICK)
        assert spark.conf.get("spark.sql.session.timeZone") == "Asia/Kolkata"
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")


def test_results_in_a_folder_stay_and_are_read_by_name(orders: DataFrame, tmp_path: Path) -> None:
    spark = orders.sparkSession
    events = orders.select(
        F.col("household").alias("customer_id"),
        F.col("ordered_at").alias("occurred_at"),
        F.lit("visit").alias("kind"),
    )
    customers = (
        orders.select(F.col("household").alias("customer_id")).distinct().withColumn("city", F.lit("Ulm"))
    )
    result = segment_customers(
        orders.withColumnRenamed("household", "customer_id"),
        date(2025, 1, 1),
        events=events,
        customers=customers,
        settings=QUICK | {"features": {"engagement": {"kinds": {"visit": 1}}}},
        folder=str(tmp_path),
    )
    rows = read_published(spark, f"{tmp_path}/published", "assignments", "notebook")
    assert rows.count() == result.assignments.count() == 36
    with pytest.raises(SegmentationError, match="must be published by pipeline 'shop'"):
        read_published(spark, f"{tmp_path}/published", "assignments", "shop")
    with pytest.raises(SegmentationError, match="did you mean 'assignments'"):
        read_published(spark, f"{tmp_path}/published", "asignments", "notebook")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"columns": {}}, r"orders: must have a column for customer_id; got household, order_id.*columns="),
        ({"columns": {"customer_id": "household", "custmer": "x"}}, "'custmer' is no role; did you mean"),
        (
            {"columns": {"customer_id": "household", "category": "x"}},
            "no frame has the column 'x', named for cat",
        ),
        ({"settings": {"selection": {"k_maks": 3}}}, "k_max"),
        ({"as_of": "01.01.2025"}, "YYYY-MM-DD"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_read(
    orders: DataFrame, tmp_path: Path, change: Any, told: str
) -> None:
    given: dict[str, Any] = {
        "as_of": AS_OF,
        "folder": str(tmp_path),
        "columns": {"customer_id": "household"},
        "settings": QUICK,
    } | change
    with pytest.raises(SegmentationError, match=told):
        segment_customers(orders, **given)


def test_a_cluster_needs_a_folder_that_all_of_it_can_read(
    orders: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(orders.sparkSession.conf), "get", lambda self, *key: "yarn")
    with pytest.raises(SegmentationError, match="folder: must be given"):
        segment_customers(orders, AS_OF, columns={"customer_id": "household"})


def test_the_form_of_what_others_use() -> None:
    assert spark_seg.__all__ == [
        "Segmentation", "SegmentationError", "__version__", "read_published", "segment_customers",
    ]  # fmt: skip
    assert str(inspect.signature(segment_customers)) == (
        "(orders: 'DataFrame', as_of: 'str | date', *, events: 'DataFrame | None' = None, "
        "customers: 'DataFrame | None' = None, columns: 'Mapping[str, str] | None' = None, "
        "settings: 'Mapping[str, Any] | None' = None, folder: 'str | None' = None) -> 'Segmentation'"
    )
    assert str(inspect.signature(read_published)) == (
        "(spark: 'SparkSession', place: 'str', table: 'str', pipeline: 'str', "
        "as_of: 'str | date | None' = None) -> 'DataFrame'"
    )
    public = {name for name in vars(Segmentation) if not name.startswith("_")}
    assert public - {"run_id", "as_of"} == {
        "assignments",
        "profiles",
        "candidates",
        "table",
        "model",
        "report",
    }
    for name in ("segment_customers", "read_published", "Segmentation"):
        assert inspect.getdoc(getattr(spark_seg, name))


def test_importing_the_package_loads_nothing() -> None:
    code = "import sys, spark_seg; print({'pyspark', 'pydantic'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
