"""Triangles over edges: which neighbours both ends have.

One row's list is looked up again and again, so it is written into `marks` int8 [n]: 1 + the place
at which each row of the collection stands in it, 0 if it does not. No step here is a branch.
"""

from typing import Any

import numpy as np

from models.kernels.compiled import Array, compiled
from models.kernels.constants import FEW, WIDE


@compiled
def mark(marks: Any, listed: Any) -> None:
    """Write the list `listed` [K] into `marks`."""
    for place in range(len(listed)):
        if listed[place] >= 0:
            marks[listed[place]] = place + 1


@compiled
def unmark(marks: Any, listed: Any) -> None:
    """Take the list `listed` [K] out of `marks`."""
    for place in range(len(listed)):
        if listed[place] >= 0:
            marks[listed[place]] = 0


@compiled
def place_in(listed: Any, row: int) -> Any:
    """Where `row` stands in a list, its length if it does not."""
    at = len(listed)
    for place in range(len(listed)):
        at = place if listed[place] == row else at
    return at


@compiled
def count_shared(marks: Any, listed: Any, shared: Any) -> None:
    """Common neighbours among the first 5, 10 and all of both ends, into `shared` [3]."""
    few, wide, all_of_them = 0, 0, 0
    for place in range(len(listed)):
        row = listed[place]
        theirs = np.int64(marks[max(row, 0)]) * (row >= 0)
        deepest = max(theirs, place + 1)
        found = theirs > 0
        few += found & (deepest <= FEW)
        wide += found & (deepest <= WIDE)
        all_of_them += found
    shared[0], shared[1], shared[2] = few, wide, all_of_them


@compiled
def count_overlap(neighbours: Array, sample: Array, total: Array) -> None:
    """Add up over the edges of the rows `sample`, into `total` [5]: common neighbours among the
    first 5, 10 and all, edges that go both ways, edges.
    """
    k = neighbours.shape[1]
    marks = np.zeros(len(neighbours), np.int8)
    shared = np.empty(3, np.int64)
    for row in sample:
        mark(marks, neighbours[row])
        for place in range(k):
            other = neighbours[row, place]
            if other < 0:
                continue
            count_shared(marks, neighbours[other], shared)
            for which in range(3):
                total[which] += shared[which]
            total[3] += place_in(neighbours[other], row) < k
            total[4] += 1
        unmark(marks, neighbours[row])
