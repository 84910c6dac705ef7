"""Rows and their vectors side by side: what stands for HNSW while a collection is small."""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Up to here the matrix product is about as fast as HNSW, and right.
EXACT_ROWS = 4_096

_MAGIC = b"PK\x03\x04"  # of a zip archive, as `save` writes; hnswlib's files begin with zeros


def is_exact(live: int) -> bool:
    """Whether every live row is looked at, and HNSW is not asked, when there are so many."""
    return live <= EXACT_ROWS


class Few:
    """`rows` int64 [n], rising, and their vectors float32 [n, d]. One owner, one thread."""

    def __init__(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        order = np.argsort(rows)
        self.rows, self._vectors = rows[order], vectors[order]

    @classmethod
    def none(cls, dimension: int) -> "Few":
        """No rows."""
        return cls(np.empty(0, np.int64), np.empty((0, dimension), np.float32))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dimension(self) -> int:
        """D."""
        return int(self._vectors.shape[1])

    def with_more(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> "Few":
        """These and others."""
        return Few(np.concatenate((self.rows, rows)), np.concatenate((self._vectors, vectors)))

    def without(self, rows: NDArray[np.int64]) -> "Few":
        """These but for some."""
        kept = ~np.isin(self.rows, rows)
        return Few(self.rows[kept], self._vectors[kept])

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of some of the rows [n, d]."""
        return self._vectors[np.searchsorted(self.rows, rows)]

    def save(self, path: Path) -> None:
        """Write to `path`; the caller syncs. Raises OSError when the disk does not take it."""
        with path.open("wb") as file:
            np.savez(file, rows=self.rows, vectors=self._vectors)

    @classmethod
    def load(cls, path: Path) -> "Few | None":
        """What `save` wrote; None where it is a file of another kind.

        Raises OSError, ValueError, KeyError or zipfile.BadZipFile where it is damaged.
        """
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                return None
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["rows"], arrays["vectors"])


DAMAGED_FILE = (OSError, ValueError, KeyError, zipfile.BadZipFile)
"""What `Few.load` raises."""
