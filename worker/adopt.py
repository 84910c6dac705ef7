"""R6 and R8: a run's clusters become the collection's, in slices between batches.

`begin` decides everything, heeds what people said since the run began (R5, `worker.amend`), and
writes it down: the labels of all rows go into a generation file,
new clusters and retirements into the catalog, and `state.adopting` says that slices are due. `step`
then moves a slice of the changed rows or of the events into the outbox, so that ingestion never
waits for a large run. A process that dies in between goes on from `resume`, for which the result
folder is kept until the end.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from index import reach_fault
from worker import questions
from worker.amend import amend, rows_of, told
from worker.assignments import NONE, Labels, Rows
from worker.collection import Collection
from worker.errors import CorruptError
from worker.recluster import generations
from worker.recluster.lineage import Lineage
from worker.recluster.result import RunResult, read_result, resolve
from worker.store.base import Event, EventKind

_log = structlog.get_logger(__name__)

# In the folder of runs: a result that is being adopted, and one that waits for a person.
ADOPTING = "adopting"
HELD = "held"

# A confidence that moved less than this is not worth a write to Redis.
_CONFIDENCE_STEP = 0.1


@dataclass
class Adoption:
    """The rows still to be published: `rows` int64 [m] from `cursor` on, `before` their clusters
    as readers see them, aligned with all rows; `waiting` marks them. `late` are rows that the run
    did not see: they choose again among the new clusters (R6); `moved` notes where the last
    image of a cluster went. `events` are the run's, whose new clusters got `numbers`; `retired`
    clusters are published as such when readers see no image in them any more.
    """

    generation: int
    events: Sequence[Lineage]
    numbers: range
    retired: Sequence[int]
    rows: Rows
    before: Labels
    waiting: NDArray[np.bool_]
    late: Rows
    cursor: int = 0
    moved: dict[int, int] = field(default_factory=dict)

    def visible(self, row: int) -> int | None:
        """The cluster number under which readers see `row`, None if that is its label."""
        waits = row < len(self.waiting) and self.waiting[row]
        return int(self.before[row]) if waits else None

    def next_rows(self, limit: int) -> Rows:
        """Take the next changed rows, at most `limit`; empty when all are taken."""
        rows = self.rows[self.cursor : self.cursor + limit]
        self.cursor += limit
        return rows

    def next_late(self, limit: int) -> Rows:
        """Take the next late rows, at most `limit`; empty when all are taken."""
        rows, self.late = self.late[:limit], self.late[limit:]
        return rows


def begin(collection: Collection, result: RunResult, now: float) -> None:
    """Make the clusters of `result` the collection's; afterwards `step` until it is done."""
    with collection.index.transaction(durable=True) as connection:
        numbers = _create(collection, connection, result, now)
        target, confidence = _target(collection, result, numbers)
        retired = amend(collection, connection, target, now)
        generations.save(
            collection.index.directory,
            result.generation,
            target,
            confidence,
            {"n": result.n, "time": now, "retired": list(retired)},
        )
        reach_fault("R6")
        _record(collection, connection, result, numbers, target)
        collection.set_state(
            connection,
            adopting=result.generation,
            adopting_first=numbers.start,
            adopting_events=0,
        )
    _switch(collection, result, target, confidence, retired)


def resume(collection: Collection, path: Path) -> None:
    """Go on with the adoption that the process died in, if there is one; `path` is its result."""
    generation = collection.state.adopting
    if not generation:
        _give_back(collection, path)
        return
    result = read_result(path)
    saved = generations.load(collection.index.directory, generation)
    rows = len(saved.labels)
    target = collection.assignments.labels.copy()
    confidence = collection.assignments.confidence.copy()
    # A late row that has chosen again already stays where it is.
    chosen = np.arange(len(target)) >= result.n
    chosen[chosen] = [
        label != NONE and not collection.clusters[label].retired
        for label in target[chosen].tolist()
    ]
    taken = np.flatnonzero(~chosen[:rows])
    target[taken], confidence[taken] = saved.labels[taken], saved.confidence[taken]
    target[collection.index.counts == 0] = NONE
    _switch(collection, result, target, confidence, saved.meta.get("retired", ()))


def _give_back(collection: Collection, path: Path) -> None:
    """A held run that was to be published when the process died waits for a person again."""
    if path.is_dir():
        try:
            result = read_result(path)
        except CorruptError as error:
            _log.warning("a run that was held is damaged", reason=str(error))
            return
        if result.verdict.held and result.generation > collection.state.generation:
            path.rename(path.with_name(HELD))


def step(collection: Collection, limit: int) -> bool:
    """Go on by about `limit` rows; True when the adoption is complete."""
    adoption = collection.adoption
    if adoption is None:
        return True
    rows = adoption.next_rows(limit)
    if len(rows):
        with collection.index.transaction(durable=False) as connection:
            _enqueue(collection, connection, adoption, rows)
        return False
    first = collection.state.adopting_events
    events = adoption.events[first : first + limit]
    if events:
        with collection.index.transaction(durable=False) as connection:
            _announce(collection, connection, adoption, events)
        return False
    late = adoption.next_late(limit)
    if len(late):
        adoption.moved |= collection.reassign(late)
        return False
    collection.settle()
    # The result goes next: after a power loss nothing may ask for it.
    with collection.index.transaction(durable=True) as connection:
        _finish(collection, connection, adoption)
    collection.adoption = None
    reach_fault("R8")
    return True


def _create(
    collection: Collection, connection: sqlite3.Connection, result: RunResult, now: float
) -> range:
    """New clusters in the order of their codes -2, -3, ..."""
    fresh = result.clusters < NONE
    order = np.argsort(-result.clusters[fresh])
    return collection.clusters.create(connection, now, result.exemplars[fresh][order].tolist())


def _number(code: int | None, numbers: range) -> int | None:
    return None if code is None else numbers[-(code + 2)] if code < NONE else code


def _target(
    collection: Collection, result: RunResult, numbers: range
) -> tuple[Labels, NDArray[np.float32]]:
    """The label of every row; rows that arrived after the view follow their cluster (R6)."""
    labels = collection.assignments.labels.copy()
    confidence = collection.assignments.confidence.copy()
    labels[: result.n] = resolve(result.cluster, numbers)
    confidence[: result.n] = result.confidence
    labels[collection.index.counts == 0] = NONE
    heir = np.arange(len(collection.clusters), dtype=np.int32)
    for old, code in result.retired.items():
        successor = _number(code, numbers)
        if successor is not None:
            heir[old] = successor
    late = labels[result.n :]
    late[late != NONE] = heir[late[late != NONE]]
    return labels, confidence


def _record(
    collection: Collection,
    connection: sqlite3.Connection,
    result: RunResult,
    numbers: range,
    target: Labels,
) -> None:
    """Clusters, lineage and questions; a cluster that a row joined meanwhile is not retired."""
    table, outbox = collection.clusters, collection.outbox
    held = set(target[target != NONE].tolist())
    retired = {
        old: _number(code, numbers) for old, code in result.retired.items() if old not in held
    }
    # A correction of a moment ago may have retired what the run has, or the other way round.
    revived = held.intersection(n for n in held if table[n].retired)
    table.revive(connection, revived)
    table.retire(connection, retired)
    clusters = resolve(result.clusters, numbers)
    inside = target[result.exemplars] == clusters
    exemplars = zip(clusters[inside].tolist(), result.exemplars[inside].tolist(), strict=True)
    moved = table.set_exemplars(connection, dict(exemplars))
    outbox.add_clusters(connection, {*numbers, *revived, *moved})
    questions.pose(collection, connection, result)


def _announce(
    collection: Collection,
    connection: sqlite3.Connection,
    adoption: Adoption,
    events: Sequence[Lineage],
) -> None:
    announced = (
        told(collection, lineage, adoption.numbers)
        for lineage in events
        if lineage.kind is not EventKind.RETIRED or collection.clusters[lineage.cluster].retired
    )
    collection.outbox.add_events(connection, announced)
    done = collection.state.adopting_events + len(events)
    collection.set_state(connection, adopting_events=done)


def _switch(
    collection: Collection,
    result: RunResult,
    target: Labels,
    confidence: NDArray[np.float32],
    also_retired: Sequence[int],
) -> None:
    """Change the arrays at once; what readers see follows slice by slice."""
    assigned = collection.assignments
    before = assigned.labels.copy()
    confirmed = np.arange(len(target)) < result.n
    changed = (target != before) | (confirmed & assigned.provisional)
    changed |= np.abs(confidence - assigned.confidence) >= _CONFIDENCE_STEP
    changed &= collection.index.counts > 0
    rows = np.flatnonzero(changed)
    assigned.set(
        rows,
        target[rows],
        confidence[rows],
        assigned.provisional[rows] & ~confirmed[rows],
        np.full(len(rows), result.generation, np.int32),
    )
    late = np.flatnonzero(~confirmed & (target != NONE))
    # Where people put an image, it does not choose again.
    late = np.setdiff1d(late, rows_of(collection))
    first = collection.state.adopting_first
    numbers = range(first, first + result.new_clusters)
    dropped = {*result.retired, *also_retired}
    retired = [number for number in dropped if collection.clusters[number].retired]
    collection.adoption = Adoption(
        result.generation, result.events, numbers, retired, rows, before, changed, late
    )


def _enqueue(
    collection: Collection, connection: sqlite3.Connection, adoption: Adoption, rows: Rows
) -> None:
    alive = rows[collection.index.counts[rows] > 0]
    collection.assignments.write(connection, alive)
    collection.note_changed(connection, alive)
    adoption.waiting[rows] = False


def _finish(collection: Collection, connection: sqlite3.Connection, adoption: Adoption) -> None:
    """Retire the clusters that nothing is in any more, and turn the generation."""
    table = collection.clusters
    sizes = np.bincount(
        collection.assignments.labels[collection.index.counts > 0], minlength=len(table)
    )
    empty = {number: adoption.moved.get(number) for number in table.live if not sizes[number]}
    table.retire(connection, empty)
    collection.outbox.add_clusters(connection, {*empty, *adoption.retired})
    collection.set_state(connection, generation=adoption.generation, adopting=0)
    collection.outbox.add_events(
        connection, [Event(EventKind.GENERATION, {"generation": str(adoption.generation)})]
    )
