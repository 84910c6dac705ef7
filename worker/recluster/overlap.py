"""How many images each cluster of one partition shares with each of another, sparsely."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Overlap:
    """The non-empty cells of a contingency table of images.

    Cell `p` says that `left[p]` and `right[p]` share `images[p]` images; cells are sorted by
    left, then right. `left_size` and `right_size` are the margins, indexed by cluster.
    """

    left: Ints
    right: Ints
    images: Ints
    left_size: Ints
    right_size: Ints

    def at(self, left: Ints, right: Ints) -> Ints:
        """Images shared by each pair (`left`, `right`); 0 where there are none."""
        if self.images.size == 0:
            return np.zeros(len(left), np.int64)
        width = max(len(self.right_size), 1)
        keys = self.left * width + self.right
        asked = left * width + right
        place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
        return np.where(keys[place] == asked, self.images[place], 0)


def overlap(left: Ints, right: Ints, counts: Ints, shape: tuple[int, int]) -> Overlap:
    """Cross two partitions of the same rows, numbered 0.. below `shape`; -1: in no cluster.

    `counts` [n] is the number of images of each row. Rows in no cluster on one side count for
    neither margin.
    """
    both = (left >= 0) & (right >= 0) & (counts > 0)
    left, right, counts = left[both], right[both], counts[both]
    width = max(shape[1], 1)
    keys, cell = np.unique(left * width + right, return_inverse=True)
    return Overlap(
        left=keys // width,
        right=keys % width,
        images=total(cell, counts, len(keys)),
        left_size=total(left, counts, shape[0]),
        right_size=total(right, counts, shape[1]),
    )


def total(cluster: Ints, counts: Ints, clusters: int) -> Ints:
    """Images of each cluster 0..clusters-1; rows with cluster -1 are left out."""
    inside = cluster >= 0
    # Sums of whole numbers in float64 are exact up to 2**53 images.
    return np.bincount(cluster[inside], counts[inside], clusters).astype(np.int64)


def dense(labels: NDArray[Any], alive: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Number the clusters of living rows 0.. by rising label: (index [n] or -1, labels)."""
    inside = alive & (labels >= 0)
    names, index = np.unique(labels[inside], return_inverse=True)
    dense_index = np.full(len(labels), -1, np.int64)
    dense_index[inside] = index
    return dense_index, names.astype(np.int64)
