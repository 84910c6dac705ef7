"""The merge tree: all levels of a run in one structure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MergeTree:
    """Node i < `leaves` is row i, node leaves + m the cluster that merge m made.

    `left`, `right` int64 [M] are the nodes that a merge joined, `probability` [M] the expected
    share of matching image pairs between them. Merges `rounds[r] : rounds[r + 1]` form level r:
    they touch disjoint nodes, all of which are older than the level.
    """

    leaves: int
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    probability: NDArray[np.float64]
    rounds: NDArray[np.int64]

    def levels(self) -> list[slice]:
        """The merges of each level, from the finest."""
        return [slice(int(s), int(e)) for s, e in zip(self.rounds, self.rounds[1:], strict=False)]

    def sizes(self, counts: NDArray[np.int32]) -> NDArray[np.float64]:
        """Images under every node [leaves + M], where row i stands for `counts[i]` of them."""
        sizes = np.empty(self.leaves + len(self.left))
        sizes[: self.leaves] = counts
        for level in self.levels():
            made = slice(self.leaves + level.start, self.leaves + level.stop)
            sizes[made] = sizes[self.left[level]] + sizes[self.right[level]]
        return sizes
