"""The contract of the tables that say what segments are, and why customers are in them."""

from __future__ import annotations

from pyspark.sql.types import ArrayType, BooleanType, DoubleType, IntegerType, LongType, StringType

from spark_seg.tables.spec import MONEY, Field, Spec, struct_of
from spark_seg.tables.stamp import PARTITIONS, RUN_FIELDS

_STRING, _DOUBLE, _LONG, _INT = StringType(), DoubleType(), LongType(), IntegerType()

PROFILES = Spec(
    "profiles",
    (
        *RUN_FIELDS,
        Field(
            "scheme",
            _STRING,
            "clusters; rfm_grid, the baseline; everybody: one row of all",
        ),
        Field("segment_id", _INT, "stable id (clusters; 0: unsegmented), or position in the grid"),
        Field("segment_name", _STRING, "name of the segment"),
        Field("description", _STRING, "what kind of customers these are"),
        Field("play", _STRING, "the marketing play that belongs to it"),
        Field("customers", _LONG, "customers in the segment"),
        Field("suppressed", BooleanType(), "too few customers to tell more of them (privacy.min_group)"),
        Field("customer_share", _DOUBLE, "share of all segmented customers"),
        Field("revenue", MONEY, "sum of monetary"),
        Field("revenue_share", _DOUBLE, "share of all revenue"),
        Field("engagement_share", _DOUBLE, "share of the sum of engagement_score; null without events"),
        Field("differences", ArrayType(_STRING), "what sets the segment apart, in words, strongest first"),
        Field("nearest_segment_id", _INT, "segment whose clustered features are most like its own"),
        Field("nearest_segment_name", _STRING, "its name"),
        Field(
            "sentences",
            ArrayType(_STRING),
            "the same in sentences, against all customers and the nearest",
        ),
        Field(
            "feature_stats",
            ArrayType(
                struct_of(
                    feature=_STRING,
                    known=_LONG,
                    mean=_DOUBLE,
                    sd=_DOUBLE,
                    median=_DOUBLE,
                    p10=_DOUBLE,
                    p90=_DOUBLE,
                    lift=_DOUBLE,
                    difference=_DOUBLE,
                    nearest_difference=_DOUBLE,
                    position=_DOUBLE,
                )
            ),
            "per feature in original units; known: customers with a value; lift: mean over the mean of all "
            "customers; difference: from that mean, nearest_difference: from the nearest segment's, in "
            "standard deviations of all customers; position: -1 (lowest) to 1",
        ),
        Field(
            "kpis",
            ArrayType(struct_of(kpi=_STRING, value=_DOUBLE, customers=_LONG)),
            "average_order_value, and what the sources allow of retention, conversion and campaign_response, "
            "with the customers it is of",
        ),
        Field(
            "makeup",
            ArrayType(
                struct_of(attribute=_STRING, value=_STRING, customers=_LONG, share=_DOUBLE, lift=_DOUBLE)
            ),
            "attribute or category → its commonest values; value null: all others; share: of those of the "
            "segment with a value; lift: share over the share of all customers",
        ),
        Field(
            "rf_grid",
            ArrayType(struct_of(r=_INT, f=_INT, customers=_LONG, revenue=MONEY)),
            "recency × frequency score → customers and their revenue; r and f null: cells of few customers "
            "together",
        ),
    ),
    key=(*PARTITIONS, "scheme", "segment_id"),
    partition_by=PARTITIONS,
)

RULES = Spec(
    "rules",
    (
        *RUN_FIELDS,
        Field(
            "rule_id",
            _INT,
            "leaf of the surrogate tree, from 1; every customer is in one",
        ),
        Field("segment_id", _INT, "segment that most customers of the leaf are in by the model"),
        Field("segment_name", _STRING, "its name"),
        Field("text", _STRING, "the rule in words"),
        Field("condition", _STRING, "the same as portable SQL over the columns of features"),
        Field("customers", _LONG, "segmented customers to whom it applies"),
        Field("precision", _DOUBLE, "share of these whom the model puts into this segment"),
        Field("coverage", _DOUBLE, "share of the segment's customers (by the model) to whom it applies"),
        Field("tested", _LONG, "customers to whom it applies, of those that the tree has not seen"),
        Field("tested_precision", _DOUBLE, "precision among these"),
    ),
    key=(*PARTITIONS, "rule_id"),
    partition_by=PARTITIONS,
)

EXPLANATIONS = Spec(
    "explanations",
    (
        *RUN_FIELDS,
        Field("customer_id", _STRING, "the customer"),
        Field("segment_id", _INT, "segment that the model gives (raw_segment_id of assignments)"),
        Field("second_segment_id", _INT, "second best segment"),
        Field("margin", _DOUBLE, "how sure: confidence; mixture: by how much the probability is larger"),
        Field("silhouette", _DOUBLE, "silhouette of this customer, as ClusteringEvaluator defines it"),
        Field("rule_id", _INT, "the rule of the surrogate tree that applies"),
        Field(
            "pulls",
            ArrayType(struct_of(feature=_STRING, value=_DOUBLE, pull=_DOUBLE)),
            "up to three features that decide most between this segment and the second; value: in its unit, "
            "null where unknown; pull: by how much the distance between both would shrink (below 0: grow) "
            "if the customer had the median of all",
        ),
        Field(
            "change_feature",
            _STRING,
            "single feature whose smallest change moves the customer; null: none",
        ),
        Field("change_from", _DOUBLE, "what it is, in its unit; null: unknown"),
        Field("change_to", _DOUBLE, "what it would have to be"),
        Field("change_segment_id", _INT, "segment where the customer would be then"),
        Field("change_size", _DOUBLE, "length of the change in the fitted geometry"),
    ),
    key=(*PARTITIONS, "customer_id"),
    partition_by=PARTITIONS,
)
