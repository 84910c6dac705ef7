"""Rows' statistics over their own neighbours: `models.nodes.node_table` as one loop."""

from typing import Any

import numpy as np

from models.kernels.columns import (
    ALONG,
    COHERENCE,
    FIRST_Z,
    HUBNESS,
    LAST,
    LAST_Z,
    NEAR,
    NEAR_Z,
    NORM,
    SPREAD,
    TENTH,
)
from models.kernels.compiled import Array, compiled
from models.kernels.constants import NEIGHBOURHOOD, NORM_EPSILON, PREFIXES
from models.kernels.triangles import place_in

_PREFIXES = np.array(PREFIXES)
_MEASURES = 3


@compiled
def describe_nodes(
    ids: Array,
    start: int,
    stop: int,
    graph: tuple[Array, Array],
    vectors: Array,
    mean: Array,
    known: tuple[Array, Array],
    met: tuple[Array, Array],
    table: Array,
    direction: Array,
) -> None:
    """Fill lines `start`..`stop` of `table` [m, 16] and `direction` [m, d] for the rows `ids` [m].

    `graph` is (neighbours [n, K], similarity [n, K]); `known` is (measures [n', 3], hubness [n'])
    of the first rows of the collection, `met` the measures of others, as (rows, rising; measures).
    """
    (neighbours, similarity), (measures, hubness), (later, theirs) = graph, known, met
    k = neighbours.shape[1]
    listed = np.empty(k, np.int32)
    seen = np.empty((_MEASURES, k), np.float32)
    r, z = np.empty(k, np.float32), np.empty(k, np.float32)
    mean_square = np.float32(0)
    for c in range(len(mean)):
        mean_square += mean[c] * mean[c]
    for m in range(start, stop):
        row, line = ids[m], table[m]
        line[ALONG], line[NORM], line[SPREAD] = _measure(row, measures, later, theirs)
        degree = 0
        for q in range(k):
            j = neighbours[row, q]
            if j >= 0:
                listed[degree] = j
                seen[ALONG, degree], seen[NORM, degree], seen[SPREAD, degree] = _measure(
                    j, measures, later, theirs
                )
                r[degree] = similarity[row, q]
                degree += 1
        line[COHERENCE] = _direct(listed, seen[NORM], degree, vectors, mean, direction[m])
        _standardise(r, z, seen, degree, line, mean_square)
        _sort_falling(r, degree)
        _sort_falling(z, degree)
        _summarise(r, z, degree, line)
        line[HUBNESS] = _hubness(row, neighbours, hubness)


@compiled
def _measure(row: int, known: Any, later: Any, theirs: Any) -> tuple[float, float, float]:
    """What `Background.measure` says of a row of the collection."""
    if row < len(known):
        return known[row, ALONG], known[row, NORM], known[row, SPREAD]
    at = np.searchsorted(later, row)
    return theirs[at, ALONG], theirs[at, NORM], theirs[at, SPREAD]


@compiled
def _standardise(r: Any, z: Any, seen: Any, degree: int, line: Any, mean_square: Any) -> None:
    """R and Z of a row's edges in place of the similarities that `r` holds."""
    along, norm, spread = line[ALONG], line[NORM], line[SPREAD]
    for q in range(degree):
        inner = r[q] - along - seen[ALONG, q] + mean_square
        z[q] = inner / np.sqrt(spread * seen[SPREAD, q])
        cosine = inner / (norm * seen[NORM, q] + np.float32(NORM_EPSILON))
        r[q] = min(max(cosine, np.float32(-1)), np.float32(1))


@compiled
def _sort_falling(values: Any, count: int) -> None:
    """Sort the first `count` of `values`, which fall nearly."""
    for q in range(1, count):
        value, at = values[q], q
        while at > 0 and values[at - 1] < value:
            values[at] = values[at - 1]
            at -= 1
        values[at] = value


@compiled
def _summarise(r: Any, z: Any, degree: int, line: Any) -> None:
    """Means and ends of a row's falling R and Z."""
    for column in range(NEAR, COHERENCE):
        line[column] = 0
    if degree == 0:
        return
    for prefix in range(len(_PREFIXES)):
        line[NEAR + prefix] = _mean_of_first(r, degree, _PREFIXES[prefix])
    line[NEAR_Z] = _mean_of_first(z, degree, NEIGHBOURHOOD)
    line[TENTH] = r[min(degree, NEIGHBOURHOOD) - 1]
    line[LAST] = r[degree - 1]
    line[FIRST_Z] = z[0]
    line[LAST_Z] = z[degree - 1]


@compiled
def _mean_of_first(values: Any, degree: int, count: int) -> Any:
    total = np.float32(0)
    for q in range(min(degree, count)):
        total += values[q]
    return total / np.float32(min(degree, count))


@compiled
def _direct(listed: Any, norm: Any, degree: int, vectors: Any, mean: Any, out: Any) -> Any:
    """Write the mean direction of the first ten neighbours; returns the length that it had."""
    out[:] = 0
    if degree == 0:
        return np.float32(0)
    count, weights = min(degree, NEIGHBOURHOOD), np.float32(0)
    for q in range(count):
        weight = np.float32(1) / (norm[q] + np.float32(NORM_EPSILON))
        weights += weight
        vector = vectors[listed[q]]
        for c in range(len(mean)):
            out[c] += weight * vector[c]
    square = np.float32(0)
    for c in range(len(mean)):
        out[c] = (out[c] - weights * mean[c]) / np.float32(count)
        square += out[c] * out[c]
    length = np.sqrt(square)
    scale = np.float32(1) / max(length, np.float32(NORM_EPSILON))
    for c in range(len(mean)):
        out[c] *= scale
    return length


@compiled
def _hubness(row: int, neighbours: Any, known: Any) -> Any:
    """log(1 + in-degree). A row that is not known counts those of its neighbours that list it."""
    if row < len(known):
        return known[row]
    count = 0
    for q in range(neighbours.shape[1]):
        j = neighbours[row, q]
        count += j >= 0 and place_in(neighbours[j], row) < neighbours.shape[1]
    return np.log1p(np.float32(count))
