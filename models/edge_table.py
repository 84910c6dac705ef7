"""Edges and what is known of them before any network, each edge once, on the CPU."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.context import CollectionContext
from models.edge_features import FEATURES
from models.kernels.blocks import in_blocks
from models.kernels.columns import COLUMNS
from models.kernels.edges import count_edges, find_edges, relate_ends, write_features
from models.kernels.nodes import describe_nodes
from models.kernels.walk import walk
from models.view import View, borrow

# Features that exist at once, for each thread: 8,192 x 38 float32 are 1.2 MiB.
EDGES_AT_ONCE = 8_192


@dataclass(frozen=True, slots=True)
class EdgeTable:
    """The `e` edges that are to be judged, between `m` rows of a graph of K <= 127.

    `ids` int64 [m] are the rows, `nodes` float32 [m, 16] what each is by itself
    (`models.kernels.columns`). An edge goes from line `i` to line `j` of these, int32 [e]; `place`
    int8 [e] is where j's row stands in the list of i's row, `back` int8 [e] where i's stands in
    that of j's, K if it does not. `shared` int8 [e, 3]: common neighbours among the first 5, 10,
    all; `directions` float32 [e, 3]: the cosines of `models.edge_features`.
    """

    ids: NDArray[np.int64]
    nodes: NDArray[np.float32]
    neighbours: NDArray[np.int32]
    similarity: NDArray[np.float32]
    mean: NDArray[np.float32]
    quantiles: NDArray[np.float32]
    i: NDArray[np.int32]
    j: NDArray[np.int32]
    place: NDArray[np.int8]
    back: NDArray[np.int8]
    shared: NDArray[np.int8]
    directions: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.i)

    def features(
        self, start: int = 0, stop: int | None = None, more: int = 0
    ) -> Iterator[tuple[slice, Tensor]]:
        """Round 1's input float32 [b, 38] of the edges `start`..`stop` (None: to the last).

        By blocks of edges; each is overwritten by the next. With `more`, there are so many further
        columns, which nothing is written to.
        """
        end = len(self) if stop is None else stop
        buffer = np.empty((min(end - start, EDGES_AT_ONCE), FEATURES + more), np.float32)
        for first in range(start, end, EDGES_AT_ONCE):
            last = min(first + EDGES_AT_ONCE, end)
            self._write(first, last, buffer)
            yield slice(first, last), torch.from_numpy(buffer[: last - first])

    def _write(self, first: int, last: int, out: NDArray[np.float32]) -> None:
        write_features(
            (self.i, self.j),
            first,
            last,
            self.ids,
            self.similarity,
            self.mean,
            self.nodes,
            (self.place, self.back, self.shared, self.directions),
            self.quantiles,
            out,
        )


def edges_of(
    view: View, context: CollectionContext, rows: NDArray[np.int64], width: int
) -> EdgeTable:
    """The first `width` edges of `rows` [b], in their order; the cost does not depend on n."""
    lists = view.neighbours.numpy()[rows, :width]  # [b, w]
    at, place = np.nonzero(lists >= 0)
    target = lists[at, place].astype(np.int64)
    ids = np.unique(np.concatenate((rows, target)))
    i, j = np.searchsorted(ids, rows[at]), np.searchsorted(ids, target)
    ends = (i.astype(np.int32), j.astype(np.int32), place.astype(np.int8))
    return _related(view, context, ids, ends)


def edges_of_graph(view: View, context: CollectionContext) -> EdgeTable:
    """All edges of a graph, each once, from the lower row if both list it.

    Rows, and so edges, come in an order in which neighbours are near each other.
    """
    neighbours, n = view.neighbours.numpy(), len(view)
    ids = walk(neighbours)
    line_of = np.empty(n, np.int32)
    line_of[ids] = np.arange(n, dtype=np.int32)
    counts = np.zeros(n, np.int64)
    in_blocks(lambda start, stop: count_edges(neighbours, ids, start, stop, counts), n)
    e, first = int(counts.sum()), counts.cumsum() - counts
    edges = (np.empty(e, np.int32), np.empty(e, np.int32), np.empty(e, np.int8))

    def find(start: int, stop: int) -> None:
        find_edges(neighbours, ids, line_of, start, stop, first, edges)

    in_blocks(find, n)
    return _related(view, context, ids, edges)


def chosen_edges(view: View, context: CollectionContext, wanted: NDArray[np.int64]) -> EdgeTable:
    """The edges `wanted` [e] of a graph, each row * K + place, rising."""
    i, place = wanted // max(view.k, 1), wanted % max(view.k, 1)
    j = view.neighbours.numpy().reshape(-1)[wanted]
    ends = (i.astype(np.int32), j.astype(np.int32), place.astype(np.int8))
    return _related(view, context, np.arange(len(view)), ends)


def _related(
    view: View,
    context: CollectionContext,
    ids: NDArray[np.int64],
    edges: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]],
) -> EdgeTable:
    neighbours, similarity, vectors = (
        tensor.numpy() for tensor in (view.neighbours, view.similarity, view.vectors)
    )
    table = np.empty((len(ids), COLUMNS), np.float32)
    direction = np.empty((len(ids), vectors.shape[1]), np.float32)
    mean = context.mean
    known = (context.rows, context.hubness)
    met = _met(view, context, ids)

    def describe(start: int, stop: int) -> None:
        describe_nodes(
            ids, start, stop, (neighbours, similarity), vectors, mean, known, met, table, direction
        )

    in_blocks(describe, len(ids))
    ends, e = edges[:2], len(edges[0])
    found = (np.empty(e, np.int8), np.empty((e, 3), np.int8), np.empty((e, 3), np.float32))

    def relate(start: int, stop: int) -> None:
        relate_ends(ends, start, stop, ids, neighbours, vectors, mean, table, direction, found)

    in_blocks(relate, e)
    return EdgeTable(
        ids=ids,
        nodes=table,
        neighbours=neighbours,
        similarity=similarity,
        mean=mean,
        quantiles=context.quantiles,
        i=ends[0],
        j=ends[1],
        place=edges[2],
        back=found[0],
        shared=found[1],
        directions=found[2],
    )


def _met(
    view: View, context: CollectionContext, ids: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Those of `ids` and of their neighbours that the context did not measure, and measures."""
    known = len(context.rows)
    if known >= len(view):
        return np.zeros(0, np.int64), np.zeros((0, 3), np.float32)
    around = view.neighbours.numpy()[ids]
    fresh = np.unique(np.concatenate((ids[ids >= known], around[around >= known])))
    vectors = borrow(view.vectors.numpy()[fresh])
    return fresh, context.background(torch.device("cpu")).measure(vectors).numpy()
