"""The standard RFM grid: total, disjoint, and as published."""

from __future__ import annotations

from itertools import product

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_seg.segments import GRID, grid_index, grid_name

#: Row r (5 at the top), column f (1 at the left): the table marketers know.
PUBLISHED = {
    5: ["new_customers", "potential_loyalists", "potential_loyalists", "champions", "champions"],
    4: ["promising", "potential_loyalists", "potential_loyalists", "loyal_customers", "loyal_customers"],
    3: ["about_to_sleep", "about_to_sleep", "need_attention", "loyal_customers", "loyal_customers"],
    2: ["hibernating", "hibernating", "at_risk", "at_risk", "cant_lose"],
    1: ["hibernating", "hibernating", "at_risk", "at_risk", "cant_lose"],
}


def test_all_25_cells_have_their_published_segment(spark: SparkSession) -> None:
    cells = list(product(range(1, 6), range(1, 6)))
    frame = spark.createDataFrame(cells, "r int, f int")
    index = grid_index(F.col("r"), F.col("f"))
    rows = frame.select("r", "f", index.alias("i"), grid_name(index).alias("name")).collect()
    assert {(row.r, row.f): row.name for row in rows} == {(r, f): PUBLISHED[r][f - 1] for r, f in cells}
    assert all(list(GRID)[row.i] == row.name for row in rows)


def test_every_cell_belongs_to_one_segment_only() -> None:
    covered = [cell for rs, fs in GRID.values() for cell in product(rs, fs)]
    assert sorted(covered) == sorted(product(range(1, 6), range(1, 6)))


def test_a_customer_without_scores_has_no_segment(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(None, 3), (3, None), (None, None), (0, 6)], "r int, f int")
    index = grid_index(F.col("r"), F.col("f"))
    rows = frame.select(index.alias("i"), grid_name(index).alias("name")).collect()
    assert [tuple(row) for row in rows] == [(None, None)] * 4
