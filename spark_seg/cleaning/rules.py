"""Which rows are trusted: named predicates, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_seg.config import CleaningSettings
from spark_seg.tables import AMOUNT, trimmed

AFTER_AS_OF = "after_as_of"
ERASED = "erased"
NO_CONSENT = "no_consent"
DUPLICATE = "duplicate"
CONFLICT = "conflicting_duplicate"


@dataclass(frozen=True)
class Rules:
    """What the predicates may depend on."""

    settings: CleaningSettings
    as_of: date
    kinds: frozenset[str] = frozenset()
    #: `customer_id` of persons who were erased: their rows are counted, and kept nowhere.
    erased: DataFrame | None = None
    #: `customer_id` of those who agreed to be segmented; the rows of others likewise. None: nobody was asked.
    consenting: DataFrame | None = None
    #: Source → reasons for which rows may break the contracts of its tables.
    breaches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


Predicate = Callable[[Rules], Column]


def _erased(r: Rules) -> Column:
    return F.col("erased").isNotNull() if r.erased is not None else F.lit(False)


def _no_consent(r: Rules) -> Column:
    return F.col("consenting").isNull() if r.consenting is not None else F.lit(False)


def breaks(reason: str) -> Predicate:
    """Does a row break its table's contract in this way?"""
    return lambda _: F.col("breach") == reason


def _given(role: str) -> Column:
    """The value as it came is neither NULL nor blank."""
    return F.length(trimmed(F.coalesce(F.col(f"source_row.{role}"), F.lit("")))) > 0


def _is_null(role: str) -> Predicate:
    return lambda _: F.col(role).isNull() & ~_given(role)


def _unparseable(role: str) -> Predicate:
    return lambda _: F.col(role).isNull() & _given(role)


def _null_key(role: str) -> Predicate:
    return lambda _: F.col(role).isNull()


def _before_earliest(role: str) -> Predicate:
    return lambda r: F.to_date(role) < F.lit(r.settings.earliest)


def _after_as_of(role: str) -> Predicate:
    return lambda r: F.to_date(role) >= F.lit(r.as_of)


def _number() -> Column:
    return trimmed(F.col("source_row.amount")).try_cast("double")


def _amount_not_finite(_: Rules) -> Column:
    return F.col("amount").isNull() & (F.isnan(_number()) | (F.abs(_number()) == F.lit(float("inf"))))


def _amount_out_of_range(_: Rules) -> Column:
    largest = F.lit(10.0 ** (AMOUNT.precision - AMOUNT.scale))
    return F.col("amount").isNull() & (F.abs(_number()) >= largest)


def _currency_unknown(r: Rules) -> Column:
    if r.settings.currency is None:
        return F.lit(False)
    return F.coalesce(F.col("currency") != r.settings.currency, F.lit(True))


def _has_status(statuses: tuple[str, ...]) -> Column:
    return F.coalesce(F.col("status").isin(*statuses), F.lit(False)) if statuses else F.lit(False)


def _is_reversal(r: Rules) -> Column:
    """Row that takes an earlier purchase back, when cancellations are netted."""
    return _has_status(r.settings.cancelled_statuses) & F.lit(r.settings.cancellations == "net")


def is_return(r: Rules) -> Column:
    """Does a row take money back?"""
    return (F.col("amount") < 0) | _has_status(r.settings.returned_statuses) | _is_reversal(r)


def _cancelled(r: Rules) -> Column:
    return _has_status(r.settings.cancelled_statuses) & F.lit(r.settings.cancellations == "reject")


def _returned(r: Rules) -> Column:
    return is_return(r) & ~_is_reversal(r) & F.lit(r.settings.returns == "reject")


def _amount_zero(r: Rules) -> Column:
    return (F.col("amount") == 0) & F.lit(r.settings.zero_amounts == "reject")


def _kind_unknown(r: Rules) -> Column:
    return ~F.col("kind").isin(*sorted(r.kinds))


ORDER_RULES: dict[str, Predicate] = {
    ERASED: _erased,
    "null_customer_id": _null_key("customer_id"),
    NO_CONSENT: _no_consent,
    "null_order_id": _null_key("order_id"),
    "null_ordered_at": _is_null("ordered_at"),
    "unparseable_ordered_at": _unparseable("ordered_at"),
    "before_earliest": _before_earliest("ordered_at"),
    AFTER_AS_OF: _after_as_of("ordered_at"),
    "null_amount": _is_null("amount"),
    "amount_not_finite": _amount_not_finite,
    "amount_out_of_range": _amount_out_of_range,
    "unparseable_amount": _unparseable("amount"),
    "currency_unknown": _currency_unknown,
    "cancelled": _cancelled,
    "returned": _returned,
    "amount_zero": _amount_zero,
}

EVENT_RULES: dict[str, Predicate] = {
    ERASED: _erased,
    "null_customer_id": _null_key("customer_id"),
    NO_CONSENT: _no_consent,
    "null_occurred_at": _is_null("occurred_at"),
    "unparseable_occurred_at": _unparseable("occurred_at"),
    "before_earliest": _before_earliest("occurred_at"),
    AFTER_AS_OF: _after_as_of("occurred_at"),
    "null_kind": _null_key("kind"),
    "kind_unknown": _kind_unknown,
}

CUSTOMER_RULES: dict[str, Predicate] = {
    ERASED: _erased,
    "null_customer_id": _null_key("customer_id"),
    NO_CONSENT: _no_consent,
}

#: Reasons for which nobody is to blame: they do not count towards `max_reject_share`.
SETTLED = (AFTER_AS_OF, ERASED, NO_CONSENT)
#: Rows that are counted and kept nowhere, because of whose they are.
KEPT_NOWHERE = frozenset({ERASED, NO_CONSENT})
