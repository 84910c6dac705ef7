"""When a collection is written anew without its dead rows, and the one that is."""

import shutil
from collections.abc import Callable, Sequence

import numpy as np
import structlog

from index import ImageWrite, is_disk_error
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

# How long nothing is begun where there was no room.
_REST_SECONDS = 600.0


def due(dead: int, rows: int) -> bool:
    """Whether so many of the `rows` of a collection are `dead` that it is written anew."""
    return dead >= max(_DEAD_ROWS, _DEAD_RATIO * rows)


class Compacting:
    """Writes one open collection anew at a time; owned by the ingest thread.

    `rest` takes what ingestion has under way through its last steps; False if it cannot now.
    `meanwhile` is called between two steps that block.
    """

    def __init__(
        self,
        collections: Collections,
        queue: RunQueue,
        takeover: Takeover,
        rest: Callable[[], bool],
        meanwhile: Callable[[], object],
        metrics: Metrics,
        clock: Clock,
        role: Role,
    ) -> None:
        self._collections = collections
        self._queue = queue
        self._takeover = takeover
        self._rest = rest
        self._meanwhile = meanwhile
        self._metrics = metrics
        self._clock = clock
        self._role = role
        self._compaction: Compaction | None = None
        self._rests_until = 0.0

    @property
    def goes_on(self) -> bool:
        """Whether one is under way that waits for no person."""
        return self._compaction is not None and not self._takeover.is_held(self._compaction.first)

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
        if self._compaction is None:
            if not self._role.standing_by and self._clock.monotonic() >= self._rests_until:
                self._look()
        elif self._compaction.closed or self._compaction.first.migration is not None:
            self._give_up(self._compaction)
        elif self._copy(self._compaction, rows) and self._may_end(self._compaction):
            self._end(self._compaction)

    def _look(self) -> None:
        for first in self._collections.serving:
            dead = first.index.rows - int(np.count_nonzero(first.index.counts))
            if due(dead, first.index.rows) and self._may_begin(first):
                if self._has_room(first, dead):
                    self._begin(first, dead)
                else:
                    self._rest_after(first, "too little of the disk is free")
                return

    def _may_begin(self, first: Collection) -> bool:
        return first.migration is None and not self._takeover.is_held(first)

    def _begin(self, first: Collection, dead: int) -> None:
        """C1."""
        index = first.index
        name = second_of(first.name)
        self._collections.remove(name)  # of one that a failing disk did not let go
        second = self._collections.get(name, dimension=index.dimension, model=index.model)
        self._compaction = Compaction(first, second)
        log.info("compaction begun", collection=first.name, dead=dead, rows=index.rows)

    def _has_room(self, first: Collection, dead: int) -> bool:
        folder = first.index.directory
        taken = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
        needed = taken * (1 - dead / first.index.rows) * _FREE_RATIO
        return shutil.disk_usage(folder).free >= needed

    def _copy(self, compaction: Compaction, rows: int) -> bool:
        """Whether all is copied that there is, and the same."""
        try:
            return compaction.step(rows)
        except Exception as error:
            if not is_disk_error(error):
                raise
            self._give_up(compaction)
            self._rest_after(compaction.first, str(error))
            return False

    def _may_end(self, compaction: Compaction) -> bool:
        """A run over the first one's rows ends before, and one that is held says so to a person."""
        first = compaction.first
        busy = self._queue.busy(first) or self._takeover.is_held(first)
        return not busy and self._rest()

    def _end(self, compaction: Compaction) -> None:
        """C4 and M6 to M8."""
        first, second = compaction.first, compaction.second
        self._meanwhile()
        compaction.end()
        self._meanwhile()
        before = first.index.rows
        self._compaction = None
        collection = self._collections.switch(first, second)
        self._queue.note(collection)
        self._metrics.compactions.inc()
        log.info("compaction done", collection=first.name, rows=collection.index.rows, was=before)

    def _give_up(self, compaction: Compaction) -> None:
        """Whatever closed one of the two, or took its place: the second index goes."""
        self._compaction = None
        if compaction.first.migration is None:
            self._collections.remove(compaction.second.name)
        log.info("compaction given up", collection=compaction.first.name)

    def _rest_after(self, first: Collection, why: str) -> None:
        self._rests_until = self._clock.monotonic() + _REST_SECONDS
        log.warning("no compaction", collection=first.name, error=why)
