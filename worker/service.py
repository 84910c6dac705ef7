"""The worker: one thread that ingests, and between batches does everything else in slices."""

import threading
from collections.abc import Callable

import structlog

from index import waits_for
from worker.collection import Collection
from worker.errors import BadStreamError, DataLossError
from worker.migration import second_of
from worker.opening import open_source
from worker.parts import Parts
from worker.pause import Cause

log = structlog.get_logger()

# Rows of a finished run, and of a collection that is laid out anew in the store, that are published
# between two batches: few while images come, since they wait for it.
_ADOPTED_ROWS = 1_000
_ADOPTED_ROWS_BESIDE = 200

# Rows of the k-NN graph that a round searches again: while nothing comes, and while the worker
# keeps up with what comes, which waits for it.
_REFRESHED_ROWS = 500
_REFRESHED_ROWS_BESIDE = 50

# Rows that a round takes into a new HNSW, or a second index without dead rows: while nothing comes,
# and beside what comes or a run.
_REBUILT_ROWS = 1_000
_REBUILT_ROWS_BESIDE = 200

# Least time between the beginnings of two snapshots, also after one that the disk did not take.
_SNAPSHOT_SECONDS = 10.0

# While there is other work, a batch is not waited for; nor while a run goes on that may end soon,
# as those of small collections do.
_BUSY_POLL_SECONDS = 0.02
_SHORT_RUN_SECONDS = 5.0

# Nothing comes if so long a wait brought nothing, in one poll or several. Brokers gather records
# for a part of it, so that one short poll says little.
_IDLE_SECONDS = 0.1

# Reading pauses at `max_unpublished` and goes on at this share of it.
_RESUME_RATIO = 0.5

# A poll that brings so much of a batch shows that images wait; a run then waits for them.
_BEHIND_RATIO = 0.4

# A loop that did not come round for so long is stuck, unless it waits for the disk.
_STUCK_SECONDS = 600.0

# A step that may take long, as the comparison of a large collection, hangs as well in the end.
_LONGEST_STEP_SECONDS = 7_200.0

# A disk that is waited for so long is slow.
_SLOW_SECONDS = 10.0

# While the disk fails the leases are kept and the source is polled this often.
_OUTAGE_SECONDS = 0.5


class Worker:
    """Runs until `stop`, or with `once` until the source is read to its end.

    `stop`, `healthy` and `ready` may be called from other threads and from signal handlers.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._source = parts.source
        self._ingest = parts.ingest
        self._publishing = parts.publishing
        self._collections = parts.collections
        self._queue = parts.queue
        self._metrics = parts.metrics
        self._pause = parts.pause
        self._outage = parts.outage
        self._clock = parts.clock
        self._stopping = threading.Event()
        self._unready: str | None = "starting"
        self._beat = self._clock.monotonic()
        self._snapshot_at = 0.0
        self._finishing = False
        self._waited_seconds = _IDLE_SECONDS  # in vain, since something came
        self._ingest.meanwhile = self._while_waiting
        parts.blocking.meanwhile.append(self._show_life)

    def stop(self) -> None:
        """Finish the batch, take snapshots, commit, and return from `run`."""
        self._stopping.set()

    def healthy(self) -> str | None:
        """None while the loop comes round or waits for the disk, otherwise since when not.

        A worker that is ended because its disk is slow would have to replay from a slow disk.
        """
        silent = self._silent_seconds
        stuck = silent > _STUCK_SECONDS and waits_for() is None
        return f"the loop is stuck since {silent:.0f} s" if stuck else None

    def ready(self) -> str | None:
        """None once replayed and serving from files that are whole, otherwise why not."""
        silent, path = self._silent_seconds, waits_for()
        if silent > _SLOW_SECONDS and path is not None:
            return f"the disk is slow: {path} is waited for, for up to {silent:.0f} s"
        return self._pause.reason or self._unready or self._parts.scrub.damage

    def role(self) -> str:
        """What it is while it is ready."""
        return "standby: follows the topic" if self._parts.role.standing_by else "ok"

    @property
    def _silent_seconds(self) -> float:
        return self._clock.monotonic() - self._beat

    def run(self) -> None:
        """Recover, then ingest until told to stop. Raises `FatalError`s; all is closed then.

        A disk that does not take something is waited for; only a worker that is stopped meanwhile
        raises what it said. After any other error what is in memory is not trusted: neither
        published nor kept as a snapshot. The next start recovers it from the log.
        """
        try:
            self._unready = "waiting for Redis, which says who serves"
            self._parts.standby.begin(self._while_waiting)
            self._persist(self._recover)
            self._persist(self._open_source)
            while not self._stopping.is_set():
                self._persist(self._round)
                if self._done():
                    break
        except (BadStreamError, DataLossError):
            self._close()
            raise
        except BaseException:
            self._not_ready("stopping after an error")
            self._parts.abandon()
            raise
        else:
            self._close()

    def _persist(self, step: Callable[[], None]) -> None:
        """Do a step. Where the disk does not take it, wait and do it again, until it does.

        Raises the disk's error if the worker is stopped before that.
        """
        while True:
            try:
                for collection in self._outage.try_again():
                    self._queue.note(collection)
                step()
            except Exception as error:
                if not self._outage.explains(error) or not self._wait(self._outage.note(error)):
                    raise
            else:
                self._outage.end()
                return

    def _wait(self, seconds: float) -> bool:
        """Let an outage pass; False if the worker is to stop."""
        until = self._clock.monotonic() + seconds
        while self._clock.monotonic() < until:
            try:
                if not self._while_waiting():
                    return False
                self._pause.keep_alive()
                self._parts.board.show()
            except Exception as error:
                if not self._outage.explains(error):
                    raise
            self._clock.sleep(_OUTAGE_SECONDS)
        return True

    def _recover(self) -> None:
        """Open what is on disk in turn, which replays what was logged, and publish what waits."""
        self._unready = "replaying the log"
        if self._settings.worker_count == 1:
            self._collections.reserve(self._settings.collection)
        for name in self._collections.stored():
            if self._stopping.is_set():
                return
            self._queue.note(self._collections.get(name))
            self._collections.find(second_of(name))
            self._publishing.publish()
            self._collections.shrink(self._may_close)
            self._beat = self._clock.monotonic()

    def _open_source(self) -> None:
        self._unready = "connecting to the source"
        if open_source(
            self._source,
            self._parts.positions,
            accept_loss=self._settings.accept_loss,
            commit=not self._parts.role.standing_by,
            clock=self._clock,
            meanwhile=self._while_waiting,
        ):
            self._unready = None
            self._pause.source_opened()
            self._metrics.ready.set(1)
            said = "standing by" if self._parts.role.standing_by else "serving"
            log.info(said, source=self._settings.source)

    def _while_waiting(self) -> bool:
        """What goes on while a step cannot be finished; False when it is to be given up."""
        self._beat = self._clock.monotonic()
        self._parts.leases.keep()
        return not self._stopping.is_set()

    def _show_life(self) -> None:
        """While a step blocks, unless that waits for the disk, which `ready` tells, or for ever."""
        if waits_for() is None and self._parts.blocking.seconds < _LONGEST_STEP_SECONDS:
            self._beat = self._clock.monotonic()

    def _round(self) -> None:
        self._beat = self._clock.monotonic()
        self._between_batches()
        if self._unready is not None:  # after a take-over, also one that the disk cut short
            self._open_source()
        if self._unready is None:
            self._batch()
            self._pause_or_resume()

    def _between_batches(self) -> None:
        self._parts.leases.keep()
        self._parts.evictions.tick()
        self._parts.answering.answer()
        if self._parts.role.standing_by:
            self._take_over()
        else:
            self._recluster()
            self._parts.backups.tick()
        self._purge()
        self._snapshots()
        self._parts.recall.tick()
        self._parts.scrub.tick()
        self._collections.shrink(self._may_close)
        self._parts.board.show()

    def _recluster(self) -> None:
        rows = _ADOPTED_ROWS if self._idle else _ADOPTED_ROWS_BESIDE
        self._parts.reclustering.tick()
        self._parts.migrating.tick()
        self._parts.takeover.go_on(self._collections, rows)
        self._publishing.lay_out(rows)

    def _take_over(self) -> None:
        """Serve from now on, where nobody else does."""
        if not self._parts.standby.due():
            return
        self._ingest.settle()
        if self._parts.standby.take_over(self._note_taken):
            self._source.close()
            self._unready = "connecting to the source"

    def _note_taken(self, collection: Collection) -> None:
        self._queue.note(collection)
        self._collections.shrink(self._may_close)

    def _batch(self) -> None:
        waits = 0.0 if self._ingest.under_way else self._poll_seconds()
        polled = self._ingest.batch(waits)
        behind = polled >= self._settings.batch_records * _BEHIND_RATIO
        self._parts.reclustering.give_way(behind=behind)
        if polled:
            self._waited_seconds = 0.0
        else:
            self._waited_seconds += waits
            self._tidy()

    @property
    def _idle(self) -> bool:
        return self._waited_seconds >= _IDLE_SECONDS

    def _purge(self) -> None:
        alone = self._idle and self._queue.running is None
        rows = _REBUILT_ROWS if alone else _REBUILT_ROWS_BESIDE
        self._parts.purging.tick(rows)
        self._parts.compacting.tick(rows)

    def _snapshots(self) -> None:
        now = self._clock.monotonic()
        if not self._collections.end_snapshots() or now < self._snapshot_at:
            return
        for collection in self._collections:
            if collection.index.rows_since_snapshot >= self._settings.snapshot_images:
                self._collections.begin_snapshot(collection)
                self._snapshot_at = now + _SNAPSHOT_SECONDS
                return

    def _tidy(self) -> None:
        """When all is taken: room in the store, and neighbours that may be out of date.

        A run has the processor before the neighbours; a compaction finds all of them anew.
        """
        # Also beside a stream that never ends; a poll may bring nothing while more is on its way.
        if self._idle or not any(self._source.lag().values()):
            self._publishing.relieve()
        if self._queue.running is not None or self._parts.compacting.goes_on:
            return
        rows = _REFRESHED_ROWS if self._idle else _REFRESHED_ROWS_BESIDE
        for collection in self._collections:
            if collection.index.refresh(rows):
                return

    def _may_close(self, collection: Collection) -> bool:
        parts = self._parts
        users = (self._queue, parts.purging, parts.migrating, parts.compacting)
        needed = any(user.needs(collection) for user in users)
        return not (collection.serves and collection.outbox) and not needed

    def _poll_seconds(self) -> float:
        busy = self._publishing.backlog() or self._adopts() or self._parts.purging.hurries
        busy = busy or self._parts.compacting.goes_on
        seconds = self._queue.running_seconds
        running = seconds is not None and (self._settings.once or seconds < _SHORT_RUN_SECONDS)
        return _BUSY_POLL_SECONDS if busy or running else self._settings.poll_seconds

    def _pause_or_resume(self) -> None:
        waiting = self._publishing.unpublished()
        limit = self._settings.max_unpublished
        if waiting >= limit:
            reason = f"reading is paused: {waiting} images wait for Redis"
            if self._pause.hold(Cause.REDIS, reason):
                log.warning("reading paused", unpublished=waiting)
        elif waiting <= limit * _RESUME_RATIO and self._pause.let_go(Cause.REDIS):
            log.info("reading goes on", unpublished=waiting)

    def _adopts(self) -> bool:
        return any(collection.adoption is not None for collection in self._collections)

    def _done(self) -> bool:
        """With `once`: everything was read, clustered and published."""
        if not self._settings.once or not self._source.exhausted:
            return False
        if self._parts.answering.waits() or self._queue.running is not None:
            return False
        parts = self._parts
        works = (parts.evictions, parts.purging, parts.migrating, parts.compacting)
        if any(work.goes_on for work in works):
            return False
        if any(collection.outbox for collection in self._collections.serving) or self._adopts():
            return False
        if not self._finishing:
            self._finishing = True
            self._queue.request_changed(self._collections)
        return not self._queue.wanted()

    def _close(self) -> None:
        self._not_ready("stopping")
        try:
            self._parts.close()
        except BaseException:
            self._parts.abandon()
            raise

    def _not_ready(self, reason: str) -> None:
        self._unready = reason
        self._metrics.ready.set(0)
