"""Named points of a run, in the order in which it passes them.

Tests put something else in the place of `reached`: to kill a run there, to hold it up, or to look.
"""

from __future__ import annotations

#: `mid_write` is passed before each table; the others once.
POINTS = (
    "start",
    "mid_write",
    "after_assignments",
    "after_profiles",
    "after_model",
    "after_audit",
    "before_commit",
    "after_commit",
    "before_exit",
)


def reached(point: str) -> None:
    """Nothing happens here."""
