"""What serves searches and reclustering: HNSW and the k-NN graph over the live rows."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.graph import NO_SIMILARITY, NeighbourGraph
from index.growing import GrowingArray
from index.hnsw import Hnsw
from index.rebuild import Rebuild
from index.search import best, candidates, is_exact
from index.settings import IndexSettings
from index.stale import Stale

# A row's own list takes k candidates; the lists of others need more. A row in a sparse place wants
# a new one in a dense place although that has many nearer rows. So a search that ends nearer than
# the last neighbour of WANTED_BY of all rows is done again, WIDENING times as wide. See
# docs/decisions/0200-kept-graph.md for what this was measured to bring.
WIDENING = 4
WANTED_BY = 0.6
SAMPLE_ROWS = 1_000
SEARCHED_TOGETHER = 1_000

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]
Similarity = NDArray[np.float32]

# Parts of a batch: rows, with what is near them and how near.
Found = list[tuple[Rows, Rows, Similarity]]

# One at a time: hnswlib must not add and search at once, and takes every core by itself.
_BACKGROUND = ThreadPoolExecutor(1, "hnsw")


class LiveIndex:
    """HNSW and graph, always of the same rows; `present` says which.

    Everything here can be rebuilt from the log. `insert` and `remove` may be repeated without harm:
    what is there is not added again, what is gone is not removed again. One owner, one thread;
    HNSW takes a batch in on a second one, between `begin_insert` and `end_insert`.
    """

    def __init__(self, dimension: int, settings: IndexSettings) -> None:
        self.hnsw = Hnsw(dimension, settings)
        self.graph = NeighbourGraph(settings.k)
        self._present = GrowingArray(np.bool_, fill=False)
        self._stale = Stale()
        self._insertions: deque[tuple[Rows, Future[Found]]] = deque()
        self._rebuild: Rebuild | None = None
        # HNSW finds these anyway; the more rows hear of a new one, the better the older lists are.
        self._width = max(settings.ef_search, settings.k + 1)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which rows are in HNSW and graph, bool [rows]."""
        return self._present.view

    def linked(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of `rows` are in the graph: `present`, and of no batch that was only begun."""
        linked = self.present[rows]
        for begun, _ in self._insertions:
            linked &= ~np.isin(rows, begun)
        return linked

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a snapshot holds beside HNSW; `load` takes them back."""
        return {
            "neighbours": self.graph.neighbours,
            "similarity": self.graph.similarity,
            "present": self.present,
            "searched_at": self._stale.searched_at,
        }

    def load(
        self,
        neighbours: NDArray[np.int32],
        similarity: NDArray[np.float32],
        present: NDArray[np.bool_],
        searched_at: NDArray[np.int32],
    ) -> None:
        """Take the first rows from a snapshot; HNSW loads its own file."""
        self.graph.load(neighbours, similarity)
        self._present.load(present)
        self._stale.load(searched_at)

    def resize(self, rows: int) -> None:
        """Make room for the rows of the log."""
        self.graph.resize(rows)
        self._present.resize(rows)
        self._stale.resize(rows)

    def insert(self, vectors: Vectors, rows: Rows) -> None:
        """Add rows, then let them and those near them know of each other."""
        self.begin_insert(vectors, rows)
        self.end_inserts()

    def begin_insert(self, vectors: Vectors, rows: Rows) -> None:
        """Let HNSW add rows and search for them, on another thread; `end_insert` does the rest.

        Blocks until HNSW is done with the batch before. Rows that are in already are passed over.
        """
        self._wait()
        rows = rows[~self.present[rows]]
        self.present[rows] = True
        live = self.hnsw.live + len(rows)
        self._stale.searched(slice(None) if is_exact(live) else rows, live)
        reach = self._common_reach()
        # Copies: the log may wipe rows and the arrays may move while the search goes on.
        adding = _BACKGROUND.submit(self._add, vectors, rows, self.present.copy(), reach)
        self._insertions.append((rows, adding))

    def end_insert(self) -> None:
        """Take the batch that was begun first into the graph; blocks until HNSW is done with it.

        Where none is begun there is nothing to do.
        """
        if not self._insertions:
            return
        _, adding = self._insertions.popleft()
        found = adding.result()
        for part, labels, similarity in found:
            self.graph.put(part, *best(labels, similarity, self.graph.k + 1))
        for part, labels, similarity in found:
            self.graph.offer_to_each(labels, part, similarity)

    def end_inserts(self) -> None:
        """Take in every batch that was begun."""
        while self._insertions:
            self.end_insert()

    def _wait(self) -> None:
        wait([adding for _, adding in self._insertions])

    def close(self) -> None:
        """Leave HNSW alone from now on: wait for a batch that it takes in, and forget it."""
        self._wait()
        self._insertions.clear()
        if self._rebuild is not None:
            self._rebuild.close()
            self._rebuild = None

    def remove(self, vectors: Vectors, rows: Rows) -> None:
        """Take rows out; those that lost a neighbour by it are searched again."""
        self.end_inserts()
        rows = rows[self.present[rows]]
        if not len(rows):
            return
        self.hnsw.mark_deleted(rows)
        self.present[rows] = False
        self._search_again(vectors, self.graph.drop(rows))

    def rebuild(self, vectors: Vectors, limit: int) -> bool:
        """Go on by about `limit` rows with an HNSW that lacks the deleted elements; True when it
        serves.

        Begins one where none is begun. Searches and insertions go to the old one until then, and
        may come in between. Waits for nothing but the last slice.
        """
        if self._rebuild is None:
            self._rebuild = Rebuild(self.hnsw.without_rows(), _BACKGROUND)
        rebuilt = self._rebuild.go_on(vectors, self.present, limit)
        if rebuilt is None:
            return False
        self.end_inserts()
        self.hnsw, self._rebuild = rebuilt, None
        return True

    def refresh(self, vectors: Vectors, limit: int) -> int:
        """Search again the rows whose last search lies furthest back; how many needed it.

        Rows that a search now would bring next to nothing are left alone.
        """
        self.end_inserts()
        stale = self._stale.take(self.present, self.hnsw.live, limit)
        self._search_again(vectors, stale)
        return len(stale)

    def _search_again(self, vectors: Vectors, rows: Rows) -> None:
        for start in range(0, len(rows), SEARCHED_TOGETHER):
            part = rows[start : start + SEARCHED_TOGETHER]
            found = candidates(self.hnsw, vectors, self.present, part, self._width)
            labels, similarity = best(*found, self.graph.k + 1)
            self.graph.offer(np.repeat(part, labels.shape[1]), labels.ravel(), similarity.ravel())
            self._stale.searched(part, self.hnsw.live)

    def _add(self, vectors: Vectors, rows: Rows, present: NDArray[np.bool_], reach: float) -> Found:
        """Add rows to HNSW; them, in up to two parts, with what is near: one is searched wider.

        Runs beside the owner's thread, and touches nothing but HNSW.
        """
        if not len(rows):
            return []
        self.hnsw.add(vectors[rows], rows)
        labels, similarity = candidates(self.hnsw, vectors, present, rows, self._width)
        if is_exact(self.hnsw.live):
            return [(rows, labels, similarity)]
        wide = similarity[:, -1] > reach
        found = [(rows[~wide], labels[~wide], similarity[~wide])]
        if wide.any():
            width = WIDENING * self._width
            again = candidates(self.hnsw, vectors, present, rows[wide], width)
            found.append((rows[wide], *again))
        return found

    def _common_reach(self) -> float:
        """What the last neighbour of WANTED_BY of the rows is less similar than, by a sample."""
        sample = self.graph.weakest[:: max(1, len(self.present) // SAMPLE_ROWS)]
        full = sample[sample > NO_SIMILARITY]
        return float(np.quantile(full, WANTED_BY)) if len(full) else np.inf
