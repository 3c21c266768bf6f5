"""Customers in blocks: numbers by the thousand, so that one pass serves any number of candidates.

A block has the same rows whatever the batches of Arrow, and partitions keep their order: with vectors
in canonical layout every figure has the same bits in each run.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

from spark_seg.preparation import VECTOR
from spark_seg.session import keep, release

Array = NDArray[np.float64]
_ROWS = 4096
_PARTS = ("points", "draws", "labels", "measures")
_BLOCK = pa.schema([(part, pa.binary()) for part in _PARTS])
_BLOCK_DDL = ", ".join(f"{part} binary" for part in _PARTS)
_CORESET = pa.schema([("points", pa.binary()), ("weights", pa.binary()), ("draws", pa.binary())])
_CORESET_DDL = "points binary, weights binary, draws binary"


@dataclass(frozen=True)
class Block:
    """Some customers. `points`: rows × features. `draws`: uniform in [0, 1), from the key. `labels`:
    rows × stored clusterings. `measures`: rows × what clusterings should separate."""

    points: Array
    draws: Array
    labels: NDArray[np.int64]
    measures: Array


class Accumulator:
    """Figures that add up over blocks."""

    def __init__(self, total: int, update: Callable[[Array, Block], None]) -> None:
        self.figures = np.zeros(total)
        self._update = update

    def add(self, block: Block) -> None:
        """Add the figures of one block."""
        self._update(self.figures, block)


@dataclass(frozen=True)
class Blocks:
    """All customers. `pivot` and `measured`: vector and measures of the first, as a point near the data.

    `rows`, `mean` and `spread` (the sum of squared distances to the mean): of all of them.
    """

    frame: DataFrame
    pivot: Array
    measured: Array
    rows: int = 0
    mean: Array = field(default_factory=lambda: np.empty(0))
    spread: float = 0.0

    @property
    def dimensions(self) -> int:
        """Features."""
        return len(self.pivot)

    def totals(self, kernel: Callable[[], Accumulator]) -> Array:
        """Sum an accumulator's figures over all partitions, correctly rounded, so in any order."""
        dimensions, measures = self.dimensions, len(self.measured)

        def partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            _settle()
            accumulator = kernel()
            # Tasks share the cores already.
            with threadpool_limits(limits=1, user_api="blas"):
                for block in _unpacked(batches, dimensions, measures):
                    accumulator.add(block)
            figures = pa.array([accumulator.figures.tolist()], type=pa.list_(pa.float64()))
            yield pa.RecordBatch.from_arrays([figures], names=["figures"])

        parts = self.frame.mapInArrow(partition, "figures array<double>").collect()
        return np.array([math.fsum(column) for column in zip(*(row[0] for row in parts), strict=True)])

    def coreset(self, size: int) -> tuple[Array, Array]:
        """Points and weights of about `size` customers that stand for all of them; all when they are few.

        Lightweight coresets (Bachem, Lucic and Krause 2018): half of the chances are uniform, half go
        with the squared distance to the mean, so rare and far customers are not missed. Who is drawn
        follows from the key alone.
        """
        rows, mean, spread = self.rows, self.mean, self.spread
        dimensions, measures = self.dimensions, len(self.measured)

        def partition(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            _settle()
            for block in _unpacked(batches, dimensions, measures):
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
    blocks = keep(columns.mapInArrow(_packed, _BLOCK_DDL))
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
    packed, figures = Blocks(blocks, pivot, measured), len(pivot) + 2

    def moments(sums: Array, block: Block) -> None:
        x = block.points - pivot
        sums[0] += len(x)
        sums[1:-1] += x.sum(axis=0)
        sums[-1] += float(np.einsum("ij,ij->", x, x))

    sums = packed.totals(lambda: Accumulator(figures, moments))
    rows, shift = int(sums[0]), sums[1:-1] / sums[0]
    return replace(packed, rows=rows, mean=pivot + shift, spread=float(sums[-1] - rows * shift @ shift))


def _settle() -> None:
    """Spare the modules of a Python worker from garbage collection.

    Spark collects after each task, through all that was ever imported: 0.1 s, more than most tasks take.
    """
    if not gc.get_freeze_count():
        gc.freeze()


def _packed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    _settle()
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        waiting.append(batch)
        held += batch.num_rows
        if held < _ROWS:
            continue
        table = pa.Table.from_batches(waiting).combine_chunks()
        full = held - held % _ROWS
        for start in range(0, full, _ROWS):
            yield _block(table.slice(start, _ROWS))
        rest = table.slice(full)
        waiting, held = rest.to_batches(), rest.num_rows
    if held:
        yield _block(pa.Table.from_batches(waiting))


def _block(rows: pa.Table) -> pa.RecordBatch:
    whole = rows.combine_chunks().to_batches()[0]
    points = np.asarray(whole.column("point").flatten(), dtype=np.float64)
    labels = np.asarray(whole.column("labels").flatten(), dtype=np.int64)
    draws = np.asarray(whole.column("draw"), dtype=np.float64)
    measures = np.asarray(whole.column("measures").flatten(), dtype=np.float64)
    return pa.RecordBatch.from_arrays(
        [pa.array([v.tobytes()], type=pa.binary()) for v in (points, draws, labels, measures)], schema=_BLOCK
    )


def _unpacked(batches: Iterator[pa.RecordBatch], dimensions: int, measures: int) -> Iterator[Block]:
    for batch in batches:
        for points, draws, labels, measured in zip(*map(batch.column, _PARTS), strict=True):
            uniform = np.frombuffer(draws.as_py())
            yield Block(
                np.frombuffer(points.as_py()).reshape(-1, dimensions),
                uniform,
                np.frombuffer(labels.as_py(), dtype=np.int64).reshape(len(uniform), -1),
                np.frombuffer(measured.as_py()).reshape(len(uniform), measures),
            )
