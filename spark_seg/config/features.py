"""What of the sources is trusted, and what is computed for each customer."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spark_seg.config.fields import NUMERIC, Days, Identifier, Model, Share
from spark_seg.errors import suggestion


class CleaningSettings(Model):
    """Which rows are trusted."""

    id_unicode: Literal["nfc", "keep"] = Field(
        "nfc", description="nfc: spellings of an id that look the same are one customer; keep: as they came"
    )
    id_case: Literal["keep", "lower", "upper"] = Field(
        "keep", description="lower, upper: ids that differ in capitals are one customer, written so"
    )
    currency: str | None = Field(
        None,
        description="the one currency of amounts; needs the role `currency`. Rows in others are converted by "
        "sources.rates, or else rejected; null: all rows must be in one currency, whichever",
    )
    returns: Literal["net", "reject"] = Field(
        "net", description="net: a return lowers the customer's spend on its day; reject: leave it out"
    )
    returned_statuses: tuple[str, ...] = Field(
        (), description="values of `status` that mark a return, besides a negative amount"
    )
    cancellations: Literal["net", "reject"] = Field(
        "reject",
        description="reject: the cancelled purchase itself carries the status and is left out; "
        "net: the row is the reversal of an earlier purchase row and its amount is taken off",
    )
    cancelled_statuses: tuple[str, ...] = Field((), description="values of `status` that mark a cancellation")
    zero_amounts: Literal["keep", "reject"] = Field(
        "reject", description="keep: an order of amount zero counts as an order"
    )
    earliest: date = Field(date(1970, 1, 1), description="rows dated before this day are rejected")
    max_reject_share: Share = Field(
        0.05,
        description="share of a source's rows that may be rejected; above it the run stops. Rows on or "
        "after as_of do not count: a backfill rightly sees them",
    )
    keep_after_as_of: bool = Field(
        True, description="write rows on or after as_of to rejects; false: count them only (long backfills)"
    )


class EngagementSettings(Model):
    """What events count for."""

    kinds: dict[Identifier, Annotated[float, Field(ge=0, le=1e6), NUMERIC]] = Field(
        default_factory=dict, description="event kind → weight in the engagement score (0: counted only)"
    )
    half_life_days: Days = Field(30, description="age at which an event's weight has halved, in days")
    contact_kind: Identifier | None = Field(
        None, description="kind that means 'we contacted the customer'; its `subject` names the campaign"
    )
    response_kind: Identifier | None = Field(
        None, description="kind that means 'the customer answered' a contact with the same `subject`"
    )

    @property
    def subject_kinds(self) -> tuple[str, ...]:
        """Kinds whose subjects count: contacts, and what answers them."""
        return tuple(kind for kind in (self.contact_kind, self.response_kind) if kind is not None)

    @model_validator(mode="after")
    def _kinds_known(self) -> Self:
        if (self.contact_kind is None) != (self.response_kind is None):
            raise ValueError("contact_kind and response_kind must be given together")
        for kind in self.subject_kinds:
            if kind not in self.kinds:
                raise ValueError(f"kind '{kind}' is not in kinds; {suggestion(kind, self.kinds)}")
        return self


class LifecycleSettings(Model):
    """Borders between lifecycle stages."""

    new_within_days: Days = Field(60, description="first order at most this many days ago: new")
    active_within_days: Days = Field(45, description="last order at most this many days ago: active")
    lapsed_after_days: Days = Field(120, description="last order more than this many days ago: lapsed")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.active_within_days >= self.lapsed_after_days:
            raise ValueError(
                f"lapsed_after_days must be more than active_within_days ({self.active_within_days}); "
                f"got {self.lapsed_after_days}"
            )
        return self


class FeatureSettings(Model):
    """What is computed per customer."""

    lookback_days: Days = Field(
        365, description="length of the observation period [as_of - lookback_days, as_of), in days"
    )
    lookbacks_days: tuple[Days, ...] = Field(
        (30, 90), description="further, shorter periods for frequency_<n>d and monetary_<n>d, in days"
    )
    trend_days: Days = Field(
        90, description="the last trend_days against the trend_days before them, in days"
    )
    engagement: EngagementSettings = Field(default_factory=EngagementSettings)
    lifecycle: LifecycleSettings = Field(default_factory=LifecycleSettings)
    eligible: Literal["buyers", "active"] = Field(
        "buyers",
        description="who is segmented. buyers: an order in the observation period; "
        "active: an order or an event in it",
    )

    holdout_days: Days | None = Field(
        None,
        description="length of a later period [as_of, as_of + holdout_days), in days: where the orders "
        "reach so far (a run for a past day), segments are held against what customers did in it; null: none",
    )

    @model_validator(mode="after")
    def _periods(self) -> Self:
        too_long = [d for d in (*self.lookbacks_days, 2 * self.trend_days) if d > self.lookback_days]
        if too_long:
            raise ValueError(
                f"lookback_days must be at least {max(too_long)} (the longest of lookbacks_days and twice "
                f"trend_days); got {self.lookback_days}"
            )
        if len(set(self.lookbacks_days)) != len(self.lookbacks_days):
            raise ValueError("lookbacks_days must not repeat a period")
        return self
