"""The batch corridor: configuration + `as_of` → plan → run."""

from spark_seg.pipeline.choice import Progress
from spark_seg.pipeline.plan import JOBS, Plan, check_key, check_settings, make_plan
from spark_seg.pipeline.repairs import hand_in, rejected, rejecting_run
from spark_seg.pipeline.replay import differences, known_run, replay
from spark_seg.pipeline.run import Outcome, run_plan

__all__ = [
    "JOBS",
    "Outcome",
    "Plan",
    "Progress",
    "check_key",
    "check_settings",
    "differences",
    "hand_in",
    "known_run",
    "make_plan",
    "rejected",
    "rejecting_run",
    "replay",
    "run_plan",
]
