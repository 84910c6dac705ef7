"""How alike the sides of every merge are, from the vectors, of which no copy is made."""

from typing import Any

import numpy as np

from models.kernels.compiled import Array, compiled

# Added to a vector's length, that of a row at the very mean included.
EPSILON = np.float32(1e-6)


@compiled
def write_cosines(
    left: Array, right: Array, vectors: Array, mean: Array, merged: Array, cosine: Array
) -> None:
    """Fill `cosine` [M] of the merges `left`, `right` [M] of a `models.tree.MergeTree`.

    `vectors` [n, d] less `mean` [d], made unit length, are what is compared. `merged` [n // 2 + 1,
    d] is room for the sums of clusters that are not yet parts of others.
    """
    n, d = vectors.shape
    size = np.ones(n + len(left))
    slot = np.full(n + len(left), -1, np.int32)
    free = np.empty(len(merged), np.int32)
    freed = used = 0
    for m in range(len(left)):
        a, b = left[m], right[m]
        if slot[a] < 0 and slot[b] >= 0:
            a, b = b, a
        if slot[a] < 0:
            if freed > 0:
                freed -= 1
                slot[a] = free[freed]
            else:
                slot[a] = used
                used += 1
            write_direction(vectors[a], mean, merged[slot[a]])
        total = merged[slot[a]]
        dot = np.float64(0)
        if slot[b] < 0:
            scale = 1 / (_length(vectors[b], mean) + EPSILON)
            for c in range(d):
                u = (vectors[b, c] - mean[c]) * scale
                dot += total[c] * u
                total[c] += u
        else:
            other = merged[slot[b]]
            for c in range(d):
                dot += total[c] * other[c]
                total[c] += other[c]
            free[freed] = slot[b]
            freed += 1
        cosine[m] = dot / (size[a] * size[b])
        size[n + m] = size[a] + size[b]
        slot[n + m] = slot[a]


@compiled
def write_direction(row: Array, mean: Array, out: Array) -> None:
    """Fill `out` [d] with `row` less `mean`, of unit length."""
    scale = 1 / (_length(row, mean) + EPSILON)
    for c in range(len(row)):
        out[c] = (row[c] - mean[c]) * scale


@compiled
def _length(row: Array, mean: Array) -> Any:
    square = np.float32(0)
    for c in range(len(row)):
        u = row[c] - mean[c]
        square += u * u
    return np.sqrt(square)
