"""What dead rows leave behind, and how it goes while the collection serves."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index.catalog import Catalog
from index.live import LiveIndex
from index.snapshot import Snapshots
from index.vectors import VectorLog


class Rows(Protocol):
    """The rows of a collection as they are now, see `CollectionIndex`."""

    @property
    def vectors(self) -> NDArray[np.float32]:
        """float32 [rows, d]."""

    @property
    def counts(self) -> NDArray[np.int32]:
        """int32 [rows]."""


class Leftovers:
    """Copies of dead vectors in HNSW and snapshots, zeros in the vector log, and SQLite's free
    pages. Getting rid of any of it may be repeated. One owner, one thread.
    """

    def __init__(
        self, rows: Rows, live: LiveIndex, log: VectorLog, catalog: Catalog, snapshots: Snapshots
    ) -> None:
        self._rows = rows
        self._live = live
        self._log = log
        self._catalog = catalog
        self._snapshots = snapshots

    @property
    def deleted(self) -> int:
        """Elements of HNSW that are deleted: their vectors are still in it."""
        return self._live.held.deleted

    @property
    def elements(self) -> int:
        """Elements of HNSW, the deleted ones included."""
        return self._live.held.elements

    def dead(self) -> NDArray[np.bool_]:
        """Which rows have no image any more, bool [rows]."""
        dead: NDArray[np.bool_] = self._rows.counts == 0
        return dead

    def rebuild(self, limit: int) -> bool:
        """Go on by about `limit` rows with an HNSW without deleted elements; True when it serves.

        Ingestion may go on between two calls. Only the last one blocks, for as long as it takes to
        insert `limit` rows and those that came since the call before. It takes the memory of a
        second HNSW until it is done.
        """
        return self._live.rebuild(self._rows.vectors, limit)

    @property
    def newest_snapshot(self) -> str:
        """The name of the newest finished snapshot; empty if there is none."""
        return next((path.name for path in self._snapshots.newest_first()), "")

    def drop_older_snapshots(self) -> None:
        """Remove every snapshot but the newest. Raises OSError while something of one is left."""
        self._snapshots.drop_older()

    def give_back_rows(self) -> None:
        """Wait until wiped rows are wiped on the disk, and give their space back where it can be:
        of whole blocks of the file system.
        """
        self._log.give_back(self.dead())
        self._log.sync()
        self._catalog.forget_wiped()

    def vacuum(self) -> bool:
        """Rid SQLite's file and its write-ahead log of what was deleted; see `Database.vacuum`."""
        return self._catalog.vacuum()
