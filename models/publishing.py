"""A cut through a hierarchy as users see it: labels, levels, exemplars, certainty."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.certainty import Belief
from models.cut import Cut, confidence, cut_at
from models.hierarchy import Hierarchy
from models.partitions import exemplars, nested_levels
from models.prospects import Prospects


@dataclass(frozen=True, slots=True)
class Published:
    """Fields of `Clustering`, by those names."""

    labels: NDArray[np.int64]
    levels: list[NDArray[np.int64]]
    level: int
    exemplars: NDArray[np.int64]
    confidence: NDArray[np.float32]
    expected_precision: float
    expected_recall: float
    expected_f: float


def published(hierarchy: Hierarchy, family: Prospects, lam: float) -> Published:
    """The cut of `family` at `lam`, for every row of the result."""
    tree, counts, row = hierarchy.tree, hierarchy.counts, hierarchy.row
    top = cut_at(tree, tree.sizes(counts), lam)
    cut = Cut(top, lam)
    labels = cut.labels(hierarchy.alive)
    levels, level = nested_levels(tree, counts, cut, hierarchy.alive)
    belief = _belief(hierarchy, top, family, lam)
    return Published(
        labels=labels[row],
        levels=[coarse[row] for coarse in levels],
        level=level,
        exemplars=hierarchy.first_rows()[exemplars(labels, hierarchy.density)],
        confidence=np.where(hierarchy.alive, belief.confidence, 0)[row],
        expected_precision=belief.precision,
        expected_recall=belief.recall,
        expected_f=belief.f,
    )


def _belief(hierarchy: Hierarchy, top: NDArray[np.int64], family: Prospects, lam: float) -> Belief:
    """Where no two rows came near a merge, all cuts are one and leave nothing to doubt."""
    tree, counts = hierarchy.tree, hierarchy.counts
    if not len(tree.left):
        return Belief(confidence(tree, counts, top), precision=1.0, recall=1.0)
    return hierarchy.certainty.of(tree, counts, top, family, lam)
