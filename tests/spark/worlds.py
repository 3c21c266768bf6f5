"""Generated worlds: what some customers did, written as sources write it; many are computed in one pass.

Every world keeps to itself by a prefix before the ids of its customers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import assume
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from shop import EVENT_ROLES, events_of, orders_of

from spark_seg.activity import daily_activity
from spark_seg.cleaning import Rules, clean_events, clean_orders
from spark_seg.config import CleaningSettings, FeatureSettings
from spark_seg.features import build_features, score_rfm

#: 90 days before lies a day without a midnight in Cairo.
AS_OF = date(2024, 7, 25)
ZONE = ZoneInfo("Europe/Berlin")
KINDS = {"mail": 0, "click": 0.1, "visit": 0.3}
SETTINGS = FeatureSettings.model_validate(
    {
        "engagement": {
            "kinds": KINDS,
            "half_life_days": 60,
            "contact_kind": "mail",
            "response_kind": "click",
        },
        "eligible": "active",
    }
)
CLEANING = CleaningSettings(
    returned_statuses=("returned",), cancelled_statuses=("cancelled",), zero_amounts="keep"
)
RULES = Rules(CLEANING, AS_OF, frozenset(KINDS))
OBSERVATION_START = AS_OF - timedelta(days=SETTINGS.lookback_days)


class Order(NamedTuple):
    """A purchase line. `at`: an instant, or the text that stands there instead; `writing`: of `WRITINGS`."""

    customer_id: str | None
    order_id: str | None
    line_id: str | None
    at: datetime | str | None
    amount: str | None
    category: str | None
    status: str | None
    writing: str


class Event(NamedTuple):
    customer_id: str | None
    event_id: str | None
    at: datetime | str | None
    kind: str | None
    subject: str | None
    writing: str


class World(NamedTuple):
    orders: tuple[Order, ...]
    events: tuple[Event, ...]

    def without(self, customers: str) -> World:
        def others(rows: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(row for row in rows if (row.customer_id or "").strip() not in customers)

        return World(others(self.orders), others(self.events))


# ---------------------------------------------------------------- how sources write it


def _at(zone: Any) -> Callable[[datetime], datetime]:
    return lambda instant: instant.astimezone(zone)


def wall_clock(instant: datetime) -> datetime:
    return instant.astimezone(ZONE).replace(tzinfo=None)


_KOLKATA = ZoneInfo("Asia/Kolkata")
WRITINGS: dict[str, Callable[[datetime], str]] = {
    "wall clock": lambda instant: wall_clock(instant).isoformat(),
    "Z": lambda instant: instant.replace(tzinfo=None).isoformat() + "Z",
    "+02:00": lambda instant: instant.astimezone(timezone(timedelta(hours=2))).isoformat(),
    "-09:30": lambda instant: instant.astimezone(timezone(-timedelta(hours=9.5))).isoformat(sep=" "),
    "Kolkata": lambda instant: f"{instant.astimezone(_KOLKATA).replace(tzinfo=None)} Asia/Kolkata",
}


def written(row: Order | Event) -> str | None:
    return WRITINGS[row.writing](row.at) if isinstance(row.at, datetime) else row.at


# ---------------------------------------------------------------- strategies

_EDGES = (
    *(AS_OF - timedelta(days=days) for days in (0, 1, 30, 90, 180, 365)),
    *(date(2024, 2, 29), date(2023, 12, 31)),
    *(date(2024, 3, 31), date(2023, 10, 29)) * 3,  # the clocks go forward, and back
)
_TIMES = ("00:00", "00:00:00.000001", "00:30", "01:30", "02:30", "12:00", "23:59:59", "23:59:59.999999")
_MOMENTS = [
    datetime.combine(day + timedelta(days=shift), time.fromisoformat(text), tzinfo=zone).astimezone(UTC)
    for day in _EDGES
    for shift in (0, -1, 1)
    for text in _TIMES
    for zone in (ZONE, UTC)
]
_ODD_MOMENTS = [
    *("2024-03-31T02:30", "2023-10-29T02:30", "2024-06-30", "2023-02-29", "soon", "", None),
    *("1969-12-31", "0001-01-01", "9999-12-31T23:59:59", "2024-07-24T24:00", "2024-07-24T23:59:60Z"),
]
_near = st.sampled_from([*_MOMENTS, *_ODD_MOMENTS * 4])
_anywhere = st.builds(
    lambda days, minutes: datetime(*AS_OF.timetuple()[:3], tzinfo=UTC) - timedelta(days, minutes=minutes),
    st.integers(-10, 420),
    st.integers(0, 24 * 60),
)
moments = st.one_of(_near, _near, _anywhere)
_AMOUNTS = (
    *("19.99", "-19.99", "0.1", "0.2", "0.3", "-0.1", "0", "-0.00", "1e3", " 7 ", "142857142.857142857"),
    *("0.00005", "0.00004999", "-0.00005", "99999999999999.9999", "-99999999999999.9999", "1e14"),
    *("NaN", "Infinity", "-inf", "1,99", "free", "", None),
)
amounts = st.one_of(
    st.sampled_from(_AMOUNTS), st.integers(-30_000, 90_000).map(lambda cents: f"{cents / 100:.2f}")
)
customers = st.sampled_from([*"aaaaaaabbcc", " a ", "\u00a0b", None])
writings = st.sampled_from(list(WRITINGS))


def orders(times: st.SearchStrategy[Any]) -> st.SearchStrategy[Order]:
    return st.builds(
        Order,
        customers,
        st.sampled_from([*"12345123451234", None]),
        st.sampled_from(["1", "2", None]),
        times,
        amounts,
        st.sampled_from(["toys", "food", "toys", "", None]),
        st.sampled_from([None, None, None, "returned", "cancelled"]),
        writings,
    )


def events(times: st.SearchStrategy[Any]) -> st.SearchStrategy[Event]:
    return st.builds(
        Event,
        customers,
        st.sampled_from([None, None, "1", "2"]),
        times,
        st.sampled_from([*("visit", "click", "mail", "visit", "click") * 3, "fax", None]),
        st.sampled_from(["s", "t", None]),
        writings,
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Rows of a few moments; some come again as they are, some with what another row says."""
    times = st.sampled_from(draw(st.lists(moments, min_size=5, max_size=9)))
    bought = draw(st.lists(orders(times), min_size=4, max_size=14))
    acted = draw(st.lists(events(times), min_size=5, max_size=15))
    pairs = draw(st.lists(st.tuples(st.sampled_from(bought), st.sampled_from(bought)), max_size=3))
    bought += [row._replace(amount=of.amount, category=of.category) for row, of in pairs]
    acted += draw(st.lists(st.sampled_from(acted), max_size=2))
    return World(tuple(bought), tuple(acted))


@st.composite
def many(draw: st.DrawFn, cases: int) -> list[World]:
    """So many different worlds. Not the simplest ones, with which every search begins: a pass is dear."""
    found = draw(st.lists(worlds(), min_size=cases, max_size=cases, unique=True))
    assume(sum(len({*world.orders, *world.events}) for world in found) > 12 * cases)
    return found


# ---------------------------------------------------------------- features

#: Of each world: customer → feature → value.
Features = list[dict[str, dict[str, Any]]]


def spelled(customer: str, variant: str, world: int) -> str:
    """The id of a customer of a world, between the blanks that stand around it."""
    core = customer.strip()
    return customer.replace(core, f"{variant}/{world}/{core}")


def _rows(variants: Mapping[str, Sequence[World]], part: str) -> list[tuple[str | None, ...]]:
    found = []
    for variant, of_variant in variants.items():
        for n, world in enumerate(of_variant):
            for row in getattr(world, part):
                customer = None if row.customer_id is None else spelled(row.customer_id, variant, n)
                found.append((customer, *row._replace(at=written(row))[1:-1]))
    return found


_ORDER_COLUMNS = ("customer_id", "order_id", "line_id", "ordered_at", "amount", "category", "status")


def features_of(
    spark: SparkSession,
    variants: Mapping[str, Sequence[World]],
    rules: Rules = RULES,
    order: random.Random | None = None,
    partitions: int = 1,
) -> dict[str, Features]:
    """Every number of every customer, of all worlds of all variants in one pass. All numbers are finite.

    `order`: shuffles the rows before they go to their partitions, and again from room to room: cleaning sorts
    them.
    """

    def stirred(rows: DataFrame) -> DataFrame:
        return rows if order is None else rows.repartition(partitions, F.rand(order.randrange(10_000)))

    def frame(part: str, columns: Sequence[str]) -> DataFrame:
        rows = _rows(variants, part)
        if order is not None:
            order.shuffle(rows)
        made = spark.createDataFrame(rows, ", ".join(f"{column} string" for column in columns))
        return made.repartition(partitions)

    bought = clean_orders(orders_of(frame("orders", _ORDER_COLUMNS), ZONE.key), rules)
    acted = clean_events(events_of(frame("events", EVENT_ROLES), ZONE.key), rules)
    activity = daily_activity(stirred(bought.kept), stirred(acted.kept), SETTINGS.engagement)
    built = build_features(stirred(activity), None, AS_OF, SETTINGS).persist()
    try:
        rows = score_rfm(built).customers.drop("attributes").collect()
    finally:
        built.unpersist()
    found: dict[str, Features] = {name: [{} for _ in of] for name, of in variants.items()}
    for row in rows:
        values = row.asDict()
        assert all(math.isfinite(v) for v in values.values() if isinstance(v, (float, Decimal))), values
        variant, world, customer = values.pop("customer_id").split("/")
        found[variant][int(world)][customer] = values
    return found


def assert_same(worlds: Sequence[World], ones: Features, others: Features) -> None:
    """To the last bit; or the smallest world where it is not so, and how its customers differ."""
    wrong = [n for n in range(len(worlds)) if _exact(ones[n]) != _exact(others[n])]
    if wrong:
        n = min(wrong, key=lambda n: sum(map(len, worlds[n])))
        rows = "\n".join(map(str, (*worlds[n].orders, *worlds[n].events)))
        differ = sorted(_exact(ones[n]) ^ _exact(others[n]))
        raise AssertionError(f"{len(wrong)} of {len(worlds)} worlds, such as\n{rows}\n{differ}")
    assert sum(map(len, ones)) > len(worlds), "hardly a customer"


def _exact(found: dict[str, dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {(c, name, repr(value)) for c, values in found.items() for name, value in values.items()}


# ---------------------------------------------------------------- what a person would add up


def signed_amounts(world: World) -> dict[str, Decimal]:
    """The net spend of the customers of a world whose lines all have names of their own."""
    lines: dict[tuple[str, str], list[tuple[datetime, Decimal]]] = {}
    for row in world.orders:
        at = _clock(row)
        amount = _money(row.amount)
        if row.customer_id is None or row.order_id is None or at is None or amount is None:
            continue
        if row.status == "cancelled" or not date(1970, 1, 1) <= at.date() < AS_OF:
            continue
        signed = -abs(amount) if row.status == "returned" else amount
        lines.setdefault((row.customer_id.strip(), row.order_id), []).append((at, signed))
    spent: dict[str, Decimal] = {}
    for (customer, _), of_order in lines.items():
        first = min(at for at, _ in of_order).date()
        counts = sum(signed for _, signed in of_order) if first >= OBSERVATION_START else Decimal(0)
        spent[customer] = spent.get(customer, Decimal(0)) + counts
    return spent


def _clock(row: Order) -> datetime | None:
    if isinstance(row.at, datetime):
        return wall_clock(row.at)
    try:
        return datetime.fromisoformat(row.at or "")
    except ValueError:
        return None


def _money(text: str | None) -> Decimal | None:
    try:
        value = Decimal((text or "").strip()).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value) < 10**14 else None
