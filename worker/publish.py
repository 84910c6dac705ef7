"""Step 6: what changed goes to the store; and the whole collection where the store lost it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

import structlog

from index import reach_fault
from worker.assignments import NONE
from worker.clock import Clock
from worker.collection import Collection
from worker.errors import LeaseLapsedError, RetryError, ShoalError
from worker.metrics import Metrics
from worker.relayout import Relayout
from worker.shown import cluster_infos, image_states, retirements
from worker.store.base import (
    MAX_CHANGES,
    Change,
    Event,
    EventKind,
    ImageState,
    Lease,
    Shown,
    Store,
    Update,
)
from worker.store.plan import chunks

log = structlog.get_logger()


class Publisher:
    """Publishes collections under leases in the name of `holder`.

    Every method may raise `StoreUnavailableError` (try again later; nothing is lost, the outbox
    keeps it) and `LeaseError` (another worker has the collection: stop).
    """

    def __init__(self, store: Store, holder: str, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self.holder = holder
        self._clock = clock
        self._metrics = metrics
        self._relayouts: dict[str, Relayout] = {}

    def claim(self, name: str, floor: int = 0) -> Lease:
        """Take the lease of a collection with an epoch above `floor`."""
        return self._store.acquire(name, self.holder, floor)

    def holders(self, name: str) -> tuple[str | None, str | None]:
        """Who holds the lease of a collection, and who held it last; None for nobody."""
        return self._store.holders(name)

    def evicted(self) -> int | None:
        """As `Store.evicted`."""
        return self._store.evicted()

    def shown(self, name: str) -> Shown | None:
        """What readers see of a collection; None if nothing was ever published."""
        return self._store.shown(name)

    def attach(self, collection: Collection, lease: Lease) -> None:
        """Give the collection its lease and bring the store up to date where it is not ours."""
        with collection.index.transaction(durable=True) as connection:
            collection.set_state(connection, epoch=lease.epoch)
        collection.lease = lease
        self._relayouts.pop(collection.name, None)  # of the lease before
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

    def extend(self, lease: Lease) -> None:
        """Keep a lease."""
        self._store.renew(lease)

    def release(self, collection: Collection) -> None:
        """Give the lease up."""
        relayout = self._relayouts.pop(collection.name, None)
        if relayout is not None:
            with suppress(ShoalError):  # the next lease sweeps it away
                relayout.discard()
        if collection.lease is not None:
            self._store.release(collection.lease)
            collection.lease = None

    def suspend(self, collection: Collection) -> Lease | None:
        """Publish nothing more of a collection that is being closed; its lease, which is kept."""
        self._relayouts.pop(collection.name, None)  # the next lease sweeps it away
        lease, collection.lease = collection.lease, None
        return lease

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
        self._follow(collection, update, clusters)
        self._metrics.published.inc(len(images))
        self._note_time(collection)
        return images

    def relieve(self, collection: Collection) -> None:
        """Begin to lay the collection out anew, if it outgrew its buckets; `lay_out` goes on."""
        if collection.name not in self._relayouts and self._store.crowded(collection.name):
            layout = self._store.lay_out(_lease(collection), collection.images)
            self._relayouts[collection.name] = Relayout(collection, layout)

    def lay_out(self, collection: Collection, limit: int) -> None:
        """Go on with what `relieve` began, by up to `limit` images, and end it where it is ready.

        Where the store does not take it, it is given up, and begun again some time later.
        """
        relayout = self._relayouts.get(collection.name)
        if relayout is None:
            return
        try:
            if relayout.go_on(limit):
                self._finish(collection, relayout)
        except RetryError as error:
            self._give_up(collection, error)

    def _finish(self, collection: Collection, relayout: Relayout) -> None:
        update = _summary(collection)
        relayout.finish(update)
        del self._relayouts[collection.name]
        with collection.index.transaction(durable=False) as connection:
            collection.set_state(connection, sequence=update.sequence)
        self._note_whole(collection)

    def _follow(self, collection: Collection, update: Update, clusters: Sequence[int]) -> None:
        relayout = self._relayouts.get(collection.name)
        if relayout is not None:
            try:
                relayout.follow(update, clusters)
            except RetryError as error:
                self._give_up(collection, error)

    def _give_up(self, collection: Collection, error: RetryError) -> None:
        del self._relayouts[collection.name]
        log.info("more room later", collection=collection.name, error=str(error))

    def rebuild(self, collection: Collection) -> None:
        """Write the whole collection as it is; blocks for as long as that takes.

        What waits in the outbox goes out afterwards as it would have, with its events.
        """
        collection.settle()
        self._relayouts.pop(collection.name, None)
        table = collection.clusters
        update = _summary(collection)
        self._store.rebuild(
            _lease(collection),
            _AllImages(collection),
            cluster_infos(collection, table.live),
            retirements(collection, range(len(table))),
            update,
        )
        with collection.index.transaction(durable=False) as connection:
            collection.set_state(connection, sequence=update.sequence)
        self._note_whole(collection)

    def _note_whole(self, collection: Collection) -> None:
        log.info("published as a whole", collection=collection.name, images=collection.images)
        self._metrics.rebuilds.inc()
        self._note_time(collection)

    def forget(
        self, collection: Collection, images: frozenset[str], after: str | None
    ) -> str | None:
        """Delete events that name `images`, as `Store.forget`, and first whatever may name them in
        what is left of a rebuild; a layout that is under way follows what happens to them.
        """
        if after is None and collection.name not in self._relayouts:
            self._store.sweep(_lease(collection))
        return self._store.forget(_lease(collection), images, after)

    def put_status(self, collection: Collection, status: dict[str, object]) -> None:
        """Publish what `shoal status` shows beside the summary."""
        if collection.lease is not None:
            self._store.put_status(collection.lease, status)

    def stand_by(self, name: str, lag: int) -> None:
        """Tell who stands by for a collection, and how many records it has still to read."""
        self._store.stand_by(name, {"holder": self.holder, "lag": lag})

    def _note_time(self, collection: Collection) -> None:
        collection.times.published = self._clock.time()
        self._metrics.last_publish.set(collection.times.published)

    def _claim_again(self, collection: Collection) -> None:
        self.attach(collection, self.claim(collection.name, collection.state.epoch))


def _lease(collection: Collection) -> Lease:
    if collection.lease is None:
        raise LeaseLapsedError(f"collection {collection.name!r}: no lease yet")
    return collection.lease


def _summary(collection: Collection) -> Update:
    """The update that ends a layout: the collection as a whole."""
    return Update(
        sequence=collection.state.sequence + 1,
        generation=collection.state.generation,
        model=collection.index.model,
        dimension=collection.index.dimension,
    )


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
        clusters=list(cluster_infos(collection, [n for n in clusters if not table[n].retired])),
        retired=retirements(collection, clusters),
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
    old, there = collection.outbox.images, [row for row in rows if row is not None]
    states = iter(image_states(collection, there))
    return [
        Change(image, collection.clusters.id(old[image]), None if row is None else next(states))
        for image, row in zip(images, rows, strict=True)
    ]


class _AllImages:
    """Every image with its state; has a length, so that the store can stream it."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    def __len__(self) -> int:
        return self._collection.images

    def __iter__(self) -> Iterator[tuple[str, ImageState]]:
        for part in chunks(self._collection.index.iterate(), MAX_CHANGES):
            ids, rows = zip(*part, strict=True)
            yield from zip(ids, image_states(self._collection, rows), strict=True)


def _image_events(changes: Iterable[Change]) -> Iterator[Event]:
    for change in changes:
        new = change.new
        if (None if new is None else new.cluster) == change.old:
            continue
        data = {"image": change.id}
        if change.old:
            data["from"] = change.old
        if new is None:
            yield Event(EventKind.ERASED, data)
            continue
        data["cluster"] = new.cluster
        data["confidence"] = f"{new.confidence:.3f}"
        data["provisional"] = str(int(new.provisional))
        yield Event(EventKind.ASSIGNED, data)
