"""In-degrees of the k-NN graph: how many rows list each."""

from models.kernels.compiled import Array, compiled


@compiled
def count_listed(neighbours: Array, listed: Array) -> None:
    """Add to `listed` [n] how often each row stands in `neighbours` [n, K]; -1: no neighbour."""
    for row in range(neighbours.shape[0]):
        for place in range(neighbours.shape[1]):
            if neighbours[row, place] >= 0:
                listed[neighbours[row, place]] += 1
