"""When a purge is due, and those that go on."""

import sqlite3
from collections.abc import Iterator
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

# How long all are left alone when one failed, most often for want of what the others need too.
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
    """Purges collections, also those that are closed; owned by the ingest thread.

    One goes on at a time. Where it has to wait the next one that is due begins, and those that wait
    are asked again when none is.
    """

    def __init__(
        self, collections: Collections, tools: Tools, metrics: Metrics, clock: Clock, within: float
    ) -> None:
        self._collections = collections
        self._tools = tools
        self._metrics = metrics
        self._clock = clock
        self._within = within
        self._closed: dict[str, Waiting] = {}
        self._purges: dict[str, Purge] = {}
        self._failed: set[str] = set()
        self._rests_until = 0.0

    @property
    def goes_on(self) -> bool:
        """Whether one is under way."""
        return bool(self._purges)

    @property
    def hurries(self) -> bool:
        """Whether one is under way that could go on now."""
        return self._able is not None and self._clock.monotonic() >= self._rests_until

    def needs(self, collection: Collection) -> bool:
        """True while `collection` must stay open for a purge.

        Not for one that failed: it begins again, and however many fail, memory is bounded.
        """
        purge = self._purges.get(collection.name)
        return purge is not None and collection.name not in self._failed

    def note(self, collection: Collection) -> None:
        """`collection` is about to be closed."""
        self._forget(collection.name)
        self._closed.pop(collection.name, None)
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
        for name in [name for name, purge in self._purges.items() if purge.collection.closed]:
            self._forget(name)
        able = self._able
        if able is not None:
            self._go_on(able, rows)
        elif not (self._ask(rows, failed=False) or self._begin()):
            self._ask(rows, failed=True)

    @property
    def _able(self) -> Purge | None:
        return next((purge for purge in self._purges.values() if not purge.waits), None)

    def _ask(self, rows: int, *, failed: bool) -> bool:
        """Go on with one of those that wait, or that `failed`, if one can; whether one did."""
        return any(
            self._go_on(purge, rows)
            for name, purge in list(self._purges.items())
            if (name in self._failed) == failed
        )

    def _begin(self) -> bool:
        """Begin one that is due; False if none is."""
        now = self._clock.time()
        for collection in self._due(now):
            extent = self._extent(collection, now)
            if extent is not None:
                told_until = now - _BEGIN_RATIO * self._within
                self._purges[collection.name] = Purge(collection, self._tools, extent, told_until)
                log.info("purge begun", collection=collection.name, extent=str(extent))
                return True
        return False

    def _due(self, now: float) -> Iterator[Collection]:
        """Those that are open and not purged, then the closed ones that are due, opened in turn."""
        yield from [found for found in self._collections if found.name not in self._purges]
        for name, waiting in list(self._closed.items()):
            if due(waiting, 0, 0, now, self._within):
                try:
                    found = self._collections.find(name)
                except (OSError, sqlite3.Error) as error:
                    if not is_disk_error(error):
                        raise
                    self._leave(name, error)
                    return
                del self._closed[name]
                if found is not None:
                    yield found

    def _extent(self, collection: Collection, now: float) -> Extent | None:
        leftovers = collection.index.leftovers
        deleted, elements = leftovers.deleted, leftovers.elements
        return due(_waiting(collection), deleted, elements, now, self._within)

    def _go_on(self, purge: Purge, rows: int) -> bool:
        """Whether nothing else is to be tried now: it went on, or what failed is left alone."""
        name = purge.collection.name
        try:
            done = purge.step(rows)
        except (RetryError, OSError) as error:
            if is_disk_error(error) and purge.collection.index.doubtful:
                raise  # what the purge wrote is to be written again, into files opened anew
            self._rest(purge, error)
            return True
        self._failed.discard(name)
        if done:
            self._forget(name)
            self._metrics.purges.inc()
            log.info("purge done", collection=name)
        return not purge.waits

    def _rest(self, purge: Purge, error: Exception) -> None:
        name = purge.collection.name
        self._note_failed(name, error)
        purge.waits = True
        self._purges[name] = self._purges.pop(name)  # behind the others

    def _leave(self, name: str, error: Exception) -> None:
        """A closed collection that the disk does not give holds up nobody else."""
        self._note_failed(name, error)
        self._closed[name] = self._closed.pop(name)  # behind the others

    def _note_failed(self, name: str, error: Exception) -> None:
        self._rests_until = self._clock.monotonic() + _REST_SECONDS
        if name not in self._failed:
            log.warning("purge waits", collection=name, error=str(error))
        self._failed.add(name)

    def _forget(self, name: str) -> None:
        self._purges.pop(name, None)
        self._failed.discard(name)


def _waiting(collection: Collection) -> Waiting | None:
    kept = collection.erasures
    if kept.oldest is None:
        return None
    return Waiting(kept.waiting, kept.oldest, kept.oldest_copies)
