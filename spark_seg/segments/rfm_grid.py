"""RFM scores → segments, by a map of rows of which the first that matches wins."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from spark_seg.config import RfmRow, names_of


def map_index(rows: Sequence[RfmRow], r_score: Column, f_score: Column, m_score: Column) -> Column:
    """Position of the customer's segment in `names_of(rows)`, from 0: that of the first row that matches.

    NULL without the three scores, and where no row matches. `rows`: at least one.
    """
    names = names_of(rows)
    return F.coalesce(
        *(
            F.when(
                r_score.isin(*row.r) & f_score.isin(*row.f) & m_score.isin(*row.m),
                F.lit(names.index(row.name)),
            )
            for row in rows
        )
    )


def map_name(rows: Sequence[RfmRow], index: Column) -> Column:
    """Name of a segment from its position; NULL stays NULL."""
    return F.get(F.array(*(F.lit(name) for name in names_of(rows))), index)
