"""Step 6: what changed goes to the store; and the whole collection where the store lost it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import structlog

from index import reach_fault
from worker.assignments import NONE
from worker.clock import Clock
from worker.collection import Collection
from worker.errors import LeaseLapsedError, RetryError
from worker.metrics import Metrics
from worker.store.base import (
    MAX_CHANGES,
    Change,
    ClusterInfo,
    Event,
    EventKind,
    ImageState,
    Lease,
    Store,
    Update,
)

log = structlog.get_logger()

# Rows looked up at a time while a whole collection is streamed.
_STREAM_ROWS = 5_000


class Publisher:
    """Publishes collections under leases in the name of `holder`.

    Every method may raise `StoreUnavailableError` (try again later; nothing is lost, the outbox
    keeps it) and `LeaseError` (another worker has the collection: stop).
    """

    def __init__(self, store: Store, holder: str, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._holder = holder
        self._clock = clock
        self._metrics = metrics

    def claim(self, name: str, floor: int = 0) -> Lease:
        """Take the lease of a collection with an epoch above `floor`."""
        return self._store.acquire(name, self._holder, floor)

    def attach(self, collection: Collection, lease: Lease) -> None:
        """Give the collection its lease and bring the store up to date where it is not ours."""
        with collection.index.transaction(durable=True) as connection:
            collection.set_state(connection, epoch=lease.epoch)
        collection.lease = lease
        try:
            if self._store.sequence(collection.name) != (collection.state.sequence or None):
                self.rebuild(collection)
        except RetryError:
            collection.lease = None  # so that the next attempt compares again
            raise

    def renew(self, collection: Collection) -> None:
        """Keep the lease, or take it again where it lapsed."""
        if collection.lease is None:
            self._claim_again(collection)
            return
        try:
            self._store.renew(collection.lease)
        except LeaseLapsedError:
            self._claim_again(collection)

    def extend(self, collection: Collection) -> None:
        """Keep the lease, if there is one."""
        if collection.lease is not None:
            self._store.renew(collection.lease)

    def release(self, collection: Collection) -> None:
        """Give the lease up."""
        if collection.lease is not None:
            self._store.release(collection.lease)
            collection.lease = None

    def give_back(self, lease: Lease) -> None:
        """Give up a lease that no collection holds."""
        self._store.release(lease)

    def publish(self, collection: Collection) -> list[str] | None:
        """Publish one update; returns the ids of its images, or None if nothing went out.

        An image whose row has no cluster yet waits for it.
        """
        if not collection.outbox:
            return None
        if collection.lease is None:
            self._claim_again(collection)
        update, images, clusters, events = _next_update(collection)
        if not (images or clusters or events):
            return None
        try:
            self._store.apply(_lease(collection), update)
        except LeaseLapsedError:
            self._claim_again(collection)
            return None
        reach_fault("6")
        with collection.index.transaction(durable=False) as connection:
            collection.outbox.done(connection, images, clusters, events)
            collection.set_state(connection, sequence=update.sequence)
        self._metrics.published.inc(len(images))
        self._note_time(collection)
        return images

    def relieve(self, collection: Collection) -> None:
        """Lay the collection out anew where it outgrew its buckets; nothing may wait for it."""
        if collection.adoption is None and self._store.crowded(collection.name):
            self.rebuild(collection)

    def rebuild(self, collection: Collection) -> None:
        """Write the whole collection as it is; blocks for as long as that takes.

        What waits in the outbox goes out afterwards as it would have, with its events.
        """
        collection.settle()
        table = collection.clusters
        sequence = collection.state.sequence + 1
        self._store.rebuild(
            _lease(collection),
            _AllImages(collection),
            _infos(collection, table.live),
            {
                table[number].id: table.id(table[number].successor)
                for number in range(len(table))
                if table[number].retired
            },
            Update(
                sequence=sequence,
                generation=collection.state.generation,
                model=collection.index.model,
                dimension=collection.index.dimension,
            ),
        )
        with collection.index.transaction(durable=False) as connection:
            collection.set_state(connection, sequence=sequence)
        log.info("published as a whole", collection=collection.name, images=collection.images)
        self._metrics.rebuilds.inc()
        self._note_time(collection)

    def forget(
        self, collection: Collection, images: frozenset[str], after: str | None
    ) -> str | None:
        """Delete events that name `images`, as `Store.forget`."""
        return self._store.forget(_lease(collection), images, after)

    def put_status(self, collection: Collection, status: dict[str, object]) -> None:
        """Publish what `shoal status` shows beside the summary."""
        if collection.lease is not None:
            self._store.put_status(collection.lease, status)

    def _note_time(self, collection: Collection) -> None:
        collection.times.published = self._clock.time()
        self._metrics.last_publish.set(collection.times.published)

    def _claim_again(self, collection: Collection) -> None:
        self.attach(collection, self.claim(collection.name, collection.state.epoch))


def _lease(collection: Collection) -> Lease:
    if collection.lease is None:
        raise LeaseLapsedError(f"collection {collection.name!r}: no lease yet")
    return collection.lease


def _next_update(collection: Collection) -> tuple[Update, list[str], list[int], list[int]]:
    """The next update, and the outbox entries that it settles."""
    outbox, table = collection.outbox, collection.clusters
    first_images = outbox.first_images(MAX_CHANGES)
    ready = {
        image: row
        for image, row in zip(first_images, collection.index.row_of(first_images), strict=True)
        if row is None or collection.assignments.labels[row] != NONE
    }
    images, rows = list(ready), list(ready.values())
    # Readers see nothing of what stays behind in the outbox, if anything does.
    seen_out = len(first_images) == len(outbox.images) and all(
        outbox.images[image] is None for image in first_images if image not in ready
    )
    changes = _changes(collection, images, rows)
    named = {int(collection.assignments.labels[row]) for row in rows if row is not None}
    first = named & outbox.clusters
    # A retired cluster is told when readers see no image in it any more.
    others = (number for number in outbox.clusters - first if seen_out or not table[number].retired)
    clusters = [*first, *islice(others, MAX_CHANGES - len(first))]
    last = seen_out and len(outbox.clusters) == len(clusters)
    events = outbox.events[:MAX_CHANGES] if last else []
    update = Update(
        sequence=collection.state.sequence + 1,
        changes=changes,
        clusters=list(_infos(collection, [n for n in clusters if not table[n].retired])),
        retired={table[n].id: table.id(table[n].successor) for n in clusters if table[n].retired},
        events=[*_image_events(changes), *(event for _, event in events)],
        generation=collection.state.generation,
        model=collection.index.model,
        dimension=collection.index.dimension,
    )
    return update, images, clusters, [sequence for sequence, _ in events]


def _changes(
    collection: Collection, images: Sequence[str], rows: Sequence[int | None]
) -> list[Change]:
    """What became of images of the outbox, whose rows now are `rows`."""
    old = collection.outbox.images
    return [
        Change(
            image,
            collection.clusters.id(old[image]),
            None if row is None else _state(collection, row),
        )
        for image, row in zip(images, rows, strict=True)
    ]


def _state(collection: Collection, row: int) -> ImageState:
    assigned = collection.assignments
    return ImageState(
        collection.clusters[int(assigned.labels[row])].id,
        round(float(assigned.confidence[row]), 3),
        bool(assigned.provisional[row]),
        int(assigned.generation[row]),
    )


class _AllImages:
    """Every image with its state; has a length, so that the store can stream it."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def __len__(self) -> int:
        return self._collection.images

    def __iter__(self) -> Iterator[tuple[str, ImageState]]:
        for image, row in self._collection.index.iterate():
            yield image, _state(self._collection, row)


def _infos(collection: Collection, numbers: Iterable[int]) -> Iterator[ClusterInfo]:
    numbers = list(numbers)
    table = collection.clusters
    for start in range(0, len(numbers), _STREAM_ROWS):
        part = [table[number] for number in numbers[start : start + _STREAM_ROWS]]
        rows = [0 if cluster.exemplar_row is None else cluster.exemplar_row for cluster in part]
        for cluster, images in zip(part, collection.index.ids_of(rows), strict=True):
            exemplar = images[0] if images and cluster.exemplar_row is not None else None
            yield ClusterInfo(cluster.id, cluster.created, cluster.name, exemplar)


def _image_events(changes: Iterable[Change]) -> Iterator[Event]:
    for change in changes:
        data = {"image": change.id} | ({"from": change.old} if change.old else {})
        if change.new is None:
            if change.old is not None:
                yield Event(EventKind.ERASED, data)
        elif change.new.cluster != change.old:
            yield Event(
                EventKind.ASSIGNED,
                data
                | {
                    "cluster": change.new.cluster,
                    "confidence": f"{change.new.confidence:.3f}",
                    "provisional": str(int(change.new.provisional)),
                },
            )
