"""All customers in blocks, kept by Spark: passes over them, and a coreset from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from spark_seg.kernels import BLOCK_DDL, Accumulator, Block, Floats, packed, settle, unpacked
from spark_seg.preparation import VECTOR
from spark_seg.session import keep, release

_CORESET = pa.schema([("points", pa.binary()), ("weights", pa.binary()), ("draws", pa.binary())])
_CORESET_DDL = "points binary, weights binary, draws binary"


@dataclass(frozen=True)
class Blocks:
    """All customers. `pivot` and `measured`: vector and measures of the first, as a point near the data.

    `rows`, `mean` and `spread` (the sum of squared distances to the mean): of all of them.
    """

    frame: DataFrame
    pivot: Floats
    measured: Floats
    rows: int = 0
    mean: Floats = field(default_factory=lambda: np.empty(0))
    spread: float = 0.0

    @property
    def dimensions(self) -> int:
        """Features."""
        return len(self.pivot)

    def totals(self, kernel: Callable[[], Accumulator]) -> Floats:
        """Sum an accumulator's figures over all partitions, correctly rounded, so in any order."""
        dimensions, measures = self.dimensions, len(self.measured)

        def partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            settle()
            accumulator = kernel()
            # Tasks share the cores already.
            with threadpool_limits(limits=1, user_api="blas"):
                for block in unpacked(batches, dimensions, measures):
                    accumulator.add(block)
            figures = pa.array([accumulator.figures.tolist()], type=pa.list_(pa.float64()))
            yield pa.RecordBatch.from_arrays([figures], names=["figures"])

        parts = self.frame.mapInArrow(partition, "figures array<double>").collect()
        return np.array([math.fsum(column) for column in zip(*(row[0] for row in parts), strict=True)])

    def coreset(self, size: int) -> tuple[Floats, Floats]:
        """Points and weights of about `size` customers that stand for all of them; all when they are few.

        Lightweight coresets (Bachem, Lucic and Krause 2018): half of the chances are uniform, half go
        with the squared distance to the mean, so rare and far customers are not missed. Who is drawn
        follows from the key alone.
        """
        rows, mean, spread = self.rows, self.mean, self.spread
        dimensions, measures = self.dimensions, len(self.measured)

        def partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            settle()
            for block in unpacked(batches, dimensions, measures):
                chance = np.ones(len(block.points))
                if rows > size:
                    x = block.points - mean
                    far = np.einsum("ij,ij->i", x, x) / max(spread, 1e-300)
                    chance = np.minimum(1.0, size * (0.5 / rows + 0.5 * far))
                drawn = block.draws < chance
                values = (block.points[drawn], 1 / chance[drawn], block.draws[drawn])
                yield pa.RecordBatch.from_arrays(
                    [pa.array([v.tobytes()], type=pa.binary()) for v in values], schema=_CORESET
                )

        parts = self.frame.mapInArrow(partition, _CORESET_DDL).collect()
        points = np.frombuffer(b"".join(row["points"] for row in parts)).reshape(-1, dimensions)
        weights = np.frombuffer(b"".join(row["weights"] for row in parts))
        draws = np.frombuffer(b"".join(row["draws"] for row in parts))
        order = np.lexsort([*points.T, draws])
        return points[order], weights[order]

    def release(self) -> None:
        """Let go of the kept blocks."""
        release(self.frame)


def pack(frame: DataFrame, labels: Sequence[Column], seed: int, measures: Sequence[Column] = ()) -> Blocks:
    """`customer_id` and `vector` (in canonical layout) with stored labels and measures, in blocks, kept."""
    # 53 bits of the hash: a double in [0, 1) that follows from the key and the seed.
    draw = F.shiftrightunsigned(F.xxhash64("customer_id", F.lit(seed)), 11).cast("double") / F.lit(2.0**53)
    columns = frame.select(
        vector_to_array(F.col(VECTOR)).alias("point"),
        draw.alias("draw"),
        F.array(*(label.cast("long") for label in labels)).cast("array<long>").alias("labels"),
        F.array(*(measure.cast("double") for measure in measures)).cast("array<double>").alias("measures"),
    )
    blocks = keep(columns.mapInArrow(packed, BLOCK_DDL))
    try:
        return _described(blocks)
    except BaseException:
        release(blocks)
        raise


def _described(blocks: DataFrame) -> Blocks:
    """With their number, a point near the data, and the moments of all: one look, and one pass."""
    head = blocks.first()
    if head is None:
        return Blocks(blocks, np.empty(0), np.empty(0))
    inside = len(head["draws"]) // 8
    pivot, measured = (np.frombuffer(head[part]).reshape(inside, -1)[0] for part in ("points", "measures"))
    known, figures = Blocks(blocks, pivot, measured), len(pivot) + 2

    def moments(sums: Floats, block: Block) -> None:
        x = block.points - pivot
        sums[0] += len(x)
        sums[1:-1] += x.sum(axis=0)
        sums[-1] += float(np.einsum("ij,ij->", x, x))

    sums = known.totals(lambda: Accumulator(figures, moments))
    rows, shift = int(sums[0]), sums[1:-1] / sums[0]
    return replace(known, rows=rows, mean=pivot + shift, spread=float(sums[-1] - rows * shift @ shift))
