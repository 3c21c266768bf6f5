"""One (algorithm, k) and everything that is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Candidate:
    """A row of the table `candidates`. Figures are None where they do not exist."""

    algorithm: str
    k: int
    effective_k: int = 0
    seed: int | None = None
    restarts: int = 0
    silhouette: float | None = None
    davies_bouldin: float | None = None
    calinski_harabasz: float | None = None
    cost: float | None = None
    sample_cost: float | None = None
    sample_error: float | None = None
    elbow: bool = False
    bic: float | None = None
    aic: float | None = None
    posterior: float | None = None
    collapsed: int | None = None
    agreement: float | None = None
    weakest: float | None = None
    separation: Mapping[str, float] = field(default_factory=dict)
    sizes: tuple[int, ...] = ()
    accepted: bool = False
    chosen: bool = False
    reason: str | None = None

    @property
    def customers(self) -> int:
        """Customers in all clusters."""
        return sum(self.sizes)

    @property
    def smallest_share(self) -> float | None:
        """Smallest cluster as a share of customers."""
        return min(self.sizes) / self.customers if self.sizes else None

    @property
    def largest_share(self) -> float | None:
        """Largest cluster as a share of customers."""
        return max(self.sizes) / self.customers if self.sizes else None

    @property
    def label(self) -> str:
        """`kmeans k=5`."""
        return f"{self.algorithm} k={self.k}"
