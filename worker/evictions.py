"""A store that drops keys for want of memory is told of, and filled again."""

import structlog

from worker.clock import Clock
from worker.collections import Collections
from worker.errors import RetryError
from worker.metrics import Metrics
from worker.publish import Publisher
from worker.role import Role

log = structlog.get_logger()

_LOOK_SECONDS = 5.0

# Where it goes on dropping keys, what is written anew is dropped as well: it is tried again so much
# later, and then after twice as long each time.
_FIRST_WAIT_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 3_600.0

# How long a store that failed is left alone.
_REST_SECONDS = 1.0


class Evictions:
    """Looks how many keys the store has dropped; owned by the ingest thread.

    When there are more than at the last look (or any, at the first), readers may miss anything:
    every collection is written as a whole, one between two batches.
    """

    def __init__(
        self,
        collections: Collections,
        publisher: Publisher,
        metrics: Metrics,
        clock: Clock,
        role: Role,
    ) -> None:
        self._collections = collections
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._role = role
        self._seen = 0
        self._look_at = 0.0
        self._fill_at = 0.0
        self._wait_seconds = _FIRST_WAIT_SECONDS
        self._owed: list[str] = []

    @property
    def goes_on(self) -> bool:
        """Whether a collection is to be written now."""
        return bool(self._owed) and self._clock.monotonic() >= self._fill_at

    def tick(self) -> None:
        """Look if it is time, and write one collection that is due. Raises `LeaseError`."""
        now = self._clock.monotonic()
        if self._role.standing_by:
            return
        try:
            if now >= self._look_at:
                self._look_at = now + _LOOK_SECONDS
                self._look(now)
            if self.goes_on:
                self._fill(self._owed[-1])
                self._owed.pop()
        except RetryError as error:
            self._metrics.store_errors.inc()
            self._fill_at = max(self._fill_at, now + _REST_SECONDS)
            log.warning("not filled again yet", error=str(error))

    def _look(self, now: float) -> None:
        dropped = self._publisher.evicted()
        if dropped is None:
            return
        more, self._seen = dropped - self._seen, dropped
        self._metrics.evicted.set(dropped)
        if more <= 0:  # a server that was started again counts from zero
            return
        log.error(
            "Redis drops keys: readers miss images. Set maxmemory-policy noeviction",
            dropped=more,
        )
        if now - self._fill_at > _LONGEST_WAIT_SECONDS:
            self._wait_seconds = _FIRST_WAIT_SECONDS
        if not self._owed:
            self._owed = self._collections.stored()

    def _fill(self, name: str) -> None:
        collection = self._collections.find(name)
        if collection is not None and collection.lease is not None:
            self._publisher.rebuild(collection)
        if len(self._owed) == 1:
            self._fill_at = self._clock.monotonic() + self._wait_seconds
            self._wait_seconds = min(2 * self._wait_seconds, _LONGEST_WAIT_SECONDS)
