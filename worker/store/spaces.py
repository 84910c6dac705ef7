"""Lays a whole collection out in a new space, and clears away spaces that are no longer used."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

from redis import Redis

from worker.store.base import MAX_CHANGES, Change, ClusterInfo, ImageState, Lease
from worker.store.connection import unavailability
from worker.store.keys import Keys, Space, buckets_for
from worker.store.plan import Argument, chunks, difference
from worker.store.scripts import Scripts


class Spaces:
    """The numbered spaces of one leased collection. Every write is fenced."""

    def __init__(self, redis: Redis, scripts: Scripts, keys: Keys, lease: Lease) -> None:
        self._redis: Any = redis
        self._scripts = scripts
        self._keys = keys
        self._lease = lease

    def live(self) -> Space | None:
        """The space that readers use."""
        with unavailability():
            number, buckets = self._redis.hmget(self._keys.meta, "space", "buckets")
        return Space(self._keys, int(number), int(buckets)) if number else None

    def leftover(self) -> list[Space]:
        """The spaces that exist beside the live one."""
        with unavailability():
            known = self._redis.hgetall(self._keys.spaces)
        live = self.live()
        spaces = [Space(self._keys, int(n), int(b)) for n, b in known.items() if n.isdigit()]
        return [space for space in spaces if space != live]

    def fill(
        self,
        images: Iterable[tuple[str, ImageState]],
        clusters: Iterable[ClusterInfo],
        retired: Mapping[str, str | None],
    ) -> Space:
        """Write everything into a new space, in chunks, and return it; it is not live yet."""
        sized = images if isinstance(images, Sized) else list(images)
        space = self.open(len(sized))
        for part in chunks(sized, MAX_CHANGES):
            self.load(space, [Change(image, None, state) for image, state in part])
        for infos in chunks(clusters, MAX_CHANGES):
            self.load(space, clusters=infos)
        for successors in chunks(retired.items(), MAX_CHANGES):
            self.load(space, retired=dict(successors))
        return space

    def open(self, images: int) -> Space:
        """A new space, empty, with buckets for so many images; it is not live yet."""
        buckets = buckets_for(images)
        reply = self._scripts.run("begin", self._keys, self._lease, [self._keys.spaces], [buckets])
        return Space(self._keys, int(reply[1]), buckets)

    def load(
        self,
        space: Space,
        changes: Sequence[Change] = (),
        clusters: Sequence[ClusterInfo] = (),
        retired: Mapping[str, str | None] | None = None,
    ) -> None:
        """Write a difference into a space that is not live; `Change.old` does not matter."""
        also: list[str] = []
        while True:
            keys, arguments = difference(space, changes, clusters, retired, also)
            match self._scripts.write(
                "load", self._keys, self._lease, keys, [space.number, *arguments]
            ):
                case ["also", *found]:
                    also = found
                case _:
                    return

    def flip(self, space: Space, arguments: list[Argument]) -> None:
        """Make `space` the live one."""
        keys, _ = difference(space)
        self._scripts.write("flip", self._keys, self._lease, keys, [space.number, *arguments])

    def sweep(self, space: Space, seconds: int) -> None:
        """Let every key of `space` go after `seconds`, and forget the space."""
        for keys in chunks(self._keys_of(space), MAX_CHANGES):
            self._sweep(keys, seconds, "")
        # What the others were found by goes last: a sweep that is cut short can be repeated.
        self._sweep([space.sizes, space.info, space.retired], seconds, str(space.number))

    def _sweep(self, keys: list[str], seconds: int, forgotten: str) -> None:
        every = [self._keys.spaces, *keys]
        self._scripts.run("sweep", self._keys, self._lease, every, [seconds, forgotten])

    def _keys_of(self, space: Space) -> Iterator[str]:
        yield from map(space.bucket, range(space.buckets))
        with unavailability():
            for cluster, _ in self._redis.zscan_iter(space.sizes, count=MAX_CHANGES):
                yield space.members(cluster)
            # A Redis that drops keys for want of memory may have dropped the sizes.
            for cluster, _ in self._redis.hscan_iter(space.info, count=MAX_CHANGES):
                yield space.members(cluster)
            for cluster, _ in self._redis.hscan_iter(space.retired, count=MAX_CHANGES):
                yield space.members(cluster)
