"""Clusters that grow: sums of `models.supernodes.Clusters`, and what follows from them."""

from typing import Any

import numpy as np

from models.kernels.columns import (
    CLUSTER_COHERENCE,
    CLUSTER_NORM,
    CLUSTER_SUMS,
    DEGREE,
    DENSITY,
    INNER,
    INNER_P,
    INNER_R,
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
    MASS,
    SIZE,
    SQUARE,
    TOTAL_SQUARE,
)
from models.kernels.compiled import Array, compiled
from models.kernels.constants import NOTHING_INSIDE


@compiled
def sum_edges(
    ends: tuple[Array, Array], p: Array, vectors: Array, ids: Array, mean: Array, sums: Array
) -> None:
    """Fill the sums [n, 11] of the rows `ids` [n] that follow from edges (i, j), p, and vectors."""
    rows, others = ends
    for e in range(len(p)):
        for end in (rows[e], others[e]):
            sums[end, MASS] += p[e]
            sums[end, DEGREE] += 1
    for i in range(len(ids)):
        square = np.float32(0)
        for c in range(len(mean)):
            u = vectors[ids[i], c] - mean[c]
            square += u * u
        sums[i, SQUARE] = sums[i, TOTAL_SQUARE] = square
        sums[i, CLUSTER_NORM] = np.sqrt(np.float64(square))


@compiled
def absorb_clusters(ends: Array, pair_sums: Array, sums: Array, vectors: Any) -> None:
    """Add the cluster ends[:, 1] to ends[:, 0], with the edges between them; all are disjoint."""
    rows, ids, mean, slot, merged, free = vectors
    for m in range(len(ends)):
        into, gone = ends[m, 0], ends[m, 1]
        for column in range(CLUSTER_SUMS):
            sums[into, column] += sums[gone, column]
        sums[into, INNER] += pair_sums[m, 0]
        sums[into, INNER_P] += pair_sums[m, 1]
        sums[into, INNER_R] += pair_sums[m, 3]
        kept = _keep_slot(into, gone, slot, free)
        total = merged[kept]
        if slot[into] < 0 and slot[gone] < 0:
            total[:] = rows[ids[into]] - mean + (rows[ids[gone]] - mean)
        elif slot[into] < 0 or slot[gone] < 0:
            total += rows[ids[into if slot[into] < 0 else gone]] - mean
        else:
            total += merged[slot[gone]]
        slot[into], slot[gone] = kept, -1
        square = np.float32(0)
        for c in range(len(mean)):
            square += total[c] * total[c]
        sums[into, TOTAL_SQUARE] = square


@compiled
def _keep_slot(into: int, gone: int, slot: Any, free: Any) -> Any:
    """The line of `merged` that the union will have.

    free[0] lines were given back, whose numbers follow it; free[-1] have ever been in use.
    """
    if slot[into] >= 0 and slot[gone] >= 0:
        free[0] += 1
        free[free[0]] = slot[gone]
    if slot[into] >= 0 or slot[gone] >= 0:
        return max(slot[into], slot[gone]) if slot[into] < 0 or slot[gone] < 0 else slot[into]
    if free[0] > 0:
        free[0] -= 1
        return free[free[0] + 1]
    free[-1] += 1
    return free[-1] - 1


@compiled
def describe_clusters(rows: Array, sums: Array, lines: Array) -> None:
    """Fill `lines` [n, 16] of the clusters `rows` [m] with what a pair's network reads of one."""
    for m in range(len(rows)):
        own, line = sums[rows[m]], lines[rows[m]]
        size, mass, inner = own[SIZE], own[MASS] / own[SIZE], own[INNER]
        pairs = size * (size - 1)
        norm = max(own[CLUSTER_NORM] / size, 1e-6)
        density = own[DENSITY] / size
        # Mean cosine between members, drawn towards the density by two made-up members.
        among = (own[TOTAL_SQUARE] - own[SQUARE]) / norm**2 if size > 1 else 0.0
        outgoing_p = max(own[MASS] - 2 * own[INNER_P], 1e-3)
        line[L_SIZE] = size
        line[L_NORM] = norm
        line[L_DENSITY] = density
        line[L_COHERENCE] = own[CLUSTER_COHERENCE] / size
        line[L_TOTAL_SQUARE] = own[TOTAL_SQUARE]
        line[L_WITHIN] = (among + 2 * density) / (pairs + 2)
        line[L_OUTGOING_P] = outgoing_p
        line[L_OUTGOING] = max(own[DEGREE] - 2 * inner, 1.0)
        line[L_INNER_P] = own[INNER_P] / inner if inner > 0 else NOTHING_INSIDE
        line[L_FILLED] = 2 * own[INNER_P] / pairs if size > 1 else NOTHING_INSIDE
        line[L_LOG_MASS] = np.log(mass + 0.1)
        line[L_LOG_SPARSE] = np.log(size / (mass + 0.5))
        line[L_LOG_OUTGOING] = np.log(outgoing_p / size + 0.05)
        line[L_INNER_R] = own[INNER_R] / inner if inner > 0 else density
        line[L_LOG_SIZE] = np.log(size)
