"""May whoever runs this write where runs are published? Tried, because rights cannot be read everywhere."""

from __future__ import annotations

import shutil
from pathlib import Path

from spark_seg.publishing.store import Store
from spark_seg.session import explained
from spark_seg.sources import resolved
from spark_seg.tables import SPARK_FAILURES

_NAME = "spark_seg_doctor"


def try_to_write(store: Store) -> str | None:
    """Why nothing can be written to the published place; None: it can.

    What is written for that is taken away again; of a folder on an object store an empty `spark_seg_doctor`
    stays, because Spark's public API deletes no files.
    """
    database, root = store.settings.database, store.settings.root
    try:
        nothing = store.spark.range(0)
        if database is not None:
            # Held to plain identifiers by the configuration.
            nothing.write.format("delta").mode("overwrite").saveAsTable(f"{database}.{_NAME}")
            store.spark.sql(f"DROP TABLE {database}.{_NAME}").collect()
            return None
        folder = f"{resolved(root or '')}/{_NAME}"
        nothing.write.mode("overwrite").parquet(folder)
    except SPARK_FAILURES as error:
        known = explained(error)
        if known is not None:
            return known.problems[0]
        return f"target: {database or root} must be writable; got {str(error).splitlines()[0][:200]}"
    if "://" not in folder:
        shutil.rmtree(Path(folder), ignore_errors=True)
    return None
