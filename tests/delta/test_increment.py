"""A run that builds on the activity of an earlier one gives the features of a run that reads everything."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chispa import assert_df_equality
from configured import settings_for
from pyspark.sql import DataFrame, SparkSession

from spark_seg.activity import Part
from spark_seg.config import Settings
from spark_seg.pipeline import clean as clean_module
from spark_seg.pipeline import make_plan, run_plan
from spark_seg.publishing import Ledger, Store, read_current

FIRST = date(2024, 3, 1)
KINDS = ("mail", "click", "visit")
ORDER = """customer_id string, order_id string, line_id string, ordered_at timestamp, amount double,
           category string"""
EVENT = "who string, at string, kind string, about string"


class Shop:
    """A small lake that grows, and two places where its features are published."""

    def __init__(self, spark: SparkSession, root: Path, seed: int) -> None:
        self.spark, self.root, self.rng = spark, root, np.random.default_rng(seed)
        self.number = 0
        changes = {
            "sources.events": f"[{{path: {root}/events, columns: {{customer_id: who, occurred_at: at, "
            "kind: kind, subject: about}}]",
            "cleaning.max_reject_share": 0.5,
            "features.engagement": "{kinds: {mail: 0, click: 1, visit: 0.3}, contact_kind: mail, "
            "response_kind: click}",
            "features.lookback_days": 60,
            "features.lookbacks_days": "[10]",
            "features.trend_days": 20,
        }
        self.kept = settings_for(root, **changes, **{"publishing.keep_activity": "true"})
        self.anew = settings_for(root, **changes, **{"publishing.root": f"{root}/anew"})

    def orders(self, day: date, count: int) -> list[tuple[Any, ...]]:
        """Orders of a day; a few of them go on after midnight."""
        rows = []
        for _ in range(count):
            self.number += 1
            at = datetime(day.year, day.month, day.day, 23, 40) - timedelta(
                minutes=int(self.rng.integers(1400))
            )
            for line in range(int(self.rng.integers(1, 4))):
                rows.append((
                    f"c{self.rng.integers(12)}" if line == 0 else rows[-1][0],
                    f"o{self.number}", str(line), at + timedelta(minutes=30 * line),
                    round(float(self.rng.normal(20, 15)), 2), f"k{self.rng.integers(3)}",
                ))  # fmt: skip
        return rows

    def events(self, day: date, count: int) -> list[tuple[Any, ...]]:
        """Events of a day."""
        rows = []
        for _ in range(count):
            kind = KINDS[int(self.rng.integers(3))]
            hour = int(self.rng.integers(24))
            about = f"s{self.rng.integers(4)}" if kind != "visit" else None
            rows.append((f"c{self.rng.integers(15)}", f"{day} {hour:02}:15", kind, about))
        return rows

    def land(self, orders: list[tuple[Any, ...]], events: list[tuple[Any, ...]]) -> None:
        """Append rows, in one commit a table."""
        for name, rows, schema in (("orders", orders, ORDER), ("events", events, EVENT)):
            if rows:
                frame = self.spark.createDataFrame(rows, schema).coalesce(1)
                frame.write.format("delta").mode("append").save(f"{self.root}/{name}")

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        """All rows of a table as they are now."""
        return [tuple(row) for row in self.spark.read.format("delta").load(f"{self.root}/{name}").collect()]

    def features(self, settings: Settings, as_of: date, revise: bool = False) -> DataFrame:
        """Build the features of a day, and read them."""
        run_plan(make_plan(self.spark, settings, "build_features", as_of, revise=revise))
        ledger = Ledger(Store(self.spark, settings.publishing), settings.pipeline)
        current = read_current(ledger, "features", as_of)
        assert current is not None
        return current.drop("run_id", "attempt_id", "attributes")

    def activity(self, as_of: date) -> tuple[Part, ...]:
        """The parts that the run of `as_of` stands on, its own first."""
        ledger = Ledger(Store(self.spark, self.kept.publishing), self.kept.pipeline)
        return [run for run in ledger.runs() if run.as_of == as_of][-1].activity

    def since(self, as_of: date) -> date | None:
        """First day that the run of `as_of` computed; None: all."""
        return self.activity(as_of)[0].since

    def same_features(self, as_of: date) -> None:
        """Both ways give the same rows, to the last bit."""
        ours, theirs = self.features(self.kept, as_of), self.features(self.anew, as_of)
        assert ours.count() > 5
        assert_df_equality(ours, theirs, ignore_row_order=True)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Shop:
    """A month of rows, published once."""
    shop = Shop(spark, tmp_path, 1)
    orders, events = [], []
    for n in range(30):
        orders += shop.orders(FIRST - timedelta(days=30 - n), 3)
        events += shop.events(FIRST - timedelta(days=30 - n), 5)
    # Deliveries that already hold what comes later, and rows that no day can be read from.
    orders += shop.orders(FIRST + timedelta(days=1), 2)
    events += [("c1", "no time", "mail", "s1"), ("c2", None, "mail", "s1")]
    shop.land(orders, events)
    shop.features(shop.kept, FIRST)
    assert shop.since(FIRST) is None
    return shop


def test_only_days_that_are_new_or_changed_are_computed(lake: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean_module, "MOST_PARTS", 3)
    days = [FIRST + timedelta(days=n) for n in range(6)]

    lake.land(lake.orders(days[0], 3), lake.events(days[0], 4))
    lake.spark.sql(f"OPTIMIZE '{lake.root}/orders'")
    lake.same_features(days[1])
    since = lake.since(days[1])
    # An order that began before midnight takes its first day along.
    assert since is not None
    assert days[0] - timedelta(days=2) <= since <= days[0]

    # An order of ten days ago gets one more line, an event comes four days late, others come twice.
    old = min((row for row in lake.rows("orders") if row[3].date() >= FIRST - timedelta(days=10)), key=str)
    longer = (*old[:2], "9", datetime(days[1].year, days[1].month, days[1].day, 8), 5.0, "k1")
    late = FIRST - timedelta(days=4)
    events = lake.events(late, 1) + lake.events(days[1], 4)
    lake.land([*lake.orders(days[1], 3), longer], events + events)
    lake.same_features(days[2])
    since = lake.since(days[2])
    assert since is not None
    assert since <= min(old[3].date(), late)

    # Nothing came at all; then there are parts enough to make one of them.
    for as_of, expected in ((days[3], days[2]), (days[4], None)):
        lake.same_features(as_of)
        assert lake.since(as_of) == expected
    # The part of the first day is no longer among them: its days were computed anew since.
    assert [part.as_of for part in lake.activity(days[3])] == [days[3], days[2], FIRST]
    assert len(lake.activity(days[4])) == 1


def test_what_cannot_be_built_on_is_computed_anew(lake: Shop) -> None:
    days = [FIRST + timedelta(days=n) for n in range(6)]
    events = lake.spark.read.format("delta").load(f"{lake.root}/events")
    fewer = events.where("kind <> 'click' or at < '2024-02-20'")
    fewer.write.format("delta").mode("overwrite").save(f"{lake.root}/events")
    lake.same_features(days[1])
    assert lake.since(days[1]) is None

    # From here on it has only been added to again; a revision looks at everything none the less.
    lake.land([], lake.events(days[1], 3))
    lake.features(lake.kept, days[2])
    assert lake.since(days[2]) == days[1]
    lake.land([], lake.events(FIRST, 1))
    lake.features(lake.kept, days[2], revise=True)
    assert lake.since(days[2]) is None

    path = f"{lake.kept.publishing.root}/activity"
    rest = lake.spark.read.format("delta").load(path).where("customer_id <> 'c1'")
    rest.write.format("delta").mode("overwrite").save(path)
    lake.features(lake.kept, days[3])
    assert lake.since(days[3]) is None

    cleaning = lake.kept.cleaning.model_copy(update={"zero_amounts": "keep"})
    lake.features(lake.kept.model_copy(update={"cleaning": cleaning}), days[4])
    assert lake.since(days[4]) is None
