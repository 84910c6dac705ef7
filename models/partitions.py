"""Label arrays and exemplars out of a merge tree."""

import numpy as np
from numpy.typing import NDArray

from models.cut import Cut, cut_at
from models.tree import MergeTree

# Levels that are offered beside the published one: no merge worse than these on balance.
LAMBDAS = (0.9, 0.7, 0.5, 0.3, 0.15, 0.05)


def nested_levels(
    tree: MergeTree, counts: NDArray[np.int32], cut: Cut, alive: NDArray[np.bool_]
) -> tuple[list[NDArray[np.int64]], int]:
    """Distinct nested partitions, fine to coarse, and which of them is the published one."""
    sizes = tree.sizes(counts)
    published = cut.labels(tree, alive)
    found: list[NDArray[np.int64]] = []
    level = 0
    for lam in sorted({*LAMBDAS, cut.lam}, reverse=True):
        if lam == cut.lam:
            labels = published
        else:
            labels = Cut(cut_at(tree, sizes, lam), lam).labels(tree, alive)
        if not found or labels.max(initial=-1) < found[-1].max(initial=-1):
            found.append(labels)
        if lam == cut.lam:
            level = len(found) - 1
    return found, level


def exemplars(labels: NDArray[np.int64], density: NDArray[np.float32]) -> NDArray[np.int64]:
    """The row of largest predicted density in each cluster, the first of equals."""
    order = np.lexsort((np.arange(len(labels)), -density, labels))
    order = order[labels[order] >= 0]
    first = np.ones(len(order), np.bool_)
    first[1:] = labels[order][1:] != labels[order][:-1]
    return order[first].astype(np.int64)
