"""Keeps the classes a run loads where the JVM finds them again: conf/local.yaml starts with them.

Usage: python scripts/class_archive.py FILE

One small segmentation runs on orders made here. The JVM writes FILE (class-data sharing) as it ends, which
is after this process.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path

import yaml
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_seg.cli import main
from spark_seg.config import load_settings
from spark_seg.session import start_session

_OPTIONS = "spark.driver.extraJavaOptions"
_COLUMNS = {"customer_id": "customer", "order_id": "order_no", "ordered_at": "created", "amount": "price"}


def archive(file: Path) -> None:
    """Run, and let the JVM leave `file`. Ends the process, as the command line does."""
    local = load_settings([Path("conf/demo.yaml"), Path("conf/local.yaml")]).session
    options = (
        f"-Dlog4j2.configurationFile=conf/log4j2.properties -XX:ArchiveClassesAtExit={file} -Xlog:disable"
    )
    spark = start_session(local.model_copy(update={"conf": local.conf | {_OPTIONS: options}}))
    with tempfile.TemporaryDirectory(prefix="spark_seg_") as folder:
        _orders(spark).write.format("delta").save(f"{folder}/orders")
        settings = {
            "pipeline": "archive",
            "sources": {"orders": {"path": f"{folder}/orders", "columns": _COLUMNS}},
            "selection": {
                "k_max": 4,
                "rules": {"min_segments": 2, "max_segment_share": 1.0, "min_stability": 0.0},
            },
            "publishing": {"root": f"{folder}/published"},
        }
        Path(folder, "shop.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()):
            main(["run_all", "--config", f"{folder}/shop.yaml", "--as-of", "2025-01-01"])


def _orders(spark: SparkSession) -> DataFrame:
    order = F.col("id")
    day = F.date_sub(F.lit("2025-01-01").cast("date"), (1 + order * order % 331).cast("int"))
    return spark.range(2000).select(
        F.concat(F.lit("c"), F.floor(F.sqrt(order * 7))).alias("customer"),
        order.cast("string").alias("order_no"),
        day.cast("timestamp").alias("created"),
        (5 + order * 37 % 400 / F.lit(4.0)).alias("price"),
    )


if __name__ == "__main__":
    archive(Path(sys.argv[1]))
