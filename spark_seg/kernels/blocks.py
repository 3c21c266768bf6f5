"""Customers in blocks: numbers by the thousand, so that one pass serves any number of candidates.

A block has the same rows whatever the batches of Arrow: with vectors in canonical layout every figure
has the same bits in each run.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from spark_seg.kernels.shapes import Floats, Ints, Rows

_ROWS = 4096
_PARTS = ("points", "draws", "labels", "measures")
_BLOCK = pa.schema([(part, pa.binary()) for part in _PARTS])
#: The same for Spark.
BLOCK_DDL = ", ".join(f"{part} binary" for part in _PARTS)


@dataclass(frozen=True)
class Block:
    """Some customers. `points`: rows × features. `draws`: uniform in [0, 1), from the key. `labels`:
    rows × stored clusterings. `measures`: rows × what clusterings should separate."""

    points: Floats
    draws: Floats
    labels: Ints
    measures: Floats

    @cached_property
    def rows(self) -> Rows:
        """The points, each with weight 1."""
        return Rows(self.points, np.ones(len(self.points)))


class Accumulator:
    """Figures that add up over blocks."""

    def __init__(self, total: int, update: Callable[[Floats, Block], None]) -> None:
        self.figures = np.zeros(total)
        self._update = update

    def add(self, block: Block) -> None:
        """Add the figures of one block."""
        self._update(self.figures, block)


def settle() -> None:
    """Spare the modules of a Python worker from garbage collection.

    Spark collects after each task, through all that was ever imported: 0.1 s, more than most tasks take.
    """
    if not gc.get_freeze_count():
        gc.freeze()


def packed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of `point`, `draw`, `labels` and `measures` → blocks."""
    settle()
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


def unpacked(batches: Iterator[pa.RecordBatch], dimensions: int, measures: int) -> Iterator[Block]:
    """The blocks that were packed."""
    for batch in batches:
        for points, draws, labels, measured in zip(*map(batch.column, _PARTS), strict=True):
            uniform = np.frombuffer(draws.as_py())
            yield Block(
                np.frombuffer(points.as_py()).reshape(-1, dimensions),
                uniform,
                np.frombuffer(labels.as_py(), dtype=np.int64).reshape(len(uniform), -1),
                np.frombuffer(measured.as_py()).reshape(len(uniform), measures),
            )
