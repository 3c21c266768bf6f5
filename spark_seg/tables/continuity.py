"""The contract of the tables that compare a run with the one before it."""

from __future__ import annotations

from pyspark.sql.types import BooleanType, DateType, DoubleType, IntegerType, LongType, StringType

from spark_seg.tables.spec import MONEY, Field, Spec
from spark_seg.tables.stamp import PARTITIONS, RUN_FIELDS

_STRING, _DOUBLE, _LONG, _INT = StringType(), DoubleType(), LongType(), IntegerType()

_AGAINST = (
    Field("against_as_of", DateType(), "day of the run that this one is compared with"),
    Field("against_run_id", _STRING, "the run that this one is compared with"),
)

SEGMENT_LINEAGE = Spec(
    "segment_lineage",
    (
        *RUN_FIELDS,
        *_AGAINST,
        Field("event", _STRING, "survived, merged, split, died, or born"),
        Field("from_segment_id", _INT, "segment of the former fit; null: born"),
        Field("from_segment_name", _STRING, "its name"),
        Field("to_segment_id", _INT, "segment of this fit; null: died"),
        Field("to_segment_name", _STRING, "its name"),
        Field(
            "basis",
            _STRING,
            "model: customers of both fits, by what the former model says of them today; customers: by the "
            "segment they were in, where it cannot be asked; centres: too few customers were common",
        ),
        Field("common", _LONG, "customers of both"),
        Field("share_of_from", _DOUBLE, "common as a share of the former segment's, of those both fits know"),
        Field("share_of_to", _DOUBLE, "common as a share of the later segment's, of those both fits know"),
        Field("overlap", _DOUBLE, "Jaccard similarity of both"),
        Field("distance", _DOUBLE, "basis centres: difference of mean positions, root mean square"),
    ),
    key=(),
    partition_by=PARTITIONS,
)

MIGRATIONS = Spec(
    "migrations",
    (
        *RUN_FIELDS,
        *_AGAINST,
        Field("from_segment_id", _INT, "segment in the former run; 0: unsegmented; null: not there"),
        Field("from_segment_name", _STRING, "its name"),
        Field("to_segment_id", _INT, "segment in this run; 0: unsegmented; null: not there any more"),
        Field("to_segment_name", _STRING, "its name"),
        Field("kind", _STRING, "stayed, moved, new, returned, lapsed (not enough data any more), or gone"),
        Field(
            "cause",
            _STRING,
            "null: stayed; behaviour: the model of the former run moves the customer too; model: only the "
            "other model does; correction: data of the former period have changed; unknown: the former "
            "model cannot be asked any more",
        ),
        Field("customers", _LONG, "customers who went this way"),
        Field("revenue_before", MONEY, "their monetary in the former run"),
        Field("revenue", MONEY, "their monetary in this run"),
    ),
    key=(),
    partition_by=PARTITIONS,
)

ALERTS = Spec(
    "alerts",
    (
        *RUN_FIELDS,
        Field("kind", _STRING, "name: an archetype no longer fits; or the measure that was too far off"),
        Field("subject", _STRING, "segment, feature or attribute that it is about"),
        Field("sentence", _STRING, "what was found, and what to do"),
    ),
    key=(),
    partition_by=PARTITIONS,
)

DRIFT = Spec(
    "drift",
    (
        *RUN_FIELDS,
        *_AGAINST,
        Field("measure", _STRING, "what was measured"),
        Field("subject", _STRING, "feature, segment, or attribute and value; empty: the whole"),
        Field("reference", _DOUBLE, "the figure then"),
        Field("value", _DOUBLE, "the figure now, or what lies between"),
        Field("threshold", _DOUBLE, "from where on it is a breach"),
        Field("breached", BooleanType(), "is it one?"),
        Field("advice", _STRING, "what a breach calls for: refit or alert"),
        Field("sentence", _STRING, "the same in words"),
    ),
    key=(),
    partition_by=PARTITIONS,
)

DECISIONS = Spec(
    "decisions",
    (
        *RUN_FIELDS,
        *_AGAINST,
        Field("action", _STRING, "keep, refit or alert"),
        Field("reasons", _STRING, "why, strongest first, a line each"),
        Field("model_age_days", _INT, "days from the model's as_of to this one"),
    ),
    key=PARTITIONS,
    partition_by=PARTITIONS,
)
