"""What is clustered, how candidates are fitted, and how one of them is chosen."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spark_seg.config.fields import NUMERIC, Identifier, Model, Share


class PreparedFeature(Model):
    """How one feature enters the clustering."""

    impute: Literal["median", "mean", "min", "max"] | Annotated[float, NUMERIC] = Field(
        "median", description="what stands for a missing value: a statistic of the others, or a number"
    )
    cap: tuple[Share, Share] | None = Field(
        (0.005, 0.995), description="quantiles beyond which values are pulled in (winsorised); null: none"
    )
    log: bool = Field(False, description="log1p, mirrored for negative values: sign(x) * ln(1 + |x|)")

    @model_validator(mode="after")
    def _cap_order(self) -> Self:
        if self.cap is not None and self.cap[0] >= self.cap[1]:
            raise ValueError(f"cap must be two rising quantiles; got {list(self.cap)}")
        return self


class PreparationSettings(Model):
    """What is clustered, and in which form."""

    features: dict[Identifier, PreparedFeature] = Field(
        default_factory=lambda: {
            "recency_days": PreparedFeature(impute="max", log=True),
            "frequency": PreparedFeature(impute=0.0, log=True),
            "monetary": PreparedFeature(impute=0.0, log=True),
        },
        description="features that are clustered, each with impute, cap and log",
        min_length=1,
    )
    scale: Literal["standard", "robust", "min_max", "none"] = Field(
        "standard", description="standard: by deviation; robust: by interquartile range; min_max: to 0..1"
    )
    min_deviation: Annotated[float, Field(gt=0), NUMERIC] = Field(
        1e-6, description="a prepared feature with a smaller standard deviation is dropped as constant"
    )
    max_correlation: Annotated[float, Field(gt=0, le=1), NUMERIC] = Field(
        0.95, description="of two features correlated beyond this, the one named later is dropped"
    )
    pca_variance: Annotated[float, Field(gt=0, lt=1), NUMERIC] | None = Field(
        None, description="share of variance that the kept principal components explain; null: no PCA"
    )


Algorithm = Literal["kmeans", "bisecting", "mixture"]


def _per_algorithm(kmeans: int, bisecting: int, mixture: int) -> dict[Algorithm, int]:
    return {"kmeans": kmeans, "bisecting": bisecting, "mixture": mixture}


class ClusteringSettings(Model):
    """How candidates are fitted."""

    algorithms: tuple[Algorithm, ...] = Field(
        ("kmeans", "bisecting", "mixture"), description="algorithms that compete", min_length=1
    )
    distance: Literal["euclidean", "cosine"] = Field(
        "euclidean", description="geometry of kmeans and bisecting, and of every index"
    )
    restarts: dict[Algorithm, Annotated[int, Field(ge=1, le=100), NUMERIC]] = Field(
        default_factory=lambda: _per_algorithm(10, 3, 6),
        description="fits of one candidate from different seeds; the cheapest is kept",
    )
    max_iterations: dict[Algorithm, Annotated[int, Field(ge=1, le=10_000), NUMERIC]] = Field(
        default_factory=lambda: _per_algorithm(50, 10, 100),
        description="most iterations of one fit; bisecting: of each split, and it makes all of them",
    )
    parallel_fits: Annotated[int, Field(ge=1, le=64), NUMERIC] = Field(
        2, description="fits submitted at a time; hides the latency of small jobs, changes no result"
    )

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        if self.distance == "cosine" and "mixture" in self.algorithms:
            raise ValueError(
                "distance: cosine cannot be compared with mixture, which has no distance. "
                "Take mixture out of algorithms"
            )
        for name in ("restarts", "max_iterations"):
            missing = [a for a in self.algorithms if a not in getattr(self, name)]
            if missing:
                raise ValueError(f"{name} must name every algorithm; missing: {', '.join(missing)}")
        return self


#: What segments are held against in the holdout period.
HOLDOUT_MEASURES = ("holdout_spend", "holdout_active")


class SelectionRules(Model):
    """Business rules: a candidate that breaks one is rejected, whatever its indices."""

    min_segments: Annotated[int, Field(ge=2), NUMERIC] = Field(3, description="fewest segments worth having")
    max_segments: Annotated[int, Field(ge=2), NUMERIC] = Field(
        12, description="most segments people can handle"
    )
    min_segment_share: Share = Field(0.02, description="smallest segment, as a share of customers")
    min_segment_customers: Annotated[int, Field(ge=1), NUMERIC] = Field(
        10, description="smallest segment, in customers"
    )
    max_segment_share: Share = Field(0.6, description="largest segment, as a share of customers")
    min_separation: dict[Identifier, Share] = Field(
        default_factory=dict,
        description="feature (of preparation.features, or holdout_spend, holdout_active) → share of its "
        "variance, as prepared, that must lie between the segments; 0.06 is a medium and 0.14 a large effect "
        "(Cohen). What cannot be measured, as when there is no later period, is not demanded",
    )
    min_stability: Share = Field(
        0.6,
        description="share of its customers that each segment must keep in refits on resampled customers "
        "(mean Jaccard similarity; Hennig: below 0.6 unstable, above 0.75 stable)",
    )


class SelectionSettings(Model):
    """Which candidates are tried and how one is chosen."""

    k_min: Annotated[int, Field(ge=2, le=100), NUMERIC] = Field(2, description="smallest k tried")
    k_max: Annotated[int, Field(ge=2, le=100), NUMERIC] = Field(8, description="largest k tried")
    mode: Literal["coreset", "exact"] = Field(
        "coreset",
        description="coreset: fit candidates on a weighted sample, refine and measure them on all customers; "
        "exact: MLlib fits each candidate on all customers (dear)",
    )
    coreset_customers: Annotated[int, Field(ge=1000, le=1_000_000), NUMERIC] = Field(
        20_000, description="customers in the sample; fewer customers are all taken"
    )
    refine_passes: Annotated[int, Field(ge=0, le=100), NUMERIC] = Field(
        2, description="most passes over all customers that improve the candidates of the sample"
    )
    resamples: Annotated[int, Field(ge=0, le=1000), NUMERIC] = Field(
        10,
        description="refits that judge the stability of each candidate that passes the other rules; 0: none",
    )
    require_structure: bool = Field(
        False, description="true: choose nothing when data without groups are divided as well"
    )
    pick: Annotated[str, Field(pattern=r"^(kmeans|bisecting|mixture):[0-9]+$")] | None = Field(
        None, description="a person's choice that overrides rules and index, e.g. kmeans:6; it is recorded"
    )
    rules: SelectionRules = Field(default_factory=SelectionRules)
    stable: Share = Field(
        0.75,
        description="share of its customers that each segment keeps in refits from which on a candidate goes "
        "before all that keep less (Hennig: above 0.75 stable)",
    )
    index: Literal["silhouette", "davies_bouldin", "calinski_harabasz", "bic"] = Field(
        "silhouette",
        description="index that decides among candidates that pass the rules and are equally stable; the "
        "first three favour round segments, bic also finds long ones (by mixture)",
    )
    tolerance: Annotated[float, Field(ge=0, lt=1), NUMERIC] = Field(
        0.02,
        description="relative distance from the best index within which the smallest k wins, at any distance "
        "where customers show no groups; none for bic, which weighs k itself",
    )

    keep_within: Annotated[float, Field(ge=0, lt=1), NUMERIC] | None = Field(
        0.1,
        description="relative distance from the best index within which a refit keeps the algorithm and the "
        "k of the former run, as long as these pass the rules; null: never, and none for bic",
    )

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.k_max < self.k_min:
            raise ValueError(f"k_max must be at least k_min ({self.k_min}); got {self.k_max}")
        if self.rules.max_segments < self.rules.min_segments:
            raise ValueError(
                f"rules.max_segments must be at least rules.min_segments ({self.rules.min_segments}); "
                f"got {self.rules.max_segments}"
            )
        if self.k_max < self.rules.min_segments or self.k_min > self.rules.max_segments:
            raise ValueError(
                f"k_min..k_max ({self.k_min}..{self.k_max}) must overlap rules.min_segments.."
                f"max_segments ({self.rules.min_segments}..{self.rules.max_segments})"
            )
        return self
