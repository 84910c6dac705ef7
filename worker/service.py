"""The worker: one thread that ingests, and between batches does everything else in slices."""

import threading
from collections.abc import Sequence

import structlog

from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.errors import (
    BadStreamError,
    DataLossError,
    RetryError,
    SettingsError,
    SourceUnavailableError,
)
from worker.ingest import Ingest
from worker.lock import DirectoryLock
from worker.metrics import Metrics
from worker.positions import Positions
from worker.publish import Publisher
from worker.recluster.result import RunResult
from worker.reclustering import Reclustering
from worker.requests import Mailbox, Request, Saying
from worker.saying import SAYINGS, SayingError, say
from worker.settings import Settings
from worker.sources.base import Source
from worker.status import measure, status

log = structlog.get_logger()

# Rows of a finished run that are published between two batches: few while images come, since they
# wait for it.
_ADOPTED_ROWS = 1_000
_ADOPTED_ROWS_BESIDE = 200

# Rows of the k-NN graph that a round searches again: while nothing comes, and while the worker
# keeps up with what comes, which waits for it.
_REFRESHED_ROWS = 500
_REFRESHED_ROWS_BESIDE = 50

_STATUS_SECONDS = 2.0

# Least time between snapshots, also after one that the disk did not take.
_SNAPSHOT_SECONDS = 10.0
_RETRY_SECONDS = 2.0

# While there is other work, a batch is not waited for.
_BUSY_POLL_SECONDS = 0.02

# Reading pauses at `max_unpublished` and goes on at this share of it.
_RESUME_RATIO = 0.5

# A loop that did not come round for so long is stuck.
_STUCK_SECONDS = 600.0


class Worker:
    """Runs until `stop`, or with `once` until the source is read to its end.

    `stop`, `healthy` and `ready` may be called from other threads and from signal handlers.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        ingest: Ingest,
        collections: Collections,
        publisher: Publisher,
        reclustering: Reclustering,
        positions: Positions,
        lock: DirectoryLock,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._source = source
        self._ingest = ingest
        self._collections = collections
        self._publisher = publisher
        self._reclustering = reclustering
        self._positions = positions
        self._lock = lock
        self._metrics = metrics
        self._clock = clock
        self._mailbox = Mailbox(settings.data_dir)
        self._asked: list[Request] = []
        self._stopping = threading.Event()
        self._unready: str | None = "starting"
        self._beat = clock.monotonic()
        self._renew_at = 0.0
        self._status_at = 0.0
        self._snapshot_at = 0.0
        self._told: dict[str, dict[str, object]] = {}
        self._finishing = False
        self._idle = True
        ingest.meanwhile = self._while_waiting

    def stop(self) -> None:
        """Finish the batch, take snapshots, commit, and return from `run`."""
        self._stopping.set()

    def healthy(self) -> str | None:
        """None while the loop comes round, otherwise since when it does not."""
        silent = self._clock.monotonic() - self._beat
        return f"the loop is stuck since {silent:.0f} s" if silent > _STUCK_SECONDS else None

    def ready(self) -> str | None:
        """None once replayed and serving, otherwise why not."""
        return self._unready

    def run(self) -> None:
        """Recover, then ingest until told to stop. Raises `FatalError`s; all is closed then.

        After any other error what is in memory is not trusted: neither published nor kept as a
        snapshot. The next start recovers it from the log.
        """
        try:
            self._recover()
            self._open_source()
            while not self._stopping.is_set():
                self._beat = self._clock.monotonic()
                self._between_batches()
                nothing_under_way = not self._ingest.under_way
                nothing_came = not self._ingest.batch(self._poll_seconds())
                self._idle = nothing_came and nothing_under_way
                if nothing_came:
                    self._tidy()
                self._pause_or_resume()
                if self._done():
                    break
        except (BadStreamError, DataLossError):
            self._close()
            raise
        except BaseException:
            self._abandon()
            raise
        else:
            self._close()

    def recluster(self, name: str) -> str:
        """Recluster one collection without reading anything; how it ended. Closes everything.

        Raises `SettingsError` if there is no such collection.
        """
        try:
            outcome = self._recluster(self._existing(name))
        except BaseException:
            self._abandon()
            raise
        self._close()
        return outcome

    def preview(self, name: str) -> RunResult:
        """What reclustering one collection would do; changes nothing. Closes everything.

        Raises `RetryError` if the run fails, and as `recluster` does.
        """
        try:
            return self._reclustering.preview(self._existing(name))
        finally:
            self._abandon()

    def say(self, name: str, saying: Saying, words: Sequence[str]) -> str:
        """What a person says of one collection, without reading anything; the answer.

        Publishes it and closes everything. Raises as `recluster` does.
        """
        try:
            collection = self._existing(name)
            while collection.adoption is not None:
                self._reclustering.adopt(_ADOPTED_ROWS)
            answer = self._say(collection, saying, words)
        except BaseException:
            self._abandon()
            raise
        self._close()
        return answer

    def _say(self, collection: Collection, saying: Saying, words: Sequence[str]) -> str:
        try:
            answer = say(collection, saying, words, self._clock.time())
        except SayingError as error:
            return f"failed: {error}"
        if saying != "corrections":
            self._metrics.corrections.labels(saying).inc()
            log.info("said", collection=collection.name, saying=saying, answer=answer)
        return answer

    def _recluster(self, collection: Collection) -> str:
        self._reclustering.request(collection)
        while self._reclustering.outcome(collection.name) is None and not self._stopping.is_set():
            self._keep_leases()
            self._reclustering.tick()
            self._reclustering.adopt(_ADOPTED_ROWS)
            self._ingest.publish()
            self._clock.sleep(_BUSY_POLL_SECONDS)
        return self._reclustering.outcome(collection.name) or "stopped"

    def _existing(self, name: str) -> Collection:
        collection = self._collections.find(name)
        if collection is None:
            raise SettingsError(
                f"collection: {name!r}: not in {self._settings.data_dir}; there:"
                f" {', '.join(self._collections.stored()) or 'none'}"
            )
        return collection

    def _recover(self) -> None:
        """Open what is on disk in turn, which replays what was logged, and publish what waits."""
        self._unready = "replaying the log"
        if self._settings.worker_count == 1:
            self._collections.reserve(self._settings.collection)
        for name in self._collections.stored():
            if self._stopping.is_set():
                return
            self._reclustering.note(self._collections.get(name))
            self._ingest.publish()
            self._collections.shrink(self._may_close)
            self._beat = self._clock.monotonic()

    def _open_source(self) -> None:
        self._unready = "connecting to the source"
        while not self._stopping.is_set():
            try:
                self._source.open(self._positions.next)
                self._check_origin()
            except SourceUnavailableError as error:
                log.warning("the source cannot be reached", error=str(error))
                self._beat = self._clock.monotonic()
                self._keep_leases()
                self._clock.sleep(_RETRY_SECONDS)
            else:
                # A process that was killed may have taken more than it committed.
                self._source.commit(self._positions.next)
                self._unready = None
                self._metrics.ready.set(1)
                log.info("serving", source=self._settings.source)
                return

    def _check_origin(self) -> None:
        """A topic that was made anew has other records at the positions that were read."""
        found = self._source.origin
        anew = [p for p in self._source.lag() if self._positions.origin(p) not in {"", found}]
        if not anew:
            return
        if not self._settings.accept_loss:
            raise DataLossError(
                f"the topic was made anew: {', '.join(anew)} had another id than {found} when last"
                " read; what came after that is lost. To read the new one from its start, accept"
                " loss."
            )
        log.error("the topic was made anew: reading it from its start", partitions=anew)
        self._positions.begin_anew(anew)
        self._source.close()
        self._source.open(self._positions.next)

    def _between_batches(self) -> None:
        self._keep_leases()
        self._requests()
        self._reclustering.tick()
        self._reclustering.adopt(_ADOPTED_ROWS if self._idle else _ADOPTED_ROWS_BESIDE)
        self._snapshots()
        self._collections.shrink(self._may_close)
        self._show()

    def _keep_leases(self) -> None:
        now = self._clock.monotonic()
        if now < self._renew_at:
            return
        self._renew_at = now + self._settings.lease_seconds / 3
        try:
            self._collections.renew_reserved()
            for collection in self._collections:
                self._publisher.renew(collection)
        except RetryError as error:
            self._metrics.store_errors.inc()
            log.warning("leases not renewed", error=str(error))

    def _while_waiting(self) -> bool:
        """What goes on while a batch cannot be finished; False when it is to be given up."""
        self._beat = self._clock.monotonic()
        self._keep_leases()
        return not self._stopping.is_set()

    def _requests(self) -> None:
        new = [r for r in self._mailbox.pending() if r.id not in {a.id for a in self._asked}]
        for request in new:
            if self._begin(request):
                self._asked.append(request)
        for request in list(self._asked):
            answer = self._reclustering.outcome(request.collection)
            if answer is not None:
                self._mailbox.answer(request, answer)
                self._asked.remove(request)

    def _begin(self, request: Request) -> bool:
        """Start what was asked; False if it is answered already."""
        collection = self._collections.find(request.collection)
        if collection is None:
            self._mailbox.answer(request, "failed: no such collection")
            return False
        saying = next((known for known in SAYINGS if known == request.verb), None)
        if saying is not None:
            # It waits in the mailbox while a run is being adopted.
            if collection.adoption is None:
                answer = self._say(collection, saying, request.words)
                self._mailbox.answer(request, answer)
            return False
        if request.verb == "recluster":
            self._reclustering.request(collection)
            return True
        if request.verb == "publish":
            if self._reclustering.busy(collection):
                self._mailbox.answer(request, "failed: a run goes on; ask again when it has ended")
                return False
            begun = self._reclustering.publish_held(collection)
            if not begun:
                self._mailbox.answer(request, "failed: no run is held")
            return begun
        discarded = self._reclustering.discard_held(collection)
        self._mailbox.answer(request, "discarded" if discarded else "failed: no run is held")
        return False

    def _snapshots(self) -> None:
        now = self._clock.monotonic()
        if now < self._snapshot_at:
            return
        for collection in self._collections:
            if collection.index.rows_since_snapshot >= self._settings.snapshot_images:
                self._collections.snapshot(collection)
                self._snapshot_at = self._clock.monotonic() + _SNAPSHOT_SECONDS

    def _tidy(self) -> None:
        """When all is taken: room in the store, and neighbours that may be out of date.

        A run has the processor before these.
        """
        if self._idle:
            self._ingest.relieve()
        if self._reclustering.running is not None:
            return
        rows = _REFRESHED_ROWS if self._idle else _REFRESHED_ROWS_BESIDE
        for collection in self._collections:
            if collection.index.refresh(rows):
                return

    def _may_close(self, collection: Collection) -> bool:
        return not collection.outbox and not self._reclustering.needs(collection)

    def _show(self) -> None:
        """Metrics and published status, now and then."""
        now = self._clock.monotonic()
        if now < self._status_at:
            return
        self._status_at = now + _STATUS_SECONDS
        lag = sum(self._source.lag().values())
        measure(self._metrics, list(self._collections), lag, self._source.lost_records)
        try:
            for collection in self._collections:
                held = self._reclustering.is_held(collection)
                busy = self._reclustering.busy(collection)
                told = status(collection, lag, busy, held)
                # The lag of the source is no news of each collection.
                news = told | {"lag": bool(lag)}
                if self._told.get(collection.name) != news:
                    self._publisher.put_status(collection, told)
                    self._told[collection.name] = news
        except RetryError as error:
            log.debug("status not published", error=str(error))

    def _poll_seconds(self) -> float:
        busy = self._ingest.backlog() or any(c.adoption is not None for c in self._collections)
        running = self._reclustering.running is not None and self._settings.once
        return _BUSY_POLL_SECONDS if busy or running else self._settings.poll_seconds

    def _pause_or_resume(self) -> None:
        waiting = self._ingest.unpublished()
        limit = self._settings.max_unpublished
        if self._unready is None and waiting >= limit:
            self._source.pause()
            self._unready = f"reading is paused: {waiting} images wait for Redis"
            self._metrics.paused.set(1)
            log.warning("reading paused", unpublished=waiting)
        elif self._unready is not None and waiting <= limit * _RESUME_RATIO:
            self._source.resume()
            self._unready = None
            self._metrics.paused.set(0)
            log.info("reading goes on", unpublished=waiting)

    def _done(self) -> bool:
        """With `once`: everything was read, clustered and published."""
        if not self._settings.once or not self._source.exhausted:
            return False
        if self._asked or self._reclustering.running is not None:
            return False
        if any(collection.outbox for collection in self._collections):
            return False
        if any(c.adoption is not None for c in self._collections):
            return False
        if self._finishing:
            return not self._reclustering.wanted()
        self._finishing = True
        self._reclustering.request_changed()
        return not self._reclustering.wanted()

    def _close(self) -> None:
        self._unready = "stopping"
        self._metrics.ready.set(0)
        self._reclustering.cancel()
        self._ingest.flush()
        self._status_at = 0.0
        self._show()
        for collection in self._collections:
            self._collections.close(collection)
        self._release()

    def _abandon(self) -> None:
        self._unready = "stopping after an error"
        self._metrics.ready.set(0)
        self._reclustering.cancel()
        for collection in self._collections:
            self._collections.abandon(collection)
        self._release()

    def _release(self) -> None:
        self._collections.release_reserved()
        self._source.close()
        self._positions.close()
        self._lock.close()
        log.info("stopped")
