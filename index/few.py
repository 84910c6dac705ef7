"""Rows and their vectors side by side: what stands for HNSW while a collection is small."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.errors import SnapshotError
from index.growing import GrowingArray

# Up to here the matrix product is about as fast as HNSW, and right.
EXACT_ROWS = 4_096

_MAGIC = b"PK\x03\x04"  # of a zip archive, as `save` writes; hnswlib's files begin with zeros


def is_exact(live: int) -> bool:
    """Whether every live row is looked at, and HNSW is not asked, when there are so many."""
    return live <= EXACT_ROWS


class Few:
    """Rows, rising, and their vectors. One owner, one thread."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._rows = GrowingArray(np.int64, 0)
        self._vectors = GrowingArray(np.float32, 0, (dimension,))

    @property
    def elements(self) -> int:
        """Rows held, all of which live."""
        return self._rows.rows

    live = elements

    def add(self, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        """Take in new rows, rising and higher than those held."""
        first = self.elements
        for array, values in ((self._rows, rows), (self._vectors, vectors)):
            array.resize(first + len(rows))
            array.view[first:] = values

    def mark_deleted(self, rows: NDArray[np.int64]) -> None:
        """Let go of some rows and of their vectors."""
        kept = ~np.isin(self.labels(), rows)
        for array in (self._rows, self._vectors):
            left = array.view[kept]
            array.resize(len(left))
            array.view[:] = left

    def labels(self) -> NDArray[np.int64]:
        """The rows held, int64 [n], without a copy; valid until the next change."""
        return self._rows.view

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of some of the rows, float32 [n, d]."""
        return self._vectors.view[np.searchsorted(self.labels(), rows)]

    def save(self, path: Path) -> None:
        """Write to `path`; the caller syncs. Raises OSError when the disk does not take it."""
        with path.open("wb") as file:
            np.savez(file, rows=self.labels(), vectors=self._vectors.view)

    @classmethod
    def load(cls, path: Path) -> "Few | None":
        """What `save` wrote; None where it is a file of another kind.

        Raises SnapshotError where it is damaged.
        """
        try:
            with path.open("rb") as file:
                if file.read(len(_MAGIC)) != _MAGIC:
                    return None
                file.seek(0)
                with np.load(file, allow_pickle=False) as arrays:
                    rows, vectors = arrays["rows"], arrays["vectors"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise SnapshotError(f"{path}: {error!r}") from error
        few = cls(vectors.shape[1])
        few.add(vectors, rows)
        return few
