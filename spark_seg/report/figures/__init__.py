"""Published rows → figures, as specifications for plotly: plain dictionaries."""

from spark_seg.report.figures.changes import sankey
from spark_seg.report.figures.choice import BASELINE, algorithms, multiples, silhouettes
from spark_seg.report.figures.colours import COLOURS, GREY, INK, Style, diverging, sequential, styles
from spark_seg.report.figures.differences import picture, pictured, snake
from spark_seg.report.figures.drawing import Figure, Figures, Key, inert_json, key
from spark_seg.report.figures.segments import treemap

__all__ = [
    "BASELINE", "COLOURS", "GREY", "INK", "Figure", "Figures", "Key", "Style", "algorithms", "diverging",
    "inert_json", "key", "multiples", "picture", "pictured", "sankey", "sequential", "silhouettes", "snake",
    "styles", "treemap",
]  # fmt: skip
