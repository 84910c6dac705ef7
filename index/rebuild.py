"""HNSW anew without its deleted elements, filled in slices beside the one that serves."""

from concurrent.futures import Executor, Future, wait

import numpy as np
from numpy.typing import NDArray

from index.held import Held

Rows = NDArray[np.int64]


class Rebuild:
    """Takes the rows of an index into an empty `held`, on the one thread of `executor`.

    Rows come in rising order, so those that arrive meanwhile are the last. One owner, one thread.
    """

    def __init__(self, held: Held, executor: Executor) -> None:
        self._held = held
        self._executor = executor
        self._slice: Future[None] | None = None
        self._taken: list[Rows] = []
        self._next_row = 0
        self._rows_seen: int | None = None

    def go_on(
        self, vectors: NDArray[np.float32], present: NDArray[np.bool_], limit: int
    ) -> Held | None:
        """Take in up to `limit` of the rows `present`, and as many more as came since the last
        call; the new HNSW once it holds them all.

        Returns at once, or while the slice before is not done; blocks for the last slice.
        """
        if self._slice is not None:
            if not self._slice.done():
                return None
            self._slice.result()
            self._slice = None
        came = 0 if self._rows_seen is None else len(present) - self._rows_seen
        self._rows_seen = len(present)
        missing = self._next_row + np.flatnonzero(present[self._next_row :])
        rows = missing[: limit + came]
        if len(rows):
            self._next_row = int(rows[-1]) + 1
            self._taken.append(rows)
            # A copy of the vectors: the log may wipe rows while they are taken in.
            self._slice = self._executor.submit(self._held.add, vectors[rows], rows)
        if len(rows) < len(missing):
            return None
        self.close()
        self._leave_out_dead(present)
        return self._held

    def close(self) -> None:
        """Block until nothing is taken in any more."""
        if self._slice is not None:
            wait([self._slice])

    def _leave_out_dead(self, present: NDArray[np.bool_]) -> None:
        """What died after it was taken in is deleted here too; the next rebuild is rid of it."""
        if self._slice is not None:
            self._slice.result()
        taken = np.concatenate([np.empty(0, np.int64), *self._taken])
        self._held.mark_deleted(taken[~present[taken]])
