"""Reclustering as the ingest thread sees it: start a run, watch it, take it over; it never waits.

R1 view (`worker.viewing`)  R2 cluster and R3 result (a child process)
R4 match and R7 drift (in the child as well)
R5 corrections (in the child; what people say between two runs holds at once, `worker.amend`)
R6 re-assign and R8 publish (`worker.takeover`, `worker.adopt`)
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from index import error_text, is_disk_error, reach_fault
from worker.clock import Clock
from worker.collection import Collection
from worker.collections import Collections
from worker.errors import CorruptError, RetryError
from worker.metrics import Metrics
from worker.migrating import Migrating
from worker.migration import first_of
from worker.recluster.result import RunResult, read_result
from worker.recluster.schedule import Mark, Trigger
from worker.recluster.supervisor import Failed, Finished, Runner
from worker.recluster.view import write_view
from worker.run_metrics import observe
from worker.run_queue import RunQueue, present, set_last_mark
from worker.settings import Settings
from worker.takeover import Takeover
from worker.tracing import NO_STEPS, Tracing
from worker.truth import score
from worker.viewing import view_of

log = structlog.get_logger()

_PREVIEW_POLL_SECONDS = 0.1

# What the child measures of R2.
_CLUSTER_STAGES = ("view", "graph", "features", "edges", "levels", "cut")

# In the folder of runs: what a run reads, and what it writes.
_VIEW = "view"
_RESULT = "result"


class Reclustering:
    """Runs at most one reclustering at a time over the open collections. Owned by one thread."""

    def __init__(
        self,
        settings: Settings,
        collections: Collections,
        queue: RunQueue,
        takeover: Takeover,
        migrating: Migrating,
        supervisor: Runner,
        metrics: Metrics,
        clock: Clock,
        tracing: Tracing,
    ) -> None:
        self._tracing = tracing
        self._steps = NO_STEPS
        self._child_began = 0.0
        self._settings = settings
        self._collections = collections
        self._queue = queue
        self._takeover = takeover
        self._migrating = migrating
        self._supervisor = supervisor
        self._metrics = metrics
        self._clock = clock
        self._mark = Mark(0.0, 0, 0, 0)

    def tick(self) -> None:
        """Start, watch and take over runs; returns at once."""
        if self._queue.running is None:
            self._start_next()
        else:
            self._watch(self._queue.running)

    def give_way(self, *, behind: bool) -> None:
        """Let the run in progress stand still for a while where ingestion is `behind`."""
        self._supervisor.give_way(behind=behind)

    def preview(self, collection: Collection) -> RunResult:
        """What a run would do; blocks until it ended, and changes nothing.

        Raises `RetryError` if the run fails.
        """
        _clear(collection)
        self._write_view(collection, collection.state.runs + 1)
        self._run_child(collection)
        while not isinstance(ended := self._supervisor.poll(), Finished):
            if isinstance(ended, Failed):
                raise RetryError(f"the run failed: {ended.reason}")
            self._clock.sleep(_PREVIEW_POLL_SECONDS)
        return read_result(ended.result)

    def cancel(self) -> None:
        """Stop the run in progress; the next start begins it again."""
        self._supervisor.cancel()
        self._queue.cancel()
        self._steps.end(outcome="cancelled")

    def _start_next(self) -> None:
        for name, trigger in self._queue.due(self._collections):
            collection = self._collections.get(name)
            if self._may_start(collection):
                self._queue.begin(name)
                with self._failing_with_the_disk(name):
                    self._start(collection, trigger)
                return

    def _may_start(self, collection: Collection) -> bool:
        if collection.serves:
            return collection.adoption is None
        return self._migrating.prepare(collection)

    def _start(self, collection: Collection, trigger: Trigger) -> None:
        """R1, and the child for R2 to R4."""
        run = collection.state.runs + 1
        # Durable: what the view shows must not be lost after a result that builds on it.
        with collection.index.transaction(durable=True) as connection:
            collection.set_state(connection, runs=run)
        self._mark = present(collection, self._clock.time())
        _clear(collection)
        self._steps = self._tracing.run(collection.name, run, str(trigger))
        try:
            with self._steps.step("R1 view"):
                self._write_view(collection, run)
        except OSError as error:
            if collection.index.doubtful:
                raise
            self._metrics.disk_errors.inc()
            self._fail(collection.name, f"no view: {error}")
            return
        reach_fault("R1")
        self._run_child(collection)
        self._child_began = self._clock.time()
        reach_fault("R2")
        self._metrics.triggers.labels(trigger).inc()
        self._metrics.reclustering.set(1)
        log.info("run started", collection=collection.name, run=run, trigger=str(trigger))

    def _write_view(self, collection: Collection, run: int) -> None:
        write_view(collection.runs / _VIEW, view_of(collection, self._settings, run))

    def _run_child(self, collection: Collection) -> None:
        self._supervisor.start(collection.runs / _VIEW, collection.runs / _RESULT)

    def _watch(self, name: str) -> None:
        state = self._supervisor.poll()
        if isinstance(state, Finished):
            self._metrics.reclustering.set(0)
            with self._failing_with_the_disk(name):
                self._take(name, state.result)
        elif isinstance(state, Failed):
            self._metrics.reclustering.set(0)
            self._fail(name, state.reason)

    @contextmanager
    def _failing_with_the_disk(self, name: str) -> Iterator[None]:
        """A run whose beginning or end the disk does not take has failed."""
        try:
            yield
        except Exception as error:
            if isinstance(error, OSError) or is_disk_error(error):
                self._fail(name, error_text(error))
            raise

    def _fail(self, name: str, reason: str) -> None:
        self._queue.fail(name, reason)
        self._steps.end(outcome="failed")
        self._metrics.reclusterings.labels("failed").inc()
        log.error("run failed", collection=name, reason=reason)

    def _take(self, name: str, path: Path) -> None:
        reach_fault("R3")
        collection = self._collections.get(name)
        try:
            result = read_result(path)
        except CorruptError as error:
            self._fail(name, str(error))
            return
        self._trace_child(result)
        self._queue.end(name)
        scores = score(collection, result.cluster)
        observe(self._metrics, first_of(name), result, scores)
        log.info(
            "run ended",
            collection=name,
            run=result.generation,
            seconds=round(result.seconds.get("total", 0.0), 1),
            expected_f=result.expected_f and round(result.expected_f, 2),
            method=result.method,
            device=result.device,
            **({"reason": result.reason} if result.reason else {}),
        )
        if scores is not None:
            log.info(
                "run scored",
                collection=name,
                run=result.generation,
                images=scores.images,
                pairwise_f=round(scores.pairwise_f, 4),
                bcubed_f=round(scores.bcubed_f, 4),
            )
        if result.corrections or result.contradicted:
            log.info(
                "corrections applied",
                collection=name,
                run=result.generation,
                applied=result.corrections,
                contradicted=list(result.contradicted),
            )
        if not collection.serves:
            self._steps.end(outcome="migrating")
            self._migrating.take(collection, path, result, self._mark)
            return
        self._takeover.take(collection, path, result, self._steps)
        self._steps = NO_STEPS  # what is adopted ends them
        # Last: a process that is killed before has the run again.
        with collection.index.transaction(durable=False) as connection:
            set_last_mark(connection, collection, self._mark)

    def _trace_child(self, result: RunResult) -> None:
        """The child's steps, from what it measured: one after the other, and R3 to its end."""
        spent, at = result.seconds, self._child_began
        cluster = sum(spent.get(stage, 0.0) for stage in _CLUSTER_STAGES)
        steps = {
            "R2 cluster": cluster,
            "R4 match": spent.get("match", 0.0),
            "R5 correct": spent.get("correct", 0.0),
        }
        for name, seconds in steps.items():
            self._steps.past(name, at, at + seconds)
            at += seconds
        self._steps.past("R3 result", at, max(at, self._clock.time()))


def _clear(collection: Collection) -> None:
    for name in (_VIEW, _RESULT):
        shutil.rmtree(collection.runs / name, ignore_errors=True)
