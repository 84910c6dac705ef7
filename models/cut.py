"""Which clusters of the merge tree to publish: those of the largest expected pairwise F.

A merge of sizes s and t with probability q puts w = s t image pairs together, w q of them rightly.
Merges kept: true pairs TP = sum w q, pairs PP = sum w; all true pairs there are, T = sum of w q
over the whole tree. F = 2 TP / (PP + T) is largest where sum w (q - F / 2) is (Dinkelbach), and
for a fixed lambda = F / 2 the best antichain follows bottom-up: keep a node whole if that is worth
no less than the best of its two halves.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.tree import MergeTree

FIRST_LAMBDA = 0.25
MAX_ITERATIONS = 15
CLOSE = 1e-4


@dataclass(frozen=True, slots=True)
class Cut:
    """`top` int64 [leaves + M]: the published node above (or at) each node, -1 above the cut."""

    top: NDArray[np.int64]
    lam: float
    expected_f: float

    def labels(self, tree: MergeTree, alive: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Cluster numbers [leaves] in the order of first rows; -1 where not `alive`."""
        labels = np.full(tree.leaves, -1, np.int64)
        _, first, inverse = np.unique(
            self.top[: tree.leaves][alive], return_index=True, return_inverse=True
        )
        place = np.empty(len(first), np.int64)
        place[np.argsort(first)] = np.arange(len(first))
        labels[alive] = place[inverse.ravel()]
        return labels


def cut_at(tree: MergeTree, sizes: NDArray[np.float64], lam: float) -> NDArray[np.int64]:
    """`Cut.top` of the antichain that maximises sum w (q - lam). Finer for larger `lam`."""
    n = tree.leaves
    gain = sizes[tree.left] * sizes[tree.right] * (tree.probability - lam)
    whole, best = np.zeros(len(sizes)), np.zeros(len(sizes))
    keep = np.zeros(len(sizes), np.bool_)
    keep[:n] = True
    for level in tree.levels():
        left, right = tree.left[level], tree.right[level]
        made = slice(n + level.start, n + level.stop)
        whole[made] = whole[left] + whole[right] + gain[level]
        split = best[left] + best[right]
        keep[made] = whole[made] >= split
        best[made] = np.maximum(whole[made], split)
    top = np.full(len(sizes), -1, np.int64)
    for level in reversed(tree.levels()):
        nodes = np.arange(n + level.start, n + level.stop)
        top[nodes] = np.where((top[nodes] < 0) & keep[nodes], nodes, top[nodes])
        top[tree.left[level]] = top[tree.right[level]] = top[nodes]
    rows = np.arange(n)
    top[:n] = np.where(top[:n] < 0, rows, top[:n])
    return top


def best_cut(tree: MergeTree, counts: NDArray[np.int32]) -> Cut:
    """The cut of the largest expected pairwise F over images, `counts[i]` of them in row i."""
    sizes = tree.sizes(counts)
    cut = Cut(np.zeros(0, np.int64), 0.0, 2 * FIRST_LAMBDA)
    for _ in range(MAX_ITERATIONS):
        lam = cut.expected_f / 2
        top = cut_at(tree, sizes, lam)
        cut = Cut(top, lam, expected_f(tree, sizes, top))
        if abs(cut.expected_f / 2 - lam) < CLOSE:
            break
    return cut


def expected_f(tree: MergeTree, sizes: NDArray[np.float64], top: NDArray[np.int64]) -> float:
    """Expected pairwise F of a cut; 0 where there is no pair. Copies in one row always match."""
    copies = float((sizes[: tree.leaves] * (sizes[: tree.leaves] - 1)).clip(0).sum() / 2)
    weight = sizes[tree.left] * sizes[tree.right]
    kept = top[tree.leaves :] >= 0
    true = float((weight * tree.probability)[kept].sum()) + copies
    together = float(weight[kept].sum()) + copies
    total = float((weight * tree.probability).sum()) + copies
    return 2 * true / (together + total) if together + total > 0 else 0.0


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
