"""R5 between two runs: what people say holds at once, by the smallest change that makes it so."""

import sqlite3
from collections.abc import Collection as Some
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from worker.agreement import NO_CORRECTIONS, Agreement, Table, agree, other_rows
from worker.assignments import NONE, Labels
from worker.correct import Vectors, correct
from worker.corrections import KINDS
from worker.identity import Matching, match
from worker.recluster.lineage import Lineage
from worker.recluster.result import resolve
from worker.store.base import Event

if TYPE_CHECKING:
    from worker.collection import Collection


@dataclass(frozen=True, slots=True)
class Amendment:
    """The rows of the clusters concerned, `inside` bool [n], and what becomes of them."""

    inside: NDArray[np.bool_]
    matching: Matching


def plan(
    target: Labels,
    current: Labels,
    counts: NDArray[np.int32],
    table: Table,
    pinned: Some[int],
    vectors: Vectors,
) -> Amendment | None:
    """What to change in `target` so that the corrections of `table` hold; None: nothing.

    `target` and `current` int32 [n] are cluster numbers, -1 for none: those that shall be, and
    those that are now, after which ids are given; both the same between runs. Only clusters in
    which something is wrong are touched: those that a correction joins or parts, and those that
    took the images of a `pinned` number which is in `target` no more. A pure function, O(n).
    """
    agreement = agree(table)
    table = table[agreement.holds]
    wrong = _wrong(target, agreement) | _usurpers(target, current, counts, pinned)
    if not wrong:
        return None
    inside = np.isin(target, list(wrong)) & (counts > 0)
    outside = np.unique(target[~inside & (counts > 0)])
    # Numbers that others have now cannot be given out.
    old = np.where(np.isin(current, outside), target, current)
    old[~inside] = NONE
    groups = np.where(inside, target, NONE).astype(np.int64)
    corrected = correct(groups, table, old, vectors)
    matching = match(old, corrected.groups, counts, pinned, said=corrected.numbers)
    return Amendment(inside, matching)


def _wrong(target: Labels, agreement: Agreement) -> set[int]:
    """Clusters of rows that should be together and are not, or the other way round."""
    wrong: set[int] = set()
    for some in agreement.together:
        clusters = set(target[some.rows].tolist())
        clusters |= set() if some.cluster is None else {some.cluster}
        wrong |= clusters if len(clusters) > 1 else set()
    for one, other in agreement.apart:
        first, second = (int(target[agreement.together[k].rows[0]]) for k in (one, other))
        wrong |= {first} if first == second else set()
    return wrong


def _usurpers(
    target: Labels, current: Labels, counts: NDArray[np.int32], pinned: Some[int]
) -> set[int]:
    """Clusters that took all images of a pinned one."""
    alive = counts > 0
    sizes = np.bincount(target[alive & (target != NONE)], minlength=max(pinned, default=0) + 1)
    gone = [number for number in pinned if not sizes[number]]
    return set(target[np.isin(current, gone) & alive].tolist()) - {NONE}


def table_of(collection: "Collection", rows: int) -> Table:
    """The collection's corrections of rows below `rows` that have a cluster, with heirs in the
    place of retired clusters.
    """
    records = list(collection.corrections)
    images = [(record.image, record.other or record.image) for record in records]
    places = collection.index.row_of([image for pair in images for image in pair])
    found = []
    for record, row, other in zip(records, places[::2], places[1::2], strict=True):
        end = other if record.cluster is None else collection.clusters.heir(record.cluster)
        if row is not None and other is not None and end is not None and max(row, other) < rows:
            found.append((record.number, KINDS.index(record.kind), row, end))
    return np.array(found, np.int64).reshape(-1, 4) if found else NO_CORRECTIONS.copy()


def rows_of(collection: "Collection") -> NDArray[np.int64]:
    """The rows of all images that a correction names."""
    rows = collection.index.row_of(sorted(collection.corrections.images))
    return np.array([row for row in rows if row is not None], np.int64)


def amend(
    collection: "Collection", connection: sqlite3.Connection, target: Labels, now: float
) -> Sequence[int]:
    """Change `target` in place so that the corrections hold, within the caller's transaction.

    New clusters, those that are no more, and the events of both are written; rows are left to the
    caller. Returns the numbers retired.
    """
    table = table_of(collection, len(target))
    unassigned = (target[table[:, 2]] == NONE) | (target[other_rows(table)] == NONE)
    change = plan(
        target,
        collection.assignments.labels,
        collection.index.counts,
        table[~unassigned],
        collection.clusters.pinned,
        collection.index.vectors,
    )
    if change is None:
        return []
    clusters, outbox, matching = collection.clusters, collection.outbox, change.matching
    fresh = int((matching.codes < NONE).sum())
    numbers = clusters.create(connection, now, [None] * fresh)
    target[change.inside] = resolve(matching.cluster, numbers)[change.inside]
    retired = {
        number: None if heir is None else int(resolve(np.array(heir, np.int32), numbers))
        for number, heir in matching.retired.items()
    }
    clusters.revive(connection, matching.revived)
    clusters.retire(connection, retired)
    moved = clusters.set_exemplars(connection, _exemplars(collection, target, matching, numbers))
    outbox.add_clusters(connection, {*numbers, *matching.revived, *moved})
    outbox.add_events(connection, (told(collection, e, numbers) for e in matching.events))
    return list(retired)


def hold(collection: "Collection", now: float) -> None:
    """Make the corrections hold, durably; readers see it with the next update.

    While a run is being adopted there is nothing to do: this is called again at its end.
    """
    if collection.adoption is not None or not len(collection.corrections):
        return
    assigned = collection.assignments
    labels = assigned.labels.copy()
    with collection.index.transaction(durable=True) as connection:
        retired = amend(collection, connection, labels, now)
        rows = np.flatnonzero(labels != assigned.labels)
        collection.note_changed(connection, rows)
        assigned.set(
            rows,
            labels[rows],
            assigned.confidence[rows],
            assigned.provisional[rows],
            assigned.generation[rows],
        )
        assigned.write(connection, rows)
        collection.outbox.add_clusters(connection, retired)


def _exemplars(
    collection: "Collection", target: Labels, matching: Matching, numbers: range
) -> dict[int, int]:
    """Another row for each cluster whose most typical one is not in it."""
    found = {}
    for number in resolve(matching.codes, numbers).tolist():
        row = collection.clusters[number].exemplar_row
        if row is None or row >= len(target) or target[row] != number:
            found[number] = int(np.flatnonzero(target == number)[0])
    return found


def told(collection: "Collection", lineage: Lineage, numbers: range) -> Event:
    """The event that readers get of a change, whose new clusters got `numbers`."""

    def ids(codes: Iterable[int]) -> str:
        given = (int(resolve(np.array(code, np.int32), numbers)) for code in codes)
        return ",".join(collection.clusters[number].id for number in given)

    data = {
        "cluster": ids([lineage.cluster]),
        "others": ids(lineage.others),
        "before": str(lineage.before),
        "images": str(lineage.images),
    }
    return Event(lineage.kind, data)
