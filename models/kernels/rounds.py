"""Round 2 on edges: `models.network.round_two_features` as loops over a table of edges."""

from typing import Any

import numpy as np

from models.kernels.compiled import Array, compiled
from models.kernels.triangles import mark, unmark

_LOGIT_EPSILON = 1e-7


@compiled
def spread_answers(
    ids: Array,
    edges: tuple[Array, Array, Array, Array],
    start: int,
    stop: int,
    p: Array,
    out: Array,
) -> None:
    """Write p [e] of the edges (i, j, place, back) to where both ends list them; `out` [n, K].

    The ends are lines, of which `ids` are the rows.
    """
    lines_i, lines_j, place, back = edges
    for e in range(start, stop):
        out[ids[lines_i[e]], place[e]] = p[e]
        if back[e] < out.shape[1]:
            out[ids[lines_j[e]], back[e]] = p[e]


@compiled
def gather_evidence(neighbours: Array, p: Array, evidence: Array) -> None:
    """Of p [n, K]: log(1 + sum), sum, largest and log(1 + incoming sum); `evidence` [n, 4]."""
    evidence[:] = 0
    for i in range(len(neighbours)):
        for place in range(neighbours.shape[1]):
            j = neighbours[i, place]
            if j >= 0:
                evidence[i, 1] += p[i, place]
                evidence[i, 2] = max(evidence[i, 2], p[i, place])
                evidence[j, 3] += p[i, place]
    for i in range(len(neighbours)):
        evidence[i, 0] = np.log1p(evidence[i, 1])
        evidence[i, 3] = np.log1p(evidence[i, 3])


@compiled
def write_evidence(
    ids: Array,
    edges: tuple[Array, Array, Array],
    start: int,
    stop: int,
    neighbours: Array,
    p: Array,
    evidence: Array,
    column: int,
    out: Array,
) -> None:
    """Round 2's 12 numbers of edges (i, j, place) into `out` [stop - start, f] from `column` on.

    The ends are lines, of which `ids` are the rows; edges of one i follow each other. `p` [n, K]
    are round 1's answers, `evidence` what `gather_evidence` made of them.
    """
    lines_i, lines_j, place = edges
    k = neighbours.shape[1]
    marks = np.zeros(len(neighbours), np.int8)
    shared = np.empty((k, 2), np.int8)
    filled = -1
    for e in range(start, stop):
        i, j = ids[lines_i[e]], ids[lines_j[e]]
        if i != filled:
            if filled >= 0:
                unmark(marks, neighbours[filled])
            mark(marks, neighbours[i])
            filled = i
        common = _find_shared(marks, neighbours[j], shared)
        product, distance, weakest = _hear(shared, common, p[i], p[j])
        one, two, x = evidence[i], evidence[j], out[e - start]
        own = p[i, place[e]]
        low = min(one[1], two[1])
        x[column] = _logit(own)
        x[column + 1] = min(one[0], two[0])
        x[column + 2] = max(one[0], two[0])
        x[column + 3] = product / (low + np.float32(0.1))
        x[column + 4] = product / (one[1] + two[1] - product + np.float32(0.1))
        x[column + 5] = distance / np.float32(max(common, 1))
        x[column + 6] = weakest
        x[column + 7] = np.float32(common) / np.float32(k)
        x[column + 8] = own - min(one[2], two[2])
        x[column + 9] = own - max(one[2], two[2])
        x[column + 10] = min(one[3], two[3])
        x[column + 11] = max(one[3], two[3])


@compiled
def _find_shared(marks: Any, listed: Any, shared: Any) -> Any:
    """Places of the common neighbours in both lists, into `shared` [K, 2]; returns how many."""
    common = 0
    for place in range(len(listed)):
        row = listed[place]
        theirs = marks[max(row, 0)]
        shared[common, 0] = theirs - 1
        shared[common, 1] = place
        common += (row >= 0) & (theirs > 0)
    return common


@compiled
def _hear(shared: Any, common: int, p_i: Any, p_j: Any) -> Any:
    """Sum of products, sum of distances and largest minimum over the triangles of an edge."""
    product, distance, weakest = np.float32(0), np.float32(0), np.float32(0)
    for t in range(common):
        one, two = p_i[shared[t, 0]], p_j[shared[t, 1]]
        product += one * two
        distance += abs(one - two)
        weakest = max(weakest, min(one, two))
    return product, distance, weakest


@compiled
def _logit(p: Any) -> Any:
    inside = min(max(p, np.float32(_LOGIT_EPSILON)), np.float32(1) - np.float32(_LOGIT_EPSILON))
    return np.log(inside / (np.float32(1) - inside))
