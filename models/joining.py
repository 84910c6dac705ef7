"""Small clusters that join a large one together.

A cluster of hundreds is the best of many small ones at once, and would take in one at a level: a
class of thousands would need thousands of levels. So beside its own best it takes in others whose
best it is, up to a share of its size, and levels grow with the logarithm of sizes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# A cluster of so many members takes in others beside its own best: all of them together up to this
# share of its size, none so much less likely than its own best.
LARGE, SHARE, LESS = 64, 0.125, 0.05

Whole = NDArray[np.integer[Any]]
Real = NDArray[np.floating[Any]]


def turns(large: Whole, q: Real, row: Whole, size: Real, room: Real) -> list[Whole]:
    """Which joins [m] are made, in turn: each turn holds one of each large cluster.

    The cluster called `row`, of `size` members, joins `large` with likelihood `q`; the likeliest
    come first, equals by row, until the `room` of the large one is taken up.
    """
    order = np.lexsort((row, -q, large))
    _, first, group = np.unique(large[order], return_index=True, return_inverse=True)
    grown = size[order].cumsum()
    grown -= (grown[first] - size[order][first])[group]
    place = np.arange(len(order)) - first[group]
    fits = grown <= room[order]
    return [order[fits & (place == turn)] for turn in range(int(place[fits].max(initial=-1)) + 1)]
