"""All features of every customer from trusted events and order lines, against a scan and other ways.

`ours`: `daily_activity` and `build_features`. `naive`: one groupBy for each family of features, joined on
the customer. `duckdb`: the same features in one SQL statement on the same files. `scan`: the columns
read, nothing done. `again`: ours a second time, when the JVM has compiled it. One session, no result
written. Before anything is measured, all ways must give equal features on the small table that warms them
up: integers, decimals and words exactly.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import date, timedelta
from functools import reduce
from pathlib import Path

import duckdb
from comparison import ROOT, Comparison
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from usage import both, measured, nowhere

from spark_seg.activity import daily_activity
from spark_seg.config import FeatureSettings, load_settings
from spark_seg.features import build_features
from spark_seg.session import start_session

START = date(2024, 1, 1)
DAYS = 400
AS_OF = START + timedelta(days=DAYS)
#: A look-back of 365 days, and shorter ones of 30 and 90.
SETTINGS = FeatureSettings.model_validate(
    {
        "engagement": {
            "kinds": {"mail": 0, "click": 1, "visit": 0.1, "basket": 0.5},
            "contact_kind": "mail",
            "response_kind": "click",
        }
    }
)
KINDS = tuple(SETTINGS.engagement.kinds)


def features(events: int = 5_000_000) -> list[Comparison]:
    settings = load_settings([ROOT / "conf/demo.yaml", ROOT / "conf/local.yaml"])
    spark = start_session(settings.session)
    spark.conf.set("spark.sql.shuffle.partitions", max(4, events // 125_000))
    folder = Path(tempfile.mkdtemp(prefix="spark_seg_bench_"))
    try:
        for name, rows in (("warm", 200_000), ("full", events)):
            write_tables(spark, rows, folder / name)
        must_agree(spark, folder / "warm")
        results = []
        _, used = measured(lambda: nowhere(ours(spark, folder / "full")))
        for name, work in (
            ("scan", lambda: scan(spark, folder / "full")),
            ("duckdb", lambda: in_duckdb(folder / "full", folder / "result.parquet", write=False)),
            ("naive", lambda: nowhere(naive(spark, folder / "full"))),
        ):
            _, other = measured(work)
            results += both(f"features/{name}", used, other)
        _, again = measured(lambda: nowhere(ours(spark, folder / "full")))
        return results + both("features/again", used, again)
    finally:
        spark.stop()
        shutil.rmtree(folder, ignore_errors=True)


# ---------------------------------------------------------------- tables


def write_tables(spark: SparkSession, rows: int, folder: Path) -> None:
    """`rows` events and a tenth of order lines, as cleaning gives them, in the order of time.

    50 events for each customer on average, by a power law; two of one customer follow each other. Half
    of the events are visits; mails and clicks are about one of three campaigns of their week. An order
    has two lines.
    """
    customers = max(rows // 50, 1)

    def uniform(key: str, seed: int) -> Column:
        """Between 0 and 1, from the key alone: the tables are the same wherever they are made."""
        return F.pmod(F.xxhash64(F.lit(seed), F.col(key)), F.lit(1_000_000_007)) / F.lit(1_000_000_007.0)

    def customer(key: str) -> Column:
        number = F.floor(F.pow(uniform(key, 1), F.lit(2.5)) * customers)
        return F.concat(F.lit("c"), F.lpad(number.cast("string"), 8, "0"))

    def at(key: str, count: int) -> Column:
        second = F.floor((F.col(key) + uniform(key, 2)) / count * (DAYS * 86_400)).cast("int")
        return F.timestamp_add("SECOND", second, F.lit(START).cast("timestamp_ntz"))

    share = uniform("id", 3)
    kind = F.when(share < 0.5, "visit").when(share < 0.7, "basket").when(share < 0.92, "mail")
    acts = spark.range(rows, numPartitions=8).withColumn("number", F.floor(F.col("id") / 2))
    events = acts.select(
        customer("number").alias("customer_id"),
        at("id", rows).alias("occurred_at"),
        kind.otherwise("click").alias("kind"),
        uniform("id", 4).alias("u"),
    )
    week = F.floor(F.date_diff(F.to_date("occurred_at"), F.lit(START)) / 7)
    about = F.concat(F.lit("s"), (week * 3 + F.floor(F.col("u") * 3)).cast("string"))
    events = events.withColumn("subject", F.when(F.col("kind").isin("mail", "click"), about)).drop("u")
    events.write.parquet(str(folder / "events"))

    lines = spark.range(rows // 10, numPartitions=4).withColumn("number", F.floor(F.col("id") / 2))
    back = uniform("id", 5) < 0.03
    amount = F.round(F.lit(1.0) / (uniform("id", 6) + 0.01), 2).cast("decimal(18,4)")
    lines.select(
        customer("number").alias("customer_id"),
        F.concat(F.lit("o"), F.col("number").cast("string")).alias("order_id"),
        (F.col("id") % 2).cast("string").alias("line_id"),
        at("number", rows // 20 + 1).alias("ordered_at"),
        F.when(back, -amount).otherwise(amount).alias("amount"),
        F.concat(F.lit("k"), F.floor(F.pow(uniform("id", 7), F.lit(2)) * 20).cast("string")).alias(
            "category"
        ),
        back.alias("is_return"),
    ).write.parquet(str(folder / "orders"))


def read(spark: SparkSession, folder: Path) -> tuple[DataFrame, DataFrame]:
    """Order lines and events."""
    return spark.read.parquet(str(folder / "orders")), spark.read.parquet(str(folder / "events"))


def scan(spark: SparkSession, folder: Path) -> None:
    for frame in read(spark, folder):
        nowhere(frame)


# ---------------------------------------------------------------- three ways to the same features


def ours(spark: SparkSession, folder: Path) -> DataFrame:
    orders, events = read(spark, folder)
    return build_features(daily_activity(orders, events, SETTINGS.engagement), None, AS_OF, SETTINGS)


def naive(spark: SparkSession, folder: Path) -> DataFrame:
    """What stands in many a notebook: each family is a groupBy of its own."""
    lines, events = read(spark, folder)
    events = events.withColumn("day", F.to_date("occurred_at"))
    orders = lines.groupBy("customer_id", "order_id").agg(
        F.to_date(F.min("ordered_at")).alias("day"),
        F.sum("amount").alias("amount"),
        F.sum(F.when(F.col("is_return"), -F.col("amount"))).alias("returned"),
        F.max(~F.col("is_return")).alias("bought"),
    )

    def last(frame: DataFrame, days: int, before: int = 0) -> DataFrame:
        end = AS_OF - timedelta(days=before)
        return frame.where((F.col("day") >= F.lit(end - timedelta(days=days))) & (F.col("day") < F.lit(end)))

    def rfm(days: int, suffix: str, before: int = 0) -> DataFrame:
        return (
            last(orders, days, before)
            .groupBy("customer_id")
            .agg(
                F.date_diff(F.lit(AS_OF), F.max(F.when(F.col("bought"), F.col("day")))).alias(
                    f"recency{suffix}"
                ),
                F.count_distinct(F.when(F.col("bought"), F.col("order_id"))).alias(f"frequency{suffix}"),
                F.sum("amount").alias(f"monetary{suffix}"),
                F.sum("returned").alias(f"returned{suffix}"),
            )
        )

    bought = orders.where("bought").select("customer_id", "day").distinct()
    gaps = Window.partitionBy("customer_id").orderBy("day")
    gap = F.date_diff("day", F.lag("day").over(gaps)).alias("gap")
    engagement = SETTINGS.engagement
    weight = reduce(
        lambda other, k: F.when(F.col("kind") == k, float(engagement.kinds[k])).otherwise(other),
        KINDS,
        F.lit(0.0),
    )
    decay = F.pow(F.lit(0.5), F.date_diff(F.lit(AS_OF), "day") / float(engagement.half_life_days))
    weighed = last(events, 365).withColumn("weight", weight)
    about = last(events, 365).where("subject is not null").select("customer_id", "subject", "kind")
    contacted = about.where(F.col("kind") == F.lit(engagement.contact_kind)).drop("kind").distinct()
    answered = about.where(F.col("kind") == F.lit(engagement.response_kind)).drop("kind").distinct()
    spend = (
        lines.groupBy("customer_id", "order_id", "category")
        .agg(F.sum("amount").alias("spent"))
        .join(last(orders, 365).select("customer_id", "order_id"), ["customer_id", "order_id"])
        .groupBy("customer_id", "category")
        .agg(F.sum("spent").alias("spent"))
        .where("spent > 0")
    )
    families = [
        rfm(365, ""),
        rfm(30, "_30d"),
        rfm(90, "_90d"),
        rfm(90, "_before", before=90),
        orders.where("bought")
        .groupBy("customer_id")
        .agg(F.date_diff(F.lit(AS_OF), F.min("day")).alias("tenure_days")),
        last(bought, 365)
        .select("customer_id", gap)
        .groupBy("customer_id")
        .agg(
            F.avg("gap").alias("purchase_interval_days"),
            F.when(F.count("gap") > 1, F.try_divide(F.stddev_pop("gap"), F.avg("gap"))).alias(
                "purchase_interval_variation"
            ),
        ),
        bought.select("customer_id", "day", gap)
        .groupBy("customer_id")
        .agg(F.max_by("gap", "day").alias("last_gap_days")),
        last(events, 365)
        .groupBy("customer_id")
        .agg(*(F.count_if(F.col("kind") == k).alias(f"{k}_count") for k in KINDS)),
        last(events, 365)
        .groupBy("customer_id")
        .agg(*(F.count_distinct(F.when(F.col("kind") == k, F.col("day"))).alias(f"{k}_days") for k in KINDS)),
        weighed.groupBy("customer_id").agg(
            F.sum("weight").alias("engagement_score"),
            F.sum(F.col("weight") * decay).alias("engagement_score_decayed"),
            F.date_diff(F.lit(AS_OF), F.max(F.when(F.col("weight") > 0, F.col("day")))).alias(
                "engagement_recency_days"
            ),
        ),
        contacted.join(answered.withColumn("answered", F.lit(1)), ["customer_id", "subject"], "left")
        .groupBy("customer_id")
        .agg(
            F.count(F.lit(1)).cast("int").alias("contacts"),
            (F.count("answered") / F.count(F.lit(1))).alias("response_rate"),
        ),
        spend.groupBy("customer_id").agg(
            F.min(F.struct(-F.col("spent"), "category"))["category"].alias("top_category"),
            (F.max("spent").cast("double") / F.sum("spent").cast("double")).alias("top_category_share"),
            F.count(F.lit(1)).alias("category_breadth"),
        ),
    ]
    everyone = orders.select("customer_id").union(events.select("customer_id")).distinct()
    joined = reduce(lambda left, right: left.join(right, "customer_id", "left"), families, everyone)

    def number(name: str) -> Column:
        return F.coalesce(F.col(name), F.lit(0))

    def trend(name: str) -> Column:
        now, then = number(f"{name}_90d").cast("double"), number(f"{name}_before").cast("double")
        return F.try_divide(now - then, F.abs(now) + F.abs(then))

    bought_amount = (number("monetary") + number("returned")).cast("double")
    return joined.select(
        "customer_id",
        F.col("recency").alias("recency_days"),
        *(
            number(f"{name}{s}").alias(f"{name}{s}")
            for s in ("", "_30d", "_90d")
            for name in ("frequency", "monetary")
        ),
        F.try_divide(number("monetary").cast("double"), number("frequency").cast("double")).alias(
            "average_order_value"
        ),
        F.try_divide(number("returned").cast("double"), bought_amount).alias("returned_share"),
        "tenure_days",
        "purchase_interval_days",
        "purchase_interval_variation",
        "last_gap_days",
        trend("monetary").alias("spend_trend"),
        trend("frequency").alias("order_trend"),
        *(number(f"{k}_{what}").alias(f"{k}_{what}") for k in KINDS for what in ("count", "days")),
        number("engagement_score").alias("engagement_score"),
        number("engagement_score_decayed").alias("engagement_score_decayed"),
        "engagement_recency_days",
        number("contacts").alias("contacts"),
        "response_rate",
        "top_category",
        "top_category_share",
        number("category_breadth").alias("category_breadth"),
    )


def in_duckdb(folder: Path, result: Path, write: bool) -> None:
    """The same features in one statement, days before customers; two threads, as Spark has."""
    observed = f"day >= DATE '{AS_OF - timedelta(days=365)}'"

    def last(days: int, before: int = 0) -> str:
        start, end = AS_OF - timedelta(days=days + before), AS_OF - timedelta(days=before)
        return f"day >= DATE '{start}' AND day < DATE '{end}'"

    def total(value: str, period: str) -> str:
        return f"coalesce(sum({value}) FILTER ({period}), 0)"

    def trend(value: str) -> str:
        now, then = (f"{total(value, last(90, b))}::DOUBLE" for b in (0, 90))
        return f"({now} - {then}) / nullif(abs({now}) + abs({then}), 0)"

    weight = " + ".join(f"{float(w)} * {k}" for k, w in SETTINGS.engagement.kinds.items())
    zeros = [f"{what}{days}" for what in ("frequency", "monetary") for days in ("", "_30d", "_90d")]
    zeros += [f"{k}_{what}" for k in KINDS for what in ("count", "days")]
    zeros += ["engagement_score", "engagement_score_decayed", "contacts", "category_breadth"]
    half_life = float(SETTINGS.engagement.half_life_days)
    as_of = f"DATE '{AS_OF}'"
    statement = f"""
    WITH parts AS (
      SELECT customer_id, order_id, category, min(ordered_at) AS first_at, sum(amount) AS amount,
        sum(-amount) FILTER (is_return) AS returned, bool_or(NOT is_return) AS bought
      FROM '{folder}/orders/*.parquet' GROUP BY ALL),
    orders AS (
      SELECT customer_id, order_id, min(first_at)::DATE AS day, sum(amount) AS amount,
        sum(returned) AS returned, bool_or(bought) AS bought
      FROM parts GROUP BY ALL),
    days AS (
      SELECT customer_id, day, count(*) FILTER (bought) AS orders, sum(amount) AS amount,
        sum(returned) AS returned FROM orders GROUP BY ALL),
    gaps AS (
      SELECT *, CASE WHEN orders > 0 THEN day END AS order_day, CASE WHEN orders > 0 THEN
        (day - lag(day) OVER (PARTITION BY customer_id, orders > 0 ORDER BY day))::INTEGER END AS gap,
        day - gap >= DATE '{AS_OF - timedelta(days=365)}' AS inside FROM days),
    purchases AS (
      SELECT customer_id, {as_of} - max(order_day) FILTER ({observed}) AS recency_days,
        {total("orders", observed)} AS frequency, {total("amount", observed)} AS monetary,
        {total("orders", last(30))} AS frequency_30d, {total("amount", last(30))} AS monetary_30d,
        {total("orders", last(90))} AS frequency_90d, {total("amount", last(90))} AS monetary_90d,
        monetary::DOUBLE / nullif(frequency, 0) AS average_order_value,
        {total("returned", observed)}::DOUBLE
          / nullif((monetary + {total("returned", observed)})::DOUBLE, 0) AS returned_share,
        {as_of} - min(order_day) AS tenure_days,
        avg(gap) FILTER (inside) AS purchase_interval_days,
        CASE WHEN count(gap) FILTER (inside) > 1 THEN stddev_pop(gap) FILTER (inside)
          / nullif(avg(gap) FILTER (inside), 0) END AS purchase_interval_variation,
        arg_max(gap, day) FILTER (orders > 0) AS last_gap_days,
        {trend("amount")} AS spend_trend, {trend("orders")} AS order_trend
      FROM gaps GROUP BY ALL),
    favourites AS (
      SELECT customer_id, category, sum(parts.amount) AS spent
      FROM parts JOIN orders USING (customer_id, order_id) WHERE {observed} GROUP BY ALL HAVING spent > 0),
    affinity AS (
      SELECT customer_id, min_by(category, (-spent, category)) AS top_category,
        max(spent)::DOUBLE / sum(spent)::DOUBLE AS top_category_share, count(*) AS category_breadth
      FROM favourites GROUP BY ALL),
    acts AS (
      SELECT customer_id, occurred_at::DATE AS day,
        {", ".join(f"count(*) FILTER (kind = '{k}') AS {k}" for k in KINDS)}
      FROM '{folder}/events/*.parquet' GROUP BY ALL),
    engagement AS (
      SELECT customer_id,
        {", ".join(f"{total(k, observed)} AS {k}_count" for k in KINDS)},
        {", ".join(f"count(*) FILTER ({k} > 0 AND {observed}) AS {k}_days" for k in KINDS)},
        {total(weight, observed)} AS engagement_score,
        {total(f"({weight}) * pow(0.5, ({as_of} - day) / {half_life})", observed)}
          AS engagement_score_decayed,
        {as_of} - max(day) FILTER ({observed} AND {weight} > 0) AS engagement_recency_days
      FROM acts GROUP BY ALL),
    subjects AS (
      SELECT customer_id, subject, bool_or(kind = 'mail') AS contacted, bool_or(kind = 'click') AS answered
      FROM '{folder}/events/*.parquet'
      WHERE subject IS NOT NULL AND occurred_at >= DATE '{AS_OF - timedelta(days=365)}' GROUP BY ALL),
    answers AS (
      SELECT customer_id, (count(*) FILTER (contacted))::INTEGER AS contacts,
        count(*) FILTER (contacted AND answered) / nullif(contacts, 0) AS response_rate
      FROM subjects GROUP BY ALL)
    SELECT * REPLACE ({", ".join(f"coalesce({name}, 0) AS {name}" for name in zeros)})
    FROM purchases FULL JOIN engagement USING (customer_id) LEFT JOIN affinity USING (customer_id)
      LEFT JOIN answers USING (customer_id)
    """
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2; SET memory_limit = '6GB'; SET preserve_insertion_order = false")
        connection.execute(f"SET temp_directory = '{folder}/spill'")
        if write:
            connection.execute(f"COPY ({statement}) TO '{result}' (FORMAT parquet)")
        else:
            connection.execute(f"EXPLAIN ANALYZE {statement}")


# ---------------------------------------------------------------- do they agree


def must_agree(spark: SparkSession, folder: Path) -> None:
    """Raises when the ways give another customer or another feature."""
    in_duckdb(folder, folder / "duckdb.parquet", write=True)
    mine = ours(spark, folder).drop("attributes", "eligible", "lifecycle_stage").persist()
    for name, theirs in (
        ("naive", naive(spark, folder)),
        ("duckdb", spark.read.parquet(str(folder / "duckdb.parquet"))),
    ):
        left = mine.select("customer_id", F.struct(*mine.columns).alias("a"))
        right = theirs.select("customer_id", F.struct(*mine.columns).alias("b"))
        both = left.join(right, "customer_id", "full")
        row = both.agg(*(F.count_if(_differ(n, dict(mine.dtypes)[n])).alias(n) for n in mine.columns)).first()
        wrong = {} if row is None else {n: count for n, count in row.asDict().items() if count}
        if wrong:
            raise SystemExit(f"{name} differs from ours, customers by feature: {wrong}")
    mine.unpersist()


def _differ(name: str, kind: str) -> Column:
    a, b = F.col(f"a.{name}"), F.col(f"b.{name}")
    if kind != "double":
        return ~a.eqNullSafe(b)
    near = F.abs(a - b) <= 1e-9 * F.greatest(F.abs(a), F.abs(b), F.lit(1.0))
    return ~F.coalesce(near, a.isNull() & b.isNull())
