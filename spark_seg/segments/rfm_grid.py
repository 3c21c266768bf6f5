"""The standard RFM grid: every pair of recency and frequency score has exactly one segment.

The ten names are those marketers know from RFM literature and tools; scores run 1-5, 5 is best.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from spark_seg.config import RfmRow, names_of

#: Segment → (recency scores, frequency scores).
GRID: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "champions": ((5,), (4, 5)),
    "loyal_customers": ((3, 4), (4, 5)),
    "potential_loyalists": ((4, 5), (2, 3)),
    "new_customers": ((5,), (1,)),
    "promising": ((4,), (1,)),
    "need_attention": ((3,), (3,)),
    "about_to_sleep": ((3,), (1, 2)),
    "at_risk": ((1, 2), (3, 4)),
    "cant_lose": ((1, 2), (5,)),
    "hibernating": ((1, 2), (1, 2)),
}


def grid_index(r_score: Column, f_score: Column) -> Column:
    """Position of the customer's segment in `GRID`, from 0; NULL without scores."""
    return F.coalesce(
        *(F.when(r_score.isin(*rs) & f_score.isin(*fs), F.lit(i)) for i, (rs, fs) in enumerate(GRID.values()))
    )


def grid_name(index: Column) -> Column:
    """Name of a segment from its position."""
    return F.get(F.array(*(F.lit(name) for name in GRID)), index)


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
