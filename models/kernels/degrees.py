"""In-degrees of the k-NN graph: how many rows list each."""

from models.kernels.compiled import Array, compiled


@compiled
def count_listed(neighbours: Array, listed: Array) -> int:
    """Add to `listed` [n] how often each row stands in `neighbours` [n, K]; -1: no neighbour.

    How many entries are none of the n rows.
    """
    outside = 0
    for row in range(neighbours.shape[0]):
        for place in range(neighbours.shape[1]):
            other = neighbours[row, place]
            if other >= len(listed):
                outside += 1
            elif other >= 0:
                listed[other] += 1
    return outside
