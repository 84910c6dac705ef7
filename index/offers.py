"""Offers of edges to the lists of the k-NN graph, as a loop that numba compiles."""

from typing import Any

from numpy.typing import NDArray

from models.kernels.compiled import compiled

Array = NDArray[Any]


@compiled
def take_offers(
    targets: Array,
    sources: Array,
    offered: Array,
    neighbours: Array,
    similarity: Array,
    weakest: Array,
) -> None:
    """Propose the edges `targets[i, j]` -> `sources[i]`, so similar: `offered[i, j]`, in order.

    A row takes what is more similar than its weakest, behind those that are as similar; neither
    itself nor what it lists. `neighbours`, `similarity` [rows, k], best first, and `weakest` [rows]
    are changed in place.
    """
    last = neighbours.shape[1] - 1
    for i in range(targets.shape[0]):
        source = sources[i]
        for j in range(targets.shape[1]):
            row, value = targets[i, j], offered[i, j]
            if value <= weakest[row] or row == source:
                continue
            listed = False
            for place in range(last + 1):
                if neighbours[row, place] == source:
                    listed = True
                    break
            if listed:
                continue
            place = last
            while place > 0 and similarity[row, place - 1] < value:
                neighbours[row, place] = neighbours[row, place - 1]
                similarity[row, place] = similarity[row, place - 1]
                place -= 1
            neighbours[row, place] = source
            similarity[row, place] = value
            weakest[row] = similarity[row, last]
