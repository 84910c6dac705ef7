"""What a finished recursion says of every row: its cluster, how surely, and who stands for it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.coordinate.level import Rows
from models.coordinate.recursion import Decoded

Floats = NDArray[np.float32]


def numbered(step: Decoded, alive: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Labels [n] after a level, in the order of first rows, -1 where not `alive`; and the row
    that is the peak of each.
    """
    rows = np.flatnonzero(alive)
    root = step.root[step.node[rows]]
    roots, first, inverse = np.unique(root, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    labels = np.full(len(alive), -1, np.int64)
    labels[rows] = place[inverse]
    return labels, step.level.peak[roots[order]]


def nested(steps: Sequence[Decoded], alive: NDArray[np.bool_]) -> tuple[list[Rows], Rows]:
    """The distinct labels of all levels, fine to coarse, and the peaks of the last."""
    found: list[Rows] = []
    for step in steps:
        labels, peaks = numbered(step, alive)
        if not found or labels.max(initial=-1) < found[-1].max(initial=-1):
            found.append(labels)
    return found, peaks


def confidence(steps: Sequence[Decoded], probability: Sequence[Tensor], labels: Rows) -> Floats:
    """How likely each row belongs to its cluster [n]: the weakest edge on its way to the root.

    `probability` [m, K] of each level's edges. A root is as sure as the surest of its cluster; a
    row alone as its likeliest edge is unlikely; dead rows have 0.
    """
    weakest = np.ones(len(labels), np.float32)
    for step, p in zip(steps, probability, strict=True):
        np.minimum(weakest, _weakest_above(step, p)[step.node], out=weakest)
    alive = labels >= 0
    clusters = int(labels.max(initial=-1)) + 1
    root = steps[-1].level.peak[steps[-1].root[steps[-1].node]] == np.arange(len(labels))
    surest = np.zeros(clusters, np.float32)
    np.maximum.at(surest, labels[alive & ~root], weakest[alive & ~root])
    out = weakest.copy()
    out[root & alive] = surest[labels[root & alive]]
    alone = np.bincount(labels[alive], minlength=clusters) == 1
    single = alive.copy()
    single[alive] = alone[labels[alive]]
    if single.any():
        out[single] = 1 - probability[0].amax(1).cpu().numpy()[single]
    return np.where(alive, out, 0).astype(np.float32)


def _weakest_above(step: Decoded, probability: Tensor) -> Floats:
    """The least probability on the way from each node [m] to its root; 1 for roots."""
    neighbours = step.level.neighbours.cpu().numpy()
    kept = neighbours == step.parent[:, None]
    least: Floats = np.where(kept, probability.cpu().numpy(), 0).max(1, initial=0)
    pointer = step.parent
    least[pointer == np.arange(len(pointer))] = 1
    while not np.array_equal(pointer, pointer[pointer]):
        least = np.minimum(least, least[pointer])
        pointer = pointer[pointer]
    return least


def expected_f(neighbours: NDArray[np.int32], probability: Floats, labels: Rows) -> float:
    """The pairwise F that the edges of the graph [n, K] expect: of the pairs that they are."""
    real = neighbours >= 0
    same = (labels[neighbours] == labels[:, None]) & real
    true, together = float(probability[same].sum()), float(same.sum())
    total = float(probability[real].sum())
    return 2 * true / (together + total) if together + total > 0 else 0.0
