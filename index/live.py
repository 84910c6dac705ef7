"""What serves searches and reclustering: HNSW and the k-NN graph over the live rows."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.few import is_exact
from index.graph import NeighbourGraph
from index.growing import GrowingArray
from index.held import Held
from index.rebuild import Rebuild
from index.search import candidates
from index.settings import IndexSettings
from index.stale import Stale

SEARCHED_TOGETHER = 1_000

# How many times as wide a row is searched for while there is time.
REFRESH_WIDTHS = 4

# Similarities that a walk may compute for one row; most walks end before.
WALKED = 1_500

# HNSW does not lead to a row whose search ends farther off than the row itself by so much. Where
# more than LOST_SHARE are lost a group is cut off, as happens where hundreds of rows that are
# nearly the same come one after another; single ones are usual, and find their neighbours.
LOST_SIMILARITY = 1e-5
LOST_SHARE = 0.05

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]
Similarity = NDArray[np.float32]


class Found(NamedTuple):
    """Rows [n], what is near them [n, width] and how near."""

    rows: Rows
    labels: Rows
    similarity: Similarity


# One at a time: hnswlib must not add and search at once, and takes every core by itself.
_BACKGROUND = ThreadPoolExecutor(1, "hnsw")
_LINKING = ThreadPoolExecutor(1, "graph")


class LiveIndex:
    """The rows held and their graph, always of the same rows; `present` says which.

    Everything here can be rebuilt from the log. `insert` and `remove` may be repeated without harm:
    what is there is not added again, what is gone is not removed again. One owner, one thread;
    HNSW takes a batch in on a second one from `begin_insert` on, the graph on a third from
    `begin_link` on, until `end_insert`. Who looks at the graph meanwhile waits for it.
    """

    def __init__(self, dimension: int, settings: IndexSettings) -> None:
        self.held = Held(dimension, settings)
        self._graph = NeighbourGraph(settings.k)
        self._present = GrowingArray(np.bool_, fill=False)
        self._stale = Stale()
        self._insertions: deque[tuple[Rows, Future[Found]]] = deque()
        self._linking: Future[None] | None = None  # of the first of them
        self._rebuild: Rebuild | None = None
        self._width = max(settings.ef_search, settings.k + 1)

    @property
    def graph(self) -> NeighbourGraph:
        """The k-NN graph, while nothing changes it."""
        if self._linking is not None:
            wait([self._linking])
        return self._graph

    @property
    def graph_changes(self) -> int:
        """Rises whenever the graph has changed."""
        return self._graph.changes

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
        graph = self._graph if self._graph.fits(rows) else self.graph
        graph.resize(rows)
        self._present.resize(rows)
        self._stale.resize(rows)

    def insert(self, vectors: Vectors, rows: Rows) -> None:
        """Add rows, then let them and those near them know of each other."""
        self.begin_insert(vectors, rows)
        self.end_inserts(vectors)

    def begin_insert(self, vectors: Vectors, rows: Rows) -> None:
        """Let HNSW add rows and search for them, on another thread; `end_insert` does the rest.

        Blocks until HNSW is done with the batch before. Rows that are in already are passed over.
        """
        self._wait()
        rows = rows[~self.present[rows]]
        self.present[rows] = True
        live = self.held.live + len(rows)
        self._stale.searched(slice(None) if is_exact(live) else rows, live)
        # Copies: the log may wipe rows and the arrays may move while the search goes on.
        adding = _BACKGROUND.submit(self._add, vectors, rows, self.present.copy())
        self._insertions.append((rows, adding))

    def begin_link(self, vectors: Vectors) -> None:
        """Let the batch that was begun first into the graph, on a third thread, once HNSW has it.

        `vectors` must stay mapped until `end_insert`. Where none is begun there is nothing to do.
        """
        if self._insertions and self._linking is None:
            _, adding = self._insertions[0]
            self._linking = _LINKING.submit(self._link, vectors, adding)

    def end_insert(self, vectors: Vectors) -> None:
        """Take the batch that was begun first into the graph; blocks until HNSW is done with it.

        Where none is begun there is nothing to do.
        """
        if not self._insertions:
            return
        linking, self._linking = self._linking, None
        try:
            if linking is not None:
                linking.result()
            else:
                self._link(vectors, self._insertions[0][1])
        finally:
            self._insertions.popleft()

    def _link(self, vectors: Vectors, adding: "Future[Found]") -> None:
        self._introduce(vectors, adding.result())

    def end_inserts(self, vectors: Vectors) -> None:
        """Take in every batch that was begun."""
        while self._insertions:
            self.end_insert(vectors)

    def _introduce(self, vectors: Vectors, found: Found) -> None:
        """Nothing is left to walk to where every live row was looked at."""
        most = 0 if is_exact(self.held.live) else WALKED
        self._graph.introduce(*found, self.present, vectors, most)

    def _wait(self) -> None:
        wait([adding for _, adding in self._insertions])

    def close(self) -> None:
        """Leave HNSW alone from now on: wait for a batch that it takes in, and forget it."""
        self._wait()
        if self._linking is not None:
            wait([self._linking])
            self._linking = None
        self._insertions.clear()
        if self._rebuild is not None:
            self._rebuild.close()
            self._rebuild = None

    def remove(self, vectors: Vectors, rows: Rows) -> None:
        """Take rows out; those that lost a neighbour by it are searched again."""
        self.end_inserts(vectors)
        rows = rows[self.present[rows]]
        if not len(rows):
            return
        self.held.mark_deleted(rows)
        self.present[rows] = False
        self._search_again(vectors, self.graph.drop(rows), self._width)

    def rebuild(self, vectors: Vectors, limit: int) -> bool:
        """Go on by about `limit` rows with an HNSW that lacks the deleted elements; True when it
        serves.

        Begins one where none is begun. Searches and insertions go to the old one until then, and
        may come in between. Waits for nothing but the last slice.
        """
        if self._rebuild is None:
            self._rebuild = Rebuild(self.held.without_rows(), _BACKGROUND)
        rebuilt = self._rebuild.go_on(vectors, self.present, limit)
        if rebuilt is None:
            return False
        self.end_inserts(vectors)
        self.held, self._rebuild = rebuilt, None
        return True

    def refresh(self, vectors: Vectors, limit: int) -> int:
        """Search again the rows whose last search lies furthest back; how many needed it.

        Rows that a search now would bring next to nothing are left alone.
        """
        self.end_inserts(vectors)
        stale = self._stale.take(self.present, self.held.live, limit)
        self._search_again(vectors, stale, REFRESH_WIDTHS * self._width)
        return len(stale)

    def _search_again(self, vectors: Vectors, rows: Rows, width: int) -> None:
        for start in range(0, len(rows), SEARCHED_TOGETHER):
            part = rows[start : start + SEARCHED_TOGETHER]
            found = self._candidates(vectors, self.present, part, width)
            self._introduce(vectors, Found(part, *found))
            self._stale.searched(part, self.held.live)

    def _candidates(
        self, vectors: Vectors, present: NDArray[np.bool_], rows: Rows, width: int
    ) -> tuple[Rows, Similarity]:
        """As `candidates`; if HNSW leads to too few of the rows, the others are linked again."""
        labels, similarity = candidates(self.held, vectors, present, rows, width)
        hnsw = self.held.hnsw
        if hnsw is None or is_exact(hnsw.live):
            return labels, similarity
        lengths = np.einsum("nd,nd->n", vectors[rows], vectors[rows])
        lost = similarity[:, 0] < lengths - LOST_SIMILARITY
        if lost.mean() > LOST_SHARE:
            hnsw.link_again(vectors[rows[lost]], rows[lost])
            found = candidates(self.held, vectors, present, rows[lost], width)
            labels[lost], similarity[lost] = found
        return labels, similarity

    def _add(self, vectors: Vectors, rows: Rows, present: NDArray[np.bool_]) -> Found:
        """Add rows to HNSW; them, and what is near.

        Runs beside the owner's thread, and touches nothing but HNSW.
        """
        if not len(rows):
            return Found(rows, np.empty((0, 0), np.int64), np.empty((0, 0), np.float32))
        self.held.add(vectors[rows], rows)
        return Found(rows, *self._candidates(vectors, present, rows, self._width))
