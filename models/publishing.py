"""A cut through a hierarchy as users see it: labels, levels, exemplars, confidence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.cut import Cut, confidence, cut_at
from models.hierarchy import Hierarchy
from models.partitions import exemplars, nested_levels


@dataclass(frozen=True, slots=True)
class Published:
    """Fields of `Clustering` by those names; `raw` is the uncalibrated confidence, `top` as in
    `Cut`.
    """

    labels: NDArray[np.int64]
    levels: list[NDArray[np.int64]]
    level: int
    exemplars: NDArray[np.int64]
    raw: NDArray[np.float32]
    top: NDArray[np.int64]


def published(hierarchy: Hierarchy, lam: float) -> Published:
    """The cut at `lam`, for every row of the result."""
    tree, counts, row = hierarchy.tree, hierarchy.counts, hierarchy.row
    top = cut_at(tree, tree.sizes(counts), lam)
    cut = Cut(top, lam)
    labels = cut.labels(tree, hierarchy.alive)
    levels, level = nested_levels(tree, counts, cut, hierarchy.alive)
    return Published(
        labels=labels[row],
        levels=[coarse[row] for coarse in levels],
        level=level,
        exemplars=hierarchy.first_rows()[exemplars(labels, hierarchy.density)],
        raw=np.where(hierarchy.alive, confidence(tree, counts, top), 0)[row],
        top=top,
    )
