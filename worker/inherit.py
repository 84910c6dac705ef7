"""What readers see becomes what a collection that was followed says, when its worker takes over.

A standby gives no clusters by itself: they would have other ids than those that readers know. It
takes cluster, confidence and generation of each image, and ids, names and successors of clusters,
from the store, in one durable transaction; only images that readers do not see yet are assigned.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worker.assignments import NONE, Rows
from worker.collection import Collection
from worker.recluster import generations
from worker.store.base import ImageState, Shown
from worker.store.plan import chunks

_IMAGES = 5_000


@dataclass(frozen=True, slots=True)
class Inherited:
    """How many images readers see: those that kept their clusters, and those that are not here."""

    images: int
    missing: int


class _Found:
    """Takes the shown images of one collection, and keeps count of them."""

    def __init__(self, collection: Collection, numbers: Mapping[str, int]) -> None:
        self._collection = collection
        self._numbers = numbers
        self._seen = np.zeros(collection.index.rows, np.int64)
        self._shared: set[str] = set()  # shown ones that share their row with others
        self.images = self.missing = 0

    def take(self, connection: sqlite3.Connection, part: Iterable[tuple[str, ImageState]]) -> None:
        """Assign the images that are here; those erased here are still to be told of."""
        states = list(part)
        rows = self._collection.index.row_of([image for image, _ in states])
        here = [(r, i, s) for r, (i, s) in zip(rows, states, strict=True) if r is not None]
        gone = [(i, s) for r, (i, s) in zip(rows, states, strict=True) if r is None]
        erased = [(i, s) for i, s in gone if i in self._collection.outbox.images]
        self.images += len(here)
        self.missing += len(gone) - len(erased)
        counts = self._collection.index.counts
        self._shared.update(image for row, image, _ in here if counts[row] > 1)
        connection.executemany(
            "UPDATE outbox SET old = ? WHERE image = ?",
            [(self._numbers[state.cluster], image) for image, state in erased],
        )
        self._assign(np.array([row for row, _, _ in here], np.int64), [s for _, _, s in here])

    def unseen(self) -> Iterator[str]:
        """The images here that were not among them."""
        rows = np.flatnonzero(self._seen < self._collection.index.counts)
        for images in self._collection.index.ids_of(rows.tolist()):
            yield from (image for image in images if image not in self._shared)

    def _assign(self, rows: Rows, states: Sequence[ImageState]) -> None:
        np.add.at(self._seen, rows, 1)
        self._collection.assignments.set(
            rows,
            np.array([self._numbers[state.cluster] for state in states], np.int32),
            np.array([state.confidence for state in states], np.float32),
            np.array([state.provisional for state in states], np.bool_),
            np.array([state.generation for state in states], np.int32),
        )


def inherit(collection: Collection, shown: Shown | None, now: float) -> Inherited:
    """Make what is `shown` (None: nothing) the state of a collection that was followed.

    Images that are not shown wait in the outbox, without a cluster: `Collection.recover` is to
    follow. Blocks. Raises `StoreUnavailableError`; nothing has changed then.
    """
    collection.settle()
    shown = shown or Shown(0, 0, (), (), {})
    with collection.index.transaction(durable=True) as connection:
        numbers = collection.clusters.replace(
            connection, shown.clusters, shown.retired, _rows_of(collection, shown), now
        )
        found = _Found(collection, numbers)
        _forget_all(collection, connection)
        for part in chunks(shown.images, _IMAGES):
            found.take(connection, part)
        assigned = np.flatnonzero(collection.assignments.labels != NONE)
        collection.assignments.write(connection, assigned)
        unseen = ((image, None) for image in found.unseen())
        collection.outbox.add_images(connection, unseen)
        collection.set_state(
            connection,
            followed=0,
            sequence=shown.sequence,
            generation=shown.generation,
            runs=max(collection.state.runs, shown.generation),
        )
    collection.lead()
    if shown.generation:
        generations.save(
            collection.index.directory,
            shown.generation,
            collection.assignments.labels.copy(),
            collection.assignments.confidence.copy(),
            {"n": collection.index.rows, "time": now, "retired": []},
        )
    return Inherited(found.images, found.missing)


def _forget_all(collection: Collection, connection: sqlite3.Connection) -> None:
    """What the collection said itself, but for images that were erased while it was followed."""
    everything = np.arange(collection.index.rows)
    collection.assignments.forget(connection, everything)
    images = list(collection.outbox.images)
    rows = collection.index.row_of(images)
    live = [image for image, row in zip(images, rows, strict=True) if row is not None]
    events = [number for number, _ in collection.outbox.events]
    collection.outbox.done(connection, live, list(collection.outbox.clusters), events)


def _rows_of(collection: Collection, shown: Shown) -> dict[str, int]:
    """The row of each exemplar that is here."""
    images = [info.exemplar for info in shown.clusters if info.exemplar is not None]
    rows = collection.index.row_of(images)
    return {image: row for image, row in zip(images, rows, strict=True) if row is not None}
