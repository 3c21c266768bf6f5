"""Plan and run on a small shop with planted groups: twice equals once, and half a run is never visible."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from configured import settings_for
from deltalake import DeltaTable
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import adjusted_rand_score

from spark_seg.config import UNSEGMENTED_ID, Settings
from spark_seg.errors import (
    ConfigError,
    InputError,
    NoAcceptableCandidate,
    NoModel,
    PublishConflict,
    SegmentationError,
)
from spark_seg.features import feature_spec
from spark_seg.pipeline import Outcome, make_plan, run_plan
from spark_seg.pipeline import run as run_module
from spark_seg.publishing import (
    Ledger,
    Store,
    collect_garbage,
    create_tables,
    read_current,
    read_memberships,
)
from spark_seg.tables import HOLDOUT, PUBLISHED, SPARK_FAILURES, kept_activity_spec

AS_OF = date(2024, 7, 1)
LATER = date(2024, 7, 8)
SIZE = 24
#: Group → (days between orders, days since the last, amount of an order).
GROUPS = {"daily": (4, 3, 20), "lapsed": (30, 120, 25), "whales": (12, 10, 900)}
#: What a first run_all publishes of this shop: it keeps no activity, has neither a later period nor a tree,
#: and nothing to be compared with.
TABLES = ("features", "rejects", "assignments", "profiles", "rules", "explanations", "candidates")
CHEAP = {
    "clustering.algorithms": "[kmeans]",
    "clustering.restarts": "{kmeans: 1}",
    "clustering.max_iterations": "{kmeans: 20}",
    "selection.k_min": 2,
    "selection.k_max": 4,
    "selection.rules.min_segment_customers": 5,
    "features.lookbacks_days": "[30]",
    "features.lookback_days": 300,
}


def shop(customers: int = SIZE) -> pd.DataFrame:
    """Orders of three groups; the first letter of the customer tells the group."""
    rng = np.random.default_rng(12)
    rows = []
    for group, (gap, last, amount) in GROUPS.items():
        for i in range(customers):
            days = last + int(rng.integers(0, 3))
            for n in range(240 // gap - last // gap + int(rng.integers(0, 2))):
                at = datetime(2024, 7, 1, 12) - timedelta(days=days + n * gap)
                value = round(float(amount * rng.uniform(0.9, 1.1)), 2)
                rows.append((f"{group}-{i:03}", f"{group}{i}o{n}", "1", at, value, "food"))
    # Something for the table rejects, and somebody who is not eligible.
    rows.append(("daily-000", "zero", "1", datetime(2024, 6, 1), 0.0, "food"))
    rows.append(("gone-000", "old", "1", datetime(2021, 1, 1), 50.0, "food"))
    columns = ["customer_id", "order_id", "line_id", "ordered_at", "amount", "category"]
    return pd.DataFrame(rows, columns=columns)


def land(spark: SparkSession, root: Path, orders: pd.DataFrame, files: int = 1) -> None:
    frame = spark.createDataFrame(orders).repartition(files, F.xxhash64("order_id"))
    frame.write.format("delta").mode("overwrite").save(f"{root}/orders")


def run(
    spark: SparkSession, settings: Settings, job: str = "run_all", as_of: date = AS_OF, **more: Any
) -> Outcome:
    return run_plan(make_plan(spark, settings, job, as_of, **more))


def ledger_of(spark: SparkSession, settings: Settings) -> Ledger:
    return Ledger(Store(spark, settings.publishing), settings.pipeline)


def current(spark: SparkSession, settings: Settings, table: str, as_of: date = AS_OF) -> pd.DataFrame | None:
    frame = read_current(ledger_of(spark, settings), table, as_of)
    return None if frame is None else frame.toPandas()


def assigned(spark: SparkSession, settings: Settings, as_of: date = AS_OF) -> pd.DataFrame:
    """Who is in a segment."""
    rows = current(spark, settings, "assignments", as_of)
    assert rows is not None
    return plain(rows[rows["segment_id"] != UNSEGMENTED_ID])


def plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the run that wrote them."""
    rows = rows.drop(columns=["as_of", "run_id", "attempt_id"])
    return rows.sort_values("customer_id").reset_index(drop=True)


def versions(root: Path) -> dict[str, int]:
    return {p.name: DeltaTable(p).version() for p in (root / "published").iterdir() if p.name != "models"}


def staged(root: Path, table: str, run_id: str) -> int:
    rows = DeltaTable(root / "published" / table).to_pandas(columns=["run_id"])
    return int((rows["run_id"] == run_id).sum())


class Shop:
    """A root with landed orders, its settings, and what a first run_all gave."""

    def __init__(self, spark: SparkSession, root: Path, **changes: Any) -> None:
        self.root = root
        self.settings = settings_for(root, **(CHEAP | changes))
        land(spark, root, shop())
        self.outcome = run(spark, self.settings)


@pytest.fixture(scope="module")
def published(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Read only: tests that publish take `copied`."""
    return Shop(spark, tmp_path_factory.mktemp("shop"))


@pytest.fixture
def copied(spark: SparkSession, published: Shop, tmp_path: Path) -> Shop:
    """A shop of its own that has published its first run."""
    shutil.copytree(published.root, tmp_path, dirs_exist_ok=True)
    result = Shop.__new__(Shop)
    result.root, result.outcome = tmp_path, published.outcome
    result.settings = settings_for(tmp_path, **CHEAP)
    return result


@pytest.fixture
def landed(spark: SparkSession, published: Shop, tmp_path: Path) -> Shop:
    """A shop of its own that has published nothing."""
    shutil.copytree(published.root / "orders", tmp_path / "orders")
    result = Shop.__new__(Shop)
    result.root = tmp_path
    result.settings = settings_for(tmp_path, **CHEAP)
    return result


# ---------------------------------------------------------------- one run


def test_every_eligible_customer_gets_one_segment_and_the_planted_groups_are_found(
    spark: SparkSession, published: Shop
) -> None:
    rows = assigned(spark, published.settings)
    assert len(rows) == rows["customer_id"].nunique() == 3 * SIZE
    everybody = current(spark, published.settings, "assignments")
    assert everybody is not None
    (other,) = everybody[everybody["segment_id"] == UNSEGMENTED_ID].to_dict("records")
    assert (other["customer_id"], other["segment_name"]) == ("gone-000", "unsegmented")
    assert other["second_segment_id"] is None or np.isnan(other["second_segment_id"])
    groups = rows["customer_id"].str.split("-").str[0]
    assert adjusted_rand_score(groups, rows["segment_id"]) == 1.0
    assert rows.groupby("segment_id")["segment_name"].nunique().max() == 1
    assert (rows["second_segment_id"] != rows["segment_id"]).all()
    assert rows["confidence"].between(0, 1).all()


def test_a_run_writes_what_its_plan_says_and_the_receipts_are_true(
    spark: SparkSession, published: Shop
) -> None:
    assert set(versions(published.root)) == {*TABLES, "runs"}
    for receipt in published.outcome.receipts:
        at = DeltaTable(published.root / "published" / receipt.table, version=receipt.version).to_pandas()
        assert (at["run_id"] == published.outcome.run_id).sum() == receipt.rows > 0
    (committed,) = ledger_of(spark, published.settings).runs()
    assert committed.receipts == published.outcome.receipts
    assert (committed.algorithm, committed.k) == ("kmeans", 3)


def test_segments_are_numbered_by_value_and_profiles_add_up(spark: SparkSession, published: Shop) -> None:
    profiles = current(spark, published.settings, "profiles")
    assert profiles is not None
    outside = profiles["segment_name"] == "unsegmented"
    (other,) = profiles[outside].to_dict("records")
    # One customer alone: how many there are is all that is told.
    assert (other["segment_id"], other["customers"], other["suppressed"]) == (0, 1, True)
    assert other["revenue"] is None
    profiles = profiles[~outside]
    for _, rows in profiles.groupby("scheme"):
        assert rows["customers"].sum() == 3 * SIZE
        assert rows["customer_share"].sum() == pytest.approx(1)
    grid = profiles[profiles["scheme"] == "rfm_grid"]
    told = grid[~grid["suppressed"]]
    # Of small cells nothing is told, and of others no more than that these cannot be worked out.
    assert grid.loc[grid["customers"] < 10, "suppressed"].all() and len(told) > 0
    assert grid.loc[grid["suppressed"], "customers"].sum() >= 10
    assert told["revenue"].notna().all() and not grid.loc[grid["suppressed"], "revenue"].notna().any()
    assert [len(stats) for stats in grid.loc[grid["suppressed"], "feature_stats"]] == [0] * (
        len(grid) - len(told)
    )
    clusters = profiles[profiles["scheme"] == "clusters"].sort_values("segment_id")
    assert clusters["revenue_share"].astype(float).sum() == pytest.approx(1)
    mean_spend = clusters["revenue"].astype(float) / clusters["customers"]
    assert clusters["segment_id"].tolist() == [1, 2, 3]
    assert mean_spend.is_monotonic_decreasing
    spend = shop().query("customer_id != 'gone-000'")["amount"].sum()
    assert float(clusters["revenue"].sum()) == pytest.approx(spend)


def test_the_row_of_the_run_tells_what_was_read_and_never_how_the_session_is_set_up(
    spark: SparkSession, tmp_path: Path, published: Shop
) -> None:
    row = DeltaTable(published.root / "published" / "runs").to_pandas().iloc[0]
    (source,) = row["inputs"]
    assert (source["source"], source["version"], source["rows"]) == ("orders", "0", len(shop()))
    assert [(r["source"], r["reason"], r["rows"]) for r in row["rejects"]] == [("orders", "amount_zero", 1)]
    assert '"session"' not in row["config"]
    assert '"pipeline": "shop"' in row["config"]


def test_consumers_without_a_jvm_read_what_spark_reads(spark: SparkSession, published: Shop) -> None:
    store = Store(spark, published.settings.publishing)
    for table in (*TABLES, "runs"):
        frame = store.read(table)
        assert frame is not None
        theirs = DeltaTable(published.root / "published" / table).to_pandas()
        simple = [
            f.name
            for f in frame.schema
            if f.dataType.typeName() not in ("array", "map", "struct", "timestamp")
        ]
        ours = frame.select(*simple).toPandas()
        key = sorted(simple)
        text = [
            x[simple].astype(str).replace("None", "nan").sort_values(key).reset_index(drop=True)
            for x in (ours, theirs)
        ]
        pd.testing.assert_frame_equal(*text)
        assert len(theirs) > 0


def test_no_customer_stands_in_a_delta_log(published: Shop) -> None:
    logs = [p for p in (published.root / "published").rglob("_delta_log/*") if p.is_file()]
    names = [f"{group}-{i:03}" for group in GROUPS for i in range(SIZE)]
    texts = [p.read_bytes().decode("utf-8", "replace") for p in logs]
    assert len(texts) >= 12
    assert any('"stats"' in text for text in texts), "the search must be able to find statistics"
    for text in texts:
        assert not [name for name in names if name in text]


# ---------------------------------------------------------------- again


def test_case_03_the_same_command_three_times_publishes_once(spark: SparkSession, published: Shop) -> None:
    before = versions(published.root)
    for _ in range(2):
        again = run(spark, published.settings)
        assert again.already_published
        assert again.run_id == published.outcome.run_id
        assert again.receipts == published.outcome.receipts

        def by_key(rows: list[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
            return sorted(rows, key=lambda row: tuple(row[k] for k in keys))

        for name, keys in (("profiles", ("scheme", "segment_id")), ("candidates", ("algorithm", "k"))):
            assert by_key(getattr(again, name), *keys) == by_key(getattr(published.outcome, name), *keys)
    assert versions(published.root) == before
    assert len(ledger_of(spark, published.settings).runs()) == 1


def centres(spark: SparkSession, settings: Settings) -> bytes:
    """Those of the last model that was trained, to the bit."""
    trained = [r.model_path for r in ledger_of(spark, settings).runs() if r.model_run_id == r.run_id]
    clustering: Any = PipelineModel.load(str(trained[-1])).stages[-1]
    return np.array(clustering.clusterCenters()).tobytes()


@pytest.mark.parametrize(
    ("files", "partitions", "adaptive"),
    [(4, "8", "false"), pytest.param(16, "200", "true", marks=pytest.mark.slow)],
)
def test_case_33_neither_files_nor_the_order_of_rows_nor_how_spark_computes_change_a_bit(
    spark: SparkSession, published: Shop, landed: Shop, files: int, partitions: str, adaptive: str
) -> None:
    land(spark, landed.root, shop().sample(frac=1, random_state=files), files)
    conf = {"spark.sql.shuffle.partitions": partitions, "spark.sql.adaptive.enabled": adaptive}
    before = {name: str(spark.conf.get(name)) for name in conf}
    try:
        for name, value in conf.items():
            spark.conf.set(name, value)
        run(spark, landed.settings)
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)
    assert centres(spark, landed.settings) == centres(spark, published.settings)
    pd.testing.assert_frame_equal(
        assigned(spark, landed.settings), assigned(spark, published.settings), check_exact=True
    )


# ---------------------------------------------------------------- stopped half-way


def stop(*_: Any) -> None:
    raise KeyboardInterrupt


def fail(*_: Any) -> None:
    raise SegmentationError("stopped on purpose")


def test_a_killed_run_is_invisible_a_failing_retry_clears_it_away_and_a_good_one_is_whole(
    spark: SparkSession, published: Shop, landed: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "commit", stop)
        with pytest.raises(KeyboardInterrupt):
            run(spark, landed.settings)
    plan = make_plan(spark, landed.settings, "run_all", AS_OF)
    killed = {table: staged(landed.root, table, plan.run_id) for table in TABLES}
    assert killed["assignments"] == 3 * SIZE + 1
    for table in TABLES:
        assert current(spark, landed.settings, table) is None
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "train", fail)
        with pytest.raises(SegmentationError, match="on purpose"):
            run_plan(plan)
    # It has taken back its own rows, and touched none of another attempt, which may be at work.
    assert {table: staged(landed.root, table, plan.run_id) for table in TABLES} == killed
    run_plan(plan)
    collect_garbage(plan.store, datetime.now(UTC) + timedelta(minutes=1))
    pd.testing.assert_frame_equal(
        assigned(spark, landed.settings), assigned(spark, published.settings), check_exact=True
    )
    for receipt in published.outcome.receipts:
        assert staged(landed.root, receipt.table, plan.run_id) == receipt.rows
    model_path = ledger_of(spark, landed.settings).runs()[0].model_path
    assert model_path is not None
    assert Path(model_path).parent == landed.root / "published" / "models" / plan.run_id
    assert PipelineModel.load(model_path).stages


def test_a_late_attempt_touches_nothing_of_the_one_that_is_committed(
    spark: SparkSession, landed: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(spark, landed.settings, "run_all", AS_OF)
    fast = run(spark, landed.settings)
    assert plan.run_id == fast.run_id
    before = {table: current(spark, landed.settings, table) for table in TABLES}
    with pytest.raises(PublishConflict, match="another attempt of run"):
        run_plan(plan)
    with monkeypatch.context() as patched:
        patched.setattr(run_module, "train", fail)
        with pytest.raises(SegmentationError, match="on purpose"):
            run_plan(plan)
    for table in TABLES:
        pd.testing.assert_frame_equal(current(spark, landed.settings, table), before[table])
    for receipt in fast.receipts:
        assert staged(landed.root, receipt.table, fast.run_id) == receipt.rows


# ---------------------------------------------------------------- revisions


def test_case_04_another_configuration_needs_revise_and_the_former_revision_stays_readable(
    spark: SparkSession, copied: Shop
) -> None:
    before = assigned(spark, copied.settings)
    changed = settings_for(copied.root, **(CHEAP | {"preparation.scale": "min_max"}))
    tables = versions(copied.root)
    with pytest.raises(PublishConflict, match="--revise") as refused:
        make_plan(spark, changed, "run_all", AS_OF)
    assert copied.outcome.run_id in str(refused.value)
    assert versions(copied.root) == tables
    revised = run(spark, changed, revise=True)
    first, second = ledger_of(spark, changed).runs()
    assert (first.revision, second.revision) == (0, 1)
    assert second.run_id == revised.run_id != first.run_id
    assert set(current(spark, changed, "assignments")["run_id"]) == {revised.run_id}  # type: ignore[index]
    old = ledger_of(spark, changed).store.read_run("assignments", first.stamp).toPandas()
    pd.testing.assert_frame_equal(plain(old[old["segment_id"] != UNSEGMENTED_ID]), before)
    # The same groups, so the same ids, although the vectors are others.
    after = assigned(spark, changed)
    assert (after["segment_id"] == before["segment_id"]).all()
    with pytest.raises(PublishConflict):
        make_plan(spark, copied.settings, "run_all", AS_OF)
    assert run(spark, changed).already_published


def test_case_11_of_two_writers_of_one_revision_one_is_committed_and_the_other_leaves_nothing(
    spark: SparkSession, landed: Shop
) -> None:
    other = settings_for(landed.root, **CHEAP, seed=7)
    loser, winner = (make_plan(spark, s, "run_all", AS_OF) for s in (landed.settings, other))
    assert loser.revision == winner.revision == 0
    assert loser.run_id != winner.run_id
    won = run_plan(winner)
    with pytest.raises(PublishConflict, match="another run published shop"):
        run_plan(loser)
    assert [r.run_id for r in ledger_of(spark, other).runs()] == [won.run_id]
    for table in TABLES:
        assert staged(landed.root, table, loser.run_id) == 0
        assert staged(landed.root, table, won.run_id) > 0


# ---------------------------------------------------------------- the holdout period, and a tree


@pytest.mark.parametrize("mode", ["coreset", "exact"])
def test_segments_are_held_against_what_followed_and_the_tree_is_published(
    spark: SparkSession, landed: Shop, mode: str
) -> None:
    day, orders = date(2024, 6, 1), shop()
    changes = {"clustering.algorithms": "[bisecting]", "features.holdout_days": 14, "selection.mode": mode}
    changes |= {f"clustering.{name}": "{bisecting: 5}" for name in ("restarts", "max_iterations")}
    settings = settings_for(landed.root, **(CHEAP | changes))
    outcome = run(spark, settings, as_of=day)
    later = orders[(orders["ordered_at"] >= "2024-06-01") & (orders["ordered_at"] < "2024-06-15")]
    later = later[later["amount"] > 0].groupby("customer_id")["amount"].agg(["size", "sum"])
    rows = current(spark, settings, "holdout", day)
    assert rows is not None
    rows = rows.set_index("customer_id").sort_index()
    assert rows["orders"].to_dict() == later["size"].to_dict()
    assert rows["spend"].astype(float).to_dict() == pytest.approx(later["sum"].to_dict())
    winner = next(c for c in outcome.candidates if c["chosen"])
    segments = assigned(spark, settings, day).set_index("customer_id")["segment_id"]
    active = segments.index.isin(later.index).astype(float)
    between = sum(
        (segments == s).sum() * (active[segments == s].mean() - active.mean()) ** 2 for s in set(segments)
    )
    assert winner["separation"]["holdout_active"] == pytest.approx(between / active.var() / len(active))
    assert winner["separation"]["holdout_spend"] > 0.5
    splits = current(spark, settings, "splits", day)
    assert splits is not None
    leaves = splits.dropna(subset="segment_id").set_index("segment_id")["customers"]
    assert leaves.to_dict() == segments.value_counts().to_dict()
    # What was built with one holdout period is not taken for another.
    other = settings_for(landed.root, **(CHEAP | {"features.holdout_days": 7}))
    with pytest.raises(InputError, match=r"built with features\.holdout_days 7; got 14 in run"):
        run(spark, other, "train_segments", day, revise=True)
    # At the end of the data there is no later period: nothing is published of half a one.
    at_the_end = settings_for(landed.root, **(CHEAP | {"features.holdout_days": 14}))
    assert "holdout" not in {r.table for r in run(spark, at_the_end, "build_features").receipts}


# ---------------------------------------------------------------- later days


@pytest.fixture(scope="module")
def week(spark: SparkSession, published: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Features and a model of the first day, features and assignments of a later one."""
    root = tmp_path_factory.mktemp("week")
    shutil.copytree(published.root / "orders", root / "orders")
    result = Shop.__new__(Shop)
    result.root = root
    # Everybody buys of one category.
    features = "{recency_days: {impute: max, log: true}, frequency: {impute: 0, log: true}, "
    features += "category_breadth: {}, monetary: {impute: 0, log: true}}"
    result.settings = settings_for(root, **CHEAP, **{"preparation.features": features})
    run(spark, result.settings, "build_features")
    run(spark, result.settings, "train_segments")
    run(spark, result.settings, "build_features", LATER)
    result.outcome = run(spark, result.settings, "assign_segments", LATER)
    return result


def test_jobs_one_by_one_give_what_run_all_gives(spark: SparkSession, published: Shop, week: Shop) -> None:
    pd.testing.assert_frame_equal(
        assigned(spark, week.settings), assigned(spark, published.settings), check_exact=True
    )


def test_case_29_and_33_a_constant_feature_is_reported_and_changes_no_bit_of_the_model(
    spark: SparkSession, published: Shop, week: Shop
) -> None:
    runs = DeltaTable(week.root / "published" / "runs").to_pandas()
    (dropped,) = runs.loc[runs["job"] == "train_segments", "dropped_features"]
    assert ("category_breadth", "the same for all customers") in [tuple(d.values()) for d in dropped]
    assert centres(spark, week.settings) == centres(spark, published.settings)


def test_a_later_day_is_scored_with_the_saved_model_and_nothing_is_fitted(
    spark: SparkSession, week: Shop
) -> None:
    trained = next(r for r in ledger_of(spark, week.settings).runs() if r.job == "train_segments")
    scored = next(r for r in ledger_of(spark, week.settings).runs() if r.job == "assign_segments")
    assert scored.model_run_id == trained.run_id
    assert scored.segments == trained.segments
    features = read_current(ledger_of(spark, week.settings), "features", LATER)
    assert features is not None and trained.model_path is not None
    model = PipelineModel.load(trained.model_path)
    expected = model.transform(features.where("eligible")).select("customer_id", "cluster").toPandas()
    ids = {s.cluster: (s.segment_id, s.name) for s in trained.segments}
    want = {row.customer_id: ids[row.cluster] for row in expected.itertuples()}
    rows = assigned(spark, week.settings, LATER)
    assert {r.customer_id: (r.segment_id, r.segment_name) for r in rows.itertuples()} == want
    assert list((week.root / "published" / "models").iterdir()) == [Path(trained.model_path).parent]


def test_case_34_a_refit_on_a_later_day_keeps_the_ids_of_customers_who_did_not_move(
    spark: SparkSession, copied: Shop
) -> None:
    run(spark, copied.settings, as_of=LATER)
    before, after = (assigned(spark, copied.settings, day) for day in (AS_OF, LATER))
    both = before.merge(after, on="customer_id")
    assert len(both) == 3 * SIZE
    assert (both["segment_id_x"] == both["segment_id_y"]).all()
    runs = ledger_of(spark, copied.settings).runs()
    assert [s.overlap for s in runs[0].segments] == [None] * 3
    assert [s.overlap for s in runs[1].segments] == [1.0] * 3


def test_the_distance_is_that_of_the_model_whatever_the_configuration_says_today(
    spark: SparkSession, week: Shop, tmp_path: Path
) -> None:
    shutil.copytree(week.root, tmp_path, dirs_exist_ok=True)
    changed = settings_for(tmp_path, **(CHEAP | {"clustering.distance": "cosine"}))
    next_day = LATER + timedelta(days=1)
    run(spark, changed, "build_features", next_day)
    run(spark, changed, "assign_segments", next_day)
    assert (assigned(spark, changed, next_day)["confidence"] > 0.2).all()
    assert (assigned(spark, changed, next_day)["distance"] > 0).any()


def test_features_of_another_configuration_are_refused_before_anything_is_fitted(
    spark: SparkSession, week: Shop
) -> None:
    changed = settings_for(week.root, **(CHEAP | {"features.lookbacks_days": "[30, 77]"}))
    plan = make_plan(spark, changed, "train_segments", LATER, revise=True)
    with pytest.raises(InputError, match="features: must have frequency_77d, monetary_77d"):
        run_plan(plan)


@pytest.mark.parametrize(
    ("job", "as_of", "sentence"),
    [
        ("train_segments", AS_OF, r"features: must be published for as_of 2024-07-01 at .*; got nothing"),
        ("assign_segments", AS_OF, "features: must be published"),
    ],
)
def test_a_job_without_its_input_names_the_job_to_run_first(
    spark: SparkSession, landed: Shop, job: str, as_of: date, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence) as refused:
        make_plan(spark, landed.settings, job, as_of)
    assert "Run build_features --as-of 2024-07-01 first" in str(refused.value)
    assert not (landed.root / "published").exists()


def test_the_model_must_be_a_committed_training_run_up_to_that_day(spark: SparkSession, week: Shop) -> None:
    trained = next(r for r in ledger_of(spark, week.settings).runs() if r.job == "train_segments")
    with pytest.raises(
        ConfigError, match=f"--model-run: must be a committed training run; got 'no.*{trained.run_id}"
    ):
        make_plan(spark, week.settings, "assign_segments", LATER, revise=True, model_run_id="no")
    plan = make_plan(spark, week.settings, "assign_segments", LATER, revise=True, model_run_id=trained.run_id)
    assert plan.model_run == trained


def test_without_any_model_a_day_asks_for_training_and_what_training_published_is_done(
    spark: SparkSession, landed: Shop
) -> None:
    run(spark, landed.settings, "build_features")
    with pytest.raises(NoModel, match="model: must have been trained up to as_of 2024-07-01; got none"):
        make_plan(spark, landed.settings, "assign_segments", AS_OF)
    trained = run(spark, landed.settings, "train_segments")
    plan = make_plan(spark, landed.settings, "assign_segments", AS_OF)
    assert plan.published is not None and plan.run_id == trained.run_id
    other = settings_for(landed.root, **CHEAP, seed=7)
    with pytest.raises(PublishConflict, match=f"got run {trained.run_id}"):
        make_plan(spark, other, "assign_segments", AS_OF)


# ---------------------------------------------------------------- nothing to publish


def test_no_eligible_customers_is_an_input_error_and_publishes_nothing(
    spark: SparkSession, landed: Shop
) -> None:
    day = date(2023, 6, 1)
    plan = make_plan(spark, landed.settings, "run_all", day)
    with pytest.raises(InputError, match="features: must have eligible customers") as refused:
        run_plan(plan)
    assert refused.value.exit_code == 3
    assert staged(landed.root, "features", plan.run_id) == 0
    assert ledger_of(spark, landed.settings).runs() == []


def test_identical_customers_are_no_segmentation(spark: SparkSession, tmp_path: Path) -> None:
    day = datetime(2024, 6, 1, 12)
    orders = pd.DataFrame(
        [(f"c{i}", f"o{i}", "1", day, 10.0, "food") for i in range(30)], columns=shop().columns
    )
    land(spark, tmp_path, orders)
    settings = settings_for(tmp_path, **CHEAP)
    plan = make_plan(spark, settings, "run_all", AS_OF)
    with pytest.raises(NoAcceptableCandidate, match="at least one feature must differ") as refused:
        run_plan(plan)
    assert refused.value.exit_code == 4
    assert staged(tmp_path, "features", plan.run_id) == 0


def test_when_no_candidate_is_acceptable_the_error_carries_all_of_them(
    spark: SparkSession, landed: Shop
) -> None:
    strict = settings_for(landed.root, **(CHEAP | {"selection.rules.min_segment_share": 0.9}))
    with pytest.raises(NoAcceptableCandidate) as refused:
        run(spark, strict)
    rows = refused.value.candidates
    assert [(c["algorithm"], c["k"]) for c in rows] == [
        ("kmeans", 2), ("kmeans", 3), ("kmeans", 4), ("rfm_grid", 10),
    ]  # fmt: skip
    assert all("fewer than 90.0%" in c["reason"] for c in rows if c["algorithm"] == "kmeans")
    assert not (landed.root / "published" / "models").exists()


# ---------------------------------------------------------------- in a database


@pytest.fixture
def database(spark: SparkSession) -> Iterator[str]:
    spark.sql("DROP SCHEMA IF EXISTS segments_test CASCADE")
    spark.sql("CREATE SCHEMA segments_test")
    yield "segments_test"
    spark.sql("DROP SCHEMA segments_test CASCADE")


def test_views_of_a_database_show_committed_runs_only(
    spark: SparkSession, landed: Shop, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {
        "publishing.root": "null",
        "publishing.database": database,
        "publishing.models": landed.root / "m",
    }
    settings = settings_for(landed.root, **CHEAP, **place)
    store = Store(spark, settings.publishing)
    kinds = settings.features.engagement.kinds
    filled = {"features": feature_spec(settings.features), "activity": kept_activity_spec(kinds)}
    assert create_tables(store, PUBLISHED | filled) == list(PUBLISHED)
    nobody = spark.createDataFrame([(AS_OF, "1", "1", None, 1, Decimal(0))], HOLDOUT.schema)
    with pytest.raises(SPARK_FAILURES, match="CHECK constraint identified"):
        store.append(nobody, HOLDOUT, {})
    first = run(spark, settings)
    view = spark.table(f"{database}.current_assignments")
    assert view.count() == 3 * SIZE + 1
    changed = settings_for(landed.root, **CHEAP, **place, seed=7)
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "commit", stop)
        with pytest.raises(KeyboardInterrupt):
            run(spark, changed, revise=True)
    assert spark.table(f"{database}.assignments").count() == 2 * (3 * SIZE + 1)

    def shown(table: str) -> set[str]:
        return {r["run_id"] for r in spark.table(f"{database}.current_{table}").select("run_id").collect()}

    for table in TABLES:
        assert shown(table) == {first.run_id}
    # Stopped between the commit and the views: the next attempt makes them.
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "create_views", stop)
        with pytest.raises(KeyboardInterrupt):
            run(spark, changed, revise=True)
    spark.sql(f"DROP VIEW {database}.current_profiles")
    second = run(spark, changed)
    assert second.already_published
    for table in TABLES:
        assert shown(table) == {second.run_id}
    run(spark, changed, as_of=LATER)
    view = spark.table(f"{database}.memberships").drop("pipeline")
    read = read_memberships(ledger_of(spark, changed))
    assert read is not None
    assert sorted(view.collect(), key=str) == sorted(read.collect(), key=str)
    assert view.where("valid_to is null").count() == 3 * SIZE + 1


def test_a_database_that_does_not_exist_is_refused_by_the_plan(spark: SparkSession, landed: Shop) -> None:
    place = {
        "publishing.root": "null",
        "publishing.database": "nowhere",
        "publishing.models": landed.root / "m",
    }
    with pytest.raises(ConfigError, match=r"publishing\.database: must exist; got 'nowhere'"):
        make_plan(spark, settings_for(landed.root, **CHEAP, **place), "run_all", AS_OF)
