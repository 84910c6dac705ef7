"""The k-NN graph, kept as images arrive and leave."""

import numpy as np
from numpy.typing import NDArray

from index.growing import GrowingArray

NO_NEIGHBOUR = -1
NO_SIMILARITY = -2.0
# Rows looked at together when a dead row is sought; bounds the memory of the scan.
SCAN_ROWS = 1 << 18

Rows = NDArray[np.int64]
Labels = NDArray[np.int32]
Similarity = NDArray[np.float32]


class NeighbourGraph:
    """`neighbours` int32 [rows, k] and `similarity` float32 [rows, k], best first.

    Missing entries are at the end: neighbour -1, similarity -2. No row lists itself, or another
    twice. One owner, one thread.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self.changes = 0  # rises with every change
        self._neighbours = GrowingArray(np.int32, NO_NEIGHBOUR, (k,))
        self._similarity = GrowingArray(np.float32, NO_SIMILARITY, (k,))
        self._weakest = GrowingArray(np.float32, NO_SIMILARITY)

    @property
    def neighbours(self) -> Labels:
        """int32 [rows, k], without a copy; valid until the next `resize`."""
        return self._neighbours.view

    @property
    def similarity(self) -> Similarity:
        """float32 [rows, k], without a copy; valid until the next `resize`."""
        return self._similarity.view

    @property
    def weakest(self) -> Similarity:
        """float32 [rows]: what an offer must exceed; the last column of `similarity`, packed."""
        return self._weakest.view

    def resize(self, rows: int) -> None:
        """Grow to `rows`; new rows have no neighbours."""
        self._neighbours.resize(rows)
        self._similarity.resize(rows)
        self._weakest.resize(rows)

    def load(self, neighbours: Labels, similarity: Similarity) -> None:
        """Take the first rows from a snapshot."""
        self._neighbours.load(neighbours)
        self._similarity.load(similarity)
        self._weakest.load(similarity[:, -1])

    def put(self, rows: Rows, labels: Rows, similarity: Similarity) -> None:
        """Set the lists of `rows` [n] to the k best of their candidates [n, width], best first.

        A row may be among its own candidates.
        """
        own = labels == rows[:, None]
        labels = np.where(own, NO_NEIGHBOUR, labels)
        similarity = np.where(own, np.float32(NO_SIMILARITY), similarity)
        order = np.argsort(own, axis=1, kind="stable")[:, : self.k]
        width = order.shape[1]
        self.neighbours[rows, :width] = np.take_along_axis(labels, order, axis=1)
        self.similarity[rows, :width] = np.take_along_axis(similarity, order, axis=1)
        self.weakest[rows] = self.similarity[rows, -1]
        self.changes += 1

    def offer_to_each(self, targets: Rows, sources: Rows, similarity: Similarity) -> None:
        """Propose each of `sources` [n] to its own `targets` [n, width]; `similarity` likewise."""
        source, place = np.nonzero(similarity > self.weakest[targets])
        self.offer(targets[source, place], sources[source], similarity[source, place])

    def offer(self, targets: Rows, sources: Rows, similarity: Similarity) -> None:
        """Propose edges `targets[i]` -> `sources[i]`; each row keeps its k best.

        What a row lists already is not taken twice, nor the row itself. A pair may occur once in
        a call.
        """
        useful = (similarity > self.weakest[targets]) & (targets != sources)
        useful &= ~(self.neighbours[targets] == sources[:, None]).any(axis=1)
        if not useful.any():
            return
        targets, sources, similarity = targets[useful], sources[useful], similarity[useful]
        order = np.lexsort((-similarity, targets))
        targets, sources, similarity = targets[order], sources[order], similarity[order]
        starts = np.flatnonzero(np.r_[True, targets[1:] != targets[:-1]])
        numbers = np.diff(np.r_[starts, len(targets)])
        rank = np.arange(len(targets)) - np.repeat(starts, numbers)
        kept = rank < self.k
        cell = np.repeat(np.arange(len(starts)), numbers)[kept], rank[kept]
        shape = len(starts), int(min(self.k, numbers.max()))
        offered = np.full(shape, NO_NEIGHBOUR, np.int32)
        values = np.full(shape, NO_SIMILARITY, np.float32)
        offered[cell], values[cell] = sources[kept], similarity[kept]
        self._merge(targets[starts], offered, values)

    def _merge(self, rows: Rows, offered: Labels, offered_similarity: Similarity) -> None:
        """Join two sorted lists of each row; on a tie what was there first stays first."""
        labels = np.concatenate([self.neighbours[rows], offered], axis=1)
        similarity = np.concatenate([self.similarity[rows], offered_similarity], axis=1)
        order = np.argsort(-similarity, axis=1, kind="stable")[:, : self.k]
        self._set(rows, labels, similarity, order)

    def drop(self, dead: Rows) -> Rows:
        """Empty the lists of dead rows, take them out of all others; the rows that lost one.

        Reads the whole graph once, whatever the number of dead rows.
        """
        is_dead = np.zeros(len(self.neighbours) + 1, bool)  # the last is that of NO_NEIGHBOUR
        is_dead[dead] = True
        self.neighbours[dead] = NO_NEIGHBOUR
        self.similarity[dead] = NO_SIMILARITY
        self.weakest[dead] = NO_SIMILARITY
        poorer = np.concatenate(
            [
                start + np.flatnonzero(is_dead[self.neighbours[start : start + SCAN_ROWS]].any(1))
                for start in range(0, len(self.neighbours), SCAN_ROWS)
            ]
        )
        gone = is_dead[self.neighbours[poorer]]
        labels = np.where(gone, NO_NEIGHBOUR, self.neighbours[poorer])
        similarity = np.where(gone, np.float32(NO_SIMILARITY), self.similarity[poorer])
        self._set(poorer, labels, similarity, np.argsort(gone, axis=1, kind="stable"))
        return poorer

    def _set(self, rows: Rows, labels: Labels, similarity: Similarity, order: Rows) -> None:
        self.neighbours[rows] = np.take_along_axis(labels, order, axis=1)
        self.similarity[rows] = np.take_along_axis(similarity, order, axis=1)
        self.weakest[rows] = self.similarity[rows, -1]
        self.changes += 1
