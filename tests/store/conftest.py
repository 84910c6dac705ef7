"""A real Valkey for the session, and the helpers of the store's tests."""

from collections.abc import Callable, Iterator

import pytest
import redis

from worker.client import Client
from worker.embedded.valkey import EmbeddedValkey
from worker.store.base import Change, ImageState, Reader, Store, Update
from worker.store.redis_store import RedisStore


@pytest.fixture(scope="session")
def valkey(tmp_path_factory) -> Iterator[EmbeddedValkey]:
    # A listpack limit of 128 fields is what Redis has by default.
    options = ("--hash-max-listpack-entries", "128", "--enable-debug-command", "local")
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey"), options=options) as server:
        yield server


@pytest.fixture(autouse=True)
def raw(valkey) -> Iterator[redis.Redis]:
    """The server, empty, seen without Shoal."""
    with redis.Redis.from_url(valkey.url, decode_responses=True, protocol=2) as client:
        client.flushall()
        client.config_set("maxmemory", 0)
        yield client


@pytest.fixture
def open_store(valkey) -> Iterator[Callable[..., RedisStore]]:
    """Makes Redis stores; closes them."""
    stores = []

    def make(**options) -> RedisStore:
        stores.append(RedisStore(valkey.url, **options))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def client(valkey) -> Iterator[Client]:
    with Client(valkey.url) as reader:
        yield reader


class Publisher:
    """Publishes with running sequence numbers and checks what readers see."""

    def __init__(self, store: Store, reader: Reader, collection: str = "main") -> None:
        self.store = store
        self.reader = reader
        self.collection = collection
        self.lease = store.acquire(collection, "worker-1", 0)
        self.sequence = 0

    def move(self, *moves: tuple[str, str | None, str | None], **update) -> None:
        """Apply moves (image, old cluster, new cluster) as the next update."""
        self.sequence += 1
        changes = [Change(image, old, new and state(new)) for image, old, new in moves]
        self.store.apply(self.lease, Update(self.sequence, changes, **update))

    def check(self, *expected: tuple[str, str]) -> None:
        """Every view agrees that exactly these (image, cluster) pairs are published."""
        clusters: dict[str, list[str]] = {}
        for image, cluster in sorted(expected):
            clusters.setdefault(cluster, []).append(image)
        found = self.reader.get(self.collection, [image for image, _ in expected])
        live = self.reader.clusters(self.collection)
        assert [cluster for _, cluster in expected] == [s and s.cluster for s in found]
        assert {c: len(ids) for c, ids in clusters.items()} == {c.id: c.size for c in live}
        assert clusters == {c: self.reader.members(self.collection, c) for c in clusters}
        summary = self.reader.summary(self.collection)
        assert (len(expected), len(clusters)) == (summary.images, summary.clusters)


@pytest.fixture
def publisher() -> type[Publisher]:
    return Publisher


def state(cluster: str, generation: int = 1) -> ImageState:
    return ImageState(cluster, 0.5, False, generation)


@pytest.fixture(name="state")
def state_fixture() -> Callable[..., ImageState]:
    return state
