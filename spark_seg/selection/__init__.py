"""Candidates → one choice, with reasons."""

from spark_seg.selection.candidate import Candidate
from spark_seg.selection.choose import INDICES, RULES, choose
from spark_seg.selection.grid import BASELINE, Sweep, sweep
from spark_seg.selection.indices import Indices, measure

__all__ = ["BASELINE", "INDICES", "RULES", "Candidate", "Indices", "Sweep", "choose", "measure", "sweep"]
