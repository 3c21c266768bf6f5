"""Raw clusters → stable ids and names, and who is in which; RFM maps as the baseline."""

from spark_seg.segments.hold import MEMORY, settled
from spark_seg.segments.lineage import Relation, by_centres, by_customers
from spark_seg.segments.names import misfits, name_clusters
from spark_seg.segments.rfm_grid import map_index, map_name
from spark_seg.segments.rfm_map import Finding, lint
from spark_seg.segments.stable import Segment, overlaps, stable_ids

__all__ = [
    "MEMORY",
    "Finding",
    "Relation",
    "Segment",
    "by_centres",
    "by_customers",
    "lint",
    "map_index",
    "map_name",
    "misfits",
    "name_clusters",
    "overlaps",
    "settled",
    "stable_ids",
]
