"""What is Redis' own: the layout, what is left behind, and what happens when it cannot serve."""

import itertools
import socket
import threading
from unittest.mock import Mock

import pytest
import redis
from redis.crc import key_slot

from worker.client import AsyncClient, Client
from worker.embedded.valkey import EmbeddedValkey
from worker.errors import LeaseError, LeaseLapsedError, SettingsError, StoreUnavailableError
from worker.store import connection
from worker.store.base import Change, ClusterInfo, Event, EventKind, ImageState, Update
from worker.store.codec import MAX_STATE_BYTES, decode_state, encode_state
from worker.store.keys import CROWDED_PER_BUCKET, Keys, buckets_for, is_crowded
from worker.store.redis_store import LINGER_SECONDS, RedisStore
from worker.store.spaces import Spaces


@pytest.fixture
def collection(open_store, client, publisher):
    return publisher(open_store(), client)


def many(state, count, cluster="c1"):
    return [(f"image-{i}", state(cluster)) for i in range(count)]


class TestLayout:
    def test_one_slot(self, collection, raw, state):
        """All keys of a collection lie in one slot; only the list of collections does not."""
        events = [Event(EventKind.CREATED, {"cluster": "c1"})]
        collection.move(("a", None, "c1"), clusters=[ClusterInfo("c1", 1.0)], events=events)
        collection.store.put_status(collection.lease, {})
        collection.store.rebuild(
            collection.lease, many(state, 20), [ClusterInfo("c1", 1.0)], {"c2": None}, Update(2)
        )
        keys = set(raw.keys("*")) - {"shoal:collections"}
        assert len(keys) > 10
        assert {key_slot(b"main")} == {key_slot(key.encode()) for key in keys}
        assert all(key.startswith("shoal:{main}:") for key in keys)

    def test_documented_values(self, collection, raw):
        """The values are those of docs/redis.md."""
        state = ImageState("c00gtnx1vk5s8e2r", 0.9312, provisional=True, generation=12)
        info = ClusterInfo(state.cluster, 5.5, "pier", "a")
        collection.store.apply(
            collection.lease,
            Update(1, [Change("a", None, state)], [info], {"c2": state.cluster, "c3": None}),
        )
        bucket = raw.keys("shoal:{main}:g1:b:*")[0]
        assert raw.hgetall(bucket) == {"a": "c00gtnx1vk5s8e2r 0.9312 p 12"}
        assert raw.smembers("shoal:{main}:g1:m:c00gtnx1vk5s8e2r") == {"a"}
        info = '{"created": 5.5, "name": "pier", "exemplar": "a"}'
        assert raw.hgetall("shoal:{main}:g1:info") == {state.cluster: info}
        assert raw.hgetall("shoal:{main}:g1:retired") == {"c2": state.cluster, "c3": ""}
        assert raw.zrange("shoal:{main}:g1:sizes", 0, -1, withscores=True) == [(state.cluster, 1)]
        assert raw.hgetall("shoal:{main}:writer") == {"epoch": "1", "holder": "worker-1"}
        assert raw.get("shoal:{main}:lease") == "worker-1"
        assert raw.smembers("shoal:collections") == {"main"}

    def test_compact(self, collection, raw, state):
        """Buckets stay in the compact encoding until the collection asks for a rebuild."""
        collection.store.rebuild(collection.lease, many(state, 5_000), [], {}, Update(1))
        buckets = buckets_for(5_000)
        collection.sequence = 1
        full = iter(range(5_000, CROWDED_PER_BUCKET * buckets))
        while part := list(itertools.islice(full, 1_000)):
            collection.move(*((f"image-{i}", None, "c1") for i in part))
        keys = raw.keys("shoal:{main}:g1:b:*")
        pipeline = raw.pipeline()
        for key in keys:
            pipeline.object("encoding", key)
        encodings = pipeline.execute()
        assert len(keys) == buckets
        assert encodings.count("listpack") >= buckets - 1
        assert not collection.store.crowded("main")

    def test_prefix(self, open_store, valkey, raw, publisher):
        """Another prefix is another world."""
        with Client(valkey.url, "other") as reader:
            publisher(open_store(prefix="other"), reader).move(("a", None, "c1"))
        assert all(key.startswith("other:") for key in raw.keys("*"))

    @pytest.mark.parametrize("prefix", ["", "{x}", "a b"])
    def test_bad_prefix(self, valkey, prefix):
        """A prefix that would break the hash tag is refused."""
        for kind in (RedisStore, Client):
            with pytest.raises(SettingsError, match=f"redis_prefix: {prefix!r}: must be"):
                kind(valkey.url, prefix=prefix)

    @pytest.mark.parametrize("kind", [RedisStore, Client, AsyncClient])
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("localhost:6379", "localhost:6379"),
            ("http://u:hunter2@nowhere", "http://***@nowhere"),
            ("redis://:hunter/2@host", "redis://***@host"),
            ("redis://host:port", "redis://host:port"),
            ("redis://host?password=hunter2&timeout=1", "redis://host?password=***&timeout=1"),
            ("redis://host?socket_timeout=soon", "redis://host?socket_timeout=soon"),
        ],
    )
    def test_bad_url(self, kind, url, shown):
        """What is no URL of a Redis is refused at once, by name and without its password."""
        with pytest.raises(SettingsError) as refused:
            kind(url)
        assert str(refused.value).startswith(f"redis_url: {shown!r}: must be redis://")
        assert "hunter" not in str(refused.value)

    def test_buckets(self):
        """Buckets are laid out for 12 images each, at least 16, and are crowded above 96."""
        assert [buckets_for(n) for n in (0, 192, 193, 12_000)] == [16, 16, 17, 1_000]
        assert [is_crowded(n, 16) for n in (0, 1_536, 1_537)] == [False, False, True]

    def test_state_size(self):
        """The longest state of a 16-character cluster fits the compact encoding."""
        state = ImageState("c" * 16, 1.0, provisional=True, generation=2**31)
        assert len(encode_state(state)) <= MAX_STATE_BYTES
        assert decode_state(encode_state(state)) == state

    @pytest.mark.parametrize("cluster", ["", "a b", "x" * 60])
    def test_bad_cluster(self, cluster):
        """A cluster id that would not fit is refused."""
        with pytest.raises(ValueError, match="cluster"):
            encode_state(ImageState(cluster, 1.0, provisional=False, generation=1))

    def test_events_trimmed(self, open_store, client, publisher, raw):
        """The stream forgets its oldest entries."""
        collection = publisher(open_store(events_kept=200), client)
        for _ in range(10):
            collection.move(events=[Event(EventKind.ASSIGNED, {"image": "a"})] * 200)
        assert 200 <= raw.xlen("shoal:{main}:events") < 400


class TestSpaces:
    def test_old_goes(self, collection, raw, state):
        """After a rebuild the old keys have their time set, and the new ones have none."""
        collection.store.rebuild(collection.lease, many(state, 1_500), [], {}, Update(1))
        collection.store.rebuild(
            collection.lease, many(state, 1_500, "c2"), [], {"c1": "c2"}, Update(2)
        )
        old, new = raw.keys("shoal:{main}:g1:*"), raw.keys("shoal:{main}:g2:*")
        assert len(old) > 24
        assert all(0 < raw.ttl(key) <= LINGER_SECONDS for key in old)
        assert all(raw.ttl(key) == -1 for key in new)
        assert raw.hgetall("shoal:{main}:spaces") == {"last": "2", "images": "1500", "2": "125"}

    @pytest.mark.parametrize("how", ["acquire", "sweep", "rebuild"])
    def test_garbage_goes(self, collection, raw, state, how):
        """What a rebuild that was cut short wrote is cleared away, its number not used again."""
        collection.move(("a", None, "c1"))
        spaces = spaces_of(collection)
        spaces.fill(many(state, 3_000, "c7"), [ClusterInfo("c7", 1.0)], {"c8": None})
        assert len(raw.keys("shoal:{main}:g2:*")) > 20
        if how == "acquire":
            collection.lease = collection.store.acquire("main", "worker-1", 0)
            assert raw.keys("shoal:{main}:g2:*") == []
            collection.check(("a", "c1"))
        if how == "sweep":
            collection.store.sweep(collection.lease)
            assert raw.keys("shoal:{main}:g2:*") == []
            collection.check(("a", "c1"))
        collection.store.rebuild(collection.lease, many(state, 3), [], {}, Update(2))
        assert raw.keys("shoal:{main}:g2:*") == []
        assert raw.hget("shoal:{main}:meta", "space") == "3"

    @pytest.mark.parametrize("dropped", ["sizes", "info"])
    def test_garbage_of_which_redis_dropped_keys(self, collection, raw, state, dropped):
        """Members go also where Redis has dropped what their clusters are found by."""
        collection.move(("a", None, "c1"))
        spaces_of(collection).fill(many(state, 100, "c7"), [ClusterInfo("c7", 1.0)], {})
        raw.delete(f"shoal:{{main}}:g2:{dropped}")
        collection.store.sweep(collection.lease)
        assert raw.keys("shoal:{main}:g2:*") == []

    def test_a_replaced_one_that_was_not_swept(self, collection, raw, state, monkeypatch):
        """Redis is away just after a rebuild: what it replaced goes with the next sweep."""
        collection.move(("a", None, "c1"))
        away = Mock(side_effect=StoreUnavailableError("Redis is away"))
        with monkeypatch.context() as patch:
            patch.setattr(Spaces, "sweep", away)
            collection.store.rebuild(collection.lease, many(state, 3), [], {}, Update(2))
        assert raw.keys("shoal:{main}:g1:*")
        collection.store.sweep(collection.lease)
        assert raw.keys("shoal:{main}:g1:*") == []
        assert collection.reader.get("main", ["image-0"]) == [state("c1")]

    def test_how_long_a_replaced_one_stays(self, open_store, publisher, client, raw, state):
        """As long as it is told."""
        collection = publisher(open_store(linger_seconds=30.9), client)
        collection.move(("a", None, "c1"))
        collection.store.rebuild(collection.lease, many(state, 3), [], {}, Update(2))
        old = raw.keys("shoal:{main}:g1:*")
        assert old
        assert all(0 < raw.ttl(key) <= 30 for key in old)

    def test_discarded_layout(self, collection, raw, state):
        """Of a layout that is discarded no key stays, and it is on no list."""
        collection.move(("a", None, "c1"))
        layout = collection.store.lay_out(collection.lease, 100)
        layout.write([Change(i, None, s) for i, s in many(state, 100)], [], {"c8": None})
        assert len(raw.keys("shoal:{main}:g2:*")) > 10
        layout.discard()
        assert raw.keys("shoal:{main}:g2:*") == []
        assert set(raw.hgetall("shoal:{main}:spaces")) == {"last", "images", "1"}

    def test_stale_flip(self, collection, open_store, state):
        """A rebuild that another holder's overtook cannot switch readers back."""
        collection.move(("a", None, "c1"))
        spaces = spaces_of(collection)
        stale = spaces.fill(many(state, 10, "c9"), [], {})
        collection.store.release(collection.lease)
        other = open_store()
        lease = other.acquire("main", "worker-2", 0)
        other.rebuild(lease, [("b", state("c2"))], [], {}, Update(5))
        with pytest.raises(LeaseError, match="worker-2"):
            spaces.flip(stale, [0, 0, 0])
        collection.check(("b", "c2"))

    def test_superseded(self, collection, state):
        """Of two rebuilds under one lease the older cannot switch readers over."""
        spaces = spaces_of(collection)
        older = spaces.fill(many(state, 10), [], {})
        spaces.fill(many(state, 10), [], {})
        with pytest.raises(LeaseLapsedError, match="newer"):
            spaces.flip(older, [0, 0, 0])

    def test_reader_throughout(self, collection, valkey):
        """A reader never misses an image, nor sees two generations at once."""
        images = [f"image-{i}" for i in range(60)]
        faults, reads, over = [], [0], threading.Event()

        def watch():
            with Client(valkey.url) as reader:
                while not over.is_set():
                    states = reader.get("main", images)
                    reads[0] += 1
                    seen = {state and (state.cluster, state.generation) for state in states}
                    generations = {state and state.generation for state in states}
                    if None in seen or len(generations) != 1:
                        faults.append(seen)
                    if seen != {(f"c{g}-{i % 3}", g) for g in generations for i in range(3)}:
                        faults.append(seen)

        def states(generation):
            for i, image in enumerate(images):
                yield image, ImageState(f"c{generation}-{i % 3}", 0.5, False, generation)

        collection.store.rebuild(collection.lease, states(0), [], {}, Update(0))
        watcher = threading.Thread(target=watch)
        watcher.start()
        for generation in range(1, 200):
            if generation % 5:
                old = dict(states(generation - 1))
                changes = [Change(i, old[i].cluster, new) for i, new in states(generation)]
                collection.store.apply(collection.lease, Update(generation, changes))
            else:
                padding = [(f"x{generation}-{i}", ImageState("x", 1, False, 0)) for i in range(999)]
                collection.store.rebuild(
                    collection.lease, [*states(generation), *padding], [], {}, Update(generation)
                )
        over.set()
        watcher.join()
        assert faults == []
        assert reads[0] > 50


def spaces_of(collection) -> Spaces:
    store = collection.store
    return store._spaces(Keys("shoal", "main"), collection.lease)


class TestUnavailable:
    def test_scripts_lost(self, collection, raw):
        """A server that forgot the scripts is given them again."""
        collection.move(("a", None, "c1"))
        raw.script_flush()
        collection.move(("b", None, "c1"))
        collection.check(("a", "c1"), ("b", "c1"))

    def test_refused(self):
        """A server that is not there is unavailable, to the store and to readers."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound, but not listening
            url = f"redis://127.0.0.1:{taken.getsockname()[1]}"
            with Client(url) as client, pytest.raises(StoreUnavailableError, match="refused"):
                client.get("main", ["a"])
            store = RedisStore(url)
            with pytest.raises(StoreUnavailableError):
                store.acquire("main", "worker-1", 0)
            store.close()

    def test_hangs(self, answering, monkeypatch):
        """A server that accepts but does not answer is unavailable after the time-out."""
        monkeypatch.setitem(connection._OPTIONS, "socket_timeout", 0.2)
        with (
            Client(answering(b"")) as client,
            pytest.raises(StoreUnavailableError, match="Timeout"),
        ):
            client.get("main", ["a"])

    @pytest.mark.parametrize(
        "refusal",
        ["LOADING", "MISCONF", "BUSY", "NOREPLICAS", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN"],
    )
    def test_not_now(self, answering, refusal):
        """A server that says "not now" in one of its ways is unavailable."""
        url = answering(f"-{refusal} some reason\r\n".encode())
        with Client(url) as client, pytest.raises(StoreUnavailableError, match="some reason"):
            client.status("main")

    def test_foreign_key(self, collection, raw):
        """A key of a wrong type is no matter of waiting."""
        raw.lpush("shoal:{main}:status", "x")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            collection.reader.status("main")

    def test_read_only(self, collection, raw):
        """A replica takes no writes: unavailable; readers are served."""
        collection.move(("a", None, "c1"))
        raw.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            with pytest.raises(StoreUnavailableError):
                collection.store.renew(collection.lease)
        finally:
            raw.execute_command("REPLICAOF", "NO", "ONE")
        collection.check(("a", "c1"))

    def test_memory_full(self, collection, raw, state):
        """A full server refuses an update whole and with its reason, but leaves us the lease."""
        collection.move(("a", None, "c1"))
        raw.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailableError, match="maxmemory"):
            collection.move(("a", "c1", "c2"), ("b", None, "c2"))
        with pytest.raises(StoreUnavailableError, match="maxmemory"):
            collection.store.rebuild(collection.lease, many(state, 5), [], {}, Update(2))
        collection.store.renew(collection.lease)
        collection.check(("a", "c1"))
        raw.config_set("maxmemory", 0)
        collection.sequence = 1
        collection.move(("a", "c1", "c2"), ("b", None, "c2"))
        collection.check(("a", "c2"), ("b", "c2"))

    def test_restart(self, tmp_path, publisher):
        """A server that was killed and came back empty is filled again over the same store."""
        with EmbeddedValkey(tmp_path) as server, Client(server.url) as reader:
            store = RedisStore(server.url)
            collection = publisher(store, reader)
            collection.move(("a", None, "c1"))
            server.kill()
            with pytest.raises(StoreUnavailableError):
                store.renew(collection.lease)
            store.release(collection.lease)
            server.restart()
            with pytest.raises(LeaseLapsedError):
                store.renew(collection.lease)
            again = publisher(store, reader)
            again.move(("b", None, "c1"))
            again.check(("b", "c1"))
            store.close()


@pytest.fixture
def answering():
    """Starts servers that give one answer to every command, or none if it is empty."""
    listeners = []

    def serve(listener, answer):
        with listener:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer, peer.makefile("rb") as lines:
                    for head in lines:
                        for _ in range(2 * int(head[1:])):
                            lines.readline()
                        peer.sendall(answer)

    def start(answer):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=serve, args=(listener, answer)).start()
        return f"redis://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
