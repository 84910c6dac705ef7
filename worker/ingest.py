"""The ingest protocol: one batch from the source to Redis.

1. poll  2. decode  3. log  4. index  5. assign  6. publish  7. commit

Kill the process at any of them: on restart the catalog knows
what was logged, recovery does 4 to 6 for what lacks them, and the source seeks to where the
catalog is, so that every image has its effect exactly once.

Where more is waiting two batches are under way: while HNSW takes one in, on every core that is
free, the one before is assigned, published and committed, and the next is polled, decoded and
logged. Each batch goes through its own steps in order, and no batch overtakes another.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from index import Logged, Outcome, reach_fault
from worker import admission
from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.dead_letters.base import DeadLetter, DeadLetters
from worker.dead_letters.limits import DeadLetterLimits
from worker.decode import Decoder
from worker.errors import RejectedError, RetryError, SourceUnavailableError
from worker.metrics import Metrics
from worker.positions import Positions
from worker.publish import Publisher
from worker.records import Erase, RawRecord, Record
from worker.sources.base import Source

log = structlog.get_logger()

# Updates that one collection publishes between two batches, if so much waits.
_UPDATES = 8

# How long a store that failed is left alone, and how long dead letters wait between attempts.
_RETRY_SECONDS = 1.0


@dataclass
class Share:
    """What one collection gets of a batch, and the offsets to read next after it."""

    records: list[Record] = field(default_factory=list)
    positions: dict[str, int] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Flight:
    """A batch that is logged: its shares, what of it was refused, and the offsets to commit."""

    logged: list[tuple[Collection, Logged]]
    letters: list[DeadLetter]
    following: dict[str, int]


class Ingest:
    """Takes batches through the seven steps; owned by one thread."""

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        dead_letters: DeadLetters,
        limits: DeadLetterLimits,
        collections: Collections,
        publisher: Publisher,
        positions: Positions,
        metrics: Metrics,
        clock: Clock,
        batch_records: int,
    ) -> None:
        self._source = source
        self._decoder = decoder
        self._dead_letters = dead_letters
        self._limits = limits
        self._collections = collections
        self._publisher = publisher
        self._positions = positions
        self._metrics = metrics
        self._clock = clock
        self._batch_records = batch_records
        self._waiting: dict[str, dict[str, float]] = defaultdict(dict)
        self._store_rests_until = 0.0
        self._store_failed = False
        self._grown: set[str] = set()
        self._flight: Flight | None = None
        self.meanwhile: Callable[[], bool] = lambda: True

    def batch(self, timeout_seconds: float) -> int:
        """Poll a batch and take it, or the one before, through all steps; how many were polled.

        Waits at most `timeout_seconds` for the first record, and not at all while another batch is
        under way. Images that Redis does not take now stay in the outbox. Raises `FatalError`s;
        what was logged then is safe.
        """
        with self._step("poll"):
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
            with self._step("index"):
                for collection, logged in flight.logged:
                    collection.insert(logged)
        if before is not None:
            with self._step("index"):
                for collection, logged in before.logged:
                    collection.link(logged)
            with self._step("assign"):
                for collection, _ in before.logged:
                    collection.assign()
        self.publish()
        if before is not None and self._keep(before.letters):
            self._commit(before.following)

    def publish(self) -> None:
        """Step 6: publish what waits in the outboxes, unless the store failed a moment ago."""
        if self._clock.monotonic() < self._store_rests_until:
            return
        with self._step("publish"):
            for collection in self._collections:
                if collection.outbox and not self._publish(collection):
                    return

    def relieve(self) -> None:
        """While nothing comes: give one collection that grew more room in the store."""
        name = self._grown.pop() if self._grown else None
        for collection in self._collections:
            if collection.name == name and not collection.outbox:
                try:
                    self._publisher.relieve(collection)
                except RetryError as error:
                    log.info("more room later", collection=name, error=str(error))

    def unpublished(self) -> int:
        """Images that wait for the store."""
        return sum(len(collection.outbox) for collection in self._collections)

    def flush(self) -> None:
        """Take what is under way to its end, and publish all that waits, also to a store that
        failed just now; ends if it fails again.
        """
        self._store_rests_until = 0.0
        self.settle()
        while self.backlog():
            self.publish()

    def backlog(self) -> bool:
        """Whether anything waits for the store that does not rest."""
        rests = self._clock.monotonic() < self._store_rests_until
        return not rests and any(collection.outbox for collection in self._collections)

    def _take(self, raws: Sequence[RawRecord]) -> Flight:
        """Steps 2 and 3."""
        self._metrics.records.inc(len(raws))
        self._metrics.batch_images.observe(len(raws))
        with self._step("decode"):
            shares, letters = self._sort(raws)
            reach_fault("2")
        with self._step("log"):
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
        changed = {write.id for write in logged.writes if write.outcome is not Outcome.UNCHANGED}
        self._waiting[name] |= {id_: t for id_, t in share.times.items() if id_ in changed}
        return collection, logged

    def _commit(self, following: dict[str, int]) -> None:
        """Step 7: the next start seeks there, and lag displays see it."""
        with self._step("commit"):
            self._positions.advance(following, self._source.origin)
            reach_fault("7")
            self._source.commit(following)

    def _sort(self, raws: Sequence[RawRecord]) -> tuple[dict[str, Share], list[DeadLetter]]:
        """Step 2: decode, check, and sort by collection; skip what a collection has."""
        shares: dict[str, Share] = defaultdict(Share)
        letters: list[DeadLetter] = []
        for raw in raws:
            key = self._positions.key(raw.partition, raw.offset)
            try:
                record = self._decoder.decode(raw)
                collection = self._admit(record)
            except RejectedError as error:
                letters.append(DeadLetter(raw, error.reason, error.detail))
                self._limits.bad(error.reason)
                continue
            self._limits.good()
            if collection is None:
                continue
            if raw.offset < collection.index.positions.get(key, 0):
                self._metrics.skipped.inc()
                continue
            share = shares[record.collection]
            share.records.append(record)
            share.positions[key] = raw.offset + 1
            if raw.time is not None:
                share.times.setdefault(record.id, raw.time)
        return shares, letters

    def _admit(self, record: Record) -> Collection | None:
        """The record's collection; None where there is nothing to erase from."""
        if isinstance(record, Erase):
            return self._collections.find(record.collection)
        collection = self._collections.get(
            record.collection, dimension=len(record.embedding), model=record.model
        )
        admission.check(record, collection.index.dimension, collection.index.model)
        if collection.index.model is None and record.model is not None:
            collection.index.name_model(record.model)
        return collection

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

    def _publish(self, collection: Collection) -> bool:
        """Publish what waits of one collection; False if the store does not take it now."""
        produced = self._waiting[collection.name]
        try:
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
            self._store_failed = False
        except RetryError as error:
            self._metrics.store_errors.inc()
            self._store_rests_until = self._clock.monotonic() + _RETRY_SECONDS
            if not self._store_failed:
                log.warning("not published yet", collection=collection.name, error=str(error))
            self._store_failed = True
            return False
        return True

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._metrics.step_seconds.labels(name).observe(time.perf_counter() - started)
