"""What a sweep has found: candidates with their figures, and models of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pyspark.sql import DataFrame

from spark_seg.clustering import Fit, Model, mllib_model, shape_of
from spark_seg.kernels import Shape, Tree
from spark_seg.selection.blocks import pack
from spark_seg.selection.candidate import Candidate
from spark_seg.selection.splits import Split, measure_splits
from spark_seg.selection.structure import Structure

#: (algorithm, k)
Pair = tuple[str, int]


@dataclass(frozen=True)
class Sweep:
    """Candidates with their figures, and what was fitted for them.

    `coreset`: its customers. `splits`: the tree of bisecting with its largest k, of which those with fewer
    are cuts. In mode `exact` MLlib grows another tree for each k: see `with_tree`.
    """

    candidates: list[Candidate]
    distance: str
    fits: dict[Pair, Fit] = field(default_factory=dict)
    shapes: dict[Pair, Shape] = field(default_factory=dict)
    coreset: int = 0
    structure: Structure | None = None
    splits: tuple[Split, ...] = ()

    @property
    def structured(self) -> bool:
        """Do the customers show groups? True too where they are too few to tell."""
        return self.structure is None or self.structure.found

    def leaves(self, k: int) -> dict[int, int]:
        """Node of the bisecting tree → cluster of the candidate with k clusters."""
        tree = self.shapes.get(("bisecting", k))
        return {node: i for i, node in enumerate(tree.leaves)} if isinstance(tree, Tree) else {}

    def with_tree(self, chosen: Candidate, frame: DataFrame, seed: int, folder: str) -> Sweep:
        """With `splits` in mode `exact` too: of the chosen tree, or of the one with the largest k.

        `frame`: `customer_id` and `vector`, read once then. `folder`: as in `model`.
        """
        grown = [pair for pair in self.fits if pair[0] == "bisecting"]
        if not grown:
            return self
        pair = (chosen.algorithm, chosen.k)
        pair = pair if pair in grown else max(grown)
        tree = shape_of(self.fits[pair].model, frame.sparkSession, folder)
        assert isinstance(tree, Tree)  # noqa: S101 - it is bisecting's
        blocks = pack(frame, [], seed)
        try:
            return replace(self, shapes={pair: tree}, splits=tuple(measure_splits(blocks, tree)))
        finally:
            blocks.release()

    def model(self, algorithm: str, k: int, frame: DataFrame, folder: str) -> Model:
        """The candidate as MLlib model. `folder` may be written to, and may be overwritten afterwards."""
        if (algorithm, k) in self.fits:
            return self.fits[algorithm, k].model
        return mllib_model(self.shapes[algorithm, k], frame.sparkSession, self.distance, folder)
