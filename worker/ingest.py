"""The ingest protocol: one batch from the source to Redis.

1. poll  2. decode  3. log  4. index  5. assign  6. publish  7. commit

Kill the process at any of them: on restart the catalog knows
what was logged, recovery does 4 to 6 for what lacks them, and the source seeks to where the
catalog is, so that every image has its effect exactly once.

Where more is waiting two batches are under way: while HNSW takes one in, on every core that is
free, the one before is assigned, published and committed, and the next is polled, decoded and
logged. Each batch goes through its own steps in order, and no batch overtakes another.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from index import Logged, Outcome, reach_fault
from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.dead_letters.base import DeadLetter, DeadLetters
from worker.errors import SourceUnavailableError
from worker.metrics import Metrics
from worker.positions import Positions
from worker.publishing import Publishing
from worker.records import RawRecord
from worker.sorting import Share, Sorter
from worker.sources.base import Source

log = structlog.get_logger()

# How long dead letters that could not be kept wait between attempts.
_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class Flight:
    """A batch that is logged: its shares, what of it was refused, and the offsets to commit."""

    logged: list[tuple[Collection, Logged]]
    letters: list[DeadLetter]
    following: dict[str, int]


class Ingest:
    """Takes batches through the seven steps; owned by one thread.

    `meanwhile` is called again and again while a batch cannot be finished; when it returns False
    the batch is given up, and no later one is committed: the next start reads both again.
    """

    def __init__(
        self,
        source: Source,
        sorter: Sorter,
        dead_letters: DeadLetters,
        collections: Collections,
        publishing: Publishing,
        positions: Positions,
        metrics: Metrics,
        clock: Clock,
        batch_records: int,
    ) -> None:
        self._source = source
        self._sorter = sorter
        self._dead_letters = dead_letters
        self._collections = collections
        self._publishing = publishing
        self._positions = positions
        self._metrics = metrics
        self._clock = clock
        self._batch_records = batch_records
        self._flight: Flight | None = None
        self._given_up = False
        self.meanwhile: Callable[[], bool] = lambda: True

    def batch(self, timeout_seconds: float) -> int:
        """Poll a batch and take it, or the one before, through all steps; how many were polled.

        Waits at most `timeout_seconds` for the first record, and not at all while another batch is
        under way. Images that Redis does not take now stay in the outbox. Raises `FatalError`s;
        what was logged then is safe.
        """
        with self._metrics.step("poll"):
            raws = self._source.poll(
                self._batch_records, 0.0 if self._flight is not None else timeout_seconds
            )
            reach_fault("1")
        flight = self._take(raws) if raws else None
        self._advance(flight)
        return len(raws)

    @property
    def under_way(self) -> bool:
        """Whether a batch has not been through all steps yet."""
        return self._flight is not None

    def settle(self) -> None:
        """Take the batch that is under way through its last steps."""
        if self._flight is not None:
            self._advance(None)

    def _advance(self, flight: Flight | None) -> None:
        """Begin step 4 of `flight`, and take the batch before it through its steps 4 to 7."""
        before, self._flight = self._flight, flight
        if flight is not None:
            with self._metrics.step("index"):
                for collection, logged in flight.logged:
                    collection.insert(logged)
        if before is not None:
            with self._metrics.step("index"):
                for collection, logged in before.logged:
                    collection.link(logged)
            with self._metrics.step("assign"):
                for collection, _ in before.logged:
                    collection.assign()
        self._publishing.publish()
        if before is not None and not self._given_up:
            if self._keep(before.letters):
                self._commit(before.following)
            else:
                self._given_up = True

    def _take(self, raws: Sequence[RawRecord]) -> Flight:
        """Steps 2 and 3."""
        self._metrics.records.inc(len(raws))
        self._metrics.batch_images.observe(len(raws))
        with self._metrics.step("decode"):
            shares, letters = self._sorter.sort(raws)
            reach_fault("2")
        with self._metrics.step("log"):
            logged = [self._log(name, share) for name, share in shares.items()]
        return Flight(logged, letters, {raw.partition: raw.offset + 1 for raw in raws})

    def _log(self, name: str, share: Share) -> tuple[Collection, Logged]:
        """Step 3 for one collection."""
        collection = self._collections.get(name)
        logged = collection.log(share.records, share.positions)
        for outcome in Outcome:
            count = sum(write.outcome is outcome for write in logged.writes)
            self._metrics.images.labels(outcome).inc(count)
        collection.times.ingested = self._clock.time()
        self._metrics.last_ingest.set(collection.times.ingested)
        changed = (write.id for write in logged.writes if write.outcome is not Outcome.UNCHANGED)
        self._publishing.expect(name, share.times, changed)
        return collection, logged

    def _commit(self, following: dict[str, int]) -> None:
        """Step 7: the next start seeks there, and lag displays see it."""
        with self._metrics.step("commit"):
            self._positions.advance(following, self._source.origin)
            reach_fault("7")
            self._source.commit(following)

    def _keep(self, letters: Sequence[DeadLetter]) -> bool:
        """Send dead letters; waits until they are kept, since the position moves on then.

        False if the worker is to stop before that: the records are read again by the next one.
        """
        if not letters:
            return True
        while True:
            try:
                self._dead_letters.send(letters)
            except SourceUnavailableError as error:
                log.warning("dead letters wait", count=len(letters), error=str(error))
                self._clock.sleep(_RETRY_SECONDS)
                if not self.meanwhile():
                    return False
            else:
                break
        for letter in letters:
            self._metrics.dead_letters.labels(letter.reason).inc()
            log.warning(
                "record refused",
                reason=str(letter.reason),
                detail=letter.detail,
                partition=letter.raw.partition,
                offset=letter.raw.offset,
            )
        return True
