"""Segments over several runs: what became of them, who moved and why, and what holds a run back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from configured import settings_for
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from test_pipeline import AS_OF, CHEAP, LATER, SIZE, assigned, current, land, ledger_of, run, shop

from spark_seg.config import Settings
from spark_seg.errors import ConfigError, ContractBreach, InputError, SegmentationError
from spark_seg.pipeline import differences, known_run, make_plan, replay, run_plan, segmentation
from spark_seg.publishing import Store, read_memberships

THIRD = LATER + timedelta(days=7)


class Place:
    """A shop of its own, with runs that pick k."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.spark, self.root = spark, root

    def settings(self, k: int, **changes: Any) -> Settings:
        return settings_for(self.root, **(CHEAP | {"selection.pick": f"kmeans:{k}"} | changes))

    def publish(
        self, k: int, as_of: date = AS_OF, job: str = "train_segments", revise: bool = False, **changes: Any
    ) -> str:
        return run(self.spark, self.settings(k, **changes), job, as_of, revise=revise).run_id

    def rows(self, table: str, as_of: date) -> pd.DataFrame:
        found = current(self.spark, self.settings(3), table, as_of)
        assert found is not None
        return found

    def events(self, as_of: date) -> list[tuple[str, Any, Any]]:
        lineage = self.rows("segment_lineage", as_of).astype(object)
        lineage = lineage.where(lineage.notna(), None)
        columns = ["event", "from_segment_id", "to_segment_id"]
        return sorted((tuple(r) for r in lineage[columns].itertuples(index=False)), key=str)


@pytest.fixture(scope="module")
def built(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with the features of three days. Read only."""
    root = tmp_path_factory.mktemp("built")
    land(spark, root, shop())
    for day in (AS_OF, LATER, THIRD):
        run(spark, settings_for(root, **CHEAP), "build_features", day)
    return root


@pytest.fixture
def place(spark: SparkSession, built: Path, tmp_path: Path) -> Place:
    """A shop of its own, of which nobody is in a segment yet."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return Place(spark, tmp_path)


def moves(rows: pd.DataFrame) -> dict[Any, int]:
    """Cause → customers who moved for it."""
    moved = rows[rows["kind"] != "stayed"]
    return {cause: int(n) for cause, n in moved.groupby("cause")["customers"].sum().items()}


def test_planted_merge_split_birth_and_death_are_told_and_ids_follow(place: Place) -> None:
    place.publish(3)
    before = assigned(place.spark, place.settings(3)).set_index("customer_id")["segment_id"]
    # Two of three in one cluster: a merge.
    place.publish(2, LATER)
    events = place.events(LATER)
    assert sorted(event for event, _, _ in events) == ["merged", "merged", "survived"]
    (into,) = {to for event, _, to in events if event == "merged"}
    assert into in {source for event, source, _ in events if event == "merged"}
    after = assigned(place.spark, place.settings(3), LATER).set_index("customer_id")["segment_id"]
    (stays,) = {source for event, source, _ in events if event == "survived"}
    assert (after[before == stays] == stays).all()
    # The same customers apart again: a split, of which one part keeps the id and the other gets a new one.
    place.publish(3, THIRD)
    events = place.events(THIRD)
    assert sorted(event for event, _, _ in events) == ["split", "split", "survived"]
    assert {to for event, _, to in events if event == "split"} == {into, 4}
    were = assigned(place.spark, place.settings(3), THIRD).set_index("customer_id")["segment_id"]
    # New customers unlike all others are born, and who is nowhere any more has died.
    rows = shop()
    rows = rows[~rows["customer_id"].str.startswith("whales")]
    fresh = rows[rows["customer_id"].str.startswith("daily")].copy()
    fresh["customer_id"] = "fresh" + fresh["customer_id"].str.removeprefix("daily")
    fresh["order_id"] = "f" + fresh["order_id"]
    fresh["amount"] *= 400
    land(place.spark, place.root, pd.concat([rows, fresh]))
    fourth = THIRD + timedelta(days=7)
    place.publish(3, fourth, "run_all")
    assert [e for e in place.events(fourth) if e[0] in ("born", "died")] == [
        ("born", None, 5),
        ("died", were["whales-000"], None),
    ]
    migrations = place.rows("migrations", fourth)
    gone = migrations[migrations["kind"] == "gone"]
    assert (list(gone["cause"]), list(gone["customers"])) == (["correction"], [SIZE])


def test_customers_under_other_names_are_in_the_segments_that_lie_where_the_former_lay(place: Place) -> None:
    place.publish(3)
    rows = shop()
    land(place.spark, place.root, rows.assign(customer_id="other-" + rows["customer_id"]))
    place.publish(3, THIRD, "run_all", revise=True)
    lineage = place.rows("segment_lineage", THIRD)
    assert (set(lineage["event"]), set(lineage["basis"])) == ({"survived"}, {"centres"})
    before = assigned(place.spark, place.settings(3)).set_index("customer_id")["segment_id"]
    after = assigned(place.spark, place.settings(3), THIRD).set_index("customer_id")["segment_id"]
    assert {c.removeprefix("other-"): i for c, i in after.items()} == before.to_dict()


def test_a_refit_on_the_same_day_moves_nobody_by_behaviour_and_a_frozen_model_nobody_by_itself(
    place: Place,
) -> None:
    place.publish(3)
    place.publish(2, revise=True)
    found = moves(place.rows("migrations", AS_OF))
    assert set(found) == {"model"}
    assert found["model"] == SIZE
    # A week later some buy much more; the model is that of before.
    rows = shop()
    rows.loc[rows["customer_id"].isin(["daily-000", "daily-001"]), "amount"] *= 60
    land(place.spark, place.root, rows)
    settings = place.settings(2)
    run(place.spark, settings, "build_features", LATER, revise=True)
    run(place.spark, settings, "assign_segments", LATER)
    migrations = place.rows("migrations", LATER)
    assert set(moves(migrations)) <= {"behaviour"}
    sizes = assigned(place.spark, settings, LATER)["segment_id"].value_counts()
    counted = migrations.groupby("to_segment_id")["customers"].sum()
    assert {i: counted[i] for i in sizes.index} == sizes.to_dict()
    before = assigned(place.spark, settings)["segment_id"].value_counts()
    counted = migrations.groupby("from_segment_id")["customers"].sum()
    assert {i: counted[i] for i in before.index} == before.to_dict()


def test_a_later_revision_of_a_day_is_a_correction_and_both_comparisons_are_kept(place: Place) -> None:
    place.publish(3)
    place.publish(3, LATER)
    # Orders that had been booked on another customer.
    rows = shop()
    rows = rows[rows["customer_id"] != "lapsed-000"]
    moved = rows[rows["customer_id"] == "daily-000"].assign(customer_id="lapsed-000")
    land(place.spark, place.root, pd.concat([rows, moved]))
    place.publish(3, LATER, "run_all", revise=True)
    migrations = place.rows("migrations", LATER)
    by_day = {day: moves(own) for day, own in migrations.groupby("against_as_of")}
    assert by_day == {AS_OF: {"behaviour": 1}, LATER: {"correction": 1}}


def test_customers_near_a_border_are_held_and_profiles_count_them_where_they_are_published(
    place: Place,
) -> None:
    place.publish(3)
    place.publish(2, LATER, **{"segments.hold.dwell_days": 30})
    rows = place.rows("assignments", LATER)
    held = rows[rows["segment_id"] != rows["raw_segment_id"]]
    # The third segment has no cluster any more, so nobody can be held there.
    assert held.empty
    place.publish(3, THIRD, **{"segments.hold.dwell_days": 30})
    rows = place.rows("assignments", THIRD)
    held = rows[rows["segment_id"] != rows["raw_segment_id"]]
    assert len(held) == SIZE
    assert set(held["since"]) == {AS_OF} or set(held["since"]) == {LATER}
    profiles = place.rows("profiles", THIRD)
    clusters = profiles[(profiles["scheme"] == "clusters") & (profiles["segment_id"] != 0)]
    sizes = rows[rows["segment_id"] != 0]["segment_id"].value_counts().to_dict()
    assert clusters.set_index("segment_id")["customers"].to_dict() == sizes


def test_memberships_last_from_the_first_run_in_a_segment_to_the_first_one_that_is_not(place: Place) -> None:
    place.publish(3)
    place.publish(2, LATER)
    rows = shop()
    land(place.spark, place.root, rows[rows["customer_id"] != "whales-000"])
    place.publish(2, THIRD, "run_all", revise=True)
    ledger = ledger_of(place.spark, place.settings(3))
    found = read_memberships(ledger)
    assert found is not None
    history = found.toPandas()
    stays = history[history["customer_id"] == "gone-000"]
    assert [tuple(r) for r in stays.itertuples(index=False)] == [("gone-000", 0, "unsegmented", AS_OF, None)]
    left = history[history["customer_id"] == "whales-000"]
    assert left["valid_to"].max() == THIRD
    # At every run everybody is in exactly the segment that is published.
    for day in (AS_OF, LATER, THIRD):
        open_then = history[(history["valid_from"] <= day) & ~(history["valid_to"] <= day)]
        published = place.rows("assignments", day)
        columns = ["customer_id", "segment_id"]
        assert sorted(map(tuple, open_then[columns].values)) == sorted(map(tuple, published[columns].values))
    # A day that is published anew changes the history, and nothing has to be mended.
    place.publish(3, LATER, revise=True)
    again = read_memberships(ledger)
    assert again is not None and again.where(F.col("valid_from") == LATER).count() == 0


# ---------------------------------------------------------------- gates


def readers(place: Place) -> tuple[str, set[str]]:
    """The run whose segments Spark's readers see, and those that readers without Spark find in the ledger."""
    rows = place.rows("assignments", AS_OF)
    ledger = DeltaTable(f"{place.root}/published/runs").to_pandas()
    ledger = ledger[ledger["job"] != "build_features"]
    return rows["run_id"].iloc[0], set(ledger["run_id"])


def test_a_run_that_breaks_the_contract_is_invisible_and_the_former_stays(place: Place) -> None:
    former = place.publish(3)
    rows = shop(100)
    few = rows["customer_id"].str.startswith("daily") | rows["customer_id"].isin(["whales-000", "lapsed-000"])
    land(place.spark, place.root, rows[few])
    clauses = {"contract.share": "[0.005, 0.6]", "contract.owner": "crm", "contract.max_moved": 0.5}
    with pytest.raises(ContractBreach) as refused:
        place.publish(2, AS_OF, "run_all", revise=True, **clauses)
    assert refused.value.exit_code == 4
    assert "contract (ask crm)" in str(refused.value)
    assert "contract.share: segment" in str(refused.value)
    assert "must have 0.5% to 60.0% of customers; got 9" in str(refused.value)
    assert readers(place) == (former, {former})
    staged = DeltaTable(f"{place.root}/published/assignments").to_pandas()
    assert set(staged["run_id"]) == {former}


def test_a_consumed_segment_cannot_vanish(place: Place) -> None:
    place.publish(3)
    names = set(assigned(place.spark, place.settings(3))["segment_name"])
    read = {"contract.consumers": f"{{newsletter: [{', '.join(sorted(names))}]}}"}
    with pytest.raises(ContractBreach, match=r"contract\.consumers\.newsletter: segment \w+ must be there"):
        place.publish(2, LATER, **read)
    assert place.publish(3, LATER, **read)


def test_what_is_changed_between_the_table_and_the_model_stops_the_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = place.publish(3)
    whole = segmentation.eligible_customers

    def skewed(*arguments: Any) -> DataFrame:
        return whole(*arguments).withColumn("monetary", -F.col("monetary"))

    monkeypatch.setattr(segmentation, "eligible_customers", skewed)
    with pytest.raises(SegmentationError, match=r"parity: the saved model must give every customer"):
        place.publish(2, revise=True)
    assert readers(place) == (former, {former})


# ---------------------------------------------------------------- again, and between two


def test_a_rehearsal_tells_the_moves_and_leaves_nothing(place: Place) -> None:
    former = place.publish(3)
    versions = DeltaTable(f"{place.root}/published/runs").version()
    plan = make_plan(place.spark, place.settings(2), "train_segments", AS_OF, revise=True)
    outcome = run_plan(plan, rehearse=True)
    assert sum(m["customers"] for m in outcome.migrations if m["kind"] == "moved") == SIZE
    assert readers(place) == (former, {former})
    assert DeltaTable(f"{place.root}/published/runs").version() == versions
    assert len(list((place.root / "published" / "models").glob("*/*"))) == 1


def test_an_older_run_is_replayed_to_the_bit_until_its_source_version_is_gone(place: Place) -> None:
    first = place.publish(3, AS_OF, "run_all", revise=True)
    more = shop(30)
    place.spark.createDataFrame(more[more["customer_id"].str.endswith("-029")]).write.format("delta").mode(
        "append"
    ).save(f"{place.root}/orders")
    second = place.publish(3, LATER, "run_all", revise=True)
    other = place.settings(4, seed=7)
    for run_id in (first, second):
        again = replay(place.spark, other, run_id)
        tables = ("features", "candidates", "assignments", "profiles", "rules", "explanations")
        assert again.same == dict.fromkeys(tables, True)
        assert again.notes == ()
    assert readers(place)[1] == {first, second}
    assert set(DeltaTable(f"{place.root}/published/assignments").to_pandas()["run_id"]) == {first, second}
    with pytest.raises(ConfigError, match=f"RUN: must be a committed run; got 'no' .*{first}"):
        replay(place.spark, other, "no")
    # Written anew, and the files of before deleted.
    land(place.spark, place.root, more)
    store = Store(place.spark, place.settings(3).publishing)
    place.spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    place.spark.sql(f"VACUUM '{place.root}/orders' RETAIN 0 HOURS")
    place.spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "true")
    assert store.read("runs") is not None
    sentence = (
        rf"sources.orders: version 0 of {place.root}/orders must still be there; got a table of which it"
    )
    with pytest.raises(InputError, match=sentence):
        replay(place.spark, other, first)


def test_what_lies_between_two_runs_is_told_in_counts_and_words(place: Place) -> None:
    one, two = place.publish(3), place.publish(2, revise=True)
    ledger = ledger_of(place.spark, place.settings(3))
    runs = ledger.runs()
    told = differences(ledger.store, known_run(runs, one, "A"), known_run(runs, two, "B"))
    assert 'config selection.pick: "kmeans:3" → "kmeans:2"' in told
    assert "model: kmeans k=3 → kmeans k=2" in told
    assert f"customers: {2 * SIZE + 1} of {3 * SIZE + 1} are where they were" in told
    assert any(sentence.startswith(f"{SIZE} from ") for sentence in told)
    assert any(sentence.endswith("there is none any more") for sentence in told)
    same = known_run(runs, one, "A")
    assert differences(ledger.store, same, same) == [
        f"model: the same, of run {one}",
        f"customers: {3 * SIZE + 1} of {3 * SIZE + 1} are where they were",
    ]


# ---------------------------------------------------------------- monitor


@pytest.fixture
def shifted(place: Place) -> Iterator[Place]:
    """A run, and a table of orders in which everybody pays five times as much."""
    place.publish(3)
    rows = shop()
    rows["amount"] *= 5
    land(place.spark, place.root, rows)
    yield place


def test_the_monitor_keeps_a_model_of_today_and_names_the_feature_that_has_shifted(shifted: Place) -> None:
    place, settings = shifted, shifted.settings(3)
    assert run(place.spark, settings, "monitor_segments").decision == "keep"
    run(place.spark, settings, "build_features", LATER, revise=True)
    run(place.spark, settings, "assign_segments", LATER)
    outcome = run(place.spark, settings, "monitor_segments", LATER)
    assert outcome.decision == "refit"
    drift = place.rows("drift", LATER)
    shifted_features = drift[(drift["measure"] == "psi") & drift["breached"]]
    assert "monetary" in set(shifted_features["subject"])
    assert "frequency" not in set(shifted_features["subject"])
    (decision,) = place.rows("decisions", LATER).to_dict("records")
    assert decision["action"] == "refit"
    assert decision["model_age_days"] == 7
    assert "monetary" in decision["reasons"]
    assert {"silhouette", "distance_psi", "size_psi", "age_days"} <= set(drift["measure"])
    assert run(place.spark, settings, "monitor_segments", LATER).already_published
    # The day is fitted anew, and each job of it may be repeated.
    trained = run(place.spark, settings, "train_segments", LATER, revise=True)
    assert run(place.spark, settings, "assign_segments", LATER).run_id == trained.run_id
    assert not run(place.spark, settings, "monitor_segments", LATER, revise=True).already_published
    assert run(place.spark, settings, "train_segments", LATER, revise=True).already_published


def test_refit_auto_keeps_the_model_until_drift_or_age_tell_otherwise(shifted: Place) -> None:
    place, spark = shifted, shifted.spark
    first = next(r for r in ledger_of(spark, place.settings(3)).runs() if r.model_run_id)

    def auto(as_of: date, **changes: Any) -> tuple[str | None, str | None]:
        plan = make_plan(spark, place.settings(3, **changes), "run_all", as_of, revise=True, refit="auto")
        outcome = run_plan(plan)
        done = next(r for r in ledger_of(spark, place.settings(3)).runs() if r.run_id == outcome.run_id)
        again = make_plan(spark, place.settings(3, **changes), "run_all", as_of, refit="auto")
        assert again.published is not None
        return outcome.decision, done.model_run_id

    decision, model = auto(LATER)
    assert decision == "refit" and model != first.run_id
    land(spark, place.root, shop())
    next_day = LATER + timedelta(days=1)
    assert auto(next_day, **{"monitoring.max_psi": 90}) == ("keep", model)
    old = {"monitoring.max_psi": 90, "monitoring.max_age_days": 1}
    decision, newest = auto(THIRD, **old)
    assert decision == "refit" and newest not in (model, first.run_id)
