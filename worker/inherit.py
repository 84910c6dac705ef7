"""What readers see becomes what a collection that was followed says, when its worker takes over.

A standby gives no clusters by itself: they would have other ids than those that readers know. It
takes cluster, confidence and generation of each image, and ids, names and successors of clusters,
from the store, in one durable transaction; only images that readers do not see yet are assigned.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from worker.assignments import NONE
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


@dataclass(slots=True)
class _Found:
    """The shown images as rows: parallel arrays, and how many images of each row are shown."""

    collection: Collection
    numbers: Mapping[str, int]
    seen: np.ndarray
    images: int = 0
    missing: int = 0

    def take(
        self, connection: sqlite3.Connection, images: Iterable[tuple[str, ImageState]]
    ) -> None:
        """Assign the images that are here; those erased here are still to be told of."""
        collection, erased = self.collection, []
        states = list(images)
        found = collection.index.row_of([image for image, _ in states])
        here = [
            (row, state) for row, (_, state) in zip(found, states, strict=True) if row is not None
        ]
        for row, (image, state) in zip(found, states, strict=True):
            if row is None and image in collection.outbox.images:
                erased.append((image, self.numbers.get(state.cluster)))
        self.images += len(here)
        self.missing += len(states) - len(here) - len(erased)
        connection.executemany(
            "UPDATE outbox SET old = ? WHERE image = ?", [(n, i) for i, n in erased]
        )
        rows = np.array([row for row, _ in here], np.int64)
        np.add.at(self.seen, rows, 1)
        collection.assignments.set(
            rows,
            np.array([self.numbers[state.cluster] for _, state in here], np.int32),
            np.array([state.confidence for _, state in here], np.float32),
            np.array([state.provisional for _, state in here], np.bool_),
            np.array([state.generation for _, state in here], np.int32),
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
        found = _Found(collection, numbers, np.zeros(collection.index.rows, np.int64))
        _forget_all(collection, connection)
        for part in chunks(shown.images, _IMAGES):
            found.take(connection, part)
        assigned = np.flatnonzero(collection.assignments.labels != NONE)
        collection.assignments.write(connection, assigned)
        _note_unseen(collection, connection, found.seen)
        collection.set_state(
            connection,
            followed=0,
            sequence=shown.sequence,
            generation=shown.generation,
            runs=max(collection.state.runs, shown.generation),
        )
    collection.serve()
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
    live = [
        image
        for image, row in zip(
            collection.outbox.images,
            collection.index.row_of(list(collection.outbox.images)),
            strict=True,
        )
        if row is not None
    ]
    events = [number for number, _ in collection.outbox.events]
    collection.outbox.done(connection, live, list(collection.outbox.clusters), events)


def _rows_of(collection: Collection, shown: Shown) -> dict[str, int]:
    """The row of each exemplar that is here."""
    images = [info.exemplar for info in shown.clusters if info.exemplar is not None]
    rows = collection.index.row_of(images)
    return {image: row for image, row in zip(images, rows, strict=True) if row is not None}


def _note_unseen(collection: Collection, connection: sqlite3.Connection, seen: np.ndarray) -> None:
    """Images of rows of which not all are shown go out, whatever readers see of them."""
    rows = np.flatnonzero(seen < collection.index.counts)
    for ids in collection.index.ids_of(rows.tolist()):
        collection.outbox.add_images(connection, ((image, None) for image in ids))
