"""The contract of every canonical input and every published table.

`conform(frame, SPEC)` is the one `select` at each door: these columns, these types, this order.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import reduce

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from spark_seg.errors import InputError

try:  # Spark leaves some failures raw; Spark Connect has no py4j
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
except ImportError:  # pragma: no cover
    Py4JJavaError = PySparkException

#: Everything that a call into Spark raises.
SPARK_FAILURES: tuple[type[Exception], ...] = (PySparkException, Py4JJavaError)

#: Amounts of one row. Decimals, because sums of doubles depend on the order of rows.
AMOUNT = DecimalType(18, 4)
#: Sums of amounts.
MONEY = DecimalType(28, 4)


@dataclass(frozen=True)
class Field:
    """One column: its type and what it means."""

    name: str
    type: DataType
    comment: str


@dataclass(frozen=True)
class Spec:
    """One table: its columns in order, its key, and its partitions."""

    name: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()

    @property
    def schema(self) -> StructType:
        """As Spark sees it, with the comments as column comments."""
        return StructType([StructField(f.name, f.type, True, {"comment": f.comment}) for f in self.fields])

    @property
    def columns(self) -> list[str]:
        """Column names in order."""
        return [field.name for field in self.fields]

    def extended(self, fields: tuple[Field, ...]) -> Spec:
        """The same table with further columns."""
        return Spec(self.name, self.fields + fields, self.key, self.partition_by)


def conform(frame: DataFrame, spec: Spec) -> DataFrame:
    """`frame` with exactly the columns of `spec`, cast to its types, in its order.

    Raises `InputError` when a column is missing.
    """
    missing = [name for name in spec.columns if name not in frame.columns]
    if missing:
        raise InputError(
            f"{spec.name}: must have the columns {', '.join(missing)}; got {', '.join(frame.columns)}. "
            "Build the table again with this version of spark_seg"
        )
    return frame.select(
        *(F.col(f.name).cast(f.type).alias(f.name, metadata={"comment": f.comment}) for f in spec.fields)
    )


#: What may stand around a value; the no-break space that spreadsheets leave is one of them.
BLANKS = " \t\r\n\u00a0"


def trimmed(text: Column) -> Column:
    """`text` without blanks at its ends."""
    return F.trim(text, F.lit(BLANKS))


def struct_of(**types: DataType) -> StructType:
    """A struct type from names and types."""
    return StructType([StructField(name, kind) for name, kind in types.items()])


_STRING, _DOUBLE, _LONG, _INT = StringType(), DoubleType(), LongType(), IntegerType()

# ---------------------------------------------------------------- canonical inputs

ORDERS = Spec(
    "orders",
    (
        Field("customer_id", _STRING, "who bought"),
        Field("order_id", _STRING, "the purchase; unique within a customer"),
        Field("line_id", _STRING, "line within the order; null when an order is one row"),
        Field("ordered_at", TimestampNTZType(), "wall-clock time in the business time zone"),
        Field("amount", AMOUNT, "net value of the line in the configured currency; negative for a return"),
        Field("category", _STRING, "what was bought, for category affinity"),
        Field("currency", _STRING, "currency of the amount"),
        Field("status", _STRING, "state of the order, e.g. cancelled"),
    ),
    key=("customer_id", "order_id", "line_id"),
)

EVENTS = Spec(
    "events",
    (
        Field("customer_id", _STRING, "who acted or was contacted"),
        Field("event_id", _STRING, "the event; null when kind, time and subject identify it"),
        Field("occurred_at", TimestampNTZType(), "wall-clock time in the business time zone"),
        Field("kind", _STRING, "kind of event, as declared in features.engagement.kinds"),
        Field("subject", _STRING, "what the event is about, e.g. the campaign"),
    ),
    key=("customer_id", "kind", "occurred_at", "subject", "event_id"),
)

CUSTOMERS = Spec(
    "customers",
    (
        Field("customer_id", _STRING, "the customer"),
        Field("attributes", MapType(_STRING, _STRING), "attribute → value, as mapped by the configuration"),
    ),
    key=("customer_id",),
)

_ACTIVITY = Spec(
    "activity",
    (
        Field("customer_id", _STRING, "the customer"),
        Field(
            "day", DateType(), "day in the business time zone; an order belongs to the day of its first line"
        ),
        Field("category", _STRING, "what was bought; null in rows of events"),
        Field("subject", _STRING, "what a contact or an answer is about; null in rows of purchases"),
        Field(
            "orders",
            _LONG,
            "orders with at least one line that is not a return, each counted in the first of its "
            "categories; null in rows of events",
        ),
        Field("amount", MONEY, "net amount, returns taken off; null in rows of events"),
        Field("returned", MONEY, "amount of returns, as a positive number; null in rows of events"),
    ),
    key=("customer_id", "day", "category", "subject"),
)


def events_column(kind: str) -> str:
    """The column of the activity that counts events of `kind`."""
    return f"events_{kind}"


def activity_spec(kinds: Iterable[str]) -> Spec:
    """The daily state, with a count for each declared kind of event."""
    return _ACTIVITY.extended(_kind_fields(kinds))


def kept_activity_spec(kinds: Iterable[str]) -> Spec:
    """The same as a published table."""
    return ACTIVITY.extended(_kind_fields(kinds))


def _kind_fields(kinds: Iterable[str]) -> tuple[Field, ...]:
    comment = "events of this kind; null in rows of purchases"
    return tuple(Field(events_column(kind), _LONG, comment) for kind in kinds)


#: For what a customer may have agreed to be used: to be segmented at all, to be contacted, to be experimented
#: with.
PURPOSES = ("profile", "activate", "experiment")

CONSENTS = Spec(
    "consents",
    (
        Field("customer_id", _STRING, "who decided"),
        Field("purpose", _STRING, "profile, activate or experiment; others are not looked at"),
        Field("granted", BooleanType(), "agreed, or refused"),
        Field("decided_at", TimestampNTZType(), "when; of two decisions the later one counts"),
    ),
    key=("customer_id", "purpose", "decided_at"),
)

RATES = Spec(
    "rates",
    (
        Field("currency", _STRING, "currency to convert from"),
        Field("rate", DecimalType(18, 8), "what one unit of it is worth in cleaning.currency"),
        Field("valid_from", TimestampNTZType(), "from this day on; null: always"),
    ),
    key=("currency", "valid_from"),
)

# ---------------------------------------------------------------- published tables

_RUN = (
    Field("as_of", DateType(), "the day the snapshot describes; exclusive right edge of the observation"),
    Field("run_id", _STRING, "the run that wrote the row; counts only once it stands in runs"),
    Field("attempt_id", _STRING, "the attempt of the run; only the one that stands in runs counts"),
)
_PARTITIONS = ("as_of", "run_id", "attempt_id")
#: Stands for the attempt where an earlier version kept none.
NO_ATTEMPT = "none"


@dataclass(frozen=True)
class Stamp:
    """Which attempt of which run wrote a row: a partition of its own in every published table.

    Attempts of one run share nothing, so that one that wakes up late can touch no rows of another.
    """

    as_of: date
    run_id: str
    attempt_id: str

    @property
    def rows(self) -> Column:
        """Is a row of this attempt?"""
        return reduce(operator.and_, (F.col(name) == value for name, value in self.columns.items()))

    @property
    def columns(self) -> dict[str, Column]:
        """The columns that stamp a row."""
        return {name: F.lit(getattr(self, name)) for name in _PARTITIONS}

    @property
    def condition(self) -> str:
        """`rows` as SQL, for writers that take no expression. All three values are made by this package: a
        day, and hexadecimal digits."""
        parts = (f"run_id = '{self.run_id}'", f"attempt_id = '{self.attempt_id}'")
        return " AND ".join((f"as_of = DATE'{self.as_of.isoformat()}'", *parts))


def rows_by_stamp(frame: DataFrame) -> dict[Stamp, int]:
    """Who wrote rows of a published table, and how many. A row for each attempt reaches the driver."""
    counts = frame.groupBy(*_PARTITIONS).count().collect()
    return {Stamp(*(row[name] for name in _PARTITIONS)): int(row["count"]) for row in counts}


FEATURES = Spec(
    "features",
    (*_RUN, Field("customer_id", _STRING, "the customer")),
    key=(*_PARTITIONS, "customer_id"),
    partition_by=_PARTITIONS,
)

ASSIGNMENTS = Spec(
    "assignments",
    (
        *_RUN,
        Field("customer_id", _STRING, "the customer"),
        Field("segment_id", _INT, "stable id of the segment; 0: unsegmented, not enough data"),
        Field("segment_name", _STRING, "name of the segment at this as_of"),
        Field(
            "confidence",
            _DOUBLE,
            "mixture: probability of the segment; else (d2 - d1) / max(d1, d2) of the distances to the "
            "own and the second centre",
        ),
        Field("distance", _DOUBLE, "distance to the own centre in the fitted geometry; null for mixture"),
        Field("second_segment_id", _INT, "second best segment"),
        Field("second_confidence", _DOUBLE, "mixture: probability of the second segment; else null"),
        Field("rfm_segment", _STRING, "segment of the standard RFM grid, the baseline"),
        Field("may_activate", BooleanType(), "agreed to be contacted; null where nobody was asked"),
        Field("may_experiment", BooleanType(), "agreed to be experimented with; null where nobody was asked"),
    ),
    key=(*_PARTITIONS, "customer_id"),
    partition_by=_PARTITIONS,
)

CANDIDATES = Spec(
    "candidates",
    (
        *_RUN,
        Field("algorithm", _STRING, "kmeans, bisecting, mixture; rfm_grid is the baseline"),
        Field("k", _INT, "clusters asked for"),
        Field("effective_k", _INT, "clusters that got customers"),
        Field("seed", _LONG, "seed of the kept restart"),
        Field("restarts", _INT, "fits made"),
        Field(
            "silhouette", _DOUBLE, "mean silhouette as ClusteringEvaluator defines it (-1..1, high is good)"
        ),
        Field("davies_bouldin", _DOUBLE, "Davies-Bouldin index (0.., low is good)"),
        Field("calinski_harabasz", _DOUBLE, "Calinski-Harabasz index (0.., high is good)"),
        Field("cost", _DOUBLE, "sum of squared distances to the mean of the own cluster (elbow)"),
        Field("sample_cost", _DOUBLE, "the cost as the coreset estimates it, before refinement; else null"),
        Field("sample_error", _DOUBLE, "error bar of sample_cost: three standard errors"),
        Field("elbow", BooleanType(), "the k at which the cost of its algorithm bends (Kneedle)"),
        Field(
            "bic",
            _DOUBLE,
            "Bayesian information criterion; other algorithms as round Gaussians (low is good)",
        ),
        Field("aic", _DOUBLE, "Akaike information criterion, likewise (low is good)"),
        Field("posterior", _DOUBLE, "mean probability of the own component of a mixture"),
        Field("collapsed", _INT, "components of a mixture whose covariance is singular but for a floor"),
        Field("agreement", _DOUBLE, "mean adjusted Rand index with refits on resampled customers"),
        Field("weakest", _DOUBLE, "smallest of the clusters' mean Jaccard similarities in these refits"),
        Field(
            "separation",
            MapType(_STRING, _DOUBLE),
            "prepared feature (imputed, capped, logged) → share of its variance that lies between the "
            "clusters (0..1); holdout_*: of spend (log) and activity in the later period",
        ),
        Field("sizes", ArrayType(_LONG), "customers per cluster, largest first"),
        Field("smallest_share", _DOUBLE, "smallest cluster as a share of customers"),
        Field("largest_share", _DOUBLE, "largest cluster as a share of customers"),
        Field("accepted", BooleanType(), "passes every business rule"),
        Field("chosen", BooleanType(), "the one that was published"),
        Field("reason", _STRING, "why it was rejected, or why it did not win, or why it did"),
    ),
    key=(*_PARTITIONS, "algorithm", "k"),
    partition_by=_PARTITIONS,
)

PROFILES = Spec(
    "profiles",
    (
        *_RUN,
        Field("scheme", _STRING, "clusters, or rfm_grid for the baseline"),
        Field("segment_id", _INT, "stable id (clusters; 0: unsegmented), or position in the grid"),
        Field("segment_name", _STRING, "name of the segment"),
        Field("description", _STRING, "what kind of customers these are"),
        Field("play", _STRING, "the marketing play that belongs to it"),
        Field("customers", _LONG, "customers in the segment"),
        Field("suppressed", BooleanType(), "too few customers to tell more of them (privacy.min_group)"),
        Field("customer_share", _DOUBLE, "share of all segmented customers"),
        Field("revenue", MONEY, "sum of monetary"),
        Field("revenue_share", _DOUBLE, "share of all revenue"),
        Field("differences", ArrayType(_STRING), "what sets the segment apart, in words, strongest first"),
        Field(
            "feature_stats",
            ArrayType(
                struct_of(
                    feature=_STRING,
                    mean=_DOUBLE,
                    median=_DOUBLE,
                    p10=_DOUBLE,
                    p90=_DOUBLE,
                    lift=_DOUBLE,
                    position=_DOUBLE,
                )
            ),
            "per feature in original units; lift: mean over overall mean; position: -1 (lowest) to 1",
        ),
    ),
    key=(*_PARTITIONS, "scheme", "segment_id"),
    partition_by=_PARTITIONS,
)

REJECTS = Spec(
    "rejects",
    (
        *_RUN,
        Field("source", _STRING, "orders, events or customers"),
        Field("source_table", _STRING, "table the row was read from"),
        Field("source_version", _STRING, "version of that table"),
        Field("reason", _STRING, "why the row was rejected"),
        Field("row", _STRING, "the mapped values as they came, as JSON"),
    ),
    key=(),
    partition_by=_PARTITIONS,
)

REPAIRS = Spec(
    "repairs",
    (
        Field("as_of", DateType(), "the as_of of the run that rejected the row"),
        Field("run_id", _STRING, "the run that rejected the row"),
        Field("attempt_id", _STRING, "the attempt of it that is committed"),
        Field("source", _STRING, "orders, events or customers"),
        Field("source_table", _STRING, "table from which the row was rejected"),
        Field("row", _STRING, "the mapped values, repaired, as JSON"),
        Field("repaired_at", TimestampType(), "when it was handed in"),
    ),
    key=(),
    partition_by=_PARTITIONS,
)

HOLDOUT = Spec(
    "holdout",
    (
        *_RUN,
        Field("customer_id", _STRING, "the customer"),
        Field("orders", _LONG, "distinct orders in the holdout period [as_of, as_of + holdout_days)"),
        Field("spend", MONEY, "net spend in it"),
    ),
    key=(*_PARTITIONS, "customer_id"),
    partition_by=_PARTITIONS,
)

SPLITS = Spec(
    "splits",
    (
        *_RUN,
        Field("node", _INT, "node of the bisecting tree; 0 is all customers"),
        Field("parent", _INT, "node it was split from; null for the root"),
        Field("splits_at_k", _INT, "number of clusters from which on the node is split; null: never"),
        Field("customers", _LONG, "customers of the node"),
        Field("cost", _DOUBLE, "sum of squared distances to the mean of the node, in the fitted geometry"),
        Field("segment_id", _INT, "the segment, where the node is one of the published segmentation"),
    ),
    key=(*_PARTITIONS, "node"),
    partition_by=_PARTITIONS,
)

#: Without a key that is read back: its rows are many, and unique because they come from one groupBy.
ACTIVITY = Spec("activity", _RUN + _ACTIVITY.fields, key=(), partition_by=_PARTITIONS)

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

#: Every published table by name.
PUBLISHED = {
    spec.name: spec
    for spec in (
        ACTIVITY,
        FEATURES,
        HOLDOUT,
        ASSIGNMENTS,
        CANDIDATES,
        PROFILES,
        SPLITS,
        REJECTS,
        REPAIRS,
        RUNS,
        ERASURES,
        ERASURE_RECEIPTS,
    )
}
