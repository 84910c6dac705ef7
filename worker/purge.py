"""What erased and replaced images left behind goes, in steps between batches.

E1 erase: in the transaction of step 3, with an entry in the list `erasure`; then steps 4 to 6.
E2 rebuild HNSW without its deleted elements, in slices
E3 take a snapshot, and remove the older ones
E4 give dead rows back, and clear run folders, generations, letters and answers
E5 delete the events that name the images, of those whose events were there for long enough, and
   what rebuilds of the store left that were cut short
E6 forget their ids
E7 rewrite the catalog without free pages; the entries go off the list

Each may be repeated: a process that dies in between begins again at E2, where a snapshot that has
no deleted elements leaves little to do.
"""

import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from index import is_disk_error, reach_fault
from worker import adopt
from worker.collection import Collection
from worker.collections import Collections
from worker.dead_letters.file import forget_letters
from worker.decode import FieldNames
from worker.errors import RetryError
from worker.migration import first_of, second_of
from worker.publish import Publisher
from worker.recluster import generations
from worker.requests import Mailbox
from worker.run_queue import RunQueue

# Answers that nobody fetched for so long are waited for by nobody.
_ANSWER_SECONDS = 60.0

# How often something else is done while the catalog is rewritten.
_MEANWHILE_SECONDS = 0.5

_REWRITING = ThreadPoolExecutor(1, "vacuum")


@dataclass(frozen=True)
class Tools:
    """What purges need beside their collection. `meanwhile` is called while a step blocks."""

    collections: Collections
    publisher: Publisher
    queue: RunQueue
    mailbox: Mailbox
    letters: Path
    fields: FieldNames
    meanwhile: Callable[[], object]


class Extent(StrEnum):
    """How much a purge does: E2 to E7, or E5 to E7, where only events name the images still."""

    ALL = "all"
    NAMES = "names"


class Purge:
    """Of one collection, for all that was erased when it was made, and the events and ids of what
    was erased up to `told_until` (seconds since 1970). Owned by the ingest thread.
    """

    def __init__(
        self, collection: Collection, tools: Tools, extent: Extent, told_until: float
    ) -> None:
        collection.settle()
        self.collection = collection
        self._tools = tools
        self._upto = collection.erasures.last
        self._told_until = told_until
        with collection.index.transaction(durable=False) as connection:
            self._images = collection.erasures.images(connection, told_until)
            self._erased = collection.erasures.images_upto(connection, self._upto)
        self.waits = False  # for something else to end
        self._newest: str | None = None
        self._after: str | None = None
        copies = [self._rebuild, self._snapshot, self._clear]
        # Of a second index nobody was told.
        told = [self._events] if collection.serves else []
        names = [*told, self._forget, self._rewrite]
        self._stages = [*copies, *names] if extent is Extent.ALL else names

    def step(self, rows: int) -> bool:
        """Go on a little, by about `rows` rows; True when nothing is left behind any more.

        Raises `RetryError` where it cannot go on now, and `OSError` where the disk does not let
        something go; the same call may succeed later.
        """
        self.waits = False
        if self._stages[0](rows):
            self._stages.pop(0)
        return not self._stages

    def _rebuild(self, rows: int) -> bool:
        leftovers = self.collection.index.leftovers
        if leftovers.deleted and not leftovers.rebuild(rows):
            return False
        reach_fault("E2")
        return True

    def _snapshot(self, rows: int) -> bool:
        """Begun here, and ended where all snapshots are, between two calls."""
        del rows
        index = self.collection.index
        if self._newest is None:
            self._newest = index.leftovers.newest_snapshot
            self._tools.collections.begin_snapshot(self.collection)
        if index.snapshot_under_way:
            return False
        before, self._newest = self._newest, None
        if index.leftovers.newest_snapshot == before:
            raise RetryError("the disk takes no snapshot")
        reach_fault("E3")
        index.leftovers.drop_older_snapshots()
        return True

    def _clear(self, rows: int) -> bool:
        """Files that no run is using, and a second index that was given up, with its run."""
        del rows
        second = second_of(self.collection.name)
        if self._tools.queue.busy(self.collection) or self._tools.queue.running == second:
            self.waits = True
            return False
        if self.collection.migration is None and self._tools.collections.opened(second) is None:
            self._tools.collections.remove(second)
        index = self.collection.index
        index.leftovers.give_back_rows()
        generations.forget(index.directory, index.leftovers.dead())
        reach_fault("E4-generations")
        for path in self.collection.runs.glob("*"):
            if path.name != adopt.HELD:
                _remove(path)
        reach_fault("E4-runs")
        tools = self._tools
        name = first_of(self.collection.name)  # as records have it
        forget_letters(tools.letters, name, self._erased, tools.fields)
        self._tools.mailbox.clear(_ANSWER_SECONDS)
        with index.transaction(durable=True) as connection:
            self.collection.erasures.copies_gone(connection, self._upto)
        reach_fault("E4")
        return True

    def _events(self, rows: int) -> bool:
        """Images that came back are known again, and what happened to them may be."""
        del rows
        outbox = self.collection.outbox
        if self.collection.following:  # the events are the other worker's, and long published
            with self.collection.index.transaction(durable=False) as connection:
                outbox.done(connection, self._images, (), ())
            reach_fault("E5")
            return True
        if not self._images.isdisjoint(outbox.images) or outbox.tells_of(self._images):
            self.waits = True
            return False
        images = list(self._images)
        rows_now = self.collection.index.row_of(images)
        gone = frozenset(i for i, row in zip(images, rows_now, strict=True) if row is None)
        if gone:
            self._after = self._tools.publisher.forget(self.collection, gone, self._after)
        if self._after is None:
            reach_fault("E5")
        return self._after is None

    def _forget(self, rows: int) -> bool:
        del rows
        with self.collection.index.transaction(durable=True) as connection:
            self.collection.erasures.forget_images(connection, self._told_until)
        reach_fault("E6")
        return True

    def _rewrite(self, rows: int) -> bool:
        del rows
        rewriting = _REWRITING.submit(self.collection.index.leftovers.vacuum)
        try:
            while not wait([rewriting], _MEANWHILE_SECONDS).done:
                self._tools.meanwhile()
        finally:
            wait([rewriting])  # nothing else may touch the catalog before
        if not _whole(rewriting):
            raise RetryError("the catalog is being read")
        reach_fault("E7")
        with self.collection.index.transaction(durable=True) as connection:
            self.collection.erasures.done(connection)
        return True


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _whole(rewriting: Future[bool]) -> bool:
    """What came of rewriting the catalog. Raises `RetryError` where there was no room for it."""
    try:
        return rewriting.result()
    except sqlite3.Error as error:
        if not is_disk_error(error):
            raise
        raise RetryError(f"the catalog is not rewritten: {error}") from error
