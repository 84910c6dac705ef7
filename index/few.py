"""Rows and their vectors side by side: what stands for HNSW while a collection is small."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.growing import GrowingArray

# Up to here the matrix product is about as fast as HNSW, and right.
EXACT_ROWS = 4_096

_MAGIC = b"PK\x03\x04"  # of a zip archive, as `save` writes; hnswlib's files begin with zeros


def is_exact(live: int) -> bool:
    """Whether every live row is looked at, and HNSW is not asked, when there are so many."""
    return live <= EXACT_ROWS


class Few:
    """`rows` int64 [n], rising, and their vectors float32 [n, d]. One owner, one thread."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._rows = GrowingArray(np.int64, 0)
        self._vectors = GrowingArray(np.float32, 0, (dimension,))

    def __len__(self) -> int:
        return self._rows.rows

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows held, without a copy; valid until the next change."""
        return self._rows.view

    def add(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Take in new rows, rising and higher than those held."""
        first = len(self)
        for array, values in ((self._rows, rows), (self._vectors, vectors)):
            array.resize(first + len(rows))
            array.view[first:] = values

    def remove(self, rows: NDArray[np.int64]) -> None:
        """Let go of some rows and of their vectors."""
        kept = ~np.isin(self.rows, rows)
        for array in (self._rows, self._vectors):
            left = array.view[kept]
            array.resize(len(left))
            array.view[:] = left

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of some of the rows [n, d]."""
        return self._vectors.view[np.searchsorted(self.rows, rows)]

    def save(self, path: Path) -> None:
        """Write to `path`; the caller syncs. Raises OSError when the disk does not take it."""
        with path.open("wb") as file:
            np.savez(file, rows=self.rows, vectors=self._vectors.view)

    @classmethod
    def load(cls, path: Path) -> "Few | None":
        """What `save` wrote; None where it is a file of another kind.

        Raises OSError, ValueError, KeyError or zipfile.BadZipFile where it is damaged.
        """
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return None
        with np.load(path, allow_pickle=False) as arrays:
            rows, vectors = arrays["rows"], arrays["vectors"]
        few = cls(vectors.shape[1])
        few.add(rows, vectors)
        return few


DAMAGED_FILE = (OSError, ValueError, KeyError, zipfile.BadZipFile)
"""What `Few.load` raises."""
