"""Label arrays and exemplars out of a merge tree."""

import numpy as np
from numpy.typing import NDArray

from models.cut import Cut, cut_at
from models.kernels.blocks import for_each
from models.kernels.cuts import find_densest
from models.tree import MergeTree

# Levels that are offered beside the published one: no merge worse than these on balance.
LAMBDAS = (0.9, 0.7, 0.5, 0.3, 0.15, 0.05)


def nested_levels(
    tree: MergeTree, counts: NDArray[np.int32], cut: Cut, alive: NDArray[np.bool_]
) -> tuple[list[NDArray[np.int64]], int]:
    """Distinct nested partitions, fine to coarse, and which of them is the published one."""
    sizes = tree.sizes(counts)
    found: list[NDArray[np.int64]] = []
    level = 0

    def labels_at(lam: float) -> NDArray[np.int64]:
        at = cut if lam == cut.lam else Cut(cut_at(tree, sizes, lam), lam)
        return at.labels(alive)

    lambdas = sorted({*LAMBDAS, cut.lam}, reverse=True)
    for lam, labels in zip(lambdas, for_each(labels_at, lambdas), strict=True):
        if not found or labels.max(initial=-1) < found[-1].max(initial=-1):
            found.append(labels)
        if lam == cut.lam:
            level = len(found) - 1
    return found, level


def exemplars(labels: NDArray[np.int64], density: NDArray[np.float32]) -> NDArray[np.int64]:
    """The row of largest predicted density in each cluster, the first of equals."""
    return find_densest(labels, density, int(labels.max(initial=-1)) + 1)
