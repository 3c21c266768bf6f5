"""Raw clusters → stable ids and names; the RFM grid as the baseline."""

from spark_seg.segments.names import name_clusters
from spark_seg.segments.rfm_grid import GRID, grid_index, grid_name
from spark_seg.segments.stable import Match, Segment, stable_ids

__all__ = ["GRID", "Match", "Segment", "grid_index", "grid_name", "name_clusters", "stable_ids"]
