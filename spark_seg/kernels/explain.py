"""What Python workers do to explain customers: batches of Arrow in, reasons out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from spark_seg.kernels.blocks import settle
from spark_seg.kernels.change import smallest_change
from spark_seg.kernels.indices import Clusters
from spark_seg.kernels.reasons import located, pulls, silhouettes
from spark_seg.kernels.shapes import Floats, Ints, Shape, sums_by_place
from spark_seg.kernels.units import Units

#: Features that are told to decide most.
_PULLS = 3
#: Digits of what is told: the last ones depend on how many rows a batch has.
_PLACES = 6

_PULL = pa.struct([("feature", pa.string()), ("value", pa.float64()), ("pull", pa.float64())])
_REASONS = pa.schema([
    ("customer_id", pa.string()), ("segment_id", pa.int32()), ("second_segment_id", pa.int32()),
    ("margin", pa.float64()), ("silhouette", pa.float64()), ("rule_id", pa.int32()),
    ("pulls", pa.list_(_PULL)), ("change_feature", pa.string()), ("change_from", pa.float64()),
    ("change_to", pa.float64()), ("change_segment_id", pa.int32()), ("change_size", pa.float64()),
])  # fmt: skip
#: The same for Spark.
REASONS_DDL = (
    "customer_id string, segment_id int, second_segment_id int, margin double, silhouette double, "
    "rule_id int, "
    "pulls array<struct<feature: string, value: double, pull: double>>, change_feature string, "
    "change_from double, change_to double, change_segment_id int, change_size double"
)


@dataclass(frozen=True)
class Totals:
    """What the customers of a clustering add up to: `clusters` in the fitted geometry around `pivot`, and the
    smallest and largest raw value of each feature."""

    clusters: Clusters
    pivot: Floats
    least: Floats
    most: Floats


@dataclass(frozen=True)
class Adder:
    """Rows of `cluster` and the features → one row of figures for each partition."""

    shape: Shape
    units: Units
    pivot: Floats

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yields `figures`: sums by cluster, then the least and the most of each feature."""
        settle()
        sums = np.zeros((2 + len(self.pivot), self.shape.k))
        least, most = (np.full(len(self.units.names), sign * np.inf) for sign in (1, -1))
        for batch in batches:
            raw, own = _raw(batch, self.units), _ints(batch, "cluster")
            points = located(self.shape, self.units, raw) - self.pivot
            squares = np.einsum("ij,ij->i", points, points)
            sums += sums_by_place(np.vstack([np.ones(len(own)), squares, points.T]), own, self.shape.k)
            filled = np.where(np.isnan(raw), self.units.fill, raw)
            least = np.minimum(least, filled.min(axis=0, initial=np.inf))
            most = np.maximum(most, filled.max(axis=0, initial=-np.inf))
        figures = np.concatenate([sums.ravel(), least, most])
        yield pa.RecordBatch.from_pydict({"figures": pa.array([figures.tobytes()], pa.binary())})

    def total(self, parts: Sequence[bytes]) -> Totals:
        """The parts together, in any order."""
        rows = np.array([np.frombuffer(part) for part in parts])
        n = self.shape.k * (2 + len(self.pivot))
        sums = np.array([math.fsum(column) for column in rows[:, :n].T]).reshape(-1, self.shape.k)
        least, most = np.split(rows[:, n:], 2, axis=1)
        clusters = Clusters(sums[0], sums[2:].T, sums[1], np.zeros((self.shape.k, 0)))
        return Totals(clusters, self.pivot, least.min(axis=0), most.max(axis=0))


@dataclass(frozen=True)
class Explainer:
    """Rows of `customer_id`, `cluster`, `second_cluster`, `margin`, `rule_id` and the features → reasons.

    `typical`: the raw value of each feature that pulls are against. `segments`: cluster → segment id.
    """

    shape: Shape
    units: Units
    totals: Totals
    typical: Floats
    segments: tuple[int, ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yields as many rows as it gets."""
        settle()
        for batch in batches:
            if batch.num_rows:
                yield self._explained(batch)

    def _explained(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        raw, own = _raw(batch, self.units), _ints(batch, "cluster")
        second = _ints(batch, "second_cluster")
        points = located(self.shape, self.units, raw) - self.totals.pivot
        sure = silhouettes(points, own, self.totals.clusters)
        pulled = pulls(self.shape, self.units, raw, own, second, self.typical)
        change = smallest_change(self.shape, self.units, raw, own, self.totals.least, self.totals.most)
        moved = change.feature >= 0
        names = np.array([*self.units.names, None], dtype=object)
        before = raw[np.arange(len(raw)), np.maximum(change.feature, 0)]
        columns = (
            batch.column("customer_id"),
            self._segments(own),
            self._segments(second),
            batch.column("margin"),
            pa.array(np.round(sure, _PLACES)),
            batch.column("rule_id"),
            pa.array([_strongest(*rows, self.units.names) for rows in zip(pulled, raw, second, strict=True)],
                     pa.list_(_PULL)),
            pa.array(names[change.feature], pa.string()),
            pa.array(before, mask=~moved | np.isnan(before)),
            pa.array(change.value, mask=~moved),
            self._segments(np.where(moved, change.cluster, -1)),
            pa.array(np.round(change.size, _PLACES), mask=~moved),
        )  # fmt: skip
        return pa.RecordBatch.from_arrays(
            [c.cast(f.type) for c, f in zip(columns, _REASONS, strict=True)], schema=_REASONS
        )

    def _segments(self, clusters: Ints) -> pa.Array:
        ids = np.array([*self.segments, 0])
        return pa.array(ids[clusters], pa.int32(), mask=clusters < 0)


def _strongest(pulled: Floats, raw: Floats, second: int, names: Sequence[str]) -> list[dict[str, object]]:
    """The features that decide most, strongest first; none where there is nothing to decide."""
    rounded = np.round(pulled, _PLACES).tolist()
    order = sorted(range(len(names)), key=lambda j: (-abs(rounded[j]), j))[:_PULLS]
    return [
        {
            "feature": names[j],
            "value": None if np.isnan(raw[j]) else float(raw[j]),
            "pull": rounded[j],
        }
        for j in order
        if second >= 0 and rounded[j] != 0
    ]


def _raw(batch: pa.RecordBatch, units: Units) -> Floats:
    """Rows × features; NaN where there is no value."""
    columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in units.names]
    return np.array(columns, dtype=np.float64).T.reshape(-1, len(columns))


def _ints(batch: pa.RecordBatch, name: str) -> Ints:
    """Whole numbers; -1 where there is none."""
    return np.asarray(batch.column(name).fill_null(-1), dtype=np.int64)
