"""Reclustering as the ingest thread sees it: start, watch, judge, adopt; it never waits.

R1 view  R2 cluster and R3 result (a child process)  R4 match and R7 drift (in the child as well)
R5 corrections (in the child; what people say between two runs holds at once, `worker.amend`)
R6 re-assign and R8 publish (`worker.adopt`)
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import structlog

from index import reach_fault, sync_folder
from worker import adopt
from worker.amend import hold, table_of
from worker.clock import Clock
from worker.collection import Collection
from worker.collections import ADOPTING, RUNS, Collections
from worker.errors import CorruptError, RetryError
from worker.gate import GateSettings
from worker.metrics import Metrics
from worker.recluster import generations
from worker.recluster.result import RunResult, read_result
from worker.recluster.schedule import Mark, ScheduleSettings, ScheduleState, Trigger, due
from worker.recluster.supervisor import Failed, Finished, Runner
from worker.recluster.view import View, write_view
from worker.settings import Settings

log = structlog.get_logger()

# Former generations that identity looks back to.
_HISTORY = 3

_PREVIEW_POLL_SECONDS = 0.1


class Reclustering:
    """Runs at most one reclustering at a time over the open collections. Owned by one thread."""

    def __init__(
        self,
        settings: Settings,
        collections: Collections,
        supervisor: Runner,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._collections = collections
        self._supervisor = supervisor
        self._metrics = metrics
        self._clock = clock
        self._schedule = ScheduleSettings(
            period_seconds=settings.recluster_seconds,
            new_images=settings.recluster_images,
            first_images=settings.recluster_first_images,
            first_seconds=settings.recluster_first_seconds,
        )
        self._waiting: dict[str, ScheduleState] = {}
        self._running: str | None = None
        self._mark = Mark(0.0, 0, 0, 0)
        collections.closing = self.note
        self._ended: dict[str, str] = {}

    @property
    def running(self) -> str | None:
        """The collection that is being reclustered."""
        return self._running

    def busy(self, collection: Collection) -> bool:
        """True while `collection` is being reclustered or a result adopted."""
        return collection.name == self._running or collection.adoption is not None

    def needs(self, collection: Collection) -> bool:
        """True while `collection` must stay open for a run."""
        known = self._waiting.get(collection.name)
        return self.busy(collection) or (known is not None and known.requested)

    def note(self, collection: Collection) -> None:
        """Remember how the collection stands, for when it is closed."""
        self._state(collection)

    def request(self, collection: Collection) -> None:
        """Recluster the collection as soon as no other run goes on."""
        self._ended.pop(collection.name, None)
        self._waiting[collection.name] = replace(self._state(collection), requested=True)

    def request_changed(self) -> None:
        """As `request`, for every collection that changed since its last run."""
        for collection in self._collections:
            self._state(collection)
        for name, state in self._waiting.items():
            if state.last is None or replace(state.last, at=state.present.at) != state.present:
                self._ended.pop(name, None)
                self._waiting[name] = replace(state, requested=True)

    def wanted(self) -> bool:
        """True while a requested run has not begun."""
        return any(state.requested for state in self._waiting.values())

    def outcome(self, name: str) -> str | None:
        """How the last run of a collection ended; None while one is asked for or goes on."""
        known = self._waiting.get(name)
        if name == self._running or (known is not None and known.requested):
            return None
        return self._ended.get(name)

    def is_held(self, collection: Collection) -> bool:
        """True while a run waits for a person."""
        return (self._folder(collection) / adopt.HELD).is_dir()

    def tick(self) -> None:
        """Start, watch and take over runs; returns at once."""
        if self._running is None:
            self._start_next()
        else:
            self._watch(self._running)

    def adopt(self, rows: int) -> None:
        """Put up to `rows` changed rows of each adoption into the outboxes."""
        for collection in self._collections:
            if collection.adoption is not None and adopt.step(collection, rows):
                # Not needed any more; the next start would read all of it for nothing.
                shutil.rmtree(self._folder(collection) / ADOPTING, ignore_errors=True)
                hold(collection, self._clock.time())
                self._ended[collection.name] = "published"
                self._metrics.reclusterings.labels("published").inc()
                self._metrics.last_recluster.set(self._clock.time())
                log.info(
                    "run published", collection=collection.name, run=collection.state.generation
                )

    def preview(self, collection: Collection) -> RunResult:
        """What a run would do; blocks until it ended, and changes nothing.

        Raises `RetryError` if the run fails.
        """
        folder = self._folder(collection)
        self._clear(folder)
        write_view(folder / "view", self._view(collection, collection.state.runs + 1))
        self._supervisor.start(folder / "view", folder / "result")
        while not isinstance(ended := self._supervisor.poll(), Finished):
            if isinstance(ended, Failed):
                raise RetryError(f"the run failed: {ended.reason}")
            self._clock.sleep(_PREVIEW_POLL_SECONDS)
        return read_result(ended.result)

    def publish_held(self, collection: Collection) -> bool:
        """Publish the held run after all; False if there is none."""
        if not self.is_held(collection) or collection.adoption is not None:
            return False
        path = self._folder(collection) / adopt.HELD
        try:
            result = read_result(path)
        except CorruptError as error:
            log.warning("the held run is damaged", collection=collection.name, error=str(error))
            return False
        self._ended.pop(collection.name, None)
        self._adopt(collection, path, result)
        return True

    def discard_held(self, collection: Collection) -> bool:
        """Forget the held run; False if there is none."""
        if not self.is_held(collection):
            return False
        shutil.rmtree(self._folder(collection) / adopt.HELD)
        self._metrics.reclusterings.labels("discarded").inc()
        return True

    def cancel(self) -> None:
        """Stop the run in progress; the next start begins it again."""
        self._supervisor.cancel()
        self._running = None

    def _start_next(self) -> None:
        for collection in self._collections:
            self._state(collection)
        now = self._clock.time()  # not before a collection was first seen: that would be due
        for name, state in list(self._waiting.items()):
            trigger = due(state, self._schedule, now)
            if trigger is None:
                continue
            collection = self._collections.get(name)
            if collection.adoption is None:
                # Last in line next time, so that a busy collection does not starve the others.
                self._waiting[name] = replace(self._waiting.pop(name), requested=False)
                self._ended.pop(name, None)
                self._start(collection, trigger)
                return

    def _state(self, collection: Collection) -> ScheduleState:
        stored = collection.state
        present = _present(collection, self._clock.time())
        known = self._waiting.get(collection.name)
        last = Mark(
            stored.clustered_at,
            stored.clustered_added,
            stored.clustered_rows,
            stored.clustered_erased,
        )
        if known is None:
            known = ScheduleState(present, opened=self._clock.time())
        state = replace(known, present=present, last=last if stored.clustered_at else None)
        self._waiting[collection.name] = state
        return state

    def _start(self, collection: Collection, trigger: Trigger) -> None:
        """R1, and the child for R2 to R4."""
        run = collection.state.runs + 1
        # Durable: what the view shows must not be lost after a result that builds on it.
        with collection.index.transaction(durable=True) as connection:
            collection.set_state(connection, runs=run)
        self._mark = _present(collection, self._clock.time())
        folder = self._folder(collection)
        self._clear(folder)
        try:
            write_view(folder / "view", self._view(collection, run))
        except OSError as error:
            self._fail(collection.name, f"no view: {error}")
            return
        reach_fault("R1")
        self._supervisor.start(folder / "view", folder / "result")
        reach_fault("R2")
        self._running = collection.name
        self._metrics.triggers.labels(trigger).inc()
        self._metrics.reclustering.set(1)
        log.info("run started", collection=collection.name, run=run, trigger=str(trigger))

    def _view(self, collection: Collection, run: int) -> View:
        collection.settle()
        index, settings = collection.index, self._settings
        former = [
            generation
            for generation in generations.newest(index.directory, _HISTORY)
            if generation.number <= collection.state.generation
        ]
        return View(
            collection=collection.name,
            generation=run,
            n=index.rows,
            dimension=index.dimension,
            k=index.neighbours.shape[1],
            vectors_path=index.vectors_path,
            granularity=settings.granularity,
            group_size=settings.group_size,
            neighbours=index.neighbours,
            similarity=index.similarity,
            counts=index.counts,
            labels=collection.assignments.labels,
            provisional=collection.assignments.provisional,
            pinned=collection.clusters.pinned,
            corrections=table_of(collection, index.rows),
            live=frozenset(collection.clusters.live),
            history=tuple(generation.labels for generation in former),
            weights=settings.weights,
            gate=GateSettings(
                max_changed_share=settings.gate_max_changed,
                max_largest_share=settings.gate_max_largest,
                max_count_factor=settings.gate_max_count_factor,
                min_images=settings.gate_min_images,
            ),
        )

    def _watch(self, name: str) -> None:
        state = self._supervisor.poll()
        if isinstance(state, Finished):
            self._end()
            self._take(name, state.result)
        elif isinstance(state, Failed):
            self._end()
            self._fail(name, state.reason)

    def _end(self) -> None:
        self._running = None
        self._metrics.reclustering.set(0)

    def _fail(self, name: str, reason: str) -> None:
        waiting = self._waiting[name]
        self._waiting[name] = replace(
            waiting, failures=waiting.failures + 1, failed_at=self._clock.time()
        )
        self._ended[name] = f"failed: {reason}"
        self._metrics.reclusterings.labels("failed").inc()
        log.error("run failed", collection=name, reason=reason)

    def _take(self, name: str, path: Path) -> None:
        """R7: publish the result, or hold it for a person."""
        reach_fault("R3")
        collection = self._collections.get(name)
        try:
            result = read_result(path)
        except CorruptError as error:
            self._fail(name, str(error))
            return
        self._waiting[name] = replace(self._waiting[name], failures=0)
        self._observe(result)
        if result.corrections or result.contradicted:
            log.info(
                "corrections applied",
                collection=name,
                run=result.generation,
                applied=result.corrections,
                contradicted=list(result.contradicted),
            )
        if result.verdict.held:
            self._hold(collection, path, result)
        else:
            self._adopt(collection, path, result)
        # Last: a process that is killed before has the run again.
        with collection.index.transaction(durable=False) as connection:
            collection.set_state(
                connection,
                clustered_at=self._mark.at,
                clustered_added=self._mark.images,
                clustered_rows=self._mark.rows,
                clustered_erased=self._mark.erasures,
            )

    def _hold(self, collection: Collection, path: Path, result: RunResult) -> None:
        held = self._folder(collection) / adopt.HELD
        shutil.rmtree(held, ignore_errors=True)
        path.rename(held)
        reasons = "; ".join(result.verdict.reasons)
        self._ended[collection.name] = f"held: {reasons}"
        self._metrics.reclusterings.labels("held").inc()
        log.warning("run held", collection=collection.name, run=result.generation, why=reasons)

    def _adopt(self, collection: Collection, path: Path, result: RunResult) -> None:
        """Begin to publish `result`, of the folder `path`; a held one is out of date then."""
        reach_fault("R7")
        collection.settle()
        folder = self._folder(collection)
        shutil.rmtree(folder / ADOPTING, ignore_errors=True)
        path.rename(folder / ADOPTING)
        sync_folder(folder)
        if result.context_path is not None:
            # The folder it was read from has moved.
            context = folder / ADOPTING / result.context_path.name
            collection.edges.renew(collection.index, context)
        adopt.begin(collection, result, self._clock.time())
        shutil.rmtree(folder / adopt.HELD, ignore_errors=True)

    def _observe(self, result: RunResult) -> None:
        metrics, drift = self._metrics, result.drift
        for stage, seconds in result.seconds.items():
            metrics.recluster_seconds.labels(stage).observe(seconds)
        if result.expected_f is not None:
            metrics.expected_f.set(result.expected_f)
        metrics.contradicted.set(len(result.contradicted))
        metrics.changed_ratio.set(drift.changed_share)
        metrics.merged_ratio.set(drift.merge_mass)
        metrics.split_ratio.set(drift.split_mass)
        metrics.rand_index.set(drift.rand_index)
        metrics.nmi.set(drift.nmi)
        metrics.singleton_ratio.set(drift.singleton_share)
        metrics.largest_ratio.set(drift.largest_share)
        metrics.mean_confidence.set(drift.mean_confidence)
        metrics.overturned_ratio.set(drift.overturned_share)
        _, sizes = np.unique(result.cluster[result.cluster != -1], return_counts=True)
        metrics.cluster_sizes.show(sizes)

    @staticmethod
    def _clear(folder: Path) -> None:
        shutil.rmtree(folder / "view", ignore_errors=True)
        shutil.rmtree(folder / "result", ignore_errors=True)

    def _folder(self, collection: Collection) -> Path:
        return collection.index.directory / RUNS


def _present(collection: Collection, now: float) -> Mark:
    state = collection.state
    return Mark(now, state.added, collection.index.rows, state.erased)
