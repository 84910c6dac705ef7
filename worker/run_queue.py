"""Who waits for a run, who has one, and how the last one ended."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace

from worker.clock import Clock
from worker.collection import Collection
from worker.recluster.schedule import Mark, ScheduleSettings, ScheduleState, Trigger, due
from worker.state import State


class RunQueue:
    """Knows every collection that was noted, open or not; one runs at a time, `running`.

    A second index has a run when it is requested, and is to be dropped then. Owned by the ingest
    thread.
    """

    def __init__(self, settings: ScheduleSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._waiting: dict[str, ScheduleState] = {}
        self._answers: dict[str, str] = {}
        self._began = 0.0
        self.running: str | None = None

    def note(self, collection: Collection) -> None:
        """Remember how the collection stands, also for when it is closed."""
        if collection.serves:
            self._note(collection)

    def _note(self, collection: Collection) -> None:
        now = self._clock.time()
        known = self._waiting.get(collection.name)
        if known is None:
            known = ScheduleState(present(collection, now), opened=now)
        stored = collection.state
        last = last_mark(stored)
        self._waiting[collection.name] = replace(
            known, present=present(collection, now), last=last if stored.clustered_at else None
        )

    def request(self, collection: Collection) -> None:
        """Recluster the collection as soon as no other run goes on."""
        self._note(collection)
        self._request(collection.name)

    def request_changed(self, collections: Iterable[Collection]) -> None:
        """As `request`, for all that changed since their last run; `collections` are the open."""
        for collection in collections:
            self.note(collection)
        for name, state in self._waiting.items():
            if state.last is None or replace(state.last, at=state.present.at) != state.present:
                self._request(name)

    def wanted(self) -> bool:
        """True while a requested run has not begun."""
        return any(state.requested for state in self._waiting.values())

    def busy(self, collection: Collection) -> bool:
        """True while `collection` is being reclustered or a result adopted."""
        return collection.name == self.running or collection.adoption is not None

    def needs(self, collection: Collection) -> bool:
        """True while `collection` must stay open for a run."""
        return self.busy(collection) or self._requested(collection.name)

    def outcome(self, name: str) -> str | None:
        """How the last run of a collection ended; None while one is asked for or goes on."""
        if name == self.running or self._requested(name):
            return None
        return self._answers.get(name)

    def due(self, collections: Iterable[Collection]) -> Iterator[tuple[str, Trigger]]:
        """The collections that should run now, and why; `collections` are the open ones."""
        for collection in collections:
            self.note(collection)
        now = self._clock.time()  # not before a collection was first seen: that would be due
        for name, state in list(self._waiting.items()):
            trigger = due(state, self._settings, now)
            if trigger is not None:
                yield name, trigger

    def knows(self, name: str) -> bool:
        """Whether a collection was noted, and not dropped since."""
        return name in self._waiting

    def failing(self, name: str) -> bool:
        """Whether the last run of a collection failed."""
        return name in self._waiting and self._waiting[name].failures > 0

    def drop(self, name: str) -> None:
        """Know nothing more of a collection: no run of it comes by itself."""
        self._waiting.pop(name, None)
        self.forget(name)

    def begin(self, name: str) -> None:
        """The run of `name` begins; a request is met."""
        # Last in line next time, so that a busy collection does not starve the others.
        self._waiting[name] = replace(self._waiting.pop(name), requested=False)
        self.forget(name)
        self.running = name
        self._began = self._clock.monotonic()

    @property
    def running_seconds(self) -> float | None:
        """How long the run that goes on has been going on; None if there is none."""
        return None if self.running is None else self._clock.monotonic() - self._began

    def end(self, name: str) -> None:
        """The run of `name` ended well; what becomes of its result is told by `tell`."""
        self.running = None
        self._waiting[name] = replace(self._waiting[name], failures=0)

    def fail(self, name: str, reason: str) -> None:
        """The run of `name` failed."""
        self.running = None
        known = self._waiting[name]
        self._waiting[name] = replace(
            known, failures=known.failures + 1, failed_at=self._clock.time()
        )
        self.tell(name, f"failed: {reason}")

    def cancel(self) -> None:
        """The run that goes on is given up."""
        self.running = None

    def tell(self, name: str, answer: str) -> None:
        """Note how the last run of `name` ended, for `outcome`."""
        self._answers[name] = answer

    def forget(self, name: str) -> None:
        """How the last run ended is not known yet, or again."""
        self._answers.pop(name, None)

    def _request(self, name: str) -> None:
        self.forget(name)
        self._waiting[name] = replace(self._waiting[name], requested=True)

    def _requested(self, name: str) -> bool:
        known = self._waiting.get(name)
        return known is not None and known.requested


def last_mark(state: State) -> Mark:
    """How the last run that ended found the collection."""
    return Mark(
        state.clustered_at, state.clustered_added, state.clustered_rows, state.clustered_erased
    )


def set_last_mark(connection: sqlite3.Connection, collection: Collection, mark: Mark) -> None:
    """A run that ended found the collection as `mark` says; within the caller's transaction."""
    collection.set_state(
        connection,
        clustered_at=mark.at,
        clustered_added=mark.images,
        clustered_rows=mark.rows,
        clustered_erased=mark.erasures,
    )


def present(collection: Collection, now: float) -> Mark:
    """How the collection stands."""
    state = collection.state
    return Mark(now, state.added, collection.index.rows, state.erased)
