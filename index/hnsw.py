"""The HNSW graph, by hnswlib, with the checks that hnswlib leaves to its caller."""

from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from index.errors import SnapshotError
from index.growing import grown
from index.settings import IndexSettings

SPACE = "ip"
SMALL_CAPACITY = 1024


class UnreachableError(Exception):
    """Fewer than k rows were found for some query, even with the widest beam."""


class Hnsw:
    """Approximate search by inner product over unit vectors; labels are rows.

    One owner, one thread: hnswlib must not add and search at the same time. It spreads a call over
    `threads` of its own. Vectors must be finite, float32 [n, d]; labels new.
    """

    def __init__(self, index: Any, settings: IndexSettings, live: int) -> None:
        """Take over an hnswlib index of which so many rows are `live`; see `empty` and `load`."""
        self._index = index
        self._settings = settings
        self._dimension = int(index.dim)
        self._ef = 0
        self.live = live
        index.set_num_threads(settings.threads_used())

    @classmethod
    def empty(cls, dimension: int, settings: IndexSettings, *, capacity: int) -> "Hnsw":
        """One without rows, with room for `capacity`."""
        index = hnswlib.Index(space=SPACE, dim=dimension)
        index.init_index(
            max_elements=max(SMALL_CAPACITY, capacity),
            M=settings.m,
            ef_construction=settings.ef_construction,
        )
        return cls(index, settings, live=0)

    @property
    def elements(self) -> int:
        """Rows held, those marked deleted included."""
        return int(self._index.get_current_count())

    def add(self, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        """Insert new rows, growing first: hnswlib would stop half way through the batch."""
        capacity = int(self._index.get_max_elements())
        needed = grown(capacity, self.elements + len(rows))
        if needed > capacity:
            self._index.resize_index(needed)
        self._index.add_items(self._checked(vectors), rows)
        self.live += len(rows)

    def link_again(self, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        """Find new links for rows that are held, as hnswlib does where a vector changes.

        Several times the cost of `add`.
        """
        self._index.add_items(self._checked(vectors), rows)

    def mark_deleted(self, rows: NDArray[np.int64]) -> None:
        """Leave rows out of every result from now on; each must be held and not yet deleted."""
        for row in rows.tolist():
            self._index.mark_deleted(row)
        self.live -= len(rows)

    def search(
        self, vectors: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k nearest live rows [n, k] and their similarities, best first.

        Raises UnreachableError when hnswlib cannot find `k` for every query.
        """
        ef = max(k, self._settings.ef_search)
        while True:
            if ef != self._ef:
                self._index.set_ef(ef)
                self._ef = ef
            try:
                labels, distances = self._index.knn_query(self._checked(vectors), k=k)
            except RuntimeError as error:
                if "contiguous 2D array" not in str(error):
                    raise
                if ef >= self.elements:
                    raise UnreachableError from error
                ef = min(8 * ef, self.elements)
                continue
            return labels.astype(np.int64), 1 - distances

    def _checked(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        if vectors.shape[1] != self._dimension:  # hnswlib would read past the row
            raise ValueError(f"vectors of shape {vectors.shape}; expected [n, {self._dimension}]")
        return vectors

    def labels(self) -> NDArray[np.int64]:
        """The rows held, those marked deleted included, int64 [elements]."""
        return np.array(self._index.get_ids_list(), np.int64)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of live rows as HNSW holds them, float32 [n, d]."""
        return np.asarray(self._index.get_items(rows), np.float32).reshape(-1, self._dimension)

    def save(self, path: Path) -> None:
        """Write to `path`, which must be a new name; the caller syncs.

        Raises SnapshotError when the file came out shorter than it must be, or OSError.
        """
        self._index.save_index(str(path))
        expected = int(self._index.index_file_size())
        size = path.stat().st_size if path.exists() else 0
        if size != expected:
            raise SnapshotError(f"{path}: {size} bytes written of {expected}; is the disk full?")

    @classmethod
    def load(
        cls, path: Path, dimension: int, settings: IndexSettings, *, elements: int, live: int
    ) -> "Hnsw":
        """What `save` wrote, once its checksum was verified; of `elements` so many are `live`.

        Raises SnapshotError when it does not hold what the manifest says.
        """
        index = hnswlib.Index(space=SPACE, dim=dimension)
        try:  # no room for more before more comes: an element has a lock of 40 bytes
            index.load_index(str(path), max_elements=max(SMALL_CAPACITY, elements))
        except RuntimeError as error:
            raise SnapshotError(f"{path}: {error!r}") from error
        found = (index.get_current_count(), index.M, index.ef_construction)
        expected = (elements, settings.m, settings.ef_construction)
        if found != expected:
            raise SnapshotError(
                f"{path}: (elements, M, ef_construction) is {found}; expected {expected}"
            )
        return cls(index, settings, live)
