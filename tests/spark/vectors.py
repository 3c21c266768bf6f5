"""Points as customers that are ready to be clustered."""

from __future__ import annotations

import numpy as np
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StringType, StructField, StructType

from spark_seg.preparation import VECTOR


def customers_at(spark: SparkSession, points: np.ndarray) -> DataFrame:
    """`customer_id`, which sorts as the points come, and `vector`."""
    schema = StructType([StructField("customer_id", StringType()), StructField(VECTOR, VectorUDT())])
    rows = [(f"c{i:04}", Vectors.dense(point.tolist())) for i, point in enumerate(points)]
    return spark.createDataFrame(rows, schema)
