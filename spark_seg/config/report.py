"""What a run explains, and what its report shows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spark_seg.config.fields import NUMERIC, Model, PathText, Share


class ExplanationSettings(Model):
    """Rules that say in words who is in which segment, and reasons customer by customer."""

    customers: bool = Field(
        True, description="publish for each customer what decides between segments (table explanations)"
    )
    max_depth: Annotated[int, Field(ge=1, le=8), NUMERIC] = Field(
        4, description="conditions of a rule at most (depth of the surrogate tree)"
    )
    min_fidelity: Share = Field(
        0.9,
        description="share of customers, of those the tree has not seen, whom its rules must put into the "
        "segment of the model; below it the report says that they are only approximate",
    )
    sample: Annotated[int, Field(ge=100), NUMERIC] = Field(
        50_000, description="customers that the tree is fitted on at most"
    )


class ReportSettings(Model):
    """The page that a run ends in; changes no result."""

    path: PathText | None = Field(None, description="folder of the pages; default <publishing.root>/reports")
    picture: Literal["pca", "tsne"] = Field(
        "pca",
        description="how customers are brought into two dimensions; tsne needs scikit-learn (the extra tsne)",
    )
    sample: Annotated[int, Field(ge=10, le=5_000), NUMERIC] = Field(
        1_500, description="customers in the picture at most"
    )
