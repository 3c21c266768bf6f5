"""Features → the vectors that are clustered."""

from spark_seg.preparation.fit import (
    LARGEST,
    MAX_PARTITIONS,
    ROWS_PER_PARTITION,
    VECTOR,
    Preparation,
    canonical_layout,
    check_directions,
    check_finite,
    fit_preparation,
    literal,
)
from spark_seg.preparation.units import units_of

__all__ = [
    "LARGEST",
    "MAX_PARTITIONS",
    "ROWS_PER_PARTITION",
    "VECTOR",
    "Preparation",
    "canonical_layout",
    "check_directions",
    "check_finite",
    "fit_preparation",
    "literal",
    "units_of",
]
