"""The clients: one round trip, following the stream, and asyncio as the twin of blocking."""

import asyncio
import threading

import pytest

from worker.client import AsyncClient, Client
from worker.errors import SettingsError
from worker.store.base import ClusterInfo, Event, EventKind, Update
from worker.store.feed import Feed


@pytest.fixture
def collection(open_store, client, publisher):
    collection = publisher(open_store(), client)
    collection.move(
        ("a", None, "c1"),
        ("b", None, "c2"),
        ("c", None, "c2"),
        clusters=[ClusterInfo("c1", 1.0, "pier")],
        retired={"c0": "c1"},
        events=[assigned("a"), assigned("b")],
    )
    collection.store.put_status(collection.lease, {"rows": 3})
    return collection


def assigned(image):
    return Event(EventKind.ASSIGNED, {"image": image})


QUESTIONS = [
    ("get", ("main", ["a", "zz", "b"])),
    ("get", ("other", ["a"])),
    ("cluster", ("main", "c1")),
    ("cluster", ("main", "c0")),
    ("cluster", ("main", "zz")),
    ("members", ("main", "c2")),
    ("members", ("main", "zz")),
    ("clusters", ("main",)),
    ("clusters", ("main", 1)),
    ("summary", ("main",)),
    ("summary", ("other",)),
    ("status", ("main",)),
    ("status", ("other",)),
    ("collections", ()),
]


@pytest.mark.usefixtures("collection")
class TestAsync:
    def test_same_answers(self, client, valkey):
        """The asyncio client answers every question as the blocking one does."""

        async def ask():
            async with AsyncClient(valkey.url) as reader:
                return [await getattr(reader, name)(*given) for name, given in QUESTIONS]

        assert [getattr(client, name)(*given) for name, given in QUESTIONS] == asyncio.run(ask())

    def test_same_events(self, client, valkey):
        """The asyncio client follows the stream as the blocking one does."""

        async def follow():
            async with AsyncClient(valkey.url) as reader:
                return [entry async for entry in reader.events("main", "0", block_seconds=0.05)]

        assert list(client.events("main", "0", block_seconds=0.05)) == asyncio.run(follow())


class TestRoundTrips:
    def test_one(self, collection, raw):
        """Once it knows the collection, `get` of many images is one transaction."""

        def transactions():
            return raw.info("commandstats").get("cmdstat_exec", {"calls": 0})["calls"]

        collection.reader.get("main", ["a"])
        before = transactions()
        collection.reader.get("main", ["a", "b", "c", "zz"])
        assert transactions() == before + 1

    def test_emptied(self, collection, raw, state):
        """A reader that knew the collection follows it through the loss of everything."""
        collection.check(("a", "c1"), ("b", "c2"), ("c", "c2"))
        raw.flushall()
        assert collection.reader.get("main", ["a"]) == [None]
        images = [(f"image-{i}", state("c5")) for i in range(2_000)]
        lease = collection.store.acquire("main", "worker-1", 1)
        collection.store.rebuild(lease, images, [], {}, Update(1))
        collection.check(*((image, "c5") for image, _ in images))


class TestEvents:
    def test_only_new(self, collection, client):
        """By default only what happens from now on comes, as soon as it happens."""
        feed = client.events("main")
        later = threading.Timer(0.2, lambda: collection.move(events=[assigned("d")]))
        later.start()
        entry, event = next(feed)
        later.join()
        assert event.data["image"] == "d"
        assert list(client.events("main", entry, block_seconds=0)) == []

    def test_goes_on(self, collection, client):
        """A follower that stopped goes on after the last entry it saw."""
        (first, _), *_ = client.events("main", "0", block_seconds=0)
        collection.move(events=[assigned("d")])
        seen = [event.data["image"] for _, event in client.events("main", first, block_seconds=0)]
        assert seen == ["b", "d"]

    def test_many(self, collection, client):
        """More events than one reply holds come without a gap."""
        for part in range(3):
            collection.move(events=[assigned(f"{part}-{i}") for i in range(500)])
        images = [event.data["image"] for _, event in client.events("main", "0", 0)]
        assert images == ["a", "b", *(f"{part}-{i}" for part in range(3) for i in range(500))]

    def test_wait_is_bounded(self):
        """The wait for more counts from the last entry, in slices, and then is over."""
        feed = Feed("stream", "0", block_seconds=60.0)
        command = feed.next_command()
        assert "BLOCK" in command
        assert command[command.index("BLOCK") + 1] <= 2_000
        assert "BLOCK" not in Feed("stream", "0", block_seconds=0).next_command()
        feed = Feed("stream", "0", block_seconds=0)
        feed.next_command()
        assert feed.next_command() is None


@pytest.mark.usefixtures("collection")
def test_threads_share_a_client(client):
    """Threads may use one client at the same time."""
    answers = []

    def ask():
        answers.extend(client.get("main", ["a", "b"])[0].cluster for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["c1"] * 200


def test_bad_collection(valkey):
    """A name that no collection can have is refused before Redis is asked."""
    with Client(valkey.url) as client, pytest.raises(SettingsError, match="collection: 'a b'"):
        client.get("a b", ["a"])
