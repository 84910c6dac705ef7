"""docs/redis.md: what it shows is what the server says."""

import itertools
import re
import shlex
from pathlib import Path

import pytest
import redis

from worker.client import Client
from worker.store.base import Change, ClusterInfo, Event, EventKind, ImageState, Update
from worker.store.redis_store import RedisStore

PAGE = Path(__file__).parents[2] / "docs" / "redis.md"
EXAMPLE = re.compile(r"^\$ redis-cli (.+)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)
EXAMPLES = EXAMPLE.findall(PAGE.read_text("utf-8"))
FIRST, SECOND = "c00gtnx1vk5s8e2r", "c00gtnx1vkh2m0aa"
CREATED = 1_767_225_600.0


@pytest.fixture
def collection(open_store, raw):
    """The collection that the page shows."""
    store = open_store()
    lease = store.acquire("main", "shoal-0", 0)
    states = {
        "digits/0001": ImageState(FIRST, 0.9312, provisional=True, generation=12),
        "digits/0042": ImageState(FIRST, 0.99, provisional=False, generation=12),
        "digits/0007": ImageState(SECOND, 0.8, provisional=False, generation=11),
    }
    changes = [Change(image, None, state) for image, state in states.items()]
    infos = [ClusterInfo(FIRST, CREATED, "sevens", "digits/0042"), ClusterInfo(SECOND, CREATED)]
    data = {"image": "digits/0001", "cluster": FIRST}
    store.apply(
        lease,
        Update(
            sequence=1,
            changes=changes,
            clusters=infos,
            retired={"c00gtnx1vbbbbbbb": FIRST},
            events=[Event(EventKind.ASSIGNED, data)],
            generation=12,
            model="digits-8x8",
            dimension=64,
        ),
    )
    store.apply(lease, Update(2))
    return raw


def shown(reply) -> list[str]:
    """The lines in which redis-cli prints a reply to a person."""
    if reply is None:
        return ["(nil)"]
    if isinstance(reply, int):
        return [f"(integer) {reply}"]
    if isinstance(reply, str):
        return ['"{}"'.format(reply.replace('"', '\\"'))]
    lines = []
    for number, item in enumerate(reply, start=1):
        head, *rest = shown(item)
        lines += [f"{number}) {head}", *(" " * len(f"{number}) ") + line for line in rest)]
    return lines


def plain(reply):
    """A reply as the wire had it, before redis-py put it in order."""
    if isinstance(reply, dict):
        return list(itertools.chain.from_iterable(reply.items()))
    if isinstance(reply, set):
        return sorted(reply)
    if isinstance(reply, list | tuple):
        return [plain(item) for item in reply]
    return reply


def without_times(lines):
    return [re.sub(r"\d{13}-\d+", "TIME", line) for line in lines]


@pytest.mark.parametrize(("command", "answer"), EXAMPLES, ids=[c for c, _ in EXAMPLES])
def test_example(collection, command, answer):
    """Each redis-cli line of the page gives the answer below it."""
    reply = plain(collection.execute_command(*shlex.split(command)))
    assert without_times(answer.splitlines()) == without_times(shown(reply))


@pytest.mark.usefixtures("collection")
def test_rights(valkey, raw):
    """The rights that the page names are enough to read and to write."""
    url = valkey.url.replace("redis://", "redis://{}:secret@")
    reads = re.search(r"needs `(\+[^`]+)`", re.sub(r"\s+", " ", PAGE.read_text("utf-8"))).group(1)
    rights = {"reader": reads, "writer": "+@all -@admin -@dangerous"}
    for user, allowed in rights.items():
        raw.acl_setuser(user, enabled=True, passwords=["+secret"], keys=["shoal:*"], reset=True)
        raw.execute_command("ACL", "SETUSER", user, *allowed.split())
    store = RedisStore(url.format("writer"))
    lease = store.acquire("main", "shoal-0", 0)
    image = ImageState(FIRST, 0.5, provisional=False, generation=13)
    store.rebuild(lease, [("a", image)], [ClusterInfo(FIRST, CREATED)], {}, Update(3))
    store.apply(lease, Update(4, events=[Event(EventKind.GENERATION, {})]))
    store.put_status(lease, {})
    assert store.forget(lease, frozenset({"digits/0001"})) is None
    assert not store.crowded("main")
    store.release(lease)
    store.close()
    with Client(url.format("reader")) as client:
        assert client.get("main", ["a"]) == [image]
        assert client.cluster("main", FIRST).size == len(client.clusters("main", 1))
        assert client.members("main", FIRST) == ["a"]
        assert client.summary("main").sequence == 4
        assert client.status("main") == {}
        assert client.collections() == ["main"]
        assert len(list(client.events("main", "0", 0))) == 1
        assert list(client.events("main", block_seconds=0)) == []
        with pytest.raises(redis.exceptions.NoPermissionError):
            client._redis.set("shoal:x", 1)


def test_examples_found():
    """The page has its examples."""
    assert len(EXAMPLES) > 10
