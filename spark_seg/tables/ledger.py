"""The contract of the tables that say what has happened: runs, and who was erased."""

from __future__ import annotations

from pyspark.sql.types import (
    ArrayType,
    DateType,
    DoubleType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    TimestampType,
)

from spark_seg.tables.spec import Field, Spec, struct_of

_STRING, _DOUBLE, _LONG, _INT = StringType(), DoubleType(), LongType(), IntegerType()

RUNS = Spec(
    "runs",
    (
        Field("as_of", DateType(), "the day the snapshot describes"),
        Field("run_id", _STRING, "the run"),
        Field("attempt_id", _STRING, "the attempt that committed it; a retry of the run is another one"),
        Field("pipeline", _STRING, "name of the segmentation"),
        Field("job", _STRING, "build_features, train_segments, assign_segments or run_all"),
        Field("revision", _LONG, "n-th publication for this pipeline and as_of, from 0"),
        Field("definition", _STRING, "digest of what defines the run: job, configuration, inputs, code"),
        Field("status", _STRING, "COMMITTED"),
        Field("committed_at", TimestampType(), "when the run became visible"),
        Field("code_version", _STRING, "version of spark_seg"),
        Field("spark_version", _STRING, "version of Spark"),
        Field("config_digest", _STRING, "SHA-256 of the configuration"),
        Field("config", _STRING, "the configuration as JSON"),
        Field("seed", _LONG, "seed of everything random"),
        Field(
            "inputs",
            ArrayType(struct_of(source=_STRING, table=_STRING, version=_STRING, rows=_LONG)),
            "tables read, at which version; rows: those that were read",
        ),
        Field(
            "receipts",
            ArrayType(struct_of(table=_STRING, version=_LONG, rows=_LONG, content=_STRING)),
            "tables written: version of the table that holds the rows, and a sum over their content in which "
            "neither their order counts nor the run",
        ),
        Field(
            "rejects",
            ArrayType(struct_of(source=_STRING, reason=_STRING, rows=_LONG)),
            "rejected rows by reason",
        ),
        Field(
            "cut_points",
            ArrayType(struct_of(feature=_STRING, cuts=ArrayType(_DOUBLE))),
            "quintile borders of the RFM scores",
        ),
        Field(
            "dropped_features",
            ArrayType(struct_of(feature=_STRING, reason=_STRING)),
            "features that did not enter the clustering",
        ),
        Field("activity_form", _STRING, "digest of what defines the rows of the table activity"),
        Field(
            "activity",
            ArrayType(struct_of(as_of=DateType(), run_id=_STRING, attempt_id=_STRING, since=DateType())),
            "parts of the table activity that hold the days before as_of, newest first; of each day the "
            "first part counts whose days, [since, as_of), hold it; since: null in the one that holds all",
        ),
        Field("structure", _STRING, "whether there are groups at all, in words"),
        Field("algorithm", _STRING, "algorithm of the model"),
        Field("k", _INT, "clusters of the model"),
        Field("model_path", _STRING, "saved PipelineModel of preparation and clustering"),
        Field("model_digest", _STRING, "SHA-256 over the files of the model, without which it is not loaded"),
        Field("model_run_id", _STRING, "run that trained the model"),
        Field(
            "segments",
            ArrayType(struct_of(cluster=_INT, segment_id=_INT, name=_STRING, overlap=_DOUBLE)),
            "raw cluster → stable segment, with the share of common customers with its predecessor",
        ),
        Field("metrics", MapType(_STRING, _DOUBLE), "customers, indices of the choice, seconds per room"),
    ),
    key=("run_id",),
)

ERASURES = Spec(
    "erasures",
    (
        Field("request_id", _STRING, "the request"),
        Field("customer_id", _STRING, "who is left out of every run from then on, by pseudonym"),
        Field("key_id", _STRING, "key of the pseudonym (privacy.key_id)"),
        Field("requested_at", TimestampType(), "when it was asked for"),
    ),
    key=("request_id", "customer_id"),
)

ERASURE_RECEIPTS = Spec(
    "erasure_receipts",
    (
        Field("request_id", _STRING, "the request"),
        Field("checked_at", TimestampType(), "when it was looked for what is left"),
        Field("status", _STRING, "clean, or pending while files of former versions hold something"),
        Field("customers", _LONG, "customers of the request"),
        Field("rows", _LONG, "rows that were deleted"),
        Field("deadline", TimestampType(), "pending: when those files may be deleted"),
        Field(
            "residues",
            ArrayType(struct_of(place=_STRING, hits=_LONG)),
            "where something was found, in how many files or decoded rows",
        ),
    ),
    key=("request_id",),
)
