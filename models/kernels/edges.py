"""Features of edges: `models.edge_features` as loops over a table of edges."""

from typing import Any

import numpy as np

from models.kernels.columns import ALONG, COHERENCE, HUBNESS, LAST, NEAR, NEAR_Z, NORM, SPREAD
from models.kernels.compiled import Array, compiled
from models.kernels.constants import FEW, MIN_RANGE, NORM_EPSILON, PREFIXES, SHOWN, WIDE
from models.kernels.product import product
from models.kernels.triangles import count_shared, mark, place_in, unmark

_IS_SHOWN = np.array([prefix in SHOWN for prefix in PREFIXES])


@compiled
def relate_ends(
    ends: tuple[Array, Array],
    start: int,
    stop: int,
    ids: Array,
    neighbours: Array,
    vectors: Array,
    mean: Array,
    table: Array,
    direction: Array,
    out: tuple[Array, Array, Array],
) -> None:
    """What an edge's two lists and directions have in common, for edges `start`..`stop`.

    `ends` is (i [e], j [e]): lines of `table` and `direction` of which `ids` [m] are the rows;
    edges of one i follow each other. `out` is (back [e], shared [e, 3], directions [e, 3]).
    """
    (lines_i, lines_j), (back, shared, directions) = ends, out
    marks = np.zeros(len(neighbours), np.int8)
    own = np.empty(len(mean), np.float32)
    filled = -1
    for e in range(start, stop):
        i, j = lines_i[e], lines_j[e]
        row = ids[i]
        if i != filled:
            if filled >= 0:
                unmark(marks, neighbours[ids[filled]])
            mark(marks, neighbours[row])
            _centre(vectors[row], mean, table[i, NORM], own)
            along = product(direction[i], mean)
            filled = i
        theirs = neighbours[ids[j]]
        back[e] = place_in(theirs, row)
        count_shared(marks, theirs, shared[e])
        directions[e, 0] = product(direction[i], direction[j])
        u_of_i = product(own, direction[j])
        u_of_j = (product(direction[i], vectors[ids[j]]) - along) / (
            table[j, NORM] + np.float32(NORM_EPSILON)
        )
        directions[e, 1] = min(u_of_i, u_of_j)
        directions[e, 2] = max(u_of_i, u_of_j)


@compiled
def _centre(vector: Any, mean: Any, norm: float, out: Any) -> None:
    for c in range(len(mean)):
        out[c] = (vector[c] - mean[c]) / (norm + np.float32(NORM_EPSILON))


@compiled
def write_features(
    ends: tuple[Array, Array],
    start: int,
    stop: int,
    ids: Array,
    similarity: Array,
    mean: Array,
    table: Array,
    known: tuple[Array, Array, Array, Array],
    quantiles: Array,
    out: Array,
) -> None:
    """Round 1's 38 numbers of edges `start`..`stop` into `out` [stop - start, 38].

    `known` is (place [e], back [e], shared [e, 3], directions [e, 3]).
    """
    (lines_i, lines_j), (place, back, shared, directions) = ends, known
    k = similarity.shape[1]
    logs = np.log1p(np.arange(k + 1).astype(np.float32))
    mean_square = product(mean, mean)
    for e in range(start, stop):
        one, two = table[lines_i[e]], table[lines_j[e]]
        inner = similarity[ids[lines_i[e]], place[e]] - one[ALONG] - two[ALONG] + mean_square
        cosine = inner / (one[NORM] * two[NORM] + np.float32(NORM_EPSILON))
        r = min(max(cosine, np.float32(-1)), np.float32(1))
        x = out[e - start]
        x[0] = r
        x[1] = inner / np.sqrt(one[SPREAD] * two[SPREAD])
        x[2] = logs[min(place[e], back[e])]
        x[3] = logs[max(place[e], back[e])]
        x[4] = back[e] < k
        at = _write_nearness(one, two, r, x)
        x[at] = np.float32(shared[e, 0]) / np.float32(FEW)
        x[at + 1] = np.float32(shared[e, 1]) / np.float32(WIDE)
        x[at + 2] = np.float32(shared[e, 2]) / np.float32(k)
        for c in range(3):
            x[at + 3 + c] = directions[e, c]
        _write_both(x, at + 6, one[COHERENCE], two[COHERENCE])
        for c in range(3):
            x[at + 8 + c] = quantile_of(quantiles[c], r)
        _write_both(x, at + 11, one[HUBNESS], two[HUBNESS])


@compiled
def _write_nearness(one: Any, two: Any, r: float, x: Any) -> Any:
    """R against the ends' other neighbours, from column 5 on; returns the next column."""
    at = 5
    for prefix in range(len(_IS_SHOWN)):
        low = min(one[NEAR + prefix], two[NEAR + prefix])
        high = max(one[NEAR + prefix], two[NEAR + prefix])
        x[at], x[at + 1] = r - low, r - high
        at += 2
        if _IS_SHOWN[prefix]:
            x[at], x[at + 1] = low, high
            at += 2
    _write_both(x, at, one[NEAR_Z], two[NEAR_Z])
    _write_both(x, at + 2, _position(one, r), _position(two, r))
    return at + 4


@compiled
def _position(line: Any, r: float) -> Any:
    """Where R lies between a row's last and first neighbour."""
    span = max(line[NEAR] - line[LAST], np.float32(MIN_RANGE))
    return (r - line[LAST]) / span


@compiled
def _write_both(x: Any, at: int, a: float, b: float) -> None:
    x[at], x[at + 1] = min(a, b), max(a, b)


@compiled
def quantile_of(table: Any, value: float) -> Any:
    """`models.edge_features.quantile` of one value."""
    steps = len(table) - 1
    left, size = 0, len(table)  # how many entries lie below the value
    while size > 1:
        half = size >> 1
        left += half * (table[left + half - 1] < value)
        size -= half
    right = min(max(left + (table[left] < value), 1), steps)
    low, high = table[right - 1], table[right]
    inside = (value - low) / max(high - low, np.float32(1e-9))
    inside = min(max(inside, np.float32(0)), np.float32(1))
    return (np.float32(right - 1) + inside) / np.float32(steps)


@compiled
def count_edges(neighbours: Array, ids: Array, start: int, stop: int, counts: Array) -> None:
    """How many edges `find_edges` finds for each of the lines `start`..`stop`: `counts` [n]."""
    k = neighbours.shape[1]
    for line in range(start, stop):
        i, count = ids[line], 0
        for place in range(k):
            j = neighbours[i, place]
            count += j >= 0 and (i < j or place_in(neighbours[j], i) == k)
        counts[line] = count


@compiled
def find_edges(
    neighbours: Array,
    ids: Array,
    line_of: Array,
    start: int,
    stop: int,
    first: Array,
    edges: tuple[Array, Array, Array],
) -> None:
    """Each edge of the graph once, for the lines `start`..`stop`: from the lower row if both list
    it.

    `ids` [n] are the rows in some order, `line_of` [n] where each stands in it. Those of a line are
    written from `first[line]` on into `edges`: lines i [e] and j [e], place [e].
    """
    (lines_i, lines_j, places), k = edges, neighbours.shape[1]
    for line in range(start, stop):
        i, e = ids[line], first[line]
        for place in range(k):
            j = neighbours[i, place]
            if j >= 0 and (i < j or place_in(neighbours[j], i) == k):
                lines_i[e], lines_j[e], places[e] = line, line_of[j], place
                e += 1
