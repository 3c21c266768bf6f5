"""The contract of every table that holds a snapshot: rows of one `as_of`, written by a run."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DateType,
    DoubleType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    TimestampType,
)

from spark_seg.tables.inputs import DAILY, kind_fields
from spark_seg.tables.spec import MONEY, Field, Spec
from spark_seg.tables.stamp import PARTITIONS, RUN_FIELDS

_STRING, _DOUBLE, _LONG, _INT = StringType(), DoubleType(), LongType(), IntegerType()

FEATURES = Spec(
    "features",
    (*RUN_FIELDS, Field("customer_id", _STRING, "the customer")),
    key=(*PARTITIONS, "customer_id"),
    partition_by=PARTITIONS,
)

ASSIGNMENTS = Spec(
    "assignments",
    (
        *RUN_FIELDS,
        Field("customer_id", _STRING, "the customer"),
        Field("segment_id", _INT, "stable id of the segment; 0: unsegmented, not enough data"),
        Field("segment_name", _STRING, "name of the segment at this as_of"),
        Field("since", DateType(), "as_of from which on the customer has been in this segment, run by run"),
        Field("previous_segment_id", _INT, "segment in the former run; null: not there"),
        Field("raw_segment_id", _INT, "segment that the model gives; another one where a move is held back"),
        Field("raw_since", DateType(), "as_of from which on the model has given it, run by run"),
        Field(
            "confidence",
            _DOUBLE,
            "of the raw segment. Mixture: its probability; else (d2 - d1) / max(d1, d2) of the distances to "
            "the own and the second centre",
        ),
        Field("distance", _DOUBLE, "distance to the own centre in the fitted geometry; null for mixture"),
        Field("second_segment_id", _INT, "second best segment"),
        Field("second_confidence", _DOUBLE, "mixture: probability of the second segment; else null"),
        Field("rfm_segment", _STRING, "segment of the RFM map (segments.rfm_map), the baseline"),
        Field("monetary", MONEY, "net spend in the observation period, as in features"),
        Field("may_activate", BooleanType(), "agreed to be contacted; null where nobody was asked"),
        Field("may_experiment", BooleanType(), "agreed to be experimented with; null where nobody was asked"),
    ),
    key=(*PARTITIONS, "customer_id"),
    partition_by=PARTITIONS,
)

CANDIDATES = Spec(
    "candidates",
    (
        *RUN_FIELDS,
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
    key=(*PARTITIONS, "algorithm", "k"),
    partition_by=PARTITIONS,
)

REJECTS = Spec(
    "rejects",
    (
        *RUN_FIELDS,
        Field("source", _STRING, "orders, events or customers"),
        Field("source_table", _STRING, "table the row was read from"),
        Field("source_version", _STRING, "version of that table"),
        Field("reason", _STRING, "why the row was rejected"),
        Field("row", _STRING, "the mapped values as they came, as JSON"),
    ),
    key=(),
    partition_by=PARTITIONS,
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
    partition_by=PARTITIONS,
)

HOLDOUT = Spec(
    "holdout",
    (
        *RUN_FIELDS,
        Field("customer_id", _STRING, "the customer"),
        Field("orders", _LONG, "distinct orders in the holdout period [as_of, as_of + holdout_days)"),
        Field("spend", MONEY, "net spend in it"),
    ),
    key=(*PARTITIONS, "customer_id"),
    partition_by=PARTITIONS,
)

SPLITS = Spec(
    "splits",
    (
        *RUN_FIELDS,
        Field("node", _INT, "node of the bisecting tree; 0 is all customers"),
        Field("parent", _INT, "node it was split from; null for the root"),
        Field("splits_at_k", _INT, "number of clusters from which on the node is split; null: never"),
        Field("customers", _LONG, "customers of the node"),
        Field("cost", _DOUBLE, "sum of squared distances to the mean of the node, in the fitted geometry"),
        Field("segment_id", _INT, "the segment, where the node is one of the published segmentation"),
    ),
    key=(*PARTITIONS, "node"),
    partition_by=PARTITIONS,
)

#: Without a key that is read back: its rows are many, and unique because they come from one groupBy.
ACTIVITY = Spec("activity", RUN_FIELDS + DAILY.fields, key=(), partition_by=PARTITIONS)


def kept_activity_spec(kinds: Iterable[str]) -> Spec:
    """The same as a published table."""
    return ACTIVITY.extended(kind_fields(kinds))
