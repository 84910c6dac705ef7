"""The published state in memory."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.clock import Clock, SystemClock
from worker.errors import LeaseError, LeaseLapsedError, StoreUnavailableError
from worker.store.base import (
    Change,
    ClusterInfo,
    ClusterState,
    Event,
    ImageState,
    Layout,
    Lease,
    Shown,
    Summary,
    Update,
)
from worker.store.codec import decode_event, event_fields, names
from worker.store.keys import Keys, buckets_for, is_crowded
from worker.testing.published import Published


@dataclass
class _Collection:
    epoch: int = 0
    holder: str = ""
    expires: float = 0.0
    buckets: int = 0
    layouts: int = 0
    published: Published | None = None
    events: list[tuple[str, Event]] = field(default_factory=list)
    announced: int = 0
    status: str | None = None
    standby: tuple[str, float] = ("", 0.0)  # and until when


class MemoryStore:
    """`Store` and `Reader` in one process, behaving as Redis does. Not thread-safe.

    Leases run by `clock`. While `down` is true every call but `release` and `close` raises
    `StoreUnavailableError`; `wipe` forgets everything, as a Redis that restarts empty does.
    """

    def __init__(self, clock: Clock | None = None, lease_seconds: float = 15.0) -> None:
        self.down = False
        self.evictions: int | None = 0
        self._clock = clock or SystemClock()
        self._lease_seconds = lease_seconds
        self._collections: dict[str, _Collection] = {}

    def wipe(self) -> None:
        """Lose all data."""
        self._collections.clear()

    def acquire(self, collection: str, holder: str, floor: int) -> Lease:
        """As `Store.acquire`."""
        self._check_up()
        Keys("shoal", collection)
        kept = self._collections.setdefault(collection, _Collection())
        if self._is_held(kept) and kept.holder != holder:
            raise LeaseError(collection, kept.holder)
        kept.epoch = max(kept.epoch, floor) + 1
        kept.holder = holder
        kept.expires = self._clock.monotonic() + self._lease_seconds
        return Lease(collection, holder, kept.epoch)

    def renew(self, lease: Lease) -> None:
        """As `Store.renew`."""
        self._fenced(lease)

    def release(self, lease: Lease) -> None:
        """As `Store.release`."""
        kept = self._collections.get(lease.collection)
        if kept and (kept.epoch, kept.holder) == (lease.epoch, lease.holder) and not self.down:
            kept.expires = 0.0

    def holders(self, collection: str) -> tuple[str | None, str | None]:
        """As `Store.holders`."""
        self._check_up()
        kept = self._collections.get(collection)
        if kept is None or not kept.holder:
            return None, None
        return (kept.holder if self._is_held(kept) else None), kept.holder

    def evicted(self) -> int | None:
        """As `Store.evicted`: what `evictions` is set to."""
        self._check_up()
        return self.evictions

    def shown(self, collection: str) -> Shown | None:
        """As `Store.shown`."""
        published = self._published(collection)
        return None if published is None else published.shown()

    def sequence(self, collection: str) -> int | None:
        """As `Store.sequence`."""
        published = self._published(collection)
        return published.summary.sequence if published else None

    def crowded(self, collection: str) -> bool:
        """As `Store.crowded`."""
        published = self._published(collection)
        if published is None:
            return False
        return is_crowded(len(published.images), self._collections[collection].buckets)

    def apply(self, lease: Lease, update: Update) -> None:
        """As `Store.apply`."""
        kept = self._fenced(lease)
        published = kept.published
        at = published.summary.sequence if published else 0
        if update.sequence not in {at + 1, at if published else 1}:
            raise LeaseLapsedError(
                f"collection {lease.collection!r}: the store is at update {at},"
                f" not ready for {update.sequence}"
            )
        if published is None:
            kept.published = published = Published()
            kept.buckets = buckets_for(0)
        published.write(update.changes, update.clusters, update.retired)
        self._finish(kept, published, update)

    def rebuild(
        self,
        lease: Lease,
        images: Iterable[tuple[str, ImageState]],
        clusters: Iterable[ClusterInfo],
        retired: Mapping[str, str | None],
        update: Update,
    ) -> None:
        """As `Store.rebuild`."""
        changes = [Change(image, None, state) for image, state in images]
        layout = self.lay_out(lease, len(changes))
        layout.write(changes, list(clusters), retired)
        layout.finish(update)

    def lay_out(self, lease: Lease, images: int) -> Layout:
        """As `Store.lay_out`."""
        kept = self._fenced(lease)
        kept.layouts += 1
        return _MemoryLayout(self, lease, buckets_for(images), kept.layouts)

    def make_live(self, lease: Lease, layout: "_MemoryLayout", update: Update) -> None:
        """Switch readers over to `layout`, if it is the newest."""
        kept = self.newest(lease, layout)
        kept.published = layout.published
        kept.buckets = layout.buckets
        self._finish(kept, layout.published, update)

    def newest(self, lease: Lease, layout: "_MemoryLayout") -> _Collection:
        """The collection, for a writer whose layout is the newest. Raises as `Layout.write`."""
        kept = self._fenced(lease)
        if kept.layouts != layout.number:
            raise LeaseLapsedError(f"collection {lease.collection!r}: a newer rebuild was begun")
        return kept

    def sweep(self, lease: Lease) -> None:
        """As `Store.sweep`; a layout that is under way is of no use any more."""
        self._fenced(lease).layouts += 1

    def forget(self, lease: Lease, images: Collection[str], after: str | None = None) -> str | None:
        """As `Store.forget`, all at once."""
        del after
        kept = self._fenced(lease)
        kept.events = [
            (entry, event) for entry, event in kept.events if not names(event.data, images)
        ]
        return None

    def put_status(self, lease: Lease, status: Mapping[str, Any]) -> None:
        """As `Store.put_status`."""
        self._fenced(lease).status = json.dumps(status)

    def stand_by(self, collection: str, told: Mapping[str, Any]) -> None:
        """As `Store.stand_by`."""
        self._check_up()
        kept = self._collections.setdefault(collection, _Collection())
        kept.standby = json.dumps(told), self._clock.monotonic() + self._lease_seconds

    def get(self, collection: str, ids: Sequence[str]) -> list[ImageState | None]:
        """As `Reader.get`."""
        images = published.images if (published := self._published(collection)) else {}
        return [images.get(image) for image in ids]

    def cluster(self, collection: str, cluster: str) -> ClusterState | None:
        """As `Reader.cluster`."""
        published = self._published(collection)
        return published.cluster(cluster) if published else None

    def members(self, collection: str, cluster: str) -> list[str]:
        """As `Reader.members`."""
        published = self._published(collection)
        return sorted(published.members.get(cluster, ())) if published else []

    def clusters(self, collection: str, limit: int | None = None) -> list[ClusterState]:
        """As `Reader.clusters`."""
        published = self._published(collection)
        if published is None:
            return []
        states = [state for c in published.live if (state := published.cluster(c))]
        return sorted(states, key=lambda state: (-state.size, state.id))[:limit]

    def names(self, collection: str, clusters: Sequence[str]) -> list[str | None]:
        """As `Reader.names`."""
        states = (self.cluster(collection, cluster) for cluster in clusters)
        return [state.name if state else None for state in states]

    def summary(self, collection: str) -> Summary | None:
        """As `Reader.summary`."""
        published = self._published(collection)
        return published.summary if published else None

    def status(self, collection: str) -> dict[str, Any] | None:
        """As `Reader.status`."""
        self._check_up()
        kept = self._collections.get(collection)
        if kept is None:
            return None
        text, until = kept.standby
        standby = {"standby": json.loads(text)} if until > self._clock.monotonic() else {}
        return (json.loads(kept.status) if kept.status else {}) | standby or None

    def collections(self) -> list[str]:
        """As `Reader.collections`."""
        self._check_up()
        return sorted(name for name, kept in self._collections.items() if kept.published)

    def events(
        self, collection: str, after: str = "$", block_seconds: float | None = None
    ) -> Iterator[tuple[str, Event]]:
        """As `Reader.events`, but ends at once where that waits."""
        del block_seconds  # nobody else could add one meanwhile
        self._check_up()
        kept = self._collections.get(collection)
        start = float("inf") if after == "$" else _position(after)
        for entry, event in list(kept.events) if kept else []:
            if _position(entry) > start:
                yield entry, event

    def close(self) -> None:
        """As `Store.close`."""

    def _finish(self, kept: _Collection, published: Published, update: Update) -> None:
        published.describe(update, self._clock.time())
        for event in update.events:
            fields = event_fields(event, update.sequence)
            kept.announced += 1
            kept.events.append((f"{kept.announced}-0", decode_event(fields)))

    def _published(self, collection: str) -> Published | None:
        self._check_up()
        kept = self._collections.get(collection)
        return kept.published if kept else None

    def _fenced(self, lease: Lease) -> _Collection:
        self._check_up()
        kept = self._collections.get(lease.collection, _Collection())
        if self._is_held(kept) and kept.holder != lease.holder:
            raise LeaseError(lease.collection, kept.holder)
        if kept.epoch > lease.epoch:
            raise LeaseError(lease.collection, kept.holder)
        if kept.epoch < lease.epoch:
            raise LeaseLapsedError(f"collection {lease.collection!r}: the store lost its data")
        if kept.holder != lease.holder:
            raise LeaseError(lease.collection, kept.holder)
        if not self._is_held(kept):
            raise LeaseLapsedError(f"collection {lease.collection!r}: the lease ran out")
        kept.expires = self._clock.monotonic() + self._lease_seconds
        return kept

    def _is_held(self, kept: _Collection) -> bool:
        return kept.expires > self._clock.monotonic()

    def _check_up(self) -> None:
        if self.down:
            raise StoreUnavailableError("Redis is unavailable: it is down")


class _MemoryLayout:
    """`Layout` of the fake store."""

    def __init__(self, store: MemoryStore, lease: Lease, buckets: int, number: int) -> None:
        self._store = store
        self._lease = lease
        self.buckets = buckets
        self.number = number
        self.published = Published()

    def write(
        self,
        changes: Sequence[Change] = (),
        clusters: Sequence[ClusterInfo] = (),
        retired: Mapping[str, str | None] | None = None,
    ) -> None:
        """As `Layout.write`."""
        self._store.newest(self._lease, self)
        self.published.write(changes, clusters, retired or {})

    def finish(self, update: Update) -> None:
        """As `Layout.finish`."""
        self._store.make_live(self._lease, self, update)

    def discard(self) -> None:
        """As `Layout.discard`."""
        self._store.renew(self._lease)
        self.published = Published()


def _position(entry: str) -> int:
    return int(entry.partition("-")[0])
