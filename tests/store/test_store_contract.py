"""What every store and its readers do: run on the fake and on Redis."""

import pytest

from worker.client import Client
from worker.clock import SystemClock
from worker.errors import LeaseError, LeaseLapsedError, SettingsError
from worker.store.base import (
    MAX_CHANGES,
    Change,
    ClusterInfo,
    ClusterState,
    Event,
    EventKind,
    ImageState,
    Summary,
    Update,
)
from worker.testing.store import MemoryStore

SHORT_LEASE_SECONDS = 0.5

# Long enough that a busy machine does not let it lapse between two renewals.
KEPT_LEASE_SECONDS = 1.0


@pytest.fixture(params=["memory", "redis"])
def make(request):
    """Makes a (store, reader, wipe) with the given lease; on one server per test."""
    if request.param == "memory":

        def make_memory(lease_seconds=15.0):
            store = MemoryStore(SystemClock(), lease_seconds)
            return store, store, store.wipe

        yield make_memory
        return
    open_store = request.getfixturevalue("open_store")
    raw = request.getfixturevalue("raw")
    with Client(request.getfixturevalue("valkey").url) as reader:
        yield lambda lease_seconds=15.0: (
            open_store(lease_seconds=lease_seconds),
            reader,
            raw.flushall,
        )


@pytest.fixture
def collection(make, publisher):
    """A publisher on a fresh store."""
    store, reader, _ = make()
    return publisher(store, reader)


class TestReading:
    def test_all_that_is_shown(self, make, collection):
        """The worker that takes over gets every image, cluster and successor, and the sequence."""
        assert make()[0].shown("other") is None
        first, second = (ImageState(c, 0.5, provisional=True, generation=3) for c in ("c1", "c2"))
        store, lease = collection.store, collection.lease
        infos = [ClusterInfo("c1", 1.0, "Ada", "a"), ClusterInfo("c3", 2.0)]
        changes = [Change("a", None, first), Change("b", None, second)]
        store.apply(lease, Update(1, changes, infos, {"c4": "c1", "c5": None}, generation=3))
        shown = store.shown("main")
        assert dict(shown.images) == {"a": first, "b": second}
        assert list(shown.clusters) == [infos[0], ClusterInfo("c2", 0.0), infos[1]]
        assert shown.retired == {"c4": "c1", "c5": None}
        assert (shown.sequence, shown.generation) == (1, 3)

    def test_who_holds_and_who_stands_by(self, make):
        """Who has the lease, who had it last, and who is there beside it."""
        store, reader, _ = make()
        assert store.holders("main") == (None, None)
        lease = store.acquire("main", "worker-1", 0)
        assert store.holders("main") == ("worker-1", "worker-1")
        store.release(lease)
        assert store.holders("main") == (None, "worker-1")
        store.stand_by("main", {"holder": "worker-2", "lag": 3})
        assert reader.status("main") == {"standby": {"holder": "worker-2", "lag": 3}}

    def test_unknown(self, make):
        """Of a collection that was never published, readers learn nothing."""
        store, reader, _ = make()
        assert reader.get("main", ["a", "b"]) == [None, None]
        assert reader.get("main", []) == []
        assert reader.cluster("main", "c1") is None
        assert reader.members("main", "c1") == []
        assert reader.clusters("main") == []
        assert reader.clusters("main", 5) == []
        assert reader.summary("main") is None
        assert reader.status("main") is None
        assert reader.collections() == []
        assert list(reader.events("main", "0", block_seconds=0)) == []
        assert store.sequence("main") is None
        assert store.crowded("main") is False

    def test_state(self, collection):
        """An image's state comes back as it was published, the confidence to four decimals."""
        states = [ImageState("c1", 0.98765, True, 7), ImageState("c2", 1.0, False, 12)]
        changes = [Change(f"a{i}", None, state) for i, state in enumerate(states)]
        collection.store.apply(collection.lease, Update(1, changes))
        rounded = ImageState("c1", 0.9877, provisional=True, generation=7)
        found = collection.reader.get("main", ["a1", "zz", "a0", "a1"])
        assert [states[1], None, rounded, states[1]] == found

    def test_any_id(self, collection):
        """An id may hold any characters."""
        ids = ["å/ß 1", "a b\nc", "{x}", "0", "x" * 256, "😀"]
        collection.move(*((image, None, "c1") for image in ids))
        collection.check(*((image, "c1") for image in ids))

    def test_order(self, collection):
        """Clusters come largest first, then by id, also where a limit cuts through equals."""
        sizes = {"c5": 1, "c4": 3, "c3": 1, "c2": 2, "c1": 1}
        collection.move(*((f"{c}-{i}", None, c) for c, n in sizes.items() for i in range(n)))
        ids = [c.id for c in collection.reader.clusters("main")]
        assert ids == ["c4", "c2", "c1", "c3", "c5"]
        for limit in range(7):
            assert ids[:limit] == [c.id for c in collection.reader.clusters("main", limit)]

    def test_summary(self, collection):
        """The summary tells what the last update said and counted; what it left out stays."""
        collection.move(("a", None, "c1"), generation=3, model="clip", dimension=512)
        collection.move(("b", None, "c2"))
        summary = collection.reader.summary("main")
        assert Summary(2, 2, 3, 2, "clip", 512, summary.updated) == summary
        assert summary.updated == pytest.approx(SystemClock().time(), abs=5)
        assert collection.store.sequence("main") == 2
        assert collection.reader.collections() == ["main"]

    def test_status(self, collection):
        """Readers see the status that the worker published last."""
        collection.store.put_status(collection.lease, {"rows": 1})
        collection.store.put_status(collection.lease, {"rows": 2, "lag": {"images/0": 3}})
        assert collection.reader.status("main") == {"rows": 2, "lag": {"images/0": 3}}

    def test_apart(self, make, publisher):
        """Collections do not see each other."""
        store, reader, _ = make()
        one, two = (publisher(store, reader, name) for name in ("one", "two"))
        one.move(("a", None, "c1"))
        two.move(("a", None, "c2"), ("b", None, "c2"))
        one.check(("a", "c1"))
        two.check(("a", "c2"), ("b", "c2"))
        assert reader.collections() == ["one", "two"]

    @pytest.mark.parametrize("name", ["", "a b", "{x}", "-x", "x" * 129])
    def test_bad_collection(self, make, name):
        """A name that no collection can have is refused with the name in the message."""
        store, _, _ = make()
        with pytest.raises(SettingsError, match="collection"):
            store.acquire(name, "worker-1", 0)


class TestApplying:
    def test_moves(self, collection):
        """Images come, move and go; sizes and counts follow."""
        collection.move(("a", None, "c1"), ("b", None, "c1"), ("c", None, "c2"))
        collection.check(("a", "c1"), ("b", "c1"), ("c", "c2"))
        collection.move(("b", "c1", "c2"), ("c", "c2", None), ("d", None, "c3"))
        collection.check(("a", "c1"), ("b", "c2"), ("d", "c3"))
        collection.move(("a", "c1", None), ("b", "c2", None), ("d", "c3", None))
        collection.check()

    def test_twice(self, collection):
        """Applying an update again changes nothing more."""
        collection.move(("a", None, "c1"), ("b", None, "c1"))
        for _ in range(2):
            collection.sequence = 1
            collection.move(("a", "c1", "c2"), ("b", "c1", None), ("c", None, "c2"))
            collection.check(("a", "c2"), ("c", "c2"))

    def test_other_old(self, collection):
        """An image leaves the cluster it is published in, whatever the change took it for."""
        collection.move(("a", None, "c1"), ("b", None, "c1"))
        collection.move(("a", None, "c2"), ("b", "c9", "c3"), ("c", "c1", "c3"))
        collection.check(("a", "c2"), ("b", "c3"), ("c", "c3"))

    def test_same_image_twice(self, collection):
        """Of two changes of one image in an update the last counts."""
        collection.move(("a", None, "c1"), ("a", "c1", "c2"))
        collection.check(("a", "c2"))

    def test_same_cluster(self, collection):
        """A change within a cluster renews the state alone."""
        collection.move(("a", None, "c1"))
        state = ImageState("c1", 0.25, False, 2)
        collection.store.apply(collection.lease, Update(2, [Change("a", "c1", state)]))
        collection.check(("a", "c1"))
        assert [state] == collection.reader.get("main", ["a"])

    def test_full_update(self, collection):
        """An update of the largest allowed size is applied whole."""
        moves = [(f"image-{i}", None, f"c{i}") for i in range(MAX_CHANGES)]
        collection.move(*moves)
        collection.check(*((image, cluster) for image, _, cluster in moves))

    def test_empty_update(self, collection):
        """An update without changes counts and announces."""
        collection.move(generation=4)
        assert collection.reader.summary("main").generation == 4

    def test_info(self, collection):
        """A cluster tells what was said of it last; of another its size is known."""
        infos = [ClusterInfo("c1", 5.0), ClusterInfo("c2", 1.5, "Zoë", "a")]
        collection.move(("a", None, "c2"), ("b", None, "c1"), ("c", None, "c3"), clusters=infos)
        collection.move(clusters=[ClusterInfo("c1", 5.0, "pier")])
        expected = [
            ClusterState("c1", 1, 5.0, "pier", None, retired=False, successor=None),
            ClusterState("c2", 1, 1.5, "Zoë", "a", retired=False, successor=None),
            ClusterState("c3", 1, 0.0, None, None, retired=False, successor=None),
        ]
        assert expected == collection.reader.clusters("main")
        assert expected == [collection.reader.cluster("main", c) for c in ("c1", "c2", "c3")]
        assert collection.reader.cluster("main", "c4") is None
        names = collection.reader.names("main", ["c2", "c4", "c3", "c1", "c2"])
        assert names == ["Zoë", None, None, "pier", "Zoë"]
        assert collection.reader.names("main", []) == []
        assert collection.reader.names("nobody", ["c1"]) == [None]

    def test_info_first(self, collection):
        """What is said of a cluster before its first image comes, or while it is empty, is kept."""
        collection.move(clusters=[ClusterInfo("c1", 5.0, "pier")])
        assert collection.reader.cluster("main", "c1").size == 0
        collection.check()
        collection.move(("a", None, "c1"))
        collection.move(("a", "c1", None))
        collection.move(("b", None, "c1"))
        assert collection.reader.cluster("main", "c1").name == "pier"

    def test_retired(self, collection):
        """A retired cluster is not live, and answers with its successor, if it has one."""
        collection.move(("a", None, "c1"), ("b", None, "c2"), clusters=[ClusterInfo("c1", 5.0)])
        collection.move(("a", "c1", "c3"), ("b", "c2", None), retired={"c1": "c3", "c2": None})
        collection.check(("a", "c3"))
        gone = ClusterState("c1", 0, 0.0, None, None, retired=True, successor="c3")
        assert gone == collection.reader.cluster("main", "c1")
        assert collection.reader.cluster("main", "c2").retired
        assert collection.reader.cluster("main", "c2").successor is None

    def test_retired_in_parts(self, collection):
        """A cluster retired before its last images left is not live, but lists them."""
        collection.move(("a", None, "c1"), ("b", None, "c1"))
        collection.move(("a", "c1", "c2"), retired={"c1": "c2"})
        assert [c.id for c in collection.reader.clusters("main")] == ["c2"]
        assert collection.reader.members("main", "c1") == ["b"]
        collection.move(("b", "c1", "c2"))
        collection.check(("a", "c2"), ("b", "c2"))
        assert collection.reader.cluster("main", "c1").retired

    def test_back(self, collection):
        """A retired cluster that gets an image, or is described, is live again."""
        collection.move(("a", None, "c1"), ("b", None, "c2"))
        collection.move(("a", "c1", "c2"), retired={"c1": "c2"})
        collection.move(("a", "c2", "c1"))
        collection.check(("a", "c1"), ("b", "c2"))
        assert not collection.reader.cluster("main", "c1").retired
        collection.move(retired={"c2": None})
        collection.move(clusters=[ClusterInfo("c2", 1.0)])
        collection.check(("a", "c1"), ("b", "c2"))

    @pytest.mark.parametrize("sequence", [0, 1, 4, 9])
    def test_other_past(self, collection, sequence):
        """An update that does not follow the last is refused whole."""
        collection.move(("a", None, "c1"))
        collection.move(("b", None, "c1"))
        collection.sequence = sequence - 1
        with pytest.raises(LeaseLapsedError, match=str(sequence)):
            collection.move(("c", None, "c1"))
        collection.check(("a", "c1"), ("b", "c1"))

    def test_events(self, collection):
        """Events come in order, once each, with the number of their update; also by parts."""
        events = [Event(EventKind.ASSIGNED, {"image": f"a{i}", "cluster": "c1"}) for i in range(4)]
        collection.move(events=events[:3])
        collection.move(events=events[3:])
        seen = list(collection.reader.events("main", "0", block_seconds=0))
        expected = [
            Event(event.kind, {**event.data, "sequence": sequence})
            for event, sequence in zip(events, "1112", strict=True)
        ]
        assert expected == [event for _, event in seen]
        rest = collection.reader.events("main", seen[1][0], block_seconds=0)
        assert expected[2:] == [event for _, event in rest]
        assert list(collection.reader.events("main", block_seconds=0)) == []


def rebuild(collection, images, clusters=(), retired=None, **update):
    collection.store.rebuild(
        collection.lease, images, clusters, retired or {}, Update(**({"sequence": 9} | update))
    )


class TestRebuilding:
    def test_replaces(self, collection, state):
        """A rebuild leaves what it was given and nothing else."""
        collection.move(("a", None, "c1"), ("x", None, "c8"), clusters=[ClusterInfo("c8", 1.0)])
        collection.move(retired={"c7": None})
        images = [("a", state("c2")), ("b", state("c2")), ("c", state("c3"))]
        event = Event(EventKind.GENERATION, {"generation": "4"})
        rebuild(
            collection,
            images,
            [ClusterInfo("c2", 2.0, "pier")],
            {"c1": "c2"},
            generation=4,
            model="clip",
            dimension=64,
            events=[event],
        )
        collection.check(("a", "c2"), ("b", "c2"), ("c", "c3"))
        assert collection.reader.get("main", ["x"]) == [None]
        assert collection.reader.cluster("main", "c8") is None
        assert collection.reader.cluster("main", "c7") is None
        assert collection.reader.cluster("main", "c1").successor == "c2"
        assert collection.reader.cluster("main", "c2").name == "pier"
        summary = collection.reader.summary("main")
        assert Summary(3, 2, 4, 9, "clip", 64, summary.updated) == summary
        assert [event.kind] == [e.kind for _, e in collection.reader.events("main", "0", 0)]

    @pytest.mark.parametrize("count", [0, 1, 2, MAX_CHANGES, MAX_CHANGES + 1, 3_500])
    def test_any_size(self, collection, state, count):
        """A collection of any size is rebuilt from a list or from an iterator."""
        images = [(f"image-{i}", state(f"c{i % 7}")) for i in range(count)]
        for given in (images, iter(images)):
            rebuild(collection, given)
            collection.check(*((image, state.cluster) for image, state in images))

    def test_goes_on(self, collection, state):
        """Updates follow a rebuild."""
        rebuild(collection, [("a", state("c1"))])
        collection.sequence = 9
        collection.move(("a", "c1", "c2"), ("b", None, "c2"))
        collection.check(("a", "c2"), ("b", "c2"))

    def test_cut_short(self, collection, state):
        """A rebuild that fails half-way leaves the old state; the next one succeeds."""

        class Failing:
            def __len__(self):
                return 3 * MAX_CHANGES

            def __iter__(self):
                yield from ((f"x{i}", state("c9")) for i in range(2 * MAX_CHANGES))
                raise OSError("disk")

        collection.move(("a", None, "c1"))
        with pytest.raises(OSError, match="disk"):
            rebuild(collection, Failing())
        collection.check(("a", "c1"))
        collection.move(("b", None, "c1"))
        rebuild(collection, [("a", state("c2"))])
        collection.check(("a", "c2"))

    def test_crowded(self, collection, state):
        """A collection that grew far beyond its last layout asks for a rebuild."""
        images = [(f"image-{i}", state("c1")) for i in range(2_000)]
        for start in range(0, 2_000, MAX_CHANGES):
            assert collection.store.crowded("main") is False
            collection.move(*((i, None, "c1") for i, _ in images[start : start + MAX_CHANGES]))
        assert collection.store.crowded("main") is True
        rebuild(collection, images)
        assert collection.store.crowded("main") is False


class TestLayout:
    def test_in_steps(self, collection, state):
        """Readers see the old state, with its updates, until the new one is whole."""
        collection.move(("a", None, "c1"), ("b", None, "c1"), retired={"c7": "c1"})
        layout = collection.store.lay_out(collection.lease, 3)
        layout.write([Change("a", None, state("c1"))])
        collection.move(("c", None, "c2"), clusters=[ClusterInfo("c2", 1.0, "pier")])
        collection.check(("a", "c1"), ("b", "c1"), ("c", "c2"))
        layout.write([Change("b", None, state("c1")), Change("c", None, state("c2"))])
        layout.write(clusters=[ClusterInfo("c2", 1.0, "pier")], retired={"c8": "c1"})
        layout.finish(Update(3))
        collection.check(("a", "c1"), ("b", "c1"), ("c", "c2"))
        assert collection.reader.cluster("main", "c2").name == "pier"
        assert collection.reader.cluster("main", "c7") is None
        assert collection.reader.cluster("main", "c8").successor == "c1"
        collection.sequence = 3
        collection.move(("a", "c1", "c2"), ("b", "c1", None))
        collection.check(("a", "c2"), ("c", "c2"))

    def test_written_again(self, collection, state):
        """What is written of an image later counts, whatever cluster it was in before."""
        layout = collection.store.lay_out(collection.lease, 1)
        layout.write([Change(i, None, state("c1")) for i in "abc"])
        layout.write([Change("a", "c8", state("c2")), Change("b", "c1", None)])
        layout.finish(Update(1))
        collection.check(("a", "c2"), ("c", "c1"))

    def test_superseded(self, collection, state):
        """Of two the older takes nothing any more, and changes nothing for readers."""
        collection.move(("a", None, "c1"))
        older, newer = (collection.store.lay_out(collection.lease, 1) for _ in range(2))
        with pytest.raises(LeaseLapsedError, match="newer"):
            older.write([Change("a", None, state("c9"))])
        with pytest.raises(LeaseLapsedError, match="newer"):
            older.finish(Update(2))
        newer.write([Change("a", None, state("c2"))])
        newer.finish(Update(2))
        collection.check(("a", "c2"))

    def test_discarded(self, collection, state):
        """One that is discarded leaves nothing behind."""
        collection.move(("a", None, "c1"))
        layout = collection.store.lay_out(collection.lease, 1)
        layout.write([Change("a", None, state("c9"))])
        layout.discard()
        collection.check(("a", "c1"))
        collection.move(("b", None, "c1"))
        collection.check(("a", "c1"), ("b", "c1"))


class TestLease:
    def test_epochs_grow(self, make):
        """Every lease has a greater epoch, above the floor as well."""
        store, _, _ = make()
        epochs = [store.acquire("main", "worker-1", floor).epoch for floor in (0, 0, 10, 3)]
        assert epochs == [1, 2, 11, 12]

    def test_held(self, make):
        """A lease that another one holds is refused with the holder's name."""
        store, _, _ = make()
        lease = store.acquire("main", "worker-1", 0)
        with pytest.raises(LeaseError, match="worker-1") as caught:
            store.acquire("main", "worker-2", 0)
        assert (caught.value.collection, caught.value.holder) == ("main", "worker-1")
        store.renew(lease)

    def test_released(self, make):
        """A lease given up can be taken by another at once; giving up a lost one does nothing."""
        store, _, _ = make()
        first = store.acquire("main", "worker-1", 0)
        store.release(first)
        second = store.acquire("main", "worker-2", 0)
        store.release(first)
        store.renew(second)

    def test_fenced(self, make, publisher):
        """Who wakes up after another took over writes nothing and learns who that is."""
        store, reader, _ = make(SHORT_LEASE_SECONDS)
        paused = publisher(store, reader)
        paused.move(("a", None, "c1"))
        SystemClock().sleep(2 * SHORT_LEASE_SECONDS)
        other = store.acquire("main", "worker-2", 0)
        attempts = [
            lambda: paused.move(("b", None, "c1")),
            lambda: store.renew(paused.lease),
            lambda: store.rebuild(paused.lease, [], [], {}, Update(2)),
            lambda: store.put_status(paused.lease, {"rows": 1}),
        ]
        for attempt in attempts:
            with pytest.raises(LeaseError, match="worker-2"):
                attempt()
        store.release(other)
        for attempt in attempts:
            with pytest.raises(LeaseError, match="worker-2"):
                attempt()
        paused.check(("a", "c1"))
        assert reader.status("main") is None

    def test_own_older(self, make, publisher):
        """A worker that restarted under its name shuts out its former self."""
        store, reader, _ = make()
        former = publisher(store, reader)
        publisher(store, reader)
        with pytest.raises(LeaseError, match="worker-1"):
            former.move(("a", None, "c1"))

    def test_lapsed(self, make, publisher):
        """A lease that ran out and was not taken is to be acquired again."""
        store, reader, _ = make(SHORT_LEASE_SECONDS)
        late = publisher(store, reader)
        SystemClock().sleep(2 * SHORT_LEASE_SECONDS)
        for attempt in (lambda: store.renew(late.lease), lambda: late.move(("a", None, "c1"))):
            with pytest.raises(LeaseLapsedError):
                attempt()
        assert reader.summary("main") is None
        store.renew(store.acquire("main", "worker-1", late.lease.epoch))

    def test_kept(self, make, publisher):
        """Renewing keeps a lease beyond its first term, and so does writing."""
        store, reader, _ = make(KEPT_LEASE_SECONDS)
        collection = publisher(store, reader)
        for keep in (lambda: store.renew(collection.lease), collection.move):
            for _ in range(5):
                SystemClock().sleep(0.25 * KEPT_LEASE_SECONDS)
                keep()

    def test_emptied(self, make, publisher):
        """A store that lost everything says so, takes the lease again, and is filled again."""
        store, reader, wipe = make()
        collection = publisher(store, reader)
        collection.move(("a", None, "c1"))
        old = collection.lease
        wipe()
        for attempt in (lambda: store.renew(old), lambda: collection.move(("b", "c1", "c2"))):
            with pytest.raises(LeaseLapsedError):
                attempt()
        assert reader.get("main", ["a"]) == [None]
        collection.lease = store.acquire("main", "worker-1", old.epoch)
        assert collection.lease.epoch > old.epoch
        assert store.sequence("main") is None
        with pytest.raises(LeaseLapsedError):
            collection.move(("b", None, "c2"))
        images = [("a", ImageState("c1", 1.0, False, 1))]
        store.rebuild(collection.lease, images, [], {}, Update(7))
        collection.check(("a", "c1"))

    def test_emptied_and_taken(self, make, publisher):
        """A store that lost everything and was taken by another names that one."""
        store, reader, wipe = make()
        collection = publisher(store, reader)
        wipe()
        other = store.acquire("main", "worker-2", 0)
        assert other.epoch == collection.lease.epoch
        for _ in range(2):
            with pytest.raises(LeaseError, match="worker-2"):
                collection.move(("a", None, "c1"))
            store.release(other)


class TestSweeping:
    def test_what_readers_see_stays(self, collection):
        """Only what is of no use goes."""
        collection.move(("a", None, "c1"), ("b", None, "c2"))
        collection.store.sweep(collection.lease)
        collection.check(("a", "c1"), ("b", "c2"))
        collection.move(("b", "c2", "c1"))
        collection.check(("a", "c1"), ("b", "c1"))

    def test_without_the_lease(self, make, publisher):
        """A worker that lost its lease removes nothing."""
        store, reader, _ = make(SHORT_LEASE_SECONDS)
        late = publisher(store, reader)
        store.release(late.lease)
        store.acquire("main", "worker-2", 0)
        with pytest.raises(LeaseError):
            store.sweep(late.lease)


class TestForgetting:
    def forget(self, collection, *images):
        """Go through the whole stream; how many calls that takes."""
        after, calls = None, 0
        while calls == 0 or after is not None:
            after = collection.store.forget(collection.lease, frozenset(images), after)
            calls += 1
        return calls

    def told(self, collection):
        """What the events that are left say."""
        return [event.data for _, event in collection.reader.events("main", "0", 0)]

    def test_events_that_name_an_image(self, collection):
        """Those that are about it go, as one or the other of two; the rest stays in order."""
        events = [
            Event(EventKind.ASSIGNED, {"image": "a", "cluster": "c1"}),
            Event(EventKind.CORRECTED, {"image": "b", "other": "a"}),
            Event(EventKind.CREATED, {"cluster": "a", "others": "a"}),
            Event(EventKind.ASSIGNED, {"image": "a1", "cluster": "c1"}),
            Event(EventKind.ERASED, {"image": "c"}),
        ]
        collection.move(events=events)
        self.forget(collection, "a", "c", "d")
        left = [
            {k: v for k, v in data.items() if k != "sequence"} for data in self.told(collection)
        ]
        assert left == [events[2].data, events[3].data]
        assert collection.store.sequence("main") == 1
        collection.move(events=events[:1])
        assert [data.get("image") for data in self.told(collection)] == [None, "a1", "a"]

    def test_a_long_stream(self, collection):
        """However many there are."""
        for start in range(0, 5_000, 500):
            images = [f"i{number}" for number in range(start, start + 500)]
            collection.move(
                events=[Event(EventKind.ASSIGNED, {"image": i, "cluster": "c1"}) for i in images]
            )
        self.forget(collection, *(f"i{number}" for number in range(0, 5_000, 3)))
        found = [data["image"] for data in self.told(collection)]
        assert found == [f"i{number}" for number in range(5_000) if number % 3]

    def test_without_the_lease(self, make, publisher):
        """A worker that lost its lease deletes nothing."""
        store, reader, _ = make(SHORT_LEASE_SECONDS)
        late = publisher(store, reader)
        late.move(events=[Event(EventKind.ASSIGNED, {"image": "a", "cluster": "c1"})])
        store.release(late.lease)
        store.acquire("main", "worker-2", 0)
        with pytest.raises(LeaseError):
            store.forget(late.lease, frozenset({"a"}))
        assert len(self.told(late)) == 1
