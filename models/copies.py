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
# Of the squared distance that nearly all rows have to their last neighbour: where images lie
# densely, as on a circle, they are nearer to one another than rounding would be.
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
    squared distance is up to 1e-6 of the collection's variance, and up to 1e-4 of what it is to
    the last neighbour, or what single precision does.
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
        i, j = _copies(distinct.unit, graph)
        if not len(i):
            return distinct, graph
        distinct = _joined(distinct, i, j)


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


def _copies(
    unit: NDArray[np.float32], graph: KnnGraph
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    i, place = np.nonzero(graph.similarity >= CANDIDATE)
    if not len(i):
        return i, i
    j = graph.neighbours[i, place].astype(np.int64)
    same = _squared(unit, i, j) <= _rounding(unit, graph)
    return i[same], j[same]


def _rounding(unit: NDArray[np.float32], graph: KnnGraph) -> float:
    """Up to which squared distance rows differ by rounding alone."""
    mean = unit.mean(axis=0, dtype=np.float64)
    spread = 1 - float(mean @ mean)  # of unit rows
    rows = np.unique(np.linspace(0, len(unit) - 1, SAMPLED_ROWS).astype(np.int64))
    last = (graph.neighbours[rows] != PAD_NEIGHBOUR).sum(axis=1) - 1
    rows, last = rows[last >= 0], last[last >= 0]
    reach = _squared(unit, rows, graph.neighbours[rows, last])
    dense = DENSE * float(np.quantile(reach, NEARLY_ALL))
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


def _joined(distinct: Distinct, i: NDArray[np.int64], j: NDArray[np.int64]) -> Distinct:
    """The same where each row that pairs (i, j) connect to an earlier one is one with that: with
    the first such that is not itself one with another, so that nothing follows step by step.
    """
    name = np.arange(len(distinct.unit))
    row, other = np.concatenate((i, j)), np.concatenate((j, i))
    order = np.argsort(row, kind="stable")
    name_copies(row[order], other[order], name)
    kept, place = np.unique(name, return_inverse=True)
    row = place[distinct.row]
    return Distinct(distinct.unit[kept], row, np.bincount(row).astype(np.int32))
