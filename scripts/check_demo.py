"""What a demo run says of itself, held against its published tables and its saved model.

Usage: python scripts/check_demo.py conf/demo.yaml [more overlays]
Checks the last run with segments: rules and their SQL on every customer (Spark, and DuckDB without Spark),
the fidelity, and the smallest change of 1,000 customers through the saved pipeline. Ends with 1 when
something is not so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import duckdb
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_seg.config import load_settings
from spark_seg.profiles import unseen
from spark_seg.publishing import (
    CommittedRun,
    Ledger,
    Store,
    current_run,
    features_run,
    load_model,
    rows_of,
)
from spark_seg.report import rules_as_sql
from spark_seg.session import start_session

CHANGED = 1_000


def main(configs: list[str]) -> int:
    settings = load_settings([Path(c) for c in configs], [])
    store = Store(start_session(settings.session), settings.publishing)
    runs = Ledger(store, settings.pipeline).runs()
    run = current_run(runs, "explanations")
    if run is None:
        print("no run with explanations is published; run scripts/demo first", file=sys.stderr)
        return 2
    features = store.read_run("features", features_run(runs, run).stamp).where("eligible")
    told = store.read_run("explanations", run.stamp).drop("as_of", "run_id", "attempt_id")
    rules = rows_of(store, run, "rules")
    wrong = 0
    for sentence, good, total in (
        *shown_rules(features, told, rules),
        *engines(features, told, rules),
        fidelity(told, rules, run),
        changes(store, run, features, told),
    ):
        print(f"{'so' if good == total else 'NOT SO':<8} {sentence}: {good:,} of {total:,}")
        wrong += good != total
    return 1 if wrong else 0


def shown_rules(
    features: DataFrame, told: DataFrame, rules: list[dict[str, Any]]
) -> list[tuple[str, int, int]]:
    """Is the rule that is shown of each customer true of them, and is it the only one?"""
    true = F.array(*(F.when(F.expr(r["condition"]), r["rule_id"]) for r in rules))
    both = features.select("customer_id", F.array_compact(true).alias("true")).join(
        told.select("customer_id", "rule_id"), on="customer_id", how="full"
    )
    alone = both.where(F.col("true") == F.array("rule_id")).count()
    return [("the rule that is shown, and no other, is true of the customer", alone, both.count())]


def engines(features: DataFrame, told: DataFrame, rules: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    """Do Spark and DuckDB give by the SQL what the rules say?"""
    case = rules_as_sql(rules)
    segment = {rule["rule_id"]: rule["segment_id"] for rule in rules}
    expected = {
        r["customer_id"]: segment[r["rule_id"]] for r in told.select("customer_id", "rule_id").collect()
    }
    by_spark = {r[0]: r[1] for r in features.select("customer_id", F.expr(case)).collect()}
    frame = features.drop("attributes").toArrow()  # noqa: F841 - DuckDB finds it by its name
    by_duckdb = dict(duckdb.connect().execute(f"SELECT customer_id, {case} FROM frame").fetchall())
    return [
        (
            f"{name} gives by the SQL what the rules say",
            sum(got.get(c) == s for c, s in expected.items()),
            len(expected),
        )
        for name, got in (("Spark", by_spark), ("DuckDB", by_duckdb))
    ]


def fidelity(told: DataFrame, rules: list[dict[str, Any]], run: CommittedRun) -> tuple[str, int, int]:
    """Is the published fidelity that of customers whom the tree has not seen?"""
    segment = {rule["rule_id"]: rule["segment_id"] for rule in rules}
    rows = told.where(unseen()).select("rule_id", "segment_id").collect()
    right = sum(segment[row["rule_id"]] == row["segment_id"] for row in rows)
    says = (run.metrics["surrogate_tested"], run.metrics["surrogate_fidelity"])
    same = says[0] == len(rows) and abs(says[1] - right / len(rows)) < 1e-12
    return f"fidelity {says[1]:.4f} on {len(rows):,} customers whom the tree has not seen", int(same), 1


def changes(store: Store, run: CommittedRun, features: DataFrame, told: DataFrame) -> tuple[str, int, int]:
    """Does the smallest change lead where it says, through the saved pipeline?"""
    sample = told.where(F.col("change_feature").isNotNull()).orderBy(F.xxhash64("customer_id")).limit(CHANGED)
    wanted = ("customer_id", "segment_id", "change_feature", "change_to", "change_segment_id")
    joined = features.join(sample.select(*wanted), on="customer_id")
    kinds = {field.name: field.dataType for field in features.schema}
    names = [r["change_feature"] for r in sample.select("change_feature").distinct().collect()]
    applied = {n: F.when(F.col("change_feature") == n, F.col("change_to").cast(kinds[n])) for n in names}
    changed = joined.withColumns({n: c.otherwise(F.col(n)) for n, c in applied.items()})
    model = load_model(store.spark, run.model_path or "", run.model_digest)
    ids = {s.cluster: s.segment_id for s in run.segments}
    rows = model.transform(changed).select("cluster", "segment_id", "change_segment_id").collect()
    moved = sum(ids[r["cluster"]] == r["change_segment_id"] != r["segment_id"] for r in rows)
    return "the smallest change moves the customer, through the saved pipeline", moved, len(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
