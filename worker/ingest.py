"""The ingest protocol: one batch from the source to Redis.

1. poll  2. decode  3. log  4. index  5. assign  6. publish  7. commit

Kill the process at any of them: on restart the catalog knows
what was logged, recovery does 4 to 6 for what lacks them, and the source seeks to where the
catalog is, so that every image has its effect exactly once.

Where more is waiting two batches are under way: while HNSW takes one in, on every core that is
free, the one before is assigned, published and committed, and the next is polled, decoded and
logged. Each batch goes through its own steps in order, and no batch overtakes another.

When the disk does not take something the batch stays where it is, and `batch` goes on with it when
it is called again. What is done is not done twice: a collection skips the records that it has, and
one that was opened anew meanwhile has been through 4 and 5.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import structlog

from index import ImageWrite, Logged, Outcome, reach_fault
from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.dead_letters.base import DeadLetter, DeadLetters
from worker.errors import SourceUnavailableError
from worker.metrics import STEPS, Metrics
from worker.pause import Cause, Pause
from worker.positions import Positions
from worker.publishing import Publishing
from worker.records import RawRecord
from worker.refusals import refusals
from worker.role import Role
from worker.sorting import Share, Sorter
from worker.sources.base import Source
from worker.tracing import NO_STEPS, Steps, Tracing

log = structlog.get_logger()

# How long dead letters that could not be kept wait between attempts.
_RETRY_SECONDS = 1.0


@dataclass
class Flight:
    """A batch on its way: what was polled, what of it is logged, and what was refused."""

    raws: Sequence[RawRecord]
    logged: list[tuple[Collection, Logged]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    sorted: bool = False
    begun: int = 0  # of `logged`, that step 4 has begun for
    steps: Steps = NO_STEPS

    @property
    def open(self) -> list[tuple[Collection, Logged]]:
        """What is logged, without the collections that were closed since: those recover it."""
        return [(c, logged) for c, logged in self.logged if not c.closed]

    @property
    def following(self) -> dict[str, int]:
        """The offsets to commit."""
        return {raw.partition: raw.offset + 1 for raw in self.raws}


class Ingest:
    """Takes batches through the seven steps; owned by one thread.

    `meanwhile` is called again and again while a batch cannot be finished; when it returns False
    the batch is given up, and no later one is committed: the next start reads both again. `heard`
    is told what each collection logged. `at_rest` is called again and again when no graph changes.
    """

    def __init__(
        self,
        source: Source,
        sorter: Sorter,
        dead_letters: DeadLetters,
        collections: Collections,
        publishing: Publishing,
        positions: Positions,
        pause: Pause,
        metrics: Metrics,
        clock: Clock,
        batch_records: int,
        role: Role,
        tracing: Tracing,
    ) -> None:
        self._tracing = tracing
        self._role = role
        self._source = source
        self._sorter = sorter
        self._dead_letters = dead_letters
        self._collections = collections
        self._publishing = publishing
        self._positions = positions
        self._pause = pause
        self._metrics = metrics
        self._clock = clock
        self._batch_records = batch_records
        self._taking: Flight | None = None  # not logged as a whole yet
        self._flights: deque[Flight] = deque()
        self._given_up = False
        self.meanwhile: Callable[[], bool] = lambda: True
        self.heard: Callable[[Collection, Sequence[ImageWrite]], object] = lambda *_: None
        self.at_rest: Callable[[], object] = lambda: None

    def batch(self, timeout_seconds: float) -> int:
        """Poll a batch and take it, or the one before, through all steps; how many were polled.

        Waits at most `timeout_seconds` for the first record, and not at all while another batch is
        under way. Images that Redis does not take now stay in the outbox. Raises `FatalError`s;
        what was logged then is safe. After an error of the disk the next call goes on.
        """
        flight = self._taking = self._taking or self._poll(timeout_seconds)
        if flight is not None:
            self._take(flight)
            self._flights.append(flight)
        self._taking = None
        self._advance(flight)
        return len(flight.raws) if flight is not None else 0

    @property
    def under_way(self) -> bool:
        """Whether a batch has not been through all steps yet."""
        return bool(self._flights)

    def settle(self) -> None:
        """Take the batches that are under way through their last steps."""
        if self._flights:
            self._advance(None)

    @contextmanager
    def _step(self, name: str, flight: Flight) -> Iterator[None]:
        """Measure a step of a batch, or a part of it, and trace it."""
        number = STEPS.index(name) + 1
        with self._metrics.step(name), flight.steps.step(f"{number} {name}"):
            yield

    def rest(self) -> bool:
        """As `settle`; False if a batch is on its way that is not logged as a whole."""
        self.settle()
        return self._taking is None and not self._flights

    def _poll(self, timeout_seconds: float) -> Flight | None:
        """Step 1; None if nothing comes."""
        began = self._clock.time()
        with self._metrics.step("poll"):
            raws = self._source.poll(self._batch_records, 0.0 if self._flights else timeout_seconds)
            reach_fault("1")
        if not raws:
            return None
        self._metrics.records.inc(len(raws))
        self._metrics.batch_images.observe(len(raws))
        steps = self._tracing.batch(raws, began)
        steps.past("1 poll", began, self._clock.time())
        return Flight(raws, steps=steps)

    def _take(self, flight: Flight) -> None:
        """Steps 2 and 3, or what is left of them, and the beginning of 4 for what is logged."""
        with self._step("decode", flight):
            shares, flight.letters = self._sorter.sort(flight.raws, again=flight.sorted)
            flight.sorted = True
            reach_fault("2")
        try:
            with self._step("log", flight):
                for name, share in shares.items():
                    self._log(flight, name, share)
        finally:
            with self._step("index", flight):
                self._begin(flight)

    def _begin(self, flight: Flight) -> None:
        """Step 4 begins for what is logged, also where the rest of the batch has to wait."""
        for collection, logged in flight.logged[flight.begun :]:
            collection.insert(logged)
            flight.begun += 1

    def _advance(self, flight: Flight | None) -> None:
        """Take the batches before `flight` through their steps 4 to 7."""
        before = [other for other in self._flights if other is not flight]
        for other in before:
            self._assign(other)
        self.at_rest()
        if flight is not None:
            for collection, _ in flight.open:
                collection.begin_link()
        with ExitStack() as stack:
            for other in before:
                stack.enter_context(other.steps.step("6 publish"))
            self._publishing.publish()
        for other in before:
            self._end(other)
            other.steps.end()
            self._flights.popleft()

    def _assign(self, flight: Flight) -> None:
        """The end of step 4, and step 5."""
        with self._step("index", flight):
            for collection, logged in flight.open:
                collection.link(logged)
        with self._step("assign", flight):
            for collection, _ in flight.open:
                collection.assign()

    def _end(self, flight: Flight) -> None:
        """Dead letters and step 7, unless a batch before was given up."""
        if self._given_up:
            return
        if self._role.standing_by:
            self._follow(flight)
            return
        if not self._keep(flight):
            self._given_up = True
            return
        self._commit(flight)

    def _log(self, flight: Flight, name: str, share: Share) -> None:
        """Step 3 for one collection."""
        collection = self._collections.get(name)
        logged = collection.log(share.records, share.positions)
        flight.logged.append((collection, logged))  # also where what follows fails
        for outcome in Outcome:
            count = sum(write.outcome is outcome for write in logged.writes)
            self._metrics.images.labels(outcome).inc(count)
        collection.times.ingested = self._clock.time()
        self._metrics.last_ingest.set(collection.times.ingested)
        changed = (write.id for write in logged.writes if write.outcome is not Outcome.UNCHANGED)
        self.heard(collection, logged.writes)
        if collection.serves:
            self._publishing.expect(name, share.times, changed)

    def _commit(self, flight: Flight) -> None:
        """Step 7: the next start seeks there, and lag displays see it."""
        with self._step("commit", flight):
            self._positions.advance(flight.following, self._source.origin)
            reach_fault("7")
            self._source.commit(flight.following)

    def _follow(self, flight: Flight) -> None:
        """Step 7 of a standby: letters and committed offsets are those of the one that serves."""
        with self._step("commit", flight):
            self._positions.advance(flight.following, self._source.origin)

    def _keep(self, flight: Flight) -> bool:
        """Send dead letters; waits until they are kept, since the position moves on then.

        False if the worker is to stop before that: the records are read again by the next one.
        """
        if flight.letters:
            reach_fault("letters")
        while flight.letters and not self._sent(flight.letters):
            self._clock.sleep(_RETRY_SECONDS)
            if not self.meanwhile():
                return False
        letters, flight.letters = flight.letters, []
        if letters:
            reach_fault("letters-sent")
        for letter in letters:
            self._metrics.dead_letters.labels(letter.reason).inc()
        if letters:
            log.warning("records refused", **refusals(letters))
        return True

    def _sent(self, letters: Sequence[DeadLetter]) -> bool:
        """Whether dead letters are kept now; reading is paused until they are."""
        try:
            self._dead_letters.send(letters)
        except SourceUnavailableError as error:
            reason = f"reading is paused: dead letters wait: {error}"
            if self._pause.hold(Cause.LETTERS, reason):
                log.warning("dead letters wait", count=len(letters), error=str(error))
            return False
        if self._pause.let_go(Cause.LETTERS):
            log.info("dead letters are kept")
        return True
