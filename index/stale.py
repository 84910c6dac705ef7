"""Which rows to search again: those that have seen the collection grow since their last search."""

import numpy as np
from numpy.typing import NDArray

from index.growing import GrowingArray

# A row is stale when so many times the rows it was searched among are there.
STALE = 1.1
# Rows that one look at all of them brings out; bounds what is kept between two looks.
QUEUED_ROWS = 1 << 16

Rows = NDArray[np.int64]


class Stale:
    """The number of live rows at the last search of each row, and who is due.

    All rows are looked at once in `QUEUED_ROWS`, and not at all before the oldest can be stale.
    """

    def __init__(self) -> None:
        self._searched_at = GrowingArray(np.int32, 0)
        self._queue: Rows = np.empty(0, np.int64)
        self._due = 0.0  # no row is stale while fewer live

    @property
    def searched_at(self) -> NDArray[np.int32]:
        """int32 [rows], without a copy; valid until the next `resize`."""
        return self._searched_at.view

    def load(self, searched_at: NDArray[np.int32]) -> None:
        """Take the first rows from a snapshot."""
        self._searched_at.load(searched_at)
        self._due = 0.0

    def resize(self, rows: int) -> None:
        """Make room; new rows were never searched, and nobody asks before they were."""
        self._searched_at.resize(rows)

    def searched(self, rows: Rows | slice, live: int) -> None:
        """These rows were searched just now, among so many."""
        self.searched_at[rows] = live
        self._due = min(self._due, STALE * live)

    def take(self, present: NDArray[np.bool_], live: int, limit: int) -> Rows:
        """Up to `limit` stale rows of those `present`, rising; those searched longest ago."""
        self._drop_others(present, live)
        if len(self._queue) < limit and live > self._due:
            self._look(present, live)
        taken, self._queue = self._queue[:limit], self._queue[limit:]
        return np.sort(taken)

    def _drop_others(self, present: NDArray[np.bool_], live: int) -> None:
        """What died, or was searched, since it came into the queue."""
        queue = self._queue
        self._queue = queue[present[queue] & (live > STALE * self.searched_at[queue])]

    def _look(self, present: NDArray[np.bool_], live: int) -> None:
        """Fill the queue anew; where nothing is stale, note when something can be."""
        stale = np.flatnonzero(present & (live > STALE * self.searched_at))
        if not len(stale):
            self._due = STALE * self.searched_at.min(where=present, initial=live)
            return
        if len(stale) > QUEUED_ROWS:
            stale = stale[np.argpartition(self.searched_at[stale], QUEUED_ROWS)[:QUEUED_ROWS]]
        self._queue = stale[np.argsort(self.searched_at[stale], kind="stable")]
