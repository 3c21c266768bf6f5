"""Ids of customers → names that stand for them, before anything else sees them."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from spark_seg.kernels import Naming


def named(value: Column, naming: Naming) -> Column:
    """A text column of ids as names.

    As a function of Python, because Spark has no normal form of Unicode, and because a key in one of its
    expressions would stand in every plan and event log.
    """

    def names(ids: pa.Array) -> pa.Array:
        distinct = ids.dictionary_encode()
        return pa.array(naming.names(distinct.dictionary.to_pylist()), pa.string()).take(distinct.indices)

    if hasattr(F, "arrow_udf"):
        column: Column = F.arrow_udf(names, StringType())(value)
        return column
    # Spark 4.0
    return F.udf(lambda one: naming.names([one])[0], StringType())(value)
