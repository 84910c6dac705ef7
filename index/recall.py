"""How many of the true neighbours the kept graph lists, measured in small slices beside all else.

A pass takes some rows by chance and looks for their exact neighbours among the rows of the vector
log, slice by slice; when it has seen them all it compares them with what the graph lists by then.
"""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Rows of a pass. Reading the log is the larger part of its cost, up to about so many.
SAMPLE_ROWS = 32
# The last passes that `recall` is of: a thousand rows, whose share is right to some thousandths.
PASSES = 32
# Vectors that one slice reads: a millisecond or two of one core, more where others want it.
SLICE_BYTES = 1 << 20
# Multiplications of one product: a larger one OpenBLAS spreads over threads, and they would wait
# for the cores that HNSW has.
PRODUCT_SIZE = 1 << 18
# How many times k true neighbours are gathered, so that some may die before the pass ends.
SPARE = 2
# Places drawn for each row of the sample: some are dead, or in flight.
DRAWN = 8
# hnswlib and the matrix product add up in another order; what is so near is as near.
TIE = 2e-6

Rows = NDArray[np.int64]


class Graph(Protocol):
    """A collection's log and graph as they are now, see `CollectionIndex`."""

    @property
    def vectors(self) -> NDArray[np.float32]:
        """float32 [rows, d]."""

    @property
    def counts(self) -> NDArray[np.int32]:
        """int32 [rows]; 0 for a dead row."""

    @property
    def k(self) -> int:
        """Neighbours that are kept of a row."""

    @property
    def neighbours(self) -> NDArray[np.int32]:
        """int32 [rows, k], best first."""

    @property
    def similarity(self) -> NDArray[np.float32]:
        """float32 [rows, k]."""

    @property
    def graph_changes(self) -> int:
        """Rises whenever the graph changes."""

    def linked(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of `rows` live and have been taken into the graph, bool as `rows`."""


@dataclass(frozen=True, slots=True)
class Recall:
    """The share of the true neighbours of `rows` sampled rows that the graph lists, 0 to 1."""

    ratio: float
    rows: int


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one pass found: of the true neighbours `wanted`, so many were `listed`."""

    rows: int
    wanted: int
    listed: int
    graph_changes: int


class RecallProbe:
    """Measures one collection, by chance but the same again with the same `seed`.

    Rows may come, change and go between two calls: a row that died, or is on its way into the
    graph, counts on neither side. One owner, one thread.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._passes: deque[_Pass] = deque(maxlen=PASSES)
        self._search: _ExactSearch | None = None
        self._rows_seen = 0

    @property
    def recall(self) -> Recall | None:
        """Over the last passes; None before the first that found something to compare."""
        wanted = sum(found.wanted for found in self._passes)
        if not wanted:
            return None
        listed = sum(found.listed for found in self._passes)
        return Recall(listed / wanted, sum(found.rows for found in self._passes))

    def settled(self, graph: Graph) -> bool:
        """Whether all passes that count were made since the graph last changed."""
        full = len(self._passes) == PASSES
        return full and self._passes[0].graph_changes == graph.graph_changes

    def look(self, graph: Graph) -> bool:
        """Look at one more slice of rows; True when all were looked at, and `compare` is due.

        Reads up to `SLICE_BYTES` of vectors, and as many rows as came since the last call, so that
        a pass ends also where rows come faster than it goes on.
        """
        rows = len(graph.counts)
        if self._search is None:
            self._search = _ExactSearch(graph, self._sample(graph))
            self._rows_seen = rows
        came, self._rows_seen = rows - self._rows_seen, rows
        search = self._search
        search.look_at(graph, max(1, SLICE_BYTES // (4 * graph.vectors.shape[1])) + came)
        return search.next_row >= rows

    def compare(self, graph: Graph) -> None:
        """End the pass. The one call that looks at the graph, and waits where it is changing."""
        search, self._search = self._search, None
        if search is not None and len(search.rows):
            self._passes.append(_compared(search, graph))

    def _sample(self, graph: Graph) -> Rows:
        rows = len(graph.counts)
        if not rows:
            return np.empty(0, np.int64)
        drawn = np.unique(self._rng.integers(rows, size=DRAWN * SAMPLE_ROWS))
        sample: Rows = self._rng.permutation(drawn[graph.linked(drawn)])[:SAMPLE_ROWS]
        return sample


class _ExactSearch:
    """The nearest of the rows before `next_row` for each of `rows` [n], in no order.

    `labels` int64 [n, width] and `similarity` float32 [n, width]; -1 and -inf where there is none.
    """

    def __init__(self, graph: Graph, rows: Rows) -> None:
        self.rows = rows
        self.next_row = 0
        self._queries = graph.vectors[rows]  # a copy: the log wipes what dies
        shape = len(rows), SPARE * graph.k
        self.labels = np.full(shape, -1, np.int64)
        self.similarity = np.full(shape, -np.inf, np.float32)

    def look_at(self, graph: Graph, limit: int) -> None:
        """Go on by up to `limit` rows."""
        part = slice(self.next_row, min(self.next_row + limit, len(graph.counts)))
        values = _products(self._queries, graph.vectors[part])
        values[:, graph.counts[part] == 0] = -np.inf
        own = np.flatnonzero((self.rows >= part.start) & (self.rows < part.stop))
        values[own, self.rows[own] - part.start] = -np.inf
        self._keep(np.arange(part.start, part.stop), values)
        self.next_row = part.stop

    def _keep(self, labels: Rows, values: NDArray[np.float32]) -> None:
        """Of these and those before, the nearest."""
        nearer = (values > self.similarity.min(axis=1, keepdims=True)).any(axis=0)
        labels, values = labels[nearer], values[:, nearer]
        labels = np.concatenate([self.labels, np.broadcast_to(labels, values.shape)], axis=1)
        values = np.concatenate([self.similarity, values], axis=1)
        width = self.labels.shape[1]
        best = np.argpartition(-values, width - 1, axis=1)[:, :width]
        self.labels = np.take_along_axis(labels, best, axis=1)
        self.similarity = np.take_along_axis(values, best, axis=1)


def _products(queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """`queries` [n, d] times `vectors` [m, d], float32 [n, m], on the thread that calls."""
    rows = max(1, PRODUCT_SIZE // max(1, queries.size))
    products = np.empty((len(queries), len(vectors)), np.float32)
    for start in range(0, len(vectors), rows):
        products[:, start : start + rows] = queries @ vectors[start : start + rows].T
    return products


def _compared(search: _ExactSearch, graph: Graph) -> _Pass:
    """The true neighbours of now beside those that the graph lists now.

    One that is not listed is no loss where the last that is listed is as near.
    """
    alive = graph.linked(search.rows)
    rows, labels = search.rows[alive], search.labels[alive]
    there = (labels >= 0) & graph.linked(labels)
    similarity = np.where(there, search.similarity[alive], -np.inf)
    nearest = np.argsort(-similarity, axis=1)[:, : graph.neighbours.shape[1]]
    labels = np.take_along_axis(labels, nearest, axis=1)
    similarity = np.take_along_axis(similarity, nearest, axis=1)
    true = similarity > -np.inf
    listed = (labels[:, :, None] == graph.neighbours[rows][:, None]).any(axis=2)
    listed |= similarity <= graph.similarity[rows, -1:] + TIE
    return _Pass(
        rows=len(rows),
        wanted=int(np.count_nonzero(true)),
        listed=int(np.count_nonzero(true & listed)),
        graph_changes=graph.graph_changes,
    )
