"""Cuts through the merge tree: which of its clusters to publish.

A merge of sizes s and t with probability q puts w = s t image pairs together, w q of them rightly.
For a fixed lambda the antichain of largest sum w (q - lambda) follows bottom-up: keep a node
whole if that is worth no less than the best of its two halves. At lambda = F / 2 it is the one of
largest expected pairwise F = 2 TP / (PP + T) (Dinkelbach); which cut is published is
another matter (`models.choice`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.kernels.cuts import best_antichain, matches_below, number_clusters
from models.tree import MergeTree


@dataclass(frozen=True, slots=True)
class Cut:
    """`top` int64 [leaves + M]: the published node above (or at) each node, -1 above the cut."""

    top: NDArray[np.int64]
    lam: float

    def labels(self, alive: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Cluster numbers [leaves] in the order of first rows; -1 where not `alive`."""
        return number_clusters(self.top, alive)


def cut_at(tree: MergeTree, sizes: NDArray[np.float64], lam: float) -> NDArray[np.int64]:
    """`Cut.top` of the antichain that maximises sum w (q - lam). Finer for larger `lam`."""
    gain = sizes[tree.left] * sizes[tree.right] * (tree.probability - lam)
    return best_antichain(tree.left, tree.right, gain, tree.leaves)


def expected_matches(
    tree: MergeTree, sizes: NDArray[np.float64], top: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How many images of other rows each row's image is expected to match within its cluster."""
    return matches_below(tree.left, tree.right, tree.probability, sizes, top)


def confidence(
    tree: MergeTree, counts: NDArray[np.int32], top: NDArray[np.int64]
) -> NDArray[np.float32]:
    """How likely each row belongs to its published cluster [leaves], 0..1.

    For a row with company: the expected share of the cluster's other images that match it, the
    mean of q over the merges on its way up weighted by what each brought in. For a row alone:
    1 - q of the merge that the cut undid, 1 if there was none.
    """
    sizes = tree.sizes(counts)
    matching = np.zeros(len(sizes))
    refused = np.zeros(len(sizes))
    for level in reversed(tree.levels()):
        made = slice(tree.leaves + level.start, tree.leaves + level.stop)
        q, kept = tree.probability[level], top[made] >= 0
        for side, other in ((tree.left, tree.right), (tree.right, tree.left)):
            matching[side[level]] = np.where(kept, matching[made] + q * sizes[other[level]], 0)
            refused[side[level]] = np.where(kept, 0, q)
    n = tree.leaves
    company = sizes[top[:n]] - 1
    share = (matching[:n] + np.maximum(counts - 1, 0)) / np.maximum(company, 1)
    return np.where(company > 0, share, 1 - refused[:n]).clip(0, 1).astype(np.float32)
