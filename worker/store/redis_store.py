"""The published state in Redis or Valkey, written through fenced scripts."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from worker.clock import Clock, SystemClock
from worker.errors import LeaseError, LeaseLapsedError, RetryError, SettingsError
from worker.store.base import Change, ClusterInfo, ImageState, Layout, Lease, Shown, Update
from worker.store.codec import names
from worker.store.connection import connect, unavailability
from worker.store.keys import Keys, Space, collections_key, is_crowded
from worker.store.plan import Argument, announcement, description, difference
from worker.store.scripts import Scripts
from worker.store.showing import Showing
from worker.store.spaces import Spaces

# A reader that looked the space up just before it changed may use the old one for so long.
LINGER_SECONDS = 600

# Events looked through at a time; Lua takes no more than some 7,000 arguments.
_FORGET_ENTRIES = 2_000


class RedisStore:
    """`Store` over one Redis. Thread-safe; every call blocks for at most a few time-outs.

    Every write that the fence lets pass renews the lease for `lease_seconds`, so that a long
    rebuild keeps it. The stream of events keeps about the last `events_kept`; a space that was
    replaced stays for `linger_seconds`. Raises `SettingsError` for a URL or a prefix that cannot
    be; connects when first used.
    """

    def __init__(
        self,
        url: str,
        prefix: str = "shoal",
        lease_seconds: float = 15.0,
        events_kept: int = 100_000,
        linger_seconds: float = LINGER_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self._redis: Any = connect(url)
        self._scripts = Scripts(self._redis, lease_seconds)
        self._lease_ms = round(lease_seconds * 1000)
        self._prefix = prefix
        self._events_kept = events_kept
        self._linger_seconds = int(linger_seconds)
        self._clock = clock or SystemClock()
        self._live: dict[str, Space] = {}
        self._may_ask = True
        Keys(prefix, "main")

    def acquire(self, collection: str, holder: str, floor: int) -> Lease:
        """As `Store.acquire`. Clears away what a rebuild that was cut short left."""
        keys = self._keys(collection)
        lease = self._scripts.acquire(keys, holder, floor)
        self._swept(lease)
        if self.sequence(collection) is not None:
            self._list(collection)
        return lease

    def renew(self, lease: Lease) -> None:
        """As `Store.renew`."""
        self._scripts.run("renew", self._keys(lease.collection), lease)

    def release(self, lease: Lease) -> None:
        """As `Store.release`; an unavailable Redis lets the lease lapse by itself."""
        with suppress(RetryError, LeaseError):
            self._scripts.run("release", self._keys(lease.collection), lease)

    def holders(self, collection: str) -> tuple[str | None, str | None]:
        """As `Store.holders`."""
        keys = self._keys(collection)
        with unavailability():
            return self._redis.get(keys.lease), self._redis.hget(keys.writer, "holder")

    def evicted(self) -> int | None:
        """As `Store.evicted`; a user without the right to ask is not asked again."""
        if not self._may_ask:
            return None
        try:
            with unavailability():
                return int(self._redis.info("stats")["evicted_keys"])
        except SettingsError:
            self._may_ask = False
            return None

    def shown(self, collection: str) -> Shown | None:
        """As `Store.shown`."""
        return Showing(self._redis, self._keys(collection)).shown()

    def sequence(self, collection: str) -> int | None:
        """As `Store.sequence`."""
        with unavailability():
            sequence = self._redis.hget(self._keys(collection).meta, "sequence")
        return None if sequence is None else int(sequence)

    def crowded(self, collection: str) -> bool:
        """As `Store.crowded`."""
        with unavailability():
            images, buckets = self._redis.hmget(self._keys(collection).meta, "images", "buckets")
        return images is not None and is_crowded(int(images), int(buckets))

    def apply(self, lease: Lease, update: Update) -> None:
        """As `Store.apply`: one script, in which Redis serves nobody else."""
        keys = self._keys(lease.collection)
        tail = [*self._description(update), *self._announcement(update)]
        also: list[str] = []
        while True:
            space = self._live.get(lease.collection) or self._find_live(keys, lease, update)
            more_keys, arguments = difference(
                space, update.changes, update.clusters, update.retired, also
            )
            head = [space.number, space.buckets, update.sequence]
            reply = self._scripts.write("apply", keys, lease, more_keys, [*head, *arguments, *tail])
            match reply:
                case ["moved"]:
                    self._live.pop(lease.collection, None)
                case ["also", *clusters]:
                    also = clusters
                case _:
                    return

    def rebuild(
        self,
        lease: Lease,
        images: Iterable[tuple[str, ImageState]],
        clusters: Iterable[ClusterInfo],
        retired: Mapping[str, str | None],
        update: Update,
    ) -> None:
        """As `Store.rebuild`. The old state goes `linger_seconds` later."""
        spaces = self._swept(lease)
        self._make_live(lease, spaces, spaces.fill(images, clusters, retired), update)

    def lay_out(self, lease: Lease, images: int) -> Layout:
        """As `Store.lay_out`."""
        spaces = self._swept(lease)
        space = spaces.open(images)
        return RedisLayout(
            spaces, space, lambda update: self._make_live(lease, spaces, space, update)
        )

    def sweep(self, lease: Lease) -> None:
        """As `Store.sweep`."""
        self.renew(lease)
        self._swept(lease)

    def forget(self, lease: Lease, images: Collection[str], after: str | None = None) -> str | None:
        """As `Store.forget`."""
        keys = self._keys(lease.collection)
        start = "-" if after is None else f"({after}"
        with unavailability():
            entries = self._redis.xrange(keys.events, start, count=_FORGET_ENTRIES)
        found = [entry for entry, fields in entries if names(fields, images)]
        if found:
            self._scripts.run("forget", keys, lease, [keys.events], found)
        return entries[-1][0] if len(entries) == _FORGET_ENTRIES else None

    def put_status(self, lease: Lease, status: Mapping[str, Any]) -> None:
        """As `Store.put_status`."""
        keys = self._keys(lease.collection)
        self._scripts.run("status", keys, lease, [keys.status], [json.dumps(status)])

    def stand_by(self, collection: str, told: Mapping[str, Any]) -> None:
        """As `Store.stand_by`."""
        key, text = self._keys(collection).standby, json.dumps(told)
        with unavailability():
            self._redis.set(key, text, px=self._lease_ms)

    def close(self) -> None:
        """As `Store.close`."""
        self._redis.close()

    def _keys(self, collection: str) -> Keys:
        return Keys(self._prefix, collection)

    def _spaces(self, keys: Keys, lease: Lease) -> Spaces:
        return Spaces(self._redis, self._scripts, keys, lease)

    def _swept(self, lease: Lease) -> Spaces:
        """The spaces of a collection, those that are not live cleared away."""
        spaces = self._spaces(self._keys(lease.collection), lease)
        for space in spaces.leftover():
            spaces.sweep(space, 0)
        return spaces

    def _make_live(self, lease: Lease, spaces: Spaces, space: Space, update: Update) -> None:
        self._list(lease.collection)
        spaces.flip(space, [*self._description(update, space), *self._announcement(update)])
        self._live[lease.collection] = space
        with suppress(RetryError, LeaseError):  # published all the same; `sweep` comes to it
            for old in spaces.leftover():
                spaces.sweep(old, self._linger_seconds)

    def _find_live(self, keys: Keys, lease: Lease, update: Update) -> Space:
        """Look the live space up; a collection begins with an empty one before update 1."""
        space = self._spaces(keys, lease).live()
        if space is not None:
            self._live[lease.collection] = space
        elif update.sequence == 1:
            self.rebuild(lease, (), (), {}, Update(sequence=0))
        else:
            self.renew(lease)
            raise LeaseLapsedError(
                f"collection {lease.collection!r}: the store has nothing of it,"
                f" and is not ready for update {update.sequence}"
            )
        return self._live[lease.collection]

    def _list(self, collection: str) -> None:
        with unavailability():
            self._redis.sadd(collections_key(self._prefix), collection)

    def _description(self, update: Update, space: Space | None = None) -> list[Argument]:
        return description(
            {
                "space": space.number if space else None,
                "buckets": space.buckets if space else None,
                "sequence": update.sequence,
                "generation": update.generation or None,
                "model": update.model,
                "dimension": update.dimension or None,
                "updated": self._clock.time(),
            }
        )

    def _announcement(self, update: Update) -> list[Argument]:
        return announcement(update.events, update.sequence, self._events_kept)


class RedisLayout:
    """`Layout` in a space of its own. `make_live` switches readers over."""

    def __init__(self, spaces: Spaces, space: Space, make_live: Callable[[Update], None]) -> None:
        self._spaces = spaces
        self._space = space
        self._make_live = make_live

    def write(
        self,
        changes: Sequence[Change] = (),
        clusters: Sequence[ClusterInfo] = (),
        retired: Mapping[str, str | None] | None = None,
    ) -> None:
        """As `Layout.write`."""
        self._spaces.load(self._space, changes, clusters, retired)

    def finish(self, update: Update) -> None:
        """As `Layout.finish`."""
        self._make_live(update)

    def discard(self) -> None:
        """As `Layout.discard`."""
        self._spaces.sweep(self._space, 0)
