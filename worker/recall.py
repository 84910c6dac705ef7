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
        self._seen = False  # whether all its rows were looked at
        self._last = ""

    def tick(self) -> None:
        """Go on for as long as is due, up to the end of a pass.

        That end waits where the graph is changing, which is not time that measuring takes.
        """
        self._seen = False
        self._share.spend(self._look)
        collection = self._measured
        if self._seen and collection is not None:
            collection.recall.compare(collection.index)
            self._measured, self._last = None, collection.name
            self._show(collection)

    def _look(self) -> bool:
        """One slice; True when all rows were looked at, or nothing is to be measured."""
        if self._measured is None or self._measured.closed:
            self._measured = self._next()
        collection = self._measured
        if collection is None:
            return True
        self._seen = collection.recall.look(collection.index)
        return self._seen

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
