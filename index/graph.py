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

    Missing entries are at the end: neighbour -1, similarity -2. One owner, one thread.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self._neighbours = GrowingArray(np.int32, NO_NEIGHBOUR, (k,))
        self._similarity = GrowingArray(np.float32, NO_SIMILARITY, (k,))

    @property
    def neighbours(self) -> Labels:
        """int32 [rows, k], without a copy; valid until the next `resize`."""
        return self._neighbours.view

    @property
    def similarity(self) -> Similarity:
        """float32 [rows, k], without a copy; valid until the next `resize`."""
        return self._similarity.view

    def resize(self, rows: int) -> None:
        """Grow to `rows`; new rows have no neighbours."""
        self._neighbours.resize(rows)
        self._similarity.resize(rows)

    def load(self, neighbours: Labels, similarity: Similarity) -> None:
        """Take the first rows from a snapshot."""
        self._neighbours.load(neighbours)
        self._similarity.load(similarity)

    def offer(self, targets: Rows, sources: Rows, similarity: Similarity) -> None:
        """Propose edges `targets[i]` -> `sources[i]`; each row keeps its k best.

        What a row already lists is not taken twice, nor the row itself; a pair may occur once in a
        call.
        """
        useful = (similarity > self.similarity[targets, -1]) & (targets != sources)
        targets, sources, similarity = targets[useful], sources[useful], similarity[useful]
        fresh = ~(self.neighbours[targets] == sources[:, None]).any(axis=1)
        targets, sources, similarity = targets[fresh], sources[fresh], similarity[fresh]
        if not len(targets):
            return
        order = np.lexsort((sources, -similarity, targets))
        targets, sources, similarity = targets[order], sources[order], similarity[order]
        starts = np.flatnonzero(np.r_[True, targets[1:] != targets[:-1]])
        numbers = np.diff(np.r_[starts, len(targets)])
        rank = np.arange(len(targets)) - np.repeat(starts, numbers)
        best = rank < self.k
        group = np.repeat(np.arange(len(starts)), numbers)
        width = int(min(self.k, numbers.max()))
        offered = np.full((len(starts), width), NO_NEIGHBOUR, np.int32)
        offered_similarity = np.full((len(starts), width), NO_SIMILARITY, np.float32)
        offered[group[best], rank[best]] = sources[best]
        offered_similarity[group[best], rank[best]] = similarity[best]
        self._merge(targets[starts], offered, offered_similarity)

    def _merge(self, rows: Rows, offered: Labels, similarity: Similarity) -> None:
        """Join two sorted lists of each row; on a tie what was there first stays first."""
        labels = np.concatenate([self.neighbours[rows], offered], axis=1)
        values = np.concatenate([self.similarity[rows], similarity], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, : self.k]
        self.neighbours[rows] = np.take_along_axis(labels, order, axis=1)
        self.similarity[rows] = np.take_along_axis(values, order, axis=1)

    def drop(self, dead: Rows) -> Rows:
        """Empty the lists of dead rows, take them out of all others; the rows that lost one.

        Reads the whole graph once, whatever the number of dead rows.
        """
        is_dead = np.zeros(len(self.neighbours) + 1, bool)
        is_dead[dead] = True
        self.neighbours[dead] = NO_NEIGHBOUR
        self.similarity[dead] = NO_SIMILARITY
        affected = np.concatenate(
            [
                start + np.flatnonzero(is_dead[self.neighbours[start : start + SCAN_ROWS]].any(1))
                for start in range(0, max(1, len(self.neighbours)), SCAN_ROWS)
            ]
        )
        labels, values = self.neighbours[affected], self.similarity[affected]
        gone = is_dead[labels]
        order = np.argsort(gone, axis=1, kind="stable")
        labels[gone], values[gone] = NO_NEIGHBOUR, NO_SIMILARITY
        self.neighbours[affected] = np.take_along_axis(labels, order, axis=1)
        self.similarity[affected] = np.take_along_axis(values, order, axis=1)
        return affected
