"""The rows that new ones are searched among: plain arrays of few, an HNSW graph of more."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index.errors import SnapshotError
from index.few import Few, is_exact
from index.hnsw import Hnsw
from index.settings import IndexSettings


class Held:
    """Rows and their unit vectors, float32 [n, d], finite; rows that are added are new.

    hnswlib takes 2.6 MB for the locks of any index, and time to link rows that nobody searches for
    by it, so few rows stand in plain arrays (`index.few`); once there were more it is HNSW until
    the next load. One owner, one thread.
    """

    def __init__(self, dimension: int, settings: IndexSettings) -> None:
        self._dimension = dimension
        self._settings = settings
        self._rows: Few | Hnsw = Few(dimension)

    def without_rows(self) -> "Held":
        """A new, empty one of the same dimension and settings."""
        return Held(self._dimension, self._settings)

    @property
    def hnsw(self) -> Hnsw | None:
        """The HNSW graph, if there is one; there is where more rows live than `is_exact`."""
        return self._rows if isinstance(self._rows, Hnsw) else None

    @property
    def live(self) -> int:
        """Rows that are not deleted."""
        return self._rows.live

    @property
    def elements(self) -> int:
        """Rows held, those marked deleted included."""
        return self._rows.elements

    @property
    def deleted(self) -> int:
        """Rows marked deleted; hnswlib keeps their vectors and links, in memory and in its file."""
        return self.elements - self.live

    def add(self, vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        """Take in new rows."""
        if isinstance(self._rows, Few) and not is_exact(self.live + len(rows)):
            self._rows = self._linked(self._rows)
        self._rows.add(vectors, rows)

    def _linked(self, few: Few) -> Hnsw:
        hnsw = Hnsw.empty(self._dimension, self._settings, capacity=few.elements)
        if few.elements:
            hnsw.add(few.vectors(few.labels()), few.labels())
        return hnsw

    def mark_deleted(self, rows: NDArray[np.int64]) -> None:
        """Leave out rows that are held and not yet deleted."""
        self._rows.mark_deleted(rows)

    def labels(self) -> NDArray[np.int64]:
        """The rows held, those marked deleted included, int64 [elements]."""
        return self._rows.labels()

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of live rows as they are held, float32 [n, d]."""
        return self._rows.vectors(rows)

    def save(self, path: Path) -> None:
        """Write to `path`, which must be a new name; the caller syncs.

        Raises SnapshotError when the file came out shorter than it must be, or OSError.
        """
        self._rows.save(path)

    def load(self, path: Path, *, elements: int, rows: NDArray[np.int64]) -> None:
        """Take over a file whose checksum was verified, of which `rows` live.

        Raises SnapshotError when it does not hold what the manifest says.
        """
        few = Few.load(path)
        if few is None:
            hnsw = Hnsw.load(
                path, self._dimension, self._settings, elements=elements, live=len(rows)
            )
            if not is_exact(len(rows)):
                self._rows = hnsw
                return
            few = self._plain(hnsw, rows, path)
        if not np.array_equal(few.labels(), rows) or few.dimension != self._dimension:
            raise SnapshotError(f"{path}: not the rows that the manifest says are live")
        self._rows = few

    def _plain(self, hnsw: Hnsw, rows: NDArray[np.int64], path: Path) -> Few:
        few = Few(self._dimension)
        try:
            few.add(hnsw.vectors(rows), rows)
        except RuntimeError as error:  # a label that is not there
            raise SnapshotError(f"{path}: {error!r}") from error
        return few
