"""Migrations to another embedding model, as the ingest thread sees them; it never waits for one.

The steps are numbered in `worker.migration`.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from index import is_disk_error, reach_fault
from worker.blocking import Blocking
from worker.carry import carry, forget_outboxes
from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.coverage import Coverage, Coverages
from worker.metrics import Metrics
from worker.migration import Migration, first_of, second_of
from worker.recluster.result import RunResult
from worker.recluster.schedule import Mark
from worker.run_queue import RunQueue, set_last_mark
from worker.takeover import Takeover

log = structlog.get_logger()

# How long a closed collection that the disk does not give is left alone.
_REST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A run over a second index that waits for the switch: `result` is in the folder `path`.

    `generation` is the first one's, whose clusters it was matched with; `mark` how the second index
    was.
    """

    path: Path
    result: RunResult
    generation: int
    mark: Mark


def is_due(migration: Migration, coverage: Coverage | None) -> bool:
    """Whether the second index is to be reclustered: it has every image, or a person insists."""
    if coverage is None or not coverage.second or migration.held:
        return False
    return migration.forced or not coverage.missing


class Migrating:
    """Follows every migration of the open collections; owned by the ingest thread.

    `rest` takes what ingestion has under way through its last steps; False if it cannot now.
    """

    def __init__(
        self,
        collections: Collections,
        coverages: Coverages,
        queue: RunQueue,
        takeover: Takeover,
        rest: Callable[[], bool],
        blocking: Blocking,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._collections = collections
        self._queue = queue
        self._takeover = takeover
        self._rest = rest
        self._blocking = blocking
        self._metrics = metrics
        self._clock = clock
        self._coverages = coverages
        self._ready: dict[str, Ready] = {}
        self._closed: dict[str, Migration] = {}
        self._cancelled: set[str] = set()
        self._open_at = 0.0

    def tick(self) -> None:
        """Go on with what can go on: ask for runs, and make switches."""
        self._sweep()
        self._open_due()
        for first in self._collections.serving:
            if first.migration is not None:
                self._go_on(first, first.migration)

    def note(self, collection: Collection) -> None:
        """`collection` is about to be closed."""
        if collection.migration is not None:
            self._closed[collection.name] = collection.migration

    def needs(self, collection: Collection) -> bool:
        """True while `collection` must stay open for a switch."""
        return first_of(collection.name) in self._ready

    @property
    def goes_on(self) -> bool:
        """Whether a switch is to come that waits for no images, and no run before it failed."""
        return any(
            first.migration is not None
            and is_due(first.migration, self._coverages.of(first, at_once=True))
            and not self._queue.failing(second_of(first.name))
            for first in self._collections.serving
        )

    def ask(self, first: Collection, words: Sequence[str]) -> str:
        """What a person asks for; the answer."""
        match words:
            case ["to", model, dimension]:
                return self.begin(first, model, int(dimension) if dimension else None)
            case ["finish"] | ["finish", "force"]:
                return self.finish(first, force=len(words) > 1)
            case ["cancel"]:
                return self.cancel(first)
        return f"failed: {' '.join(words)!r}: not known"

    def begin(self, first: Collection, model: str, dimension: int | None) -> str:
        """M1; the answer for the person. Begun again it is the same."""
        under_way = first.migration
        if under_way is not None:
            same = (under_way.model, under_way.dimension) == (model, dimension)
            if not same:
                return f"failed: a migration to {under_way.model!r} is under way"
        elif model == first.index.model:
            return f"failed: it holds {model!r} already"
        elif second_of(first.name) in self._cancelled:
            return "failed: the index of a cancelled migration is still there; ask again"
        else:
            self._collections.remove(second_of(first.name))  # of a compaction, which gives way
            first.migrate(Migration(model, dimension))
            reach_fault("M1")
            log.info("migration begun", collection=first.name, model=model)
        return f"migrates to {model!r}: send its images with embeddings of that model"

    def finish(self, first: Collection, *, force: bool) -> str:
        """Make the switch with what there is; the answer, which says what would be lost."""
        if first.migration is None:
            return "failed: no migration is under way"
        coverage = self._coverages.of(first, at_once=True)
        if coverage is None or not coverage.second:
            return f"failed: no image of {first.migration.model!r} has come"
        if not force:
            if first.migration.held:
                return f"failed: the run was held: {first.migration.held}; --force switches anyway"
            if coverage.missing:
                return (
                    f"failed: {coverage.missing:,} of {coverage.first:,} images have no embedding"
                    f" of {first.migration.model!r} and would be gone; --force switches anyway"
                )
            return "every image is there: the switch comes by itself"
        first.migrate(replace(first.migration, forced=True, held=""))
        return f"the switch comes after a run; {coverage.missing:,} images will be gone"

    def cancel(self, first: Collection) -> str:
        """Forget the second index; the answer."""
        if first.migration is None:
            return "failed: no migration is under way"
        model = first.migration.model
        first.migrate(None)
        reach_fault("cancel")
        self._forget(first.name)
        self._cancelled.add(second_of(first.name))
        self._sweep()
        log.info("migration cancelled", collection=first.name, model=model)
        return f"cancelled: it stays with {first.index.model or 'the model that it has'}"

    def prepare(self, second: Collection) -> bool:
        """M3, before a run over a second index; False if it must wait."""
        first = self._collections.find(first_of(second.name))
        if first is None or first.migration is None or first.adoption is not None:
            return False
        self._blocking.run(lambda: carry(first, second, switch=False))
        reach_fault("M3")
        return True

    def take(self, second: Collection, path: Path, result: RunResult, mark: Mark) -> None:
        """A run over a second index ended (M4): the switch is next, unless the gate holds it."""
        first = self._collections.find(first_of(second.name))
        reach_fault("M4")
        if first is not None and first.migration is not None:
            self._judge(first, first.migration, second, path, result, mark)
        # Last: what the disk does not take before that is a run that failed, and comes again.
        self._queue.drop(second.name)

    def _judge(
        self,
        first: Collection,
        migration: Migration,
        second: Collection,
        path: Path,
        result: RunResult,
        mark: Mark,
    ) -> None:
        """Hold the run, as the gate decided, or keep it for the switch."""
        if result.verdict.held and not migration.forced:
            why = "; ".join(result.verdict.reasons)
            first.migrate(replace(migration, held=why))
            self._metrics.reclusterings.labels("held").inc()
            log.warning("migration held", collection=first.name, why=why)
            return
        kept = self._takeover.keep(second, path)
        self._ready[first.name] = Ready(kept, result, second.state.generation, mark)

    def _go_on(self, first: Collection, migration: Migration) -> None:
        coverage = self._coverages.of(first)
        if not is_due(migration, coverage):
            return
        ready = self._ready.get(first.name)
        if ready is not None and ready.generation != first.state.generation:
            del self._ready[first.name]  # the first one's clusters are others now
        elif ready is not None:
            if first.adoption is None and first.name != self._queue.running and self._rest():
                self._switch(first, migration, ready)
        elif not self._queue.knows(second_of(first.name)):
            second = self._collections.find(second_of(first.name))
            if second is not None:
                self._queue.request(second)

    def _switch(self, first: Collection, migration: Migration, ready: Ready) -> None:
        """M5 to M8."""
        second = self._collections.get(second_of(first.name))
        self._forget(first.name)
        shared = self._blocking.run(lambda: carry(first, second, switch=True))
        if shared.first_only and not migration.forced:
            forget_outboxes(second)
            return
        self._blocking.run(lambda: self._takeover.adopt(second, ready.path, ready.result))
        with second.index.transaction(durable=True) as connection:
            set_last_mark(connection, second, ready.mark)
        reach_fault("M5")
        collection = self._collections.switch(first, second)
        self._queue.note(collection)
        log.info(
            "migrated",
            collection=collection.name,
            model=collection.index.model,
            images=collection.images,
            without_embedding=len(shared.first_only),
        )

    def _open_due(self) -> None:
        """Open one of the closed collections that wait for nothing but their switch."""
        if not self._closed or self._queue.running is not None or self._queue.wanted():
            return
        if self._clock.monotonic() < self._open_at:
            return
        name, migration = next(iter(self._closed.items()))
        known = self._queue.knows(second_of(name))
        try:
            if not known and is_due(migration, self._coverages.on_disk(name)):
                self._collections.find(name)
        except (OSError, sqlite3.Error) as error:
            if not is_disk_error(error):
                raise
            self._open_at = self._clock.monotonic() + _REST_SECONDS
            log.warning("migration waits", collection=name, error=str(error))
            self._closed[name] = self._closed.pop(name)  # behind the others
            return
        del self._closed[name]

    def _sweep(self) -> None:
        """Remove the second indexes of migrations that were cancelled, when no run reads them."""
        for name in self._cancelled - {self._queue.running}:
            self._queue.drop(name)
            self._collections.remove(name)
            self._cancelled.discard(name)

    def _forget(self, name: str) -> None:
        self._ready.pop(name, None)
        self._coverages.forget(name)
