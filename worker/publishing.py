"""Step 6 between batches: what waits in the outboxes goes out, if the store takes it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import structlog

from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.errors import RetryError
from worker.metrics import Metrics
from worker.publish import Publisher
from worker.role import Role

log = structlog.get_logger()

# Updates that one collection publishes between two batches, if so much waits.
_UPDATES = 8

# How long a store that failed is left alone.
_REST_SECONDS = 1.0


class Publishing:
    """Publishes the open collections in turn; owned by the ingest thread."""

    def __init__(
        self,
        collections: Collections,
        publisher: Publisher,
        metrics: Metrics,
        clock: Clock,
        role: Role,
    ) -> None:
        self._role = role
        self._collections = collections
        self._publisher = publisher
        self._metrics = metrics
        self._clock = clock
        self._produced: dict[str, dict[str, float]] = defaultdict(dict)
        self._rests_until = 0.0
        self._failed = False
        self._grown: set[str] = set()

    def expect(self, name: str, produced: Mapping[str, float], images: Iterable[str]) -> None:
        """`images` of the collection wait from now on; `produced` says when each was made."""
        if self._role.standing_by:
            return
        changed = set(images)
        self._produced[name] |= {id_: at for id_, at in produced.items() if id_ in changed}

    def publish(self) -> None:
        """Publish what waits in the outboxes, unless the store failed a moment ago."""
        if self._rests:
            return
        with self._metrics.step("publish"):
            for collection in self._collections.serving:
                if collection.outbox and not self._publish(collection):
                    return

    def publish_all(self) -> None:
        """Publish all that waits, also to a store that failed just now; ends if it fails again."""
        self._rests_until = 0.0
        while self.backlog():
            self.publish()

    def relieve(self) -> None:
        """Begin to give one collection that grew more room in the store; `lay_out` goes on."""
        name = self._grown.pop() if self._grown else None
        for collection in self._collections.serving:
            if collection.name == name:
                try:
                    self._publisher.relieve(collection)
                except RetryError as error:
                    log.info("more room later", collection=name, error=str(error))

    def lay_out(self, rows: int) -> None:
        """Go on with the collections that are given more room, by up to `rows` images each."""
        for collection in self._collections.serving:
            self._publisher.lay_out(collection, rows)

    def unpublished(self) -> int:
        """Images that wait for the store."""
        return sum(len(collection.outbox) for collection in self._collections.serving)

    def backlog(self) -> bool:
        """Whether anything waits for the store that does not rest."""
        return not self._rests and any(
            collection.outbox for collection in self._collections.serving
        )

    @property
    def _rests(self) -> bool:
        """Whether nothing is published now: this worker stands by, or the store just failed."""
        return self._role.standing_by or self._clock.monotonic() < self._rests_until

    def _publish(self, collection: Collection) -> bool:
        """Publish what waits of one collection; False if the store does not take it now."""
        try:
            self._updates(collection)
        except RetryError as error:
            self._rest(collection, error)
            return False
        self._failed = False
        return True

    def _updates(self, collection: Collection) -> None:
        produced = self._produced[collection.name]
        for _ in range(_UPDATES):
            images = self._publisher.publish(collection)
            if images is None:
                break
            now = self._clock.time()
            for image in produced.keys() & set(images):
                self._metrics.visible_seconds.observe(max(0.0, now - produced.pop(image)))
            if not images:
                break  # only clusters or events wait, and batches come first
        if not collection.outbox:
            produced.clear()
        self._grown.add(collection.name)

    def _rest(self, collection: Collection, error: RetryError) -> None:
        self._metrics.store_errors.inc()
        self._rests_until = self._clock.monotonic() + _REST_SECONDS
        if not self._failed:
            log.warning("not published yet", collection=collection.name, error=str(error))
        self._failed = True
