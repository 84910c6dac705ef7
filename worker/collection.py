"""One collection in memory: its index, clusters, assignments and outbox; steps 3 to 5."""

import shutil
import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index import (
    CollectionIndex,
    Erasure,
    ImageWrite,
    Logged,
    NewImage,
    Outcome,
    RecallProbe,
    reach_fault,
)
from worker import questions, truth
from worker.amend import hold
from worker.assign import Plan, assign
from worker.assignments import NONE, Assignments, Labels, Rows
from worker.clock import Clock
from worker.cluster_table import ClusterTable
from worker.corrections import Correction, Corrections
from worker.edges import Edges
from worker.erasures import Entry, Erasures, erasures_of
from worker.migration import Migration, is_second, read_migration, write_migration
from worker.outbox import Outbox
from worker.records import Record, Upsert
from worker.schema import SCHEMA
from worker.state import State, read_state, write_state
from worker.store.base import Lease

if TYPE_CHECKING:
    from worker.adopt import Adoption

_CHANGED = frozenset({Outcome.ADDED, Outcome.REPLACED, Outcome.ERASED})

# Rows that recovery assigns at a time: bounds memory and the length of a transaction.
_RECOVERY_ROWS = 2_000


@dataclass(slots=True)
class Times:
    """When things last succeeded, in seconds since 1970; None: not since the collection is open."""

    ingested: float | None = None
    published: float | None = None
    snapshot: float | None = None


@dataclass(frozen=True, slots=True)
class _Noted:
    """What step 3 does beside the images: to the outbox, the corrections and the state."""

    images: Mapping[str, int | None]
    clusters: Sequence[int]
    corrections: Sequence[Correction]
    erasures: Sequence[Entry]
    state: State


class Collection:
    """One collection, owned by the ingest thread. `recover` must run before anything else.

    The second index of one that migrates is one as well, but nobody reads it: it does not `serve`.
    Its rows get no clusters of their own, and nothing of it waits for readers (`worker.carry`).

    Everything but step 3 changes memory within the transaction that stores it: one that fails
    leaves the index `doubtful`, and the collection is to be opened again from the disk.
    """

    def __init__(
        self, name: str, index: CollectionIndex, edges: Edges, clock: Clock, join_probability: float
    ) -> None:
        self.name = name
        self.serves = not is_second(name)
        self.index = index
        self.edges = edges
        self.lease: Lease | None = None
        self.adoption: Adoption | None = None
        self.closed = False
        self.following = False
        self.used_at = clock.monotonic()
        self.times = Times()
        self.recall = RecallProbe()
        self._clock = clock
        self._join_probability = join_probability
        self._inserting: deque[Logged] = deque()
        self._inserted: deque[Logged] = deque()
        index.ensure_schema(SCHEMA)
        with index.transaction(durable=False) as connection:
            self.load(connection)

    def load(self, connection: sqlite3.Connection) -> None:
        """Take everything from the catalog, within the caller's transaction."""
        self.state: State = read_state(connection)
        self.migration = read_migration(connection)
        self.clusters = ClusterTable(connection, self._clock)
        self.assignments = Assignments(connection, self.index.rows)
        self.outbox = Outbox(connection)
        self.corrections = Corrections(connection)
        self.erasures = Erasures(connection)

    def follow(self) -> None:
        """Give no clusters from now on: they are another worker's, until `worker.inherit`."""
        self.following = True
        if not self.state.followed or self.state.adopting:
            with self.index.transaction(durable=True) as connection:
                self.set_state(connection, followed=1, adopting=0)
        shutil.rmtree(self.runs, ignore_errors=True)  # results over clusters that are no more

    def lead(self) -> None:
        """Give clusters again, from what the catalog holds now; `recover` is to follow."""
        with self.index.transaction(durable=False) as connection:
            self.load(connection)
        self.following = False

    def migrate(self, migration: Migration | None) -> None:
        """Begin a migration, change it, or end it (None); durable when this returns."""
        with self.index.transaction(durable=True) as connection:
            write_migration(connection, migration)
        self.migration = migration

    def recover(self) -> None:
        """Assign what was logged but not assigned when the process ended (steps 4 and 5)."""
        if not self.serves:
            return
        dead = np.flatnonzero((self.assignments.labels != NONE) & (self.index.counts == 0))
        with self.index.transaction(durable=False) as connection:
            self.assignments.forget(connection, dead)
        if self.following:
            return
        lost = np.flatnonzero((self.assignments.labels == NONE) & (self.index.counts > 0))
        for start in range(0, len(lost), _RECOVERY_ROWS):
            self._assign(lost[start : start + _RECOVERY_ROWS])

    def log(self, records: Sequence[Record], positions: Mapping[str, int]) -> Logged:
        """Step 3: make `records` and the offsets to read next after them durable.

        From here nothing is lost; a failure after it is mended by `recover`. Where it raises and
        the index is not doubtful, all is as it was before.
        """
        return self.log_writes([_write(record) for record in records], positions)

    def log_writes(
        self, writes: Sequence[NewImage | Erasure], positions: Mapping[str, int]
    ) -> Logged:
        """As `log`, of what is no record."""
        reach_fault("3")
        noted: list[_Noted] = []
        logged = self.index.log(
            writes,
            positions,
            lambda connection, logged: noted.append(self._note(connection, logged)),
        )
        for note in noted:
            self._take(note)
        self.assignments.grow(self.index.rows)
        return logged

    def insert(self, logged: Logged) -> None:
        """Step 4 begins: new rows into HNSW, which goes on beside; dead ones out of it.

        Blocks until HNSW is done with the batch before, if that was not ended yet.
        """
        reach_fault("4")
        if len(logged.dead_rows):
            while self._inserting:
                self.link(self._inserting[0])
            self.index.remove(logged.dead_rows)
        self.index.begin_insert(logged.new_rows)
        self._inserting.append(logged)

    def begin_link(self) -> None:
        """The end of step 4 begins for the first batch that waits for it, on another thread."""
        self.index.begin_link()

    def link(self, logged: Logged) -> None:
        """Step 4 ends, for a batch and those before it: their rows are in the graph.

        Blocks until HNSW is done with them; nothing to do for a batch whose step 4 has ended.
        """
        while any(batch is logged for batch in self._inserting):
            self.index.end_insert()
            self._inserted.append(self._inserting.popleft())

    def assign(self) -> None:
        """Step 5 for the batches whose step 4 has ended: provisional clusters for the new rows."""
        if self.following:
            self._follow()
            return
        while self._inserted:
            reach_fault("5")
            logged = self._inserted.popleft()
            if not self.serves:
                continue
            self._assign(logged.new_rows, logged.dead_rows)
            # A corrected image with a new embedding is where people said, and not where it points.
            if self.corrections.images.intersection(write.id for write in logged.writes):
                hold(self, self._clock.time())

    def _follow(self) -> None:
        """In place of step 5: only what was erased stays in the outbox."""
        with self.index.transaction(durable=False) as connection:
            while self._inserted:
                logged = self._inserted.popleft()
                self.assignments.forget(connection, logged.dead_rows)
                there = [w.id for w in logged.writes if w.outcome is not Outcome.ERASED]
                self.outbox.done(connection, there, (), ())

    def settle(self) -> None:
        """Steps 4 and 5 to their end, so that every live row has neighbours and a cluster."""
        while self._inserting:
            self.link(self._inserting[-1])
        self.assign()

    def visible(self, row: int | None) -> int | None:
        """The number of the cluster under which readers see the images of `row` now."""
        if row is None or row >= len(self.assignments):
            return None
        if self.adoption is not None:
            label = self.adoption.visible(row)
            if label is not None:
                return None if label == NONE else label
        label = int(self.assignments.labels[row])
        return None if label == NONE else label

    def note_changed(self, connection: sqlite3.Connection, rows: Rows) -> None:
        """Put the images of `rows` into the outbox, with what is `visible` of them now.

        Within the caller's transaction.
        """
        images = self.index.ids_of(rows.tolist())
        self.outbox.add_images(
            connection,
            (
                (image, self.visible(row))
                for row, ids in zip(rows.tolist(), images, strict=True)
                for image in ids
            ),
        )

    def set_state(self, connection: sqlite3.Connection, **changes: float) -> None:
        """Change single values, within the caller's transaction."""
        new = replace(self.state, **changes)  # type: ignore[arg-type]
        write_state(connection, self.state, new)
        self.state = new

    @property
    def runs(self) -> Path:
        """The folder where runs work."""
        return self.index.directory / "runs"

    @property
    def images(self) -> int:
        """Live images."""
        return self.index.images

    def _note(self, connection: sqlite3.Connection, logged: Logged) -> _Noted:
        """Within step 3's transaction: who must be published, and of whom nothing may be left.

        Memory follows by `_take`.
        """
        changed = [write for write in logged.writes if write.outcome in _CHANGED]
        erased = [write.id for write in changed if write.outcome is Outcome.ERASED]
        dead = set(logged.dead_rows.tolist())
        replaced = sum(w.outcome is Outcome.REPLACED and w.old_row in dead for w in changed)
        outcomes = [write.outcome for write in changed]
        noted = _Noted(
            self.outbox.fresh(self._seen(changed)),
            self.clusters.shown_by(_left(changed)) if self.serves else (),
            self.corrections.of(set(erased)),
            erasures_of(erased, replaced, self._clock.time()),
            replace(
                self.state,
                added=self.state.added + outcomes.count(Outcome.ADDED),
                erased=self.state.erased + outcomes.count(Outcome.ERASED),
            ),
        )
        self.outbox.write_images(connection, noted.images)
        self.outbox.write_clusters(connection, noted.clusters)
        self.corrections.delete(connection, noted.corrections)
        truth.forget_images(connection, erased)
        questions.forget_images(connection, erased)
        self.erasures.write(connection, noted.erasures)
        write_state(connection, self.state, noted.state)
        return noted

    def _seen(self, writes: Sequence[ImageWrite]) -> Iterator[tuple[str, int | None]]:
        """The images of writes, and where readers see them, if they do of this collection."""
        if self.serves:
            yield from ((write.id, self.visible(write.old_row)) for write in writes)

    def _take(self, noted: _Noted) -> None:
        """Follow in memory what step 3 committed."""
        self.outbox.images |= noted.images
        self.outbox.clusters.update(noted.clusters)
        self.corrections.drop(noted.corrections)
        self.erasures.take(noted.erasures)
        self.state = noted.state

    def reassign(self, rows: Rows) -> dict[int, int]:
        """R6: let provisional `rows` choose again; returns where clusters lost images to.

        A row that no edge speaks for stays where it is. They have neighbours and a cluster already,
        so that a batch under way goes on beside; its rows say nothing yet.
        """
        rows = rows[self.index.counts[rows] > 0]
        plan = self._plan(rows)
        current = self.assignments.labels[rows]
        moves = (plan.labels >= 0) & (plan.labels != current)
        rows, labels = rows[moves], plan.labels[moves]
        with self.index.transaction(durable=False) as connection:
            self.note_changed(connection, rows)
            self._set_provisional(connection, rows, labels, plan.confidence[moves])
        return dict(zip(current[moves].tolist(), labels.tolist(), strict=True))

    def _assign(self, rows: Rows, dead: Rows | None = None) -> None:
        """Step 5: provisional clusters for `rows`, nothing more for `dead` ones."""
        rows = rows[self.index.counts[rows] > 0]
        with self.index.transaction(durable=False) as connection:
            if dead is not None and len(dead):
                self.assignments.forget(connection, dead)
            if not len(rows):
                return
            plan = self._plan(rows)
            numbers = self.clusters.create(connection, self._clock.time(), _founders(rows, plan))
            labels = np.where(
                plan.labels < NONE, -(plan.labels + 2) + numbers.start, plan.labels
            ).astype(np.int32)
            self._set_provisional(connection, rows, labels, plan.confidence)
            self.outbox.add_clusters(connection, numbers)

    def _plan(self, rows: Rows) -> Plan:
        return assign(
            rows,
            self.index.neighbours[rows],
            self.edges.probabilities(self.index, rows),
            self.assignments.labels,
            self._join_probability,
        )

    def _set_provisional(
        self,
        connection: sqlite3.Connection,
        rows: Rows,
        labels: Labels,
        confidence: NDArray[np.float32],
    ) -> None:
        self.assignments.set(
            rows,
            labels,
            confidence,
            np.ones(len(rows), np.bool_),
            np.full(len(rows), self.state.adopting or self.state.generation, np.int32),
        )
        self.assignments.write(connection, rows)


def _left(writes: Sequence[ImageWrite]) -> set[int]:
    """The rows that an image left."""
    return {write.old_row for write in writes if write.old_row is not None}


def _founders(rows: Rows, plan: Plan) -> list[int]:
    """The first row of each new cluster, in the order of the clusters."""
    _, first = np.unique(-plan.labels[plan.labels < NONE], return_index=True)
    founders: list[int] = rows[plan.labels < NONE][first].tolist()
    return founders


def _write(record: Record) -> NewImage | Erasure:
    if isinstance(record, Upsert):
        return NewImage(
            record.id, record.embedding, group=record.group, uri=record.uri, time=record.time
        )
    return Erasure(record.id)
