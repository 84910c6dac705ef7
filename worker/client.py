"""Reading what is published: `Client` blocks, `AsyncClient` is the same for asyncio."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Self, TypeVar

from worker.store.base import ClusterState, Event, ImageState, Summary
from worker.store.connection import connect, connect_async, unavailability
from worker.store.feed import Feed
from worker.store.queries import Command, Queries, Query

T = TypeVar("T")


class Client:
    """`Reader` over Redis. Thread-safe; connects when first used.

    `get` takes one round trip. Every method raises `StoreUnavailableError` when Redis cannot
    serve, after a time-out of a few seconds, and `SettingsError` for a collection name that cannot
    be; the constructor does for the URL or the prefix.
    """

    def __init__(self, url: str, prefix: str = "shoal") -> None:
        self._queries = Queries(prefix)
        self._redis: Any = connect(url)

    def get(self, collection: str, ids: Sequence[str]) -> list[ImageState | None]:
        """As `Reader.get`."""
        return self._run(self._queries.get(collection, ids))

    def cluster(self, collection: str, cluster: str) -> ClusterState | None:
        """As `Reader.cluster`."""
        return self._run(self._queries.cluster(collection, cluster))

    def members(self, collection: str, cluster: str) -> list[str]:
        """As `Reader.members`."""
        return self._run(self._queries.members(collection, cluster))

    def clusters(self, collection: str, limit: int | None = None) -> list[ClusterState]:
        """As `Reader.clusters`."""
        return self._run(self._queries.clusters(collection, limit))

    def names(self, collection: str, clusters: Sequence[str]) -> list[str | None]:
        """As `Reader.names`."""
        return self._run(self._queries.names(collection, clusters))

    def summary(self, collection: str) -> Summary | None:
        """As `Reader.summary`."""
        return self._run(self._queries.summary(collection))

    def status(self, collection: str) -> dict[str, Any] | None:
        """As `Reader.status`."""
        return self._run(self._queries.status(collection))

    def collections(self) -> list[str]:
        """As `Reader.collections`."""
        return self._run(self._queries.collections())

    def events(
        self, collection: str, after: str = "$", block_seconds: float | None = None
    ) -> Iterator[tuple[str, Event]]:
        """As `Reader.events`."""
        if after == "$":
            after = self._run(self._queries.newest_event(collection))
        feed = Feed(self._queries.stream(collection), after, block_seconds)
        while (command := feed.next_command()) is not None:
            with unavailability():
                reply = self._redis.execute_command(*command)
            yield from feed.take(reply)

    def close(self) -> None:
        """Release every connection."""
        self._redis.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, query: Query[T]) -> T:
        try:
            commands = next(query)
            while True:
                commands = query.send(self._transact(commands))
        except StopIteration as stop:
            answer: T = stop.value
            return answer

    def _transact(self, commands: list[Command]) -> list[Any]:
        with unavailability(), self._redis.pipeline(transaction=len(commands) > 1) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = pipeline.execute()
            return replies


class AsyncClient:
    """What `Client` is, for asyncio; of one event loop."""

    def __init__(self, url: str, prefix: str = "shoal") -> None:
        self._queries = Queries(prefix)
        self._redis: Any = connect_async(url)

    async def get(self, collection: str, ids: Sequence[str]) -> list[ImageState | None]:
        """As `Reader.get`."""
        return await self._run(self._queries.get(collection, ids))

    async def cluster(self, collection: str, cluster: str) -> ClusterState | None:
        """As `Reader.cluster`."""
        return await self._run(self._queries.cluster(collection, cluster))

    async def members(self, collection: str, cluster: str) -> list[str]:
        """As `Reader.members`."""
        return await self._run(self._queries.members(collection, cluster))

    async def clusters(self, collection: str, limit: int | None = None) -> list[ClusterState]:
        """As `Reader.clusters`."""
        return await self._run(self._queries.clusters(collection, limit))

    async def names(self, collection: str, clusters: Sequence[str]) -> list[str | None]:
        """As `Reader.names`."""
        return await self._run(self._queries.names(collection, clusters))

    async def summary(self, collection: str) -> Summary | None:
        """As `Reader.summary`."""
        return await self._run(self._queries.summary(collection))

    async def status(self, collection: str) -> dict[str, Any] | None:
        """As `Reader.status`."""
        return await self._run(self._queries.status(collection))

    async def collections(self) -> list[str]:
        """As `Reader.collections`."""
        return await self._run(self._queries.collections())

    async def events(
        self, collection: str, after: str = "$", block_seconds: float | None = None
    ) -> AsyncIterator[tuple[str, Event]]:
        """As `Reader.events`."""
        if after == "$":
            after = await self._run(self._queries.newest_event(collection))
        feed = Feed(self._queries.stream(collection), after, block_seconds)
        while (command := feed.next_command()) is not None:
            with unavailability():
                reply = await self._redis.execute_command(*command)
            for entry in feed.take(reply):
                yield entry

    async def close(self) -> None:
        """Release every connection."""
        await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self, query: Query[T]) -> T:
        try:
            commands = next(query)
            while True:
                commands = query.send(await self._transact(commands))
        except StopIteration as stop:
            answer: T = stop.value
            return answer

    async def _transact(self, commands: list[Command]) -> list[Any]:
        with unavailability():
            async with self._redis.pipeline(transaction=len(commands) > 1) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                replies: list[Any] = await pipeline.execute()
                return replies
