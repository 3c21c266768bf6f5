"""When a model is kept, when it is fitted anew, and when a person is told."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from spark_seg.config.fields import NUMERIC, Days, Identifier, Model, Share

_Stability = Annotated[float, Field(gt=0, le=100), NUMERIC]
_Relative = Annotated[float, Field(gt=0, le=100), NUMERIC]


class MonitoringSettings(Model):
    """Borders within which a model is kept. What chance alone explains breaches none of them."""

    max_psi: _Stability = Field(
        0.25,
        description="population stability index (PSI) of a feature, or of the distances to the centres, from "
        "which on the model is fitted anew (Siddiqi: below 0.1 stable, from 0.25 on another population)",
    )
    max_size_psi: _Stability = Field(
        0.25,
        description="PSI of the sizes of segments from which on the model is fitted anew; of their revenues: "
        "from which on there is an alert",
    )
    max_share_change: Share = Field(
        0.10,
        description="change of one segment's share of customers, or of revenue, beyond which there is an "
        "alert; absolute: 0.10 is from 20 % to more than 30 %",
    )
    max_index_loss: _Relative = Field(
        0.25,
        description="relative fall of the silhouette, or rise of the Davies-Bouldin index, beyond which the "
        "model is fitted anew",
    )
    min_refit_agreement: Share = Field(
        0.5,
        description="agreement (adjusted Rand index) of the segments with those of a fresh fit below which "
        "the model is fitted anew",
    )
    max_flap_rate: Share = Field(
        0.10,
        description="share of customers who go to and fro between segments beyond which there is an alert",
    )
    max_engagement_loss: Annotated[float, Field(gt=0, le=1), NUMERIC] = Field(
        0.3, description="relative fall of a segment's mean engagement score beyond which there is an alert"
    )
    max_age_days: Days | None = Field(
        90, description="age of the model in days beyond which it is fitted anew; null: age does not count"
    )
    protected: tuple[Identifier, ...] = Field(
        (),
        description="attributes of customers by which nobody may be put at a disadvantage, e.g. [gender]; "
        "none: fairness is not looked at",
    )
    benefit_segments: tuple[Identifier, ...] = Field(
        (), description="names of the segments that it is good to be in, held to min_ratio"
    )
    min_ratio: Annotated[float, Field(gt=0, le=1), NUMERIC] = Field(
        0.8,
        description="rate of a group in a benefit segment, over the highest rate of any group, below which "
        "there is an alert (the four-fifths rule)",
    )
    min_group: Annotated[int, Field(ge=1), NUMERIC] = Field(
        30, description="fewest customers of a group that is compared with others"
    )
    max_proxy: Annotated[float, Field(gt=0, le=1), NUMERIC] = Field(
        0.14,
        description="share of the variance of a feature's ranks that lies between the groups of a protected "
        "attribute (η²) from which on there is an alert: the feature stands for the attribute (Cohen: 0.06 "
        "is a medium and 0.14 a large effect)",
    )

    @model_validator(mode="after")
    def _groups_to_compare(self) -> Self:
        if self.benefit_segments and not self.protected:
            raise ValueError(
                "benefit_segments needs protected: the attributes whose groups are compared in them"
            )
        return self
