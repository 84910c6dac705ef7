"""R7 and R8 as the ingest thread sees them: a result is published, or held for a person."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import structlog

from index import reach_fault, remove_tree, sync_folder
from worker import adopt
from worker.amend import hold
from worker.clock import Clock
from worker.collection import Collection
from worker.errors import CorruptError
from worker.metrics import Metrics
from worker.recluster.result import RunResult, read_result
from worker.run_queue import RunQueue
from worker.tracing import NO_STEPS, NoTracing, Steps, Tracing

log = structlog.get_logger()


class Takeover:
    """Moves results between the folders of a collection's runs, and into the collection."""

    def __init__(
        self, queue: RunQueue, metrics: Metrics, clock: Clock, tracing: Tracing | None = None
    ) -> None:
        self._tracing = tracing or NoTracing()
        self._adopting: dict[str, tuple[Steps, float]] = {}  # and when R8 began
        self._queue = queue
        self._metrics = metrics
        self._clock = clock

    def take(
        self, collection: Collection, path: Path, result: RunResult, steps: Steps = NO_STEPS
    ) -> None:
        """Publish `result`, of the folder `path`, or hold it, as the gate decided (R7).

        `steps` are the run's so far.
        """
        if result.verdict.held:
            with steps.step("R7 gate"):
                self._hold(collection, path, result)
            steps.end(outcome="held")
        else:
            self.adopt(collection, path, result, steps)

    def go_on(self, collections: Iterable[Collection], rows: int) -> None:
        """Put up to `rows` changed rows of each adoption into the outboxes (R8)."""
        for collection in collections:
            if collection.adoption is not None and adopt.step(collection, rows):
                self._finish(collection)

    def is_held(self, collection: Collection) -> bool:
        """True while a run waits for a person."""
        return (collection.runs / adopt.HELD).is_dir()

    def publish_held(self, collection: Collection) -> bool:
        """Publish the held run after all; False if there is none."""
        if not self.is_held(collection) or collection.adoption is not None:
            return False
        path = collection.runs / adopt.HELD
        try:
            result = read_result(path)
        except CorruptError as error:
            log.warning("the held run is damaged", collection=collection.name, error=str(error))
            return False
        self._queue.forget(collection.name)
        steps = self._tracing.run(collection.name, result.generation, "held")
        self.adopt(collection, path, result, steps)
        return True

    def discard_held(self, collection: Collection) -> bool:
        """Forget the held run; False if there is none."""
        if not self.is_held(collection):
            return False
        shutil.rmtree(collection.runs / adopt.HELD)
        self._metrics.reclusterings.labels("discarded").inc()
        return True

    def _hold(self, collection: Collection, path: Path, result: RunResult) -> None:
        self.keep(collection, path)
        reasons = "; ".join(result.verdict.reasons)
        self._queue.tell(collection.name, f"held: {reasons}")
        self._metrics.reclusterings.labels("held").inc()
        log.warning("run held", collection=collection.name, run=result.generation, why=reasons)

    def keep(self, collection: Collection, path: Path) -> Path:
        """Keep a result, of the folder `path`, where no other run writes; its folder then."""
        held = collection.runs / adopt.HELD
        remove_tree(held)
        return path.rename(held)

    def adopt(
        self, collection: Collection, path: Path, result: RunResult, steps: Steps = NO_STEPS
    ) -> None:
        """Begin to publish `result`, of the folder `path`; a held one is out of date then."""
        with steps.step("R7 gate"):
            reach_fault("R7")
            adopting = self._move(collection, path)
        if result.context_path is not None:
            # The folder it was read from has moved.
            collection.edges.renew(collection.index, adopting / result.context_path.name)
        with steps.step("R6 re-assign"):
            adopt.begin(collection, result, self._clock.time())
        self._adopting[collection.name] = steps, self._clock.time()
        shutil.rmtree(collection.runs / adopt.HELD, ignore_errors=True)

    def _move(self, collection: Collection, path: Path) -> Path:
        collection.settle()
        adopting = collection.runs / adopt.ADOPTING
        remove_tree(adopting)
        path.rename(adopting)
        sync_folder(collection.runs)
        return adopting

    def _finish(self, collection: Collection) -> None:
        # Not needed any more; the next start would read all of it for nothing.
        shutil.rmtree(collection.runs / adopt.ADOPTING, ignore_errors=True)
        hold(collection, self._clock.time())
        self._queue.tell(collection.name, "published")
        self._metrics.reclusterings.labels("published").inc()
        self._metrics.last_recluster.set(self._clock.time())
        steps, began = self._adopting.pop(collection.name, (NO_STEPS, self._clock.time()))
        steps.past("R8 publish", began, self._clock.time())
        steps.end(outcome="published")
        log.info("run published", collection=collection.name, run=collection.state.generation)
