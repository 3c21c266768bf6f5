"""Frames that are computed once and kept, where that is allowed.

Serverless compute refuses persisting, and `session.cache: never` asks for none. A frame is then computed
again at each use. Results are the same, because every input is pinned and nothing depends on the order of
rows. What that costs is bounded: features are read back from where they were staged, so what is computed
again starts there and not at the sources; only the activity of the days is computed from these once more,
and with `publishing.keep_activity` it is not either.
"""

from __future__ import annotations

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

#: Setting of a session that says whether frames may be kept: not one of Spark's own.
CACHE = "spark.seg.cache"


def keep(frame: DataFrame) -> DataFrame:
    """`frame`, computed once and kept where the session allows it; as it is elsewhere."""
    if not _may_keep(frame.sparkSession):
        return frame
    try:
        return frame.persist()
    except PySparkException as error:
        if "NOT_SUPPORTED" not in str(error):
            raise
        return frame


def release(frame: DataFrame) -> None:
    """Let go of a frame that was kept; nothing where nothing could be kept."""
    if not _may_keep(frame.sparkSession):
        return
    try:
        frame.unpersist()
    except PySparkException as error:
        if "NOT_SUPPORTED" not in str(error):
            raise


def _may_keep(spark: SparkSession) -> bool:
    return spark.conf.get(CACHE, "auto") != "never"
