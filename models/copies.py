"""Copies of one image are one node: equal rows, and those that rounding alone keeps apart.

More than K copies list one another only, and would be an island in the k-NN graph.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.graph import PAD_NEIGHBOUR, KnnGraph, Progress, nearest, nearest_of, twice
from models.kernels.copies import name_copies
from models.vectors import Distinct, collapse

# Of the spread of the collection, squared: what half precision does to a row is a tenth of it.
ROUNDING = 1e-6
# Where most images lie densely on a line, as on a circle, they are nearer to one another than
# rounding would be. On a line the squared distance to neighbour k is about 2 k^2 times that to the
# first; among copies, which may be more than k, it is hardly larger. Rounding is far less than what
# lies between nearly all rows on a line and their last neighbour.
ON_A_LINE = 0.25
DENSE = 1e-4
NEARLY_ALL = 0.9
# Far more than single precision does to a unit row: so near are copies alone, however dense.
SINGLE_PRECISION = 1e-12
SAMPLED_ROWS = 4_096
# Pairs of a smaller cosine are no copies, whatever the spread.
CANDIDATE = 1 - 1e-5
# Floats of both rows of pairs that are compared at once: 8 MiB in double precision.
BLOCK_FLOATS = 1 << 20


def distinct_graph(
    unit: NDArray[np.float32],
    k: int,
    *,
    device: str | None = None,
    progress: Progress | None = None,
) -> tuple[Distinct, KnnGraph]:
    """The distinct rows of `unit` [n, d] and their exact k-NN graph. Blocks.

    Rows that differ by rounding, as scaled copies do, are one with the first of them: those whose
    squared distance is up to 1e-6 of the collection's variance; where most lie on a line, up to
    1e-4 of what it is to the last neighbour there, or what single precision does.
    """

    def of(distinct: Distinct) -> KnnGraph:
        return nearest(distinct.unit, k, device=device, progress=progress)

    return _until_none(unit, of)


def distinct_part(
    unit: NDArray[np.float32], graph: KnnGraph, *, device: str | None = None
) -> tuple[Distinct, KnnGraph]:
    """As `distinct_graph`, of the `graph` [n] of all rows that is at hand. Blocks."""

    def of(distinct: Distinct) -> KnnGraph:
        whole = len(distinct.unit) == len(unit)
        return graph if whole else contracted(graph, distinct, device=device)

    return _until_none(unit, of)


def _until_none(
    unit: NDArray[np.float32], graph_of: Callable[[Distinct], KnnGraph]
) -> tuple[Distinct, KnnGraph]:
    """The distinct rows and `graph_of` them, in which no copies are neighbours any more."""
    distinct = collapse(unit)
    while True:
        graph = graph_of(distinct)
        name = _names(distinct.unit, graph)
        kept, place = np.unique(name, return_inverse=True)
        if len(kept) == len(name):
            return distinct, graph
        row = place[distinct.row]
        distinct = Distinct(distinct.unit[kept], row, np.bincount(row).astype(np.int32))


def contracted(graph: KnnGraph, distinct: Distinct, *, device: str | None = None) -> KnnGraph:
    """The graph of the distinct rows, of a `graph` of all rows [n].

    Rows that lose a neighbour by it, a copy of their own or of another neighbour, are searched for
    again, exactly.
    """
    _, first = np.unique(distinct.row, return_index=True)
    old = graph.neighbours[first]
    new = np.where(old == PAD_NEIGHBOUR, PAD_NEIGHBOUR, distinct.row[old]).astype(np.int32)
    own = new == np.arange(len(new))[:, None]
    similarity = graph.similarity[first].astype(np.float32)
    lost = np.flatnonzero(twice(new) | own.any(axis=1))
    again = nearest_of(distinct.unit, lost, new.shape[1], device=device)
    new[lost], similarity[lost] = again.neighbours, again.similarity
    return KnnGraph(new, similarity)


def _names(unit: NDArray[np.float32], graph: KnnGraph) -> NDArray[np.int64]:
    """For each row the one that it is a copy of, itself where it is none [n].

    Those that have copies are compared with one another in turn, not what is a copy of theirs:
    nothing follows step by step.
    """
    name = np.arange(len(unit))
    i, place = np.nonzero(graph.similarity >= CANDIDATE)
    j = graph.neighbours[i, place].astype(np.int64)
    rounding = _rounding(unit, graph) if len(i) else 0.0
    while True:
        near = _squared(unit, i, j) <= rounding
        i, j = i[near], j[near]
        if not len(i):
            return name
        row, other = np.concatenate((i, j)), np.concatenate((j, i))
        order = np.argsort(row, kind="stable")
        leader = np.arange(len(unit))
        name_copies(row[order], other[order], leader)
        name = leader[name]
        i, j = leader[i], leader[j]
        i, j = i[i != j], j[i != j]


def _rounding(unit: NDArray[np.float32], graph: KnnGraph) -> float:
    """Up to which squared distance rows differ by rounding alone; some must have neighbours."""
    mean = unit.mean(axis=0, dtype=np.float64)
    spread = 1 - float(mean @ mean)  # of unit rows
    rows = np.flatnonzero(graph.neighbours[:, 0] != PAD_NEIGHBOUR)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, SAMPLED_ROWS).astype(np.int64))]
    lists = graph.neighbours[rows]
    there = lists != PAD_NEIGHBOUR
    far = np.full(lists.shape, np.nan)  # in double precision: cosines of single tie
    far[there] = _squared(unit, np.repeat(rows, there.sum(axis=1)), lists[there])
    reach = np.nanmax(far, axis=1)
    on_a_line = reach > ON_A_LINE * there.sum(axis=1) ** 2 * np.nanmin(far, axis=1)
    if 2 * np.count_nonzero(on_a_line) <= len(rows):
        return ROUNDING * spread
    dense = DENSE * float(np.quantile(reach[on_a_line], NEARLY_ALL))
    return min(ROUNDING * spread, max(dense, SINGLE_PRECISION))


def _squared(
    unit: NDArray[np.float32], i: NDArray[np.int64], j: NDArray[np.integer]
) -> NDArray[np.float64]:
    """The squared distance of each pair of rows (i, j)."""
    out = np.empty(len(i))
    step = max(1, BLOCK_FLOATS // unit.shape[1])
    for start in range(0, len(i), step):
        block = slice(start, start + step)
        between = unit[i[block]].astype(np.float64) - unit[j[block]]
        out[block] = np.einsum("ed,ed->e", between, between)
    return out
