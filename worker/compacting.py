"""When a collection is written anew without its dead rows, and the one that is."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG

import numpy as np
import structlog

from index import CorruptError, ImageWrite, error_text, is_disk_error
from worker.blocking import Blocking
from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.compaction import Compaction
from worker.metrics import Metrics
from worker.migration import second_of
from worker.role import Role
from worker.run_queue import RunQueue
from worker.takeover import Takeover

log = structlog.get_logger()

# Dead rows cost disk and memory: at this share of all rows the live ones are written anew, which
# costs twice as many insertions as there were erasures; but not for a few.
_DEAD_RATIO = 1 / 3
_DEAD_ROWS = 10_000

# It is begun only where this many times the disk that its files should take is free.
_FREE_RATIO = 2.0

# The unit of `st_blocks`.
_BLOCK_BYTES = 512

# How long nothing is begun where there was no room.
_REST_SECONDS = 600.0


def due(dead: int, rows: int) -> bool:
    """Whether so many of the `rows` of a collection are `dead` that it is written anew."""
    return dead >= max(_DEAD_ROWS, _DEAD_RATIO * rows)


class Compacting:
    """Writes one open collection anew at a time; owned by the ingest thread.

    `rest` takes what ingestion has under way through its last steps; False if it cannot now.
    """

    def __init__(
        self,
        collections: Collections,
        queue: RunQueue,
        takeover: Takeover,
        rest: Callable[[], bool],
        blocking: Blocking,
        metrics: Metrics,
        clock: Clock,
        role: Role,
    ) -> None:
        self._collections = collections
        self._queue = queue
        self._takeover = takeover
        self._rest = rest
        self._blocking = blocking
        self._metrics = metrics
        self._clock = clock
        self._role = role
        self._compaction: Compaction | None = None
        self._rests_until = 0.0

    @property
    def goes_on(self) -> bool:
        """Whether one is under way."""
        return self._compaction is not None

    def copied_ratio(self, first: Collection) -> float | None:
        """How much of `first` is written anew so far; None while it is not compacted."""
        compaction = self._compaction
        if compaction is None or compaction.first is not first:
            return None
        return compaction.copied_ratio

    def needs(self, collection: Collection) -> bool:
        """True while `collection` must stay open for a compaction."""
        compaction = self._compaction
        return compaction is not None and collection in (compaction.first, compaction.second)

    def saw(self, collection: Collection, writes: Sequence[ImageWrite]) -> None:
        """What `collection` logged just now."""
        if self._compaction is not None:
            self._compaction.saw(collection, writes)

    def tick(self, rows: int) -> None:
        """Begin a compaction that is due, or go on with one by about `rows` rows."""
        if self._role.standing_by or self._clock.monotonic() < self._rests_until:
            return
        if self._compaction is None:
            self._look()
        elif not self._may_go_on(self._compaction):
            self._give_up(self._compaction)
        else:
            self._go_on(self._compaction, rows)

    def _look(self) -> None:
        """C1 for a collection for which it is due, if there is one."""
        no_room = None
        for first in self._collections.serving:
            dead = first.index.rows - int(np.count_nonzero(first.index.counts))
            if not due(dead, first.index.rows) or not self._may_begin(first):
                continue
            if self._has_room(first, dead):
                with self._giving_up(first):
                    self._begin(first, dead)
                return
            no_room = first
        if no_room is not None:
            self._rest_after(no_room, "too little of the disk is free")

    def _may_begin(self, first: Collection) -> bool:
        """A second index may be one of a cancelled migration, which a run reads still."""
        read = self._queue.running == second_of(first.name)
        return first.migration is None and not self._takeover.is_held(first) and not read

    def _may_go_on(self, compaction: Compaction) -> bool:
        """Neither index is closed, no migration writes everything anew, and no run waits for a
        person, which names rows of the first.
        """
        first = compaction.first
        held = self._takeover.is_held(first)
        return not compaction.closed and first.migration is None and not held

    def _begin(self, first: Collection, dead: int) -> None:
        index = first.index
        name = second_of(first.name)
        self._collections.remove(name)  # of one that a failing disk did not let go
        second = self._collections.get(name, dimension=index.dimension, model=index.model)
        self._compaction = Compaction(first, second)
        log.info("compaction begun", collection=first.name, dead=dead, rows=index.rows)

    def _has_room(self, first: Collection, dead: int) -> bool:
        folder = first.index.directory
        taken = sum(map(_disk_bytes, folder.rglob("*")))
        needed = taken * (1 - dead / first.index.rows) * _FREE_RATIO
        return shutil.disk_usage(folder).free >= needed

    def _go_on(self, compaction: Compaction, rows: int) -> None:
        """C2 to C4, and M6 to M8: a run over the first one's rows ends before that."""
        first = compaction.first
        copied = whole = False
        with self._giving_up(first):
            copied = compaction.step(rows)
        if not copied or self._queue.busy(first) or not self._rest():
            return
        with self._giving_up(first):
            whole = compaction.end(self._blocking)
        if not whole:
            return
        before, self._compaction = first.index.rows, None
        collection = self._collections.switch(first, compaction.second)
        self._queue.note(collection)
        self._metrics.compactions.inc()
        log.info("compaction done", collection=first.name, rows=collection.index.rows, was=before)

    @contextmanager
    def _giving_up(self, first: Collection) -> Iterator[None]:
        """What the disk does not take or give ends the compaction, not the worker: it can wait."""
        try:
            yield
        except (CorruptError, OSError, sqlite3.Error) as error:
            spare = isinstance(error, CorruptError) or is_disk_error(error)
            if not spare or first.index.doubtful:
                raise
            self._rest_after(first, error_text(error))
            if self._compaction is not None:
                self._give_up(self._compaction)

    def _give_up(self, compaction: Compaction) -> None:
        """Whatever closed one of the two, or took its place: the second index goes."""
        self._compaction = None
        if compaction.first.migration is None:
            self._collections.remove(compaction.second.name)
        log.info("compaction given up", collection=compaction.first.name)

    def _rest_after(self, first: Collection, why: str) -> None:
        self._rests_until = self._clock.monotonic() + _REST_SECONDS
        log.warning("no compaction", collection=first.name, error=why)


def _disk_bytes(path: Path) -> int:
    """What a file takes on the disk; nothing where it has gone meanwhile."""
    with suppress(FileNotFoundError):
        found = path.lstat()
        return found.st_blocks * _BLOCK_BYTES if S_ISREG(found.st_mode) else 0
    return 0
