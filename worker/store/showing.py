"""Reads all that readers see of a collection, for the worker that takes it over."""

from collections.abc import Iterator
from typing import Any

from worker.store.base import ClusterInfo, ImageState, Shown
from worker.store.codec import decode_info, decode_state
from worker.store.connection import unavailability
from worker.store.keys import Keys, Space
from worker.store.plan import chunks

_BUCKETS_TOGETHER = 200
_FIELDS_TOGETHER = 1_000


class Showing:
    """The published state of one collection, whose lease is held."""

    def __init__(self, redis: Any, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    def shown(self) -> Shown | None:
        """See `Store.shown`."""
        with unavailability():
            meta = self._redis.hgetall(self._keys.meta)
        if "space" not in meta:
            return None
        space = Space(self._keys, int(meta["space"]), int(meta["buckets"]))
        return Shown(
            int(meta["sequence"]),
            int(meta.get("generation", 0)),
            self._images(space),
            self._clusters(space),
            {cluster: heir or None for cluster, heir in self._fields(space.retired)},
        )

    def _images(self, space: Space) -> Iterator[tuple[str, ImageState]]:
        for numbers in chunks(range(space.buckets), _BUCKETS_TOGETHER):
            with unavailability(), self._redis.pipeline(transaction=False) as pipeline:
                for number in numbers:
                    pipeline.hgetall(space.bucket(number))
                buckets = pipeline.execute()
            for bucket in buckets:
                for image, text in bucket.items():
                    yield image, decode_state(text)

    def _clusters(self, space: Space) -> list[ClusterInfo]:
        """Every live cluster, also one of which nothing is known but its images."""
        infos = dict(self._fields(space.info))
        with unavailability():
            live = {name for name, _ in self._redis.zscan_iter(space.sizes, count=_FIELDS_TOGETHER)}
        return [decode_info(name, infos.get(name)) for name in sorted(live | infos.keys())]

    def _fields(self, key: str) -> list[tuple[str, str]]:
        with unavailability():
            return list(self._redis.hscan_iter(key, count=_FIELDS_TOGETHER))
