"""Ids of customers → names that stand for them, before anything else sees them."""

from __future__ import annotations

import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from spark_seg.kernels import pseudonyms


def pseudonym(value: Column, variable: str) -> Column:
    """HMAC-SHA256 of a text column; the key is in the environment variable of every worker.

    As a function of Python, because a key in an expression of Spark would stand in every plan and event log.
    """

    def named(ids: pa.Array) -> pa.Array:
        distinct = ids.dictionary_encode()
        return pa.array(pseudonyms(distinct.dictionary.to_pylist(), variable), pa.string()).take(
            distinct.indices
        )

    if hasattr(F, "arrow_udf"):
        column: Column = F.arrow_udf(named, StringType())(value)
        return column
    # Spark 4.0
    return F.udf(lambda one: pseudonyms([one], variable)[0], StringType())(value)
