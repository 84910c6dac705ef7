"""Whether the encoders of the open collections drift is measured all the time."""

from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.encoder_shift import encoder_shift
from worker.metrics import Metrics

_SECONDS = 2.0

# Collections that are measured at a time, each in some milliseconds.
_AT_ONCE = 3

_NEVER = (-1.0, (0, False))


class ShiftWatch:
    """Takes the open collections in turn, those measured longest ago first; owned by one thread.

    A collection without newer rows than last time is left alone.
    """

    def __init__(self, collections: Collections, metrics: Metrics, clock: Clock) -> None:
        self._collections = collections
        self._metrics = metrics
        self._clock = clock
        self._due = 0.0
        # When each was last measured, and what the newest row was.
        self._seen: dict[str, tuple[float, tuple[int, bool]]] = {}

    def tick(self) -> None:
        """Measure what is due. Waits for graphs that are changing: a call between changes pays."""
        now = self._clock.monotonic()
        if now < self._due:
            return
        self._due = now + _SECONDS
        seen = self._seen
        newest = {c.name: _newest(c) for c in self._collections.serving}
        news = [
            c for c in self._collections.serving if seen.get(c.name, _NEVER)[1] != newest[c.name]
        ]
        news.sort(key=lambda c: seen.get(c.name, _NEVER)[0])
        for collection in news[:_AT_ONCE]:
            seen[collection.name] = now, newest[collection.name]
            self._measure(collection)

    def _measure(self, collection: Collection) -> None:
        index = collection.index
        shift = encoder_shift(index.neighbours, index.similarity, index.counts)
        if shift is not None:
            figures = {"encoder_shift": shift}
            self._metrics.drift.show(collection.name, collection.images, figures)


def _newest(collection: Collection) -> tuple[int, bool]:
    """The number of rows, and whether the newest one has neighbours yet."""
    index = collection.index
    return index.rows, bool((index.neighbours[-1:, 0] >= 0).any())
