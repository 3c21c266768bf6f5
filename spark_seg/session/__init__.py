"""The one way to a SparkSession: started here, on a cluster or a Spark Connect server, or one that is there.

A session that is there, or remote, is asked for what right results need and for nothing else.
"""

from spark_seg.session.causes import explained
from spark_seg.session.kept import keep, release
from spark_seg.session.machine import Finding, findings
from spark_seg.session.start import semantics, start_session

__all__ = ["Finding", "explained", "findings", "keep", "release", "semantics", "start_session"]
