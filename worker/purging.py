"""When a purge is due, and the one that goes on."""

from dataclasses import dataclass

import structlog

from index import is_disk_error
from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.errors import RetryError
from worker.metrics import Metrics
from worker.purge import Extent, Purge, Tools

log = structlog.get_logger()

# A purge begins when this share of the time allowed has passed: it takes time itself. Events that
# name an erased image, the one that tells of its erasure too, stay for as long at least.
_BEGIN_RATIO = 0.5

# Where only events are left it takes less, and most often the next purge has come before.
_BEGIN_NAMES_RATIO = 0.9

# Deleted elements cost HNSW memory and search time: at this share of all it is rebuilt anyway,
# but not for a few.
_DELETED_RATIO = 0.2
_DELETED_ROWS = 1_000

# How long a purge that could not go on is left alone.
_REST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """Erasures of one collection of which traces may be left, when the first one was, and the
    first of which copies may be left.
    """

    number: int
    oldest: float
    oldest_copies: float | None


def due(
    waiting: Waiting | None, deleted: int, elements: int, now: float, within: float
) -> Extent | None:
    """The purge that should begin at `now`, so that it ends `within` seconds of an erasure, or
    because so many of HNSW's `elements` are `deleted`; None for none.
    """
    if deleted >= max(_DELETED_ROWS, _DELETED_RATIO * elements):
        return Extent.ALL
    if waiting is None:
        return None
    if waiting.oldest_copies is not None and now >= waiting.oldest_copies + _BEGIN_RATIO * within:
        return Extent.ALL
    return Extent.NAMES if now >= waiting.oldest + _BEGIN_NAMES_RATIO * within else None


class Purging:
    """Purges one collection at a time, also those that are closed; owned by the ingest thread."""

    def __init__(
        self, collections: Collections, tools: Tools, metrics: Metrics, clock: Clock, within: float
    ) -> None:
        self._collections = collections
        self._tools = tools
        self._metrics = metrics
        self._clock = clock
        self._within = within
        self._closed: dict[str, Waiting] = {}
        self._purge: Purge | None = None
        self._rests_until = 0.0
        self._failed = False

    @property
    def goes_on(self) -> bool:
        """Whether one is under way."""
        return self._purge is not None

    @property
    def hurries(self) -> bool:
        """Whether one is under way that could go on now."""
        if self._purge is None or self._purge.waits:
            return False
        return self._clock.monotonic() >= self._rests_until

    def needs(self, collection: Collection) -> bool:
        """True while `collection` must stay open for a purge."""
        return self._purge is not None and self._purge.collection is collection

    def note(self, collection: Collection) -> None:
        """`collection` is about to be closed."""
        waiting = _waiting(collection)
        if waiting is not None:
            self._closed[collection.name] = waiting

    def waiting(self) -> list[Waiting]:
        """The erasures that wait, by collection, open or not."""
        here = {collection.name: _waiting(collection) for collection in self._collections}
        return [found for found in (self._closed | here).values() if found is not None]

    def tick(self, rows: int) -> None:
        """Begin a purge that is due, or go on with one by about `rows` rows.

        What the disk does not let go is waited for here. Raises `OSError` where what failed leaves
        the collection in doubt: when that was opened anew its purge begins again.
        """
        if self._clock.monotonic() < self._rests_until:
            return
        if self._purge is None or self._purge.collection.closed:
            self._begin()
        else:
            self._go_on(self._purge, rows)

    def _begin(self) -> None:
        self._purge = None
        now = self._clock.time()
        for name, waiting in list(self._closed.items()):
            if due(waiting, 0, 0, now, self._within):
                self._collections.find(name)
                del self._closed[name]  # last: it is opened again where the disk failed
        for collection in self._collections:
            leftovers = collection.index.leftovers
            deleted, elements = leftovers.deleted, leftovers.elements
            extent = due(_waiting(collection), deleted, elements, now, self._within)
            if extent is not None:
                told_until = now - _BEGIN_RATIO * self._within
                self._purge = Purge(collection, self._tools, extent, told_until)
                log.info("purge begun", collection=collection.name, extent=str(extent))
                return

    def _go_on(self, purge: Purge, rows: int) -> None:
        try:
            done = purge.step(rows)
        except (RetryError, OSError) as error:
            if is_disk_error(error) and purge.collection.index.doubtful:
                raise  # what the purge wrote is to be written again, into files opened anew
            self._rest(purge, error)
            return
        self._failed = False
        if done:
            self._purge = None
            self._metrics.purges.inc()
            log.info("purge done", collection=purge.collection.name)

    def _rest(self, purge: Purge, error: Exception) -> None:
        self._rests_until = self._clock.monotonic() + _REST_SECONDS
        if not self._failed:
            log.warning("purge waits", collection=purge.collection.name, error=str(error))
        self._failed = True


def _waiting(collection: Collection) -> Waiting | None:
    kept = collection.erasures
    if kept.oldest is None:
        return None
    return Waiting(kept.waiting, kept.oldest, kept.oldest_copies)
