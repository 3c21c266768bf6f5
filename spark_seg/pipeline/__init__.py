"""The batch corridor: configuration + `as_of` → plan → run."""

from spark_seg.pipeline.plan import JOBS, Plan, check_key, check_settings, make_plan
from spark_seg.pipeline.run import Outcome, run_plan
from spark_seg.pipeline.segmentation import Progress

__all__ = ["JOBS", "Outcome", "Plan", "Progress", "check_key", "check_settings", "make_plan", "run_plan"]
