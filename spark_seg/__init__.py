"""Distributed customer segmentation on Apache Spark and Delta Lake.

What stands in `__all__` is for others; everything else may change from version to version. Python workers
import this package too, so nothing is loaded before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spark_seg.api import Segmentation, read_published, segment_customers
    from spark_seg.errors import SegmentationError

__all__ = ["Segmentation", "SegmentationError", "__version__", "read_published", "segment_customers"]

__version__ = "0.1.0"

_HOMES = {
    "Segmentation": "spark_seg.api",
    "SegmentationError": "spark_seg.errors",
    "read_published": "spark_seg.api",
    "segment_customers": "spark_seg.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'spark_seg' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
