"""What serves searches and reclustering: HNSW and the k-NN graph over the live rows."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.graph import NeighbourGraph
from index.growing import GrowingArray
from index.hnsw import Hnsw
from index.rebuild import Rebuild
from index.search import best, candidates, is_exact
from index.settings import IndexSettings
from index.stale import Stale
from index.widening import WIDENING, WIDEST, common_reach, wanted_by_tail

SEARCHED_TOGETHER = 1_000

# HNSW does not lead to a row whose search ends farther off than the row itself by so much. Where
# more than LOST_SHARE are lost a group is cut off, as happens where hundreds of rows that are
# nearly the same come one after another; single ones are usual, and find their neighbours.
LOST_SIMILARITY = 1e-5
LOST_SHARE = 0.05

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]
Similarity = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Found:
    """Rows [n], what is near them [n, width] and how near, and whether their lists are new."""

    rows: Rows
    labels: Rows
    similarity: Similarity
    new: bool


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
        self._insertions: deque[tuple[Rows, Future[list[Found]]]] = deque()
        self._wider: deque[tuple[Rows, int]] = deque()  # to be searched so wide, in time
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
        reach = common_reach(self.graph.weakest)
        again = self._take_wider() if len(rows) else []
        # Copies: the log may wipe rows and the arrays may move while the search goes on.
        adding = _BACKGROUND.submit(self._add, vectors, rows, self.present.copy(), reach, again)
        self._insertions.append((rows, adding))

    def end_insert(self) -> None:
        """Take the batch that was begun first into the graph; blocks until HNSW is done with it.

        Where none is begun there is nothing to do.
        """
        if not self._insertions:
            return
        _, adding = self._insertions.popleft()
        self._take(adding.result())

    def _take(self, found: list[Found]) -> None:
        """Set new lists, mend the others, and let what was found know."""
        for part in found:
            nearest = best(part.labels, part.similarity, self.graph.k + 1)
            if part.new:
                self.graph.put(part.rows, *nearest)
            else:
                self._offer_own(part.rows, *nearest)
        reach = common_reach(self.graph.weakest)
        for part in found:
            self._note_wanted(part, reach)
            self.graph.offer_to_each(part.labels, part.rows, part.similarity)

    def _note_wanted(self, part: Found, reach: float) -> None:
        """Have those searched wider of which rows farther off want to hear as well."""
        width, live = part.labels.shape[1], self.hnsw.live
        if is_exact(live) or not len(part.rows) or width >= min(WIDEST * self._width, live):
            return
        wanted = wanted_by_tail(part.labels, part.similarity, self.graph.weakest)
        wanted |= part.similarity[:, -1] > reach
        if wanted.any():
            self._wider.append((part.rows[wanted], WIDENING * width))

    def _offer_own(self, rows: Rows, labels: Rows, similarity: Similarity) -> None:
        self.graph.offer(np.repeat(rows, labels.shape[1]), labels.ravel(), similarity.ravel())

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
        """Search again those that others want to hear of, and the rows whose last search lies
        furthest back; how many needed it.

        Rows that a search now would bring next to nothing are left alone.
        """
        self.end_inserts()
        searched = self._search_wider(vectors, limit) if self._wider else 0
        stale = self._stale.take(self.present, self.hnsw.live, limit - searched)
        self._search_again(vectors, stale)
        return searched + len(stale)

    def _search_again(self, vectors: Vectors, rows: Rows) -> None:
        for start in range(0, len(rows), SEARCHED_TOGETHER):
            part = rows[start : start + SEARCHED_TOGETHER]
            found = self._candidates(vectors, self.present, part)
            self._offer_own(part, *best(*found, self.graph.k + 1))
            self._stale.searched(part, self.hnsw.live)

    def _search_wider(self, vectors: Vectors, limit: int) -> int:
        """What would wait for the next batch, at the cost of `limit` usual searches."""
        rows, width = self._wider.popleft()
        most = max(1, limit * self._width // width)
        if len(rows) > most:
            self._wider.appendleft((rows[most:], width))
        rows = rows[:most]
        part = rows[self.present[rows]]
        if len(part):
            found = candidates(self.hnsw, vectors, self.present, part, width)
            self._take([Found(part, *found, new=False)])
        return len(rows)

    def _take_wider(self) -> list[tuple[Rows, int]]:
        """What is to be searched wider, without the rows that died since."""
        taken = [(rows[self.present[rows]], width) for rows, width in self._wider]
        self._wider.clear()
        return taken

    def _candidates(
        self, vectors: Vectors, present: NDArray[np.bool_], rows: Rows
    ) -> tuple[Rows, Similarity]:
        """As `candidates`; if HNSW leads to too few of the rows, the others are linked again."""
        labels, similarity = candidates(self.hnsw, vectors, present, rows, self._width)
        if is_exact(self.hnsw.live):
            return labels, similarity
        lengths = np.einsum("nd,nd->n", vectors[rows], vectors[rows])
        lost = similarity[:, 0] < lengths - LOST_SIMILARITY
        if lost.mean() > LOST_SHARE:
            self.hnsw.link_again(vectors[rows[lost]], rows[lost])
            found = candidates(self.hnsw, vectors, present, rows[lost], self._width)
            labels[lost], similarity[lost] = found
        return labels, similarity

    def _add(
        self,
        vectors: Vectors,
        rows: Rows,
        present: NDArray[np.bool_],
        reach: float,
        again: list[tuple[Rows, int]],
    ) -> list[Found]:
        """Add rows to HNSW; them, in up to two parts, with what is near: one is searched wider.
        Then the rows to search `again`, each part with the width of its search.

        Runs beside the owner's thread, and touches nothing but HNSW.
        """
        if not len(rows):
            return []
        self.hnsw.add(vectors[rows], rows)
        labels, similarity = self._candidates(vectors, present, rows)
        if is_exact(self.hnsw.live):
            return [Found(rows, labels, similarity, new=True)]
        wide = similarity[:, -1] > reach
        found = [Found(rows[~wide], labels[~wide], similarity[~wide], new=True)]
        parts = [(rows[wide], WIDENING * self._width, True), *((*part, False) for part in again)]
        for part, width, new in parts:
            if len(part):
                near = candidates(self.hnsw, vectors, present, part, width)
                found.append(Found(part, *near, new))
        return found
