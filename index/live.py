"""What serves searches and reclustering: HNSW and the k-NN graph over the live rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.graph import NeighbourGraph
from index.growing import GrowingArray
from index.hnsw import Hnsw
from index.search import Found, best, candidates, is_exact
from index.settings import IndexSettings

# A row's own list needs k candidates. The lists of others need more: a row in a sparse place wants a
# new one in a dense place that has many nearer rows than this one. Where a search ends nearer than
# WANTED_BY of all rows have their last neighbour, it is done again, WIDENING times as wide.
WIDENING = 4
WANTED_BY = 0.4
SAMPLE_ROWS = 1_000

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]


class LiveIndex:
    """HNSW and graph, always of the same rows; `present` says which.

    Everything here can be rebuilt from the log. `insert` and `remove` may be repeated without harm:
    what is there is not added again, what is gone is not removed again. One owner, one thread.
    """

    def __init__(self, dimension: int, settings: IndexSettings) -> None:
        self.hnsw = Hnsw(dimension, settings)
        self.graph = NeighbourGraph(settings.k)
        self._present = GrowingArray(np.bool_, fill=False)
        # HNSW finds these anyway; the more rows hear of a new one, the better the older lists are.
        self._width = max(settings.ef_search, settings.k + 1)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which rows are in HNSW and graph, bool [rows]."""
        return self._present.view

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a snapshot holds beside HNSW; `load` takes them back."""
        return {
            "neighbours": self.graph.neighbours,
            "similarity": self.graph.similarity,
            "present": self.present,
        }

    def load(
        self,
        neighbours: NDArray[np.int32],
        similarity: NDArray[np.float32],
        present: NDArray[np.bool_],
    ) -> None:
        """Take the first rows from a snapshot; HNSW loads its own file."""
        self.graph.load(neighbours, similarity)
        self._present.load(present)

    def resize(self, rows: int) -> None:
        """Make room for the rows of the log."""
        self.graph.resize(rows)
        self._present.resize(rows)

    def insert(self, vectors: Vectors, rows: Rows) -> None:
        """Add rows, then let them and their neighbours know of each other."""
        rows = rows[~self.present[rows]]
        if not len(rows):
            return
        self.hnsw.add(vectors[rows], rows)
        self.present[rows] = True
        self._connect(vectors, rows)

    def remove(self, vectors: Vectors, rows: Rows) -> None:
        """Take rows out; those that lost a neighbour by it are searched again."""
        rows = rows[self.present[rows]]
        if not len(rows):
            return
        self.hnsw.mark_deleted(rows)
        self.present[rows] = False
        self._connect(vectors, self.graph.drop(rows))

    def _connect(self, vectors: Vectors, rows: Rows) -> None:
        """Let rows and those near them know of each other."""
        if not len(rows):
            return
        found = candidates(self.hnsw, vectors, self.present, rows, self._width)
        wide = np.zeros(len(rows), bool) if is_exact(self.hnsw) else self._cut_short(found[1])
        self._offer(rows[~wide], (found[0][~wide], found[1][~wide]))
        if wide.any():
            width = WIDENING * self._width
            found = candidates(self.hnsw, vectors, self.present, rows[wide], width)
            self._offer(rows[wide], found)

    def _cut_short(self, similarity: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which searches ended so near that many rows beyond their reach may want the new row."""
        live = np.flatnonzero(self.present[:: max(1, len(self.present) // SAMPLE_ROWS)])
        live *= max(1, len(self.present) // SAMPLE_ROWS)
        weakest = self.graph.similarity[live, -1]
        return similarity[:, -1] > np.quantile(weakest, WANTED_BY)

    def _offer(self, rows: Rows, found: Found) -> None:
        labels, similarity = best(found, self.graph.k + 1)
        self.graph.offer(np.repeat(rows, labels.shape[1]), labels.ravel(), similarity.ravel())
        labels, similarity = found
        self.graph.offer(labels.ravel(), np.repeat(rows, labels.shape[1]), similarity.ravel())
