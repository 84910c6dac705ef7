"""What a reader asks of Redis, without the asking.

Each query is a generator: it yields transactions (lists of commands), is sent their replies, and
returns the answer. The blocking and the asyncio client differ only in how they drive it.
"""

import json
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from worker.store.base import ClusterState, ImageState, Summary
from worker.store.codec import decode_info, decode_state
from worker.store.keys import Keys, Space, collections_key

T = TypeVar("T")
Command = tuple[str | int, ...]
Query = Generator[list[Command], list[Any], T]


class Queries:
    """The queries of `Reader`, for one prefix.

    It remembers where the live space of each collection is. Every transaction also reads where
    it is now and is repeated if that differs, so that a rebuild goes unnoticed and the steady
    state takes one round trip.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._live: dict[str, Space] = {}
        Keys(prefix, "main")

    def get(self, collection: str, ids: Sequence[str]) -> Query[list[ImageState | None]]:
        """See `Reader.get`."""
        asked: dict[str, list[str]] = {}

        def commands(space: Space) -> list[Command]:
            asked.clear()
            for image in dict.fromkeys(ids):
                asked.setdefault(space.bucket_of(image), []).append(image)
            return [("HMGET", bucket, *images) for bucket, images in asked.items()]

        space, replies = yield from self._in_live_space(collection, commands)
        if space is None:
            return [None] * len(ids)
        states = {
            image: text and decode_state(text)
            for images, texts in zip(asked.values(), replies, strict=True)
            for image, text in zip(images, texts, strict=True)
        }
        return [states[image] for image in ids]

    def cluster(self, collection: str, cluster: str) -> Query[ClusterState | None]:
        """See `Reader.cluster`."""

        def commands(space: Space) -> list[Command]:
            return [
                ("SCARD", space.members(cluster)),
                ("HGET", space.info, cluster),
                ("HGET", space.retired, cluster),
            ]

        space, replies = yield from self._in_live_space(collection, commands)
        if space is None:
            return None
        size, info, successor = replies
        if not size and info is None and successor is None:
            return None
        return _cluster_state(cluster, size, info, successor)

    def members(self, collection: str, cluster: str) -> Query[list[str]]:
        """See `Reader.members`."""
        _, replies = yield from self._in_live_space(
            collection, lambda space: [("SMEMBERS", space.members(cluster))]
        )
        return sorted(replies[0]) if replies else []

    def clusters(self, collection: str, limit: int | None) -> Query[list[ClusterState]]:
        """See `Reader.clusters`."""
        if limit is not None and limit < 1:
            return []
        last = -1 if limit is None else limit - 1
        _, replies = yield from self._in_live_space(
            collection, lambda space: [("ZREVRANGE", space.sizes, 0, last, "WITHSCORES")]
        )
        sizes = _pairs(replies)
        if limit is not None and len(sizes) == limit:
            # Redis gives equal sizes by falling id: ask which of the last size come first.
            least = min(sizes.values())
            _, replies = yield from self._in_live_space(
                collection,
                lambda space: [
                    ("ZRANGEBYSCORE", space.sizes, least, least, "WITHSCORES", "LIMIT", 0, limit)
                ],
            )
            sizes = {c: size for c, size in sizes.items() if size > least} | _pairs(replies)
        ids = sorted(sizes, key=lambda cluster: (-sizes[cluster], cluster))[:limit]
        if not ids:
            return []
        _, replies = yield from self._in_live_space(
            collection, lambda space: [("HMGET", space.info, *ids)]
        )
        infos = replies[0] if replies else [None] * len(ids)
        return [
            _cluster_state(cluster, sizes[cluster], info, None)
            for cluster, info in zip(ids, infos, strict=True)
        ]

    def names(self, collection: str, clusters: Sequence[str]) -> Query[list[str | None]]:
        """See `Reader.names`."""
        if not clusters:
            return []
        _, replies = yield from self._in_live_space(
            collection, lambda space: [("HMGET", space.info, *clusters)]
        )
        infos = replies[0] if replies else [None] * len(clusters)
        return [decode_info(c, info).name for c, info in zip(clusters, infos, strict=True)]

    def summary(self, collection: str) -> Query[Summary | None]:
        """See `Reader.summary`."""
        keys = Keys(self._prefix, collection)
        space, replies = yield from self._in_live_space(
            collection, lambda space: [("ZCARD", space.sizes), ("HGETALL", keys.meta)]
        )
        if space is None:
            return None
        clusters, meta = replies
        return Summary(
            images=int(meta["images"]),
            clusters=clusters,
            generation=int(meta.get("generation", 0)),
            sequence=int(meta["sequence"]),
            model=meta.get("model"),
            dimension=int(meta.get("dimension", 0)),
            updated=float(meta["updated"]),
        )

    def status(self, collection: str) -> Query[dict[str, Any] | None]:
        """See `Reader.status`."""
        keys = Keys(self._prefix, collection)
        text, standby = yield [("GET", keys.status), ("GET", keys.standby)]
        if not text and not standby:
            return None
        told: dict[str, Any] = json.loads(text) if text else {}
        return told | ({"standby": json.loads(standby)} if standby else {})

    def collections(self) -> Query[list[str]]:
        """See `Reader.collections`."""
        (names,) = yield [("SMEMBERS", collections_key(self._prefix))]
        return sorted(names)

    def newest_event(self, collection: str) -> Query[str]:
        """The id of the newest entry of the stream; "0-0" if there is none."""
        (entries,) = yield [("XREVRANGE", self.stream(collection), "+", "-", "COUNT", 1)]
        return entries[0][0] if entries else "0-0"

    def stream(self, collection: str) -> str:
        """The key of the stream of events."""
        return Keys(self._prefix, collection).events

    def _in_live_space(
        self, collection: str, commands: Callable[[Space], list[Command]]
    ) -> Query[tuple[Space | None, list[Any]]]:
        """The replies to `commands`, and the space that they came from; None: unknown."""
        keys = Keys(self._prefix, collection)
        space = self._live.get(collection)
        while True:
            asked = commands(space) if space else []
            place, *replies = yield [("HMGET", keys.meta, "space", "buckets"), *asked]
            there = Space(keys, int(place[0]), int(place[1])) if place[0] else None
            if there == space:
                return space, replies
            space = there
            if space:
                self._live[collection] = space
            else:
                self._live.pop(collection, None)


def _cluster_state(
    cluster: str, size: int, info: str | None, successor: str | None
) -> ClusterState:
    said = decode_info(cluster, info)
    return ClusterState(
        cluster,
        size,
        said.created,
        said.name,
        said.exemplar,
        successor is not None,
        successor or None,
    )


def _pairs(replies: Sequence[Sequence[Any]]) -> dict[str, int]:
    flat = replies[0] if replies else []
    return {flat[i]: int(flat[i + 1]) for i in range(0, len(flat), 2)}
