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

    def offer_to_each(self, targets: Rows, sources: Rows, similarity: Similarity) -> None:
        """Propose each of `sources` [n] to its own `targets` [n, width]; `similarity` likewise.

        Each row keeps its k best. What it lists already is not taken twice, nor the row itself; on
        a tie what was there first stays first. A pair may occur once in a call.
        """
        from index.offers import take_offers  # compiled on first use

        take_offers(
            np.ascontiguousarray(targets),
            sources,
            np.ascontiguousarray(similarity),
            self.neighbours,
            self.similarity,
            self.weakest,
        )

    def offer(self, targets: Rows, sources: Rows, similarity: Similarity) -> None:
        """As `offer_to_each`, the edges `targets[i]` -> `sources[i]`."""
        self.offer_to_each(targets[:, None], sources, similarity[:, None])

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
