"""Candidates → one choice, with reasons."""

from spark_seg.selection.blocks import Blocks, pack
from spark_seg.selection.candidate import Candidate
from spark_seg.selection.choose import INDICES, RULES, choose
from spark_seg.selection.indices import Indices, measure, measure_labels
from spark_seg.selection.splits import Split
from spark_seg.selection.structure import Structure
from spark_seg.selection.sweep import BASELINE, sweep
from spark_seg.selection.swept import Sweep

__all__ = [
    "BASELINE",
    "INDICES",
    "RULES",
    "Blocks",
    "Candidate",
    "Indices",
    "Split",
    "Structure",
    "Sweep",
    "choose",
    "measure",
    "measure_labels",
    "pack",
    "sweep",
]
