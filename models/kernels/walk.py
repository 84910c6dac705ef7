"""An order of rows in which neighbours are near each other, and so in a processor's caches."""

import numpy as np

from models.kernels.compiled import Array, compiled


@compiled
def walk(neighbours: Array) -> Array:
    """All rows of a graph [n, K] in the order of a walk, int64 [n].

    From each row it goes on to the first neighbour that it has not seen, and back where there is
    none; it begins at the lowest row that it has not seen.
    """
    n, k = neighbours.shape
    order, seen = np.empty(n, np.int64), np.zeros(n, np.bool_)
    path, tried = np.empty(n, np.int32), np.zeros(n, np.int16)
    count = 0
    for first in range(n):
        if seen[first]:
            continue
        seen[first], path[0], depth = True, first, 1
        order[count] = first
        count += 1
        while depth > 0:
            row = path[depth - 1]
            if tried[row] == k:
                depth -= 1
                continue
            j = neighbours[row, tried[row]]
            tried[row] += 1
            if j >= 0 and not seen[j]:
                seen[j], path[depth] = True, j
                depth += 1
                order[count] = j
                count += 1
    return order
