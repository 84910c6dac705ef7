"""Features of pairs of clusters: `models.pair_features` as one loop."""

from typing import Any

import numpy as np

from models.kernels.columns import (
    L_COHERENCE,
    L_DENSITY,
    L_FILLED,
    L_INNER_P,
    L_INNER_R,
    L_LOG_MASS,
    L_LOG_OUTGOING,
    L_LOG_SIZE,
    L_LOG_SPARSE,
    L_NORM,
    L_OUTGOING,
    L_OUTGOING_P,
    L_SIZE,
    L_TOTAL_SQUARE,
    L_WITHIN,
)
from models.kernels.compiled import Array, compiled
from models.kernels.constants import NORM_EPSILON, VISIBLE
from models.kernels.product import product


@compiled
def write_pair_features(
    ends: Array, sums: Array, start: int, stop: int, lines: Array, vectors: Any, out: Array
) -> None:
    """The 41 numbers of pairs `start`..`stop` into `out` [stop - start, 41].

    Pairs of one first end that follow each other are quickest.
    """
    rows, ids, mean, slot, merged, _ = vectors
    total = np.empty(len(mean), np.float32)
    loaded, along = -1, np.float32(0)
    for e in range(start, stop):
        a, b = ends[e, 0], ends[e, 1]
        one, two = lines[a], lines[b]
        if slot[a] < 0 and slot[b] < 0:  # u_a u_b of two rows follows from their R
            dot = sums[e, 3] * (one[L_NORM] * two[L_NORM] + np.float32(NORM_EPSILON))
        else:
            if a != loaded:
                along = _load(a, rows, ids, mean, slot, merged, total)
                loaded = a
            dot = (
                product(total, rows[ids[b]]) - along
                if slot[b] < 0
                else product(total, merged[slot[b]])
            )
        if one[L_SIZE] > two[L_SIZE]:
            _write_pair(sums[e], dot, two, one, out[e - start])
        else:
            _write_pair(sums[e], dot, one, two, out[e - start])


@compiled
def write_products(ends: Array, vectors: Any, out: Array) -> None:
    """The inner products of sum u of the clusters at both ends [e, 2], into `out` [e]."""
    rows, ids, mean, slot, merged, _ = vectors
    total = np.empty(len(mean), np.float32)
    loaded, along = -1, np.float32(0)
    for e in range(len(ends)):
        a, b = ends[e, 0], ends[e, 1]
        if a != loaded:
            along = _load(a, rows, ids, mean, slot, merged, total)
            loaded = a
        out[e] = (
            product(total, rows[ids[b]]) - along if slot[b] < 0 else product(total, merged[slot[b]])
        )


@compiled
def _load(a: int, rows: Any, ids: Any, mean: Any, slot: Any, merged: Any, total: Any) -> Any:
    """Put sum u of a cluster into `total`; returns its inner product with the mean."""
    along = np.float32(0)
    for c in range(len(mean)):
        total[c] = merged[slot[a], c] if slot[a] >= 0 else rows[ids[a], c] - mean[c]
        along += total[c] * mean[c]
    return along


@compiled
def _write_pair(sums: Any, dot: Any, one: Any, two: Any, x: Any) -> None:
    count, possible = sums[0], one[L_SIZE] * two[L_SIZE]
    visible = one[L_SIZE] * min(two[L_SIZE], np.float32(VISIBLE))
    p, r, r_max = sums[1] / count, sums[3] / count, sums[5]
    variance = np.float64(sums[2]) / count - np.float64(p) * p if count > 1 else 0.0
    log_count = np.log(count)
    x[0] = one[L_LOG_SIZE]
    x[1] = two[L_LOG_SIZE]
    x[2] = log_count
    x[3] = log_count - one[L_LOG_SIZE] - two[L_LOG_SIZE]
    x[4] = log_count - one[L_LOG_SIZE]
    x[5] = np.log(sums[1] / possible + np.float32(1e-4))
    x[6] = np.log(sums[1] / visible + np.float32(1e-4))
    x[7] = p
    x[8] = np.sqrt(max(variance, 0.0))
    x[9] = sums[4]
    x[10] = np.log(p + np.float32(1e-3))
    x[11] = sums[1] / one[L_OUTGOING_P]
    x[12] = sums[1] / two[L_OUTGOING_P]
    x[13] = count / one[L_OUTGOING]
    x[14] = count / two[L_OUTGOING]
    cross = dot / possible / (one[L_NORM] * two[L_NORM])
    x[15] = cross
    x[16] = dot / np.sqrt(one[L_TOTAL_SQUARE] * two[L_TOTAL_SQUARE] + np.float32(1e-12))
    x[17] = one[L_WITHIN]
    x[18] = two[L_WITHIN]
    x[19] = cross - min(one[L_WITHIN], two[L_WITHIN])
    x[20] = cross - max(one[L_WITHIN], two[L_WITHIN])
    x[21] = r
    x[22] = r_max
    x[23] = r - one[L_INNER_R]
    x[24] = r - two[L_INNER_R]
    x[25] = one[L_DENSITY]
    x[26] = two[L_DENSITY]
    x[27] = r - min(one[L_DENSITY], two[L_DENSITY])
    x[28] = r_max - max(one[L_DENSITY], two[L_DENSITY])
    _write_own(one, x, 29)
    _write_own(two, x, 35)


@compiled
def _write_own(line: Any, x: Any, at: int) -> None:
    x[at] = line[L_INNER_P]
    x[at + 1] = line[L_FILLED]
    x[at + 2] = line[L_LOG_MASS]
    x[at + 3] = line[L_LOG_SPARSE]
    x[at + 4] = line[L_COHERENCE]
    x[at + 5] = line[L_LOG_OUTGOING]
