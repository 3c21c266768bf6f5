"""How clusters become segments that last, and what their consumers count on."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spark_seg.config.fields import NUMERIC, Identifier, Model, Share
from spark_seg.config.rfm_map import DEFAULT_MAP, RfmRow, names_of

#: Name and id of the group of customers without enough data.
UNSEGMENTED = "unsegmented"
UNSEGMENTED_ID = 0

_Positive = Annotated[int, Field(ge=1), NUMERIC]
_Figure = Annotated[float, NUMERIC]


class Archetype(Model):
    """A kind of customer a marketer knows: where it lies among all customers, and what to do with it."""

    name: Identifier
    description: str = Field(description="one sentence a marketer understands")
    play: str = Field(description="the marketing play that belongs to it")
    signature: dict[Identifier, Literal["very_low", "low", "middle", "high", "very_high"]] = Field(
        min_length=1, description="feature → where this archetype lies among all customers"
    )


class HoldSettings(Model):
    """When a customer whom the model moves stays in the former segment, so that nobody flaps to and fro."""

    margin: Share | None = Field(
        None,
        description="a move to the neighbouring segment counts from this confidence on (mixture: from this "
        "difference of the two probabilities); null: always",
    )
    dwell_days: _Positive | None = Field(
        None,
        description="a move counts once the model has said the same for so many days; with margin, moves "
        "that are not sure enough wait for this; null: nothing waits",
    )


class SegmentSettings(Model):
    """How clusters get ids and names."""

    archetypes: tuple[Archetype, ...] = Field(
        min_length=1, description="names to give; conf/archetypes.yaml unless set"
    )
    max_name_difference: Annotated[float, Field(gt=0, le=2), NUMERIC] = Field(
        0.6,
        description="largest difference in any feature of a signature (positions run from -1 to 1) at which "
        "a segment still gets the archetype's name",
    )
    survival: Annotated[float, Field(gt=0.5, le=1), NUMERIC] = Field(
        0.7,
        description="share of a segment's customers that must be in one segment of the next fit for it to "
        "survive as that one (MONIC)",
    )
    split: Annotated[float, Field(gt=0, le=0.5), NUMERIC] = Field(
        0.3,
        description="share of a segment's customers that makes a cluster a part of it, when it survives in "
        "several (MONIC)",
    )
    min_common: Share = Field(
        0.3,
        description="customers of both fits as a share of the smaller one, below which segments are matched "
        "by where they lie instead of by whom they hold",
    )
    max_centre_distance: Annotated[float, Field(gt=0, le=2), NUMERIC] = Field(
        0.25,
        description="largest distance (root mean square over the clustered features; positions run from -1 "
        "to 1) at which such segments are the same",
    )
    hold: HoldSettings = Field(default_factory=HoldSettings)
    rfm_map: tuple[RfmRow, ...] = Field(
        DEFAULT_MAP,
        description="rows that give RFM scores a segment, each with name, r, f and m (a number, a list or a "
        "text such as 4-5; without one: any score); the first that matches wins. See spark-seg segments lint",
        min_length=1,
    )

    @model_validator(mode="after")
    def _names_unique(self) -> Self:
        names = [archetype.name for archetype in self.archetypes]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"archetypes must have different names; repeated: {', '.join(repeated)}")
        if UNSEGMENTED in (*names, *names_of(self.rfm_map)):
            raise ValueError(f"no segment may be called {UNSEGMENTED}: that is who has not enough data")
        return self


class SegmentContract(Model):
    """What consumers of the segments count on: a run that breaks it is not published."""

    owner: str | None = Field(None, description="who is to be asked; stands in the message of a breach")
    required: tuple[Identifier, ...] = Field((), description="names of segments that must be there")
    share: tuple[Share, Share] | None = Field(
        None, description="least and greatest share of customers of every segment"
    )
    shares: dict[Identifier, tuple[Share, Share]] = Field(
        default_factory=dict, description="name of a segment → least and greatest share of customers"
    )
    means: dict[Identifier, dict[Identifier, tuple[_Figure | None, _Figure | None]]] = Field(
        default_factory=dict,
        description="name of a segment → feature → least and greatest mean in the feature's unit; null: open",
    )
    max_moved: Share | None = Field(
        None, description="largest share of the customers of two runs that may change their segment in one"
    )
    max_order_age_days: _Positive | None = Field(
        None, description="days before as_of within which somebody must have ordered"
    )
    max_model_age_days: _Positive | None = Field(None, description="days that the model may be old")
    consumers: dict[Identifier, tuple[Identifier, ...]] = Field(
        default_factory=dict,
        description="campaign, dashboard or model → names of the segments it reads, which must be there",
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        bounds: dict[str, tuple[float | None, float | None]] = {
            f"shares.{n}": b for n, b in self.shares.items()
        }
        if self.share is not None:
            bounds["share"] = self.share
        bounds |= {f"means.{s}.{f}": two for s, own in self.means.items() for f, two in own.items()}
        wrong = [
            f"{where} must be [least, greatest]; got {[low, high]}"
            for where, (low, high) in bounds.items()
            if low is not None and high is not None and low > high
        ]
        if wrong:
            raise ValueError("\n".join(wrong))
        return self
