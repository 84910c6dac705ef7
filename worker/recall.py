"""The recall of the kept graphs is measured all the time, in a small share of it."""

from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.metrics import Metrics
from worker.share import Share

# Share of the ingest thread's time that measuring takes.
_SHARE = 0.01

# The most that is taken between two batches, however long it is since the last.
_MOST_SECONDS = 0.01


class RecallWatch:
    """Takes the open collections in turn, by name; owned by the ingest thread.

    A collection that has not changed since it was measured well is left alone.
    """

    def __init__(self, collections: Collections, metrics: Metrics, clock: Clock) -> None:
        self._collections = collections
        self._metrics = metrics
        self._share = Share(clock, _SHARE, _MOST_SECONDS)
        self._measured: Collection | None = None
        self._last = ""

    def tick(self) -> None:
        """Go on for as long as is due, up to the end of a pass."""
        self._share.spend(self._go_on)

    def _go_on(self) -> bool:
        """One slice; True when a pass has ended, or nothing is to be measured."""
        if self._measured is None or self._measured.closed:
            self._measured = self._next()
        collection = self._measured
        if collection is None:
            return True
        if not collection.recall.go_on(collection.index):
            return False
        self._measured, self._last = None, collection.name
        self._show(collection)
        return True

    def _next(self) -> Collection | None:
        """The one after the last by name, from the first again after the last of all."""
        waiting = [c for c in self._collections.serving if not c.recall.settled(c.index)]
        later = [c for c in waiting if c.name > self._last]
        return min(later or waiting, key=lambda c: c.name, default=None)

    def _show(self, collection: Collection) -> None:
        found = collection.recall.recall
        if found is not None:
            figures = {"graph_recall": found.ratio, "graph_recall_rows": found.rows}
            self._metrics.drift.show(collection.name, collection.images, figures)
