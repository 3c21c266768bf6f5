"""The batch corridor: configuration + `as_of` → plan → run."""

from spark_seg.pipeline.plan import JOBS, Plan, check_key, check_settings, make_plan
from spark_seg.pipeline.repairs import hand_in, rejected, rejecting_run
from spark_seg.pipeline.run import Outcome, run_plan
from spark_seg.pipeline.segmentation import Progress

__all__ = [
    "JOBS",
    "Outcome",
    "Plan",
    "Progress",
    "check_key",
    "check_settings",
    "hand_in",
    "make_plan",
    "rejected",
    "rejecting_run",
    "run_plan",
]
