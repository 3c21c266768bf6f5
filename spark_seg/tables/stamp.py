"""Who wrote a published row: a partition of its own for each attempt of each run."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from datetime import date
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, StringType

from spark_seg.tables.spec import Field

#: The columns that say so, first in every table that a run writes.
RUN_FIELDS = (
    Field("as_of", DateType(), "the day the snapshot describes; exclusive right edge of the observation"),
    Field("run_id", StringType(), "the run that wrote the row; counts only once it stands in runs"),
    Field("attempt_id", StringType(), "the attempt of the run; only the one that stands in runs counts"),
)
PARTITIONS = ("as_of", "run_id", "attempt_id")
#: Stands for the attempt where an earlier version kept none.
NO_ATTEMPT = "none"


@dataclass(frozen=True)
class Stamp:
    """Which attempt of which run wrote a row: a partition of its own in every published table.

    Attempts of one run share nothing, so that one that wakes up late can touch no rows of another.
    """

    as_of: date
    run_id: str
    attempt_id: str

    @property
    def rows(self) -> Column:
        """Is a row of this attempt?"""
        return reduce(operator.and_, (F.col(name) == value for name, value in self.columns.items()))

    @property
    def columns(self) -> dict[str, Column]:
        """The columns that stamp a row."""
        return {name: F.lit(getattr(self, name)) for name in PARTITIONS}

    @property
    def condition(self) -> str:
        """`rows` as SQL, for writers that take no expression. All three values are made by this package: a
        day, and hexadecimal digits."""
        parts = (f"run_id = '{self.run_id}'", f"attempt_id = '{self.attempt_id}'")
        return " AND ".join((f"as_of = DATE'{self.as_of.isoformat()}'", *parts))


def rows_by_stamp(frame: DataFrame) -> dict[Stamp, int]:
    """Who wrote rows of a published table, and how many. A row for each attempt reaches the driver."""
    counts = frame.groupBy(*PARTITIONS).count().collect()
    return {Stamp(*(row[name] for name in PARTITIONS)): int(row["count"]) for row in counts}
