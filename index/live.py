"""What serves searches and reclustering: HNSW and the k-NN graph over the live rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.graph import NeighbourGraph
from index.growing import GrowingArray
from index.hnsw import Hnsw
from index.search import candidates
from index.settings import IndexSettings

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
        # HNSW found these anyway; the more rows hear of a new one, the better the older lists are.
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
        if not len(rows):
            return
        labels, similarity = candidates(self.hnsw, vectors, self.present, rows, self._width)
        targets = np.repeat(rows, labels.shape[1])
        sources, values = labels.ravel(), similarity.ravel()
        other = sources != targets
        targets, sources, values = targets[other], sources[other], values[other]
        self.graph.offer(targets, sources, values)
        self.graph.offer(sources, targets, values)
