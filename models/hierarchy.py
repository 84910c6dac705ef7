"""All that a run found out, from which any cut can be published."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.certainty import Certainty, Promised
from models.tree import MergeTree


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """`tree` over the rows of the run; `counts` int32 [leaves] images in each, 0 for dead ones;
    `density` float32 [leaves], the predicted one; `row` int64 [n]: the leaf of each row of the
    result, which for `models.cluster` are more than the distinct ones; `certainty` of its cuts.
    """

    tree: MergeTree
    counts: NDArray[np.int32]
    density: NDArray[np.float32]
    row: NDArray[np.int64]
    certainty: Certainty | Promised

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which leaves hold images [leaves]."""
        return self.counts > 0

    def first_rows(self) -> NDArray[np.int64]:
        """The first row of the result that stands at each leaf [leaves]."""
        first = np.zeros(self.tree.leaves, np.int64)
        first[self.row[::-1]] = np.arange(len(self.row) - 1, -1, -1)
        return first
