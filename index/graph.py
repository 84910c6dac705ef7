"""The k-NN graph, kept as images arrive and leave."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.growing import GrowingArray

NO_NEIGHBOUR = -1
NO_SIMILARITY = -2.0
# Rows looked at together when a dead row is sought; bounds the memory of the scan.
SCAN_ROWS = 1 << 18
# How many of those that list a row, and are not listed back, are remembered.
LISTERS = 16

Rows = NDArray[np.int64]
Labels = NDArray[np.int32]
Similarity = NDArray[np.float32]
Vectors = NDArray[np.float32]


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
        self._listers = GrowingArray(np.int32, NO_NEIGHBOUR, (LISTERS,))
        self._came = GrowingArray(np.uint8, 0)
        self._noted = True  # whether the listers of what was loaded were found

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

    def fits(self, rows: int) -> bool:
        """Whether `resize` moves nothing, so that `introduce` may be under way meanwhile."""
        return all(array.fits(rows) for array in self._arrays())

    def resize(self, rows: int) -> None:
        """Grow to `rows`; new rows have no neighbours."""
        for array in self._arrays():
            array.resize(rows)

    def _arrays(self) -> tuple[GrowingArray[Any], ...]:
        return self._neighbours, self._similarity, self._weakest, self._listers, self._came

    def load(self, neighbours: Labels, similarity: Similarity) -> None:
        """Take the first rows from a snapshot."""
        self._neighbours.load(neighbours)
        self._similarity.load(similarity)
        self._weakest.load(similarity[:, -1].copy())
        self._listers.resize(len(neighbours))
        self._came.resize(len(neighbours))
        self._noted = False

    def introduce(
        self,
        rows: Rows,
        labels: Rows,
        similarity: Similarity,
        present: NDArray[np.bool_],
        vectors: Vectors,
        most: int,
    ) -> None:
        """Let each of `rows` [n] and its own `labels` [n, width], distinct and so similar, know of
        each other; then walk on from those that are near, for about `most` similarities a row.

        Each list keeps its k best: nobody twice, no row itself, none that is not `present` [rows];
        on a tie what was there first stays first. `vectors` float32 [rows, d] are of all rows.
        """
        from index.walk import introduce, note_listers  # compiled on first use

        if not self._noted:
            note_listers(self._lists())
            self._noted = True
        introduce(
            rows,
            np.ascontiguousarray(labels),
            np.ascontiguousarray(similarity),
            vectors,
            present,
            self._lists(),
            most,
        )
        self.changes += 1

    def _lists(self) -> tuple[Labels, Similarity, Similarity, Labels, NDArray[np.uint8]]:
        return self.neighbours, self.similarity, self.weakest, self._listers.view, self._came.view

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


def warm_up() -> None:
    """Have what takes a batch into a graph compiled or loaded, so that no image waits for it.

    Blocks: some seconds once after an installation, next to nothing where it is cached.
    """
    graph = NeighbourGraph(1)
    graph.resize(2)
    graph.load(graph.neighbours.copy(), graph.similarity.copy())
    vectors = np.eye(2, dtype=np.float32)
    vectors.setflags(write=False)  # as those of a log are
    other = np.array([[1], [0]])
    graph.introduce(
        np.arange(2), other, np.zeros((2, 1), np.float32), np.ones(2, np.bool_), vectors, 1
    )
