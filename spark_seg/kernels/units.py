"""From a customer's features to the point that is clustered, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spark_seg.kernels.shapes import Floats, Ints


@dataclass(frozen=True)
class Units:
    """How raw features become points, and back: the fitted preparation as plain numbers.

    A raw value is filled, capped, perhaps brought to log1p (with its sign), and moved by `origin`: it is
    then prepared. Less `shift`, times `scale` it is an element of the point, or of what a PCA turns into
    the point. One entry for each feature throughout.
    """

    #: Names of the features.
    names: tuple[str, ...]
    #: Value where there is none (NaN).
    fill: Floats
    #: Caps; -inf and inf where there is none.
    low: Floats
    high: Floats
    #: Features that are brought to log1p.
    logged: NDArray[np.bool_]
    #: Taken off after the logarithm.
    origin: Floats
    #: Taken off before scaling.
    shift: Floats
    #: Factor of the scaling.
    scale: Floats
    #: Decimal places that values have: 0 for days and counts, inf for any number.
    places: Floats
    #: Features × dimensions of a PCA.
    components: Floats | None = None

    def prepared(self, raw: Floats) -> Floats:
        """Rows × features, NaN where there is no value → the same before scaling."""
        return self.prepared_of(raw, np.arange(len(self.names)))

    def prepared_of(self, raw: Floats, feature: int | Ints) -> Floats:
        """Raw values of one feature (or each of its own, by place) → before scaling."""
        value = np.where(np.isnan(raw), self.fill[feature], raw)
        value = np.maximum(self.low[feature], np.minimum(self.high[feature], value))
        logarithm = np.sign(value) * np.log1p(np.abs(value))
        return np.asarray(np.where(self.logged[feature], logarithm, value) - self.origin[feature])

    def raw_of(self, prepared: Floats, feature: int | Ints) -> Floats:
        """The raw values that `prepared_of` brings to `prepared`, where that is strictly inside the caps."""
        value = prepared + self.origin[feature]
        # Only logarithms are raised: the exponential of another value may overflow.
        logarithm = np.where(self.logged[feature], value, 0.0)
        raised = np.sign(logarithm) * np.expm1(np.abs(logarithm))
        return np.asarray(np.where(self.logged[feature], raised, value))

    def points(self, raw: Floats) -> Floats:
        """Rows × features, NaN where there is no value → rows × dimensions."""
        return self.placed(self.prepared(raw))

    def placed(self, prepared: Floats) -> Floats:
        """Rows × features before scaling → rows × dimensions."""
        scaled = (prepared - self.shift) * self.scale
        return scaled if self.components is None else np.asarray(scaled @ self.components)

    def direction(self, feature: int) -> Floats:
        """Dimensions: change of the point per unit of the prepared feature."""
        axes = np.eye(len(self.names)) if self.components is None else self.components
        return np.asarray(self.scale[feature] * axes[feature])
