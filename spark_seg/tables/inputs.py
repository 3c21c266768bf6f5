"""The contract of every canonical input, and of the daily activity made from them."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql.types import (
    BooleanType,
    DateType,
    DecimalType,
    LongType,
    MapType,
    StringType,
    TimestampNTZType,
)

from spark_seg.tables.spec import AMOUNT, MONEY, Field, Spec

_STRING, _LONG = StringType(), LongType()

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

#: The daily state, but for the counts of events.
DAILY = Spec(
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
    return DAILY.extended(kind_fields(kinds))


def kind_fields(kinds: Iterable[str]) -> tuple[Field, ...]:
    """A count for each declared kind of event."""
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
