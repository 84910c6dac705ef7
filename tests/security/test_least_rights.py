"""SECURITY.md's rights are enough, and none is too much; over TLS, SCRAM and ACL users."""

import re
from contextlib import closing

import pytest

from worker.client import Client
from worker.embedded.valkey import EmbeddedValkey
from worker.errors import SettingsError
from worker.store.base import Change, ClusterInfo, Event, EventKind, ImageState, Update
from worker.store.redis_store import RedisStore
from worker.traces.in_files import Searched
from worker.traces.in_redis import in_redis
from worker.traces.sought import Sought


def test_a_whole_pass(secure, acl, tools):
    """A worker takes images, refuses records, erases, reclusters and writes Redis anew, with the
    documented rights alone, and nothing of what it tried was forbidden.
    """
    secure.create_topic()
    secure.grant()
    stream = tools.eventful()
    secure.send(stream)
    acl.ask(secure.valkey, "ACL", "LOG", "RESET")
    worker = secure.start(recluster_first_images=100, erasure_seconds=1).ready()
    secure.published(stream)
    tools.eventually(lambda: secure.client.summary("main").generation)
    tools.eventually(lambda: worker.metric("shoal_erasures_waiting") == 0)
    assert worker.metric("shoal_dead_letters_total", reason="not_json") == stream.bad
    acl.ask(secure.valkey, "FLUSHALL")
    secure.published(stream)
    assert worker.stop() == 0
    assert acl.ask(secure.valkey, "ACL", "LOG") == []
    secure.assert_consistent(stream)
    [offsets] = secure.committed().values()
    assert offsets == len(stream.records)


def test_dead_letter_topic_made_beforehand(secure, tools):
    """A worker that may not make the topic of dead letters uses one that is there."""
    secure.create_topic()
    secure.kafka.create_topic(f"{secure.topic}.dead")
    secure.kafka.grant(line for line in secure.kafka_lines("worker") if "Create" not in line)
    stream = tools.groups(2, 5)
    stream.refuse(b"bad", b"no json")
    secure.send(stream)
    assert secure.run().exit_code == 0


# What stands in the error, by what the line of SECURITY.md that is left out gives.
LACKING = {
    "Read --topic": r"opening topic 'TOPIC': TopicAuth",
    "Read --group": r"reading topic 'TOPIC': GroupAuth.*GROUP",
    "Write --topic": r"sending dead letters to topic 'TOPIC\.dead': TopicAuth",
    "Create --topic": r"sending dead letters to topic 'TOPIC\.dead': TopicAuth",
}


@pytest.mark.parametrize("missing", LACKING)
def test_one_right_less_at_kafka(secure, tools, missing):
    """Without one of the documented rights the worker ends with status 2 and says what it lacks."""
    lines = secure.kafka_lines("worker")
    kept = [line for line in lines if missing not in line]
    assert len(lines) == len(LACKING) == len(kept) + 1
    assert_ends(secure, tools, kept, LACKING[missing])


def test_offsets_that_may_not_be_committed(secure, tools):
    """A worker that may see its group, but not commit, ends with status 2 and names the group."""
    lines = [
        line.replace("Read --group", "Describe --group") for line in secure.kafka_lines("worker")
    ]
    assert_ends(secure, tools, lines, "committing offsets of group 'GROUP': GroupAuth")


def assert_ends(stage, tools, granted, text):
    """With these rights the worker ends with status 2 and the text."""
    stage.create_topic()
    stage.kafka.grant(granted)
    stream = tools.groups(2, 5)
    stream.refuse(b"bad", b"no json")
    stage.send(stream)
    worker = stage.start()
    assert worker.wait() == 2
    text = text.replace("TOPIC", stage.topic).replace("GROUP", stage.name)
    assert re.search(rf"^shoal: {text}.*SECURITY\.md", worker.text(), re.MULTILINE)


def test_producer(secure, tmp_path):
    """`shoal send` needs the right to write to the topic, and nothing else."""
    secure.create_topic()
    secure.folder.mkdir(parents=True)
    file = tmp_path / "some.jsonl"
    file.write_text('{"id": "a", "embedding": [1.0, 0.0]}\n')
    refused, _ = secure.shoal("send", str(file))
    assert refused.returncode == 2
    assert f"topic {secure.topic!r}" in refused.stderr
    assert "SECURITY.md" in refused.stderr
    secure.kafka.grant(secure.kafka_lines("producer"))
    done, _ = secure.shoal("send", str(file))
    assert done.returncode == 0, done.stderr


def rights(line):
    """The rights of a line of an ACL file: commands, and patterns of keys."""
    return [word for word in line.split() if word[0] in "+~%"]


def without(line, right):
    """The line with one right less."""
    kept = [word for word in line.split() if word != right]
    assert len(kept) == len(line.split()) - 1
    return " ".join(kept)


def write(url, prefix):
    """All that a worker does to a store, in two collections' life of a second."""
    with closing(RedisStore(url, prefix, lease_seconds=30)) as store:
        lease = store.acquire("main", "w", 0)
        new = ImageState("c1", 0.5, provisional=True, generation=0)
        info = ClusterInfo("c1", 1.0)
        event = Event(EventKind.CREATED, {"cluster": "c1", "image": "a"})
        update = Update(1, [Change("a", None, new)], [info], {}, [event])
        store.apply(lease, update)
        moved = ImageState("c2", 0.5, provisional=False, generation=1)
        store.apply(lease, Update(2, [Change("a", "c1", moved)], [], {"c1": "c2"}))
        store.forget(lease, {"a"})
        store.put_status(lease, {"rows": 1})
        store.crowded("main")
        assert dict(store.shown("main").images)
        store.holders("main")
        store.stand_by("main", {"lag": 0})
        images, clusters = {"a": moved}.items(), [ClusterInfo("c2", 1.0)]
        store.rebuild(lease, images, clusters, {"c1": "c2"}, Update(3))
        layout = store.lay_out(lease, 1)
        layout.write([Change("a", None, moved)], clusters, {"c1": "c2"})
        layout.discard()  # sweeps at once, what a rebuild leaves to time
        store.apply(lease, Update(4, [Change("a", "c2", None)]))
        store.renew(lease)
        store.release(lease)
        store.acquire("main", "w", 0)


@pytest.fixture(scope="module", params=["redis over TLS", "valkey"])
def server(request, tmp_path_factory):
    """A server with ACLs, and what makes a URL of a user and a password."""
    if request.param == "valkey":
        with EmbeddedValkey(tmp_path_factory.mktemp("valkey")) as valkey:
            yield valkey, lambda user: valkey.url.replace("//", f"//{user}:PASSWORD@")
    else:
        found = request.getfixturevalue("secure_redis")
        yield found, lambda user: found.secure_url(user, "PASSWORD")


def evicted(url):
    """The keys that the store has dropped, as a worker with these rights learns it."""
    with closing(RedisStore(url)) as store:
        return store.evicted()


def test_redis_worker(server, acl):
    """A worker may do all with the documented rights; with any one less it says which it lacks,
    but for the one by which it notices that Redis drops keys: that it does without.
    """
    at, url = server[0], server[1]("shoal")
    line = acl.block("Redis, worker")
    acl.set_user(at, line)
    write(url, "shoal")
    assert evicted(url) == 0
    for right in rights(line):
        acl.ask(at, "FLUSHALL")
        acl.ask(at, "SCRIPT", "FLUSH")
        acl.set_user(at, without(line, right))
        if right == "+info":
            write(url, "shoal")
            assert evicted(url) is None
        else:
            assert_told(lambda: write(url, "shoal"), right)


def read(url, prefix):
    """All that readers ask."""
    with Client(url, prefix) as client:
        client.get("main", ["a"])
        [cluster] = client.clusters("main", 1)
        client.cluster("main", cluster.id)
        client.members("main", cluster.id)
        client.names("main", [cluster.id])
        client.summary("main")
        client.status("main")
        client.collections()
        list(client.events("main", "0", 0.001))
        list(client.events("main", "$", 0.001))


def test_redis_reader(server, acl):
    """A reader may do all with the documented rights, may not write, and says what it lacks."""
    at, url = server[0], server[1]("reader")
    acl.ask(at, "FLUSHALL")
    with closing(RedisStore(at.url)) as store:
        lease = store.acquire("main", "w", 0)
        state = ImageState("c1", 0.5, provisional=True, generation=0)
        store.apply(lease, Update(1, [Change("a", None, state)], [ClusterInfo("c1", 1.0)]))
        store.release(lease)
    line = acl.block("Redis, reader")
    acl.set_user(at, line)
    read(url, "shoal")
    with closing(RedisStore(url)) as store, pytest.raises(SettingsError, match="lacks"):
        store.acquire("main", "w", 0)
    for right in rights(line):
        acl.set_user(at, without(line, right))
        assert_told(lambda: read(url, "shoal"), right)
    more = re.search(r"the reader needs `(.*)` too", acl.text)[1]
    acl.set_user(at, f"{line} {more}")
    searched = Searched()
    assert list(in_redis(url, "shoal", "main", Sought("a"), searched))
    assert searched.keys >= 7


# Redis before 7.2 does not say which command or key a script may not use; nor does any which key.
_ANY = (
    r"can't run this command|can't access at least one of the keys|access (one of the keys|a key)"
)


def assert_told(doing, right):
    """It fails, and says which right it lacks."""
    named = f"(?i:{right[1:]})"
    with pytest.raises(
        SettingsError, match=rf"redis_url: its user lacks a right.*({named}|{_ANY})"
    ):
        doing()


def test_right_taken_away(secure, acl, tools):
    """A worker whose right to write is taken away ends with status 2 and says which it lacks."""
    secure.create_topic()
    secure.grant()
    secure.send(tools.groups(2, 5))
    worker = secure.start().ready()
    tools.eventually(lambda: secure.client.summary("main"))
    acl.set_user(secure.valkey, without(secure.redis_line("worker"), "+evalsha"))
    assert worker.wait() == 2
    assert re.search(r"(?m)^shoal: redis_url: its user lacks a right.*'evalsha'", worker.text())


def test_standby(secure, tools):
    """A standby needs no more rights than the worker that it takes over from."""
    secure.create_topic()
    secure.grant()
    stream = tools.groups(4, 10)
    secure.send(stream)
    settings = {"standby": "true", "lease_seconds": 3} | tools.NO_RUNS
    first = secure.start(**settings, data_dir=secure.folder / "first").ready()
    secure.published(stream)
    second = secure.start(**settings, data_dir=secure.folder / "second").ready()
    tools.eventually(lambda: second.metric("shoal_images") == 40)
    before = secure.states(stream.images["main"])
    first.kill()
    tools.eventually(lambda: second.metric("shoal_standby") == 0, 60)
    tools.eventually(lambda: "/second#" in secure.client.status("main")["holder"])
    assert secure.states(stream.images["main"]) == before
    assert second.stop() == 0


def test_doctor(secure, acl):
    """With the worker's rights it works and says what it may not see; with those that are
    documented for it, it looks at all.
    """
    secure.create_topic()
    secure.folder.mkdir(parents=True)
    secure.grant()

    def looked_at():
        done, [said] = secure.shoal("doctor", "--json")
        assert done.returncode == 0, said
        return {check["part"]: check for check in said["checks"]}

    found = looked_at()
    assert found["retention"]["advice"].startswith("grant DescribeConfigs")
    assert found["redis"]["advice"].startswith("grant +info +time")
    assert "redis policy" not in found

    secure.kafka.grant(secure.kafka_lines("doctor"))
    more = re.search(r"`shoal doctor` needs `([^`]*)` too", acl.text)[1]
    acl.set_user(secure.valkey, f"{secure.redis_line('worker')} {more}")
    found = looked_at()
    assert "records stay for" in found["retention"]["found"]
    assert {"redis policy", "redis memory", "clock of redis"} <= set(found)
    assert [part for part, check in found.items() if "grant" in check["advice"]] == []
