"""What others are told of committed runs: an MLflow server, and a receiver of OpenLineage events."""

from spark_seg.tracking.places import Places, places_of
from spark_seg.tracking.runs import Told, track

__all__ = ["Places", "Told", "places_of", "track"]
