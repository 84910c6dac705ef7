"""A collection of which much was erased is written anew without its dead rows, while it serves."""

import errno
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rounds import step

from index import CollectionIndex, Harm, IndexSettings
from worker import compacting
from worker.compacting import due
from worker.compaction import Compaction
from worker.recluster import generations
from worker.verify import indexes, verify

LETTERS = "abc"


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch):
    monkeypatch.setattr(compacting, "_DEAD_ROWS", 10)


@pytest.fixture
def photos(bench, axis):
    """Three clusters of ten photos, a0.., b0.. and c0.., confirmed by a run."""
    for letter in LETTERS:
        for number in range(10):
            bench.send(f"{letter}{number}", photo(axis, letter, number), group=letter)
    bench.run()
    return bench


def photo(axis, letter, number):
    return axis(LETTERS.index(letter), tilt=number / 50)


def erase(bench, numbers=range(5)):
    """Half of every cluster, here and there."""
    for letter in LETTERS:
        for number in numbers:
            bench.erase(f"{letter}{2 * number}")


def left():
    return [f"{letter}{number}" for letter in LETTERS for number in range(1, 10, 2)]


def clusters(bench, images=None):
    images = images or left()
    states = bench.states(*images)
    return {image: s and s.cluster for image, s in zip(images, states, strict=True)}


def folders(bench):
    return sorted(path.name for path in (bench.path / "collections").iterdir())


def opened(bench):
    path = bench.path / "collections" / "main"
    return CollectionIndex.open(path, settings=IndexSettings())


def stored(bench):
    """Rows, images and words of the collection on disk."""
    index = opened(bench)
    words = {write.id: (write.group, write.uri) for write in index.writes_of(ids_of(index))}
    rows, dead = index.rows, int((index.counts == 0).sum())
    index.close()
    return rows, dead, words


def ids_of(index):
    return [id_ for id_, _ in index.iterate()]


def compactions(bench):
    return bench.metrics.compactions._value.get()


@pytest.fixture
def slowly(monkeypatch):
    """One row in each round."""
    whole = Compaction.step
    monkeypatch.setattr(Compaction, "step", lambda self, rows: whole(self, min(rows, 1)))


def in_the_middle(bench, images=5):
    """The parts of a worker that is compacting, with some images copied."""
    erase(bench)
    worker = bench.parts(once=False)
    for _ in range(100):
        step(worker, 1)
        second = worker.collections.opened(".second-main")
        if second is not None and second.images >= images:
            return worker
    raise AssertionError("no compaction")


def assert_ends(bench, worker, images):
    """The compaction of `worker` comes to its end, with these images."""
    step(worker, 60)
    worker.close()
    assert compactions(bench) == 1
    assert set(stored(bench)[2]) == set(images)


class TestWhatIsKept:
    def test_only_live_rows_are_left(self, photos):
        """Of thirty rows half are dead, and then there are fifteen, with the words of each."""
        before = clusters(photos)
        erase(photos)
        photos.run()
        assert compactions(photos) == 1
        assert folders(photos) == ["main"]
        assert stored(photos) == (15, 0, {image: (image[0], None) for image in left()})
        assert clusters(photos) == before
        assert verify(photos.path).findings == []

    def test_readers_hear_nothing(self, photos):
        """No cluster changes by it, and each shows the image that it showed before."""
        erase(photos)
        worker = photos.parts(once=False)
        step(worker, 1)
        events = len(list(photos.store.events("main", "0")))
        shown = {i: photos.store.cluster("main", i) for i in set(clusters(photos).values())}
        step(worker, 40)
        assert compactions(photos) == 1
        assert len(list(photos.store.events("main", "0"))) == events
        assert {i: photos.store.cluster("main", i) for i in shown} == shown
        collection = worker.collections.find("main")
        exemplars = {
            collection.clusters[number].id: collection.clusters[number].exemplar_row
            for number in collection.clusters.live
        }
        kept = {
            i: row is not None and collection.index.ids_of([row]) for i, row in exemplars.items()
        }
        assert kept == {
            i: info.exemplar is not None and [[info.exemplar]] for i, info in shown.items()
        }
        worker.close()

    def test_what_people_said(self, photos):
        """Names, corrections and the labelled sample hold afterwards."""
        say = photos.alone
        home = clusters(photos)["a1"]
        say().say("main", "name", (home, "sea"))
        say().say("main", "same", ("b1", "c1"))
        say().say("main", "truth", ("a1", "x", "a3", "x", "b1", "y"))
        erase(photos)
        photos.run()
        assert compactions(photos) == 1
        assert photos.store.cluster("main", home).name == "sea"
        after = clusters(photos)
        assert after["b1"] == after["c1"]
        listed = json.loads(say().say("main", "corrections", ()))
        assert [c["holds"] for c in listed] == [True]

    def test_former_runs(self, photos):
        """Generations name the new rows, and the next run goes on from them."""
        erase(photos)
        photos.run()
        folder = photos.path / "collections" / "main"
        numbers = generations.numbers(folder)
        assert len(numbers) > 1
        index = opened(photos)
        for number in numbers:
            labels = generations.load(folder, number).labels
            by_letter = {}
            for id_, row in index.iterate():
                by_letter.setdefault(id_[0], set()).add(int(labels[row]))
            assert all(len(found) == 1 for found in by_letter.values())
            assert len(set.union(*by_letter.values())) == 3
        index.close()

    def test_no_run_comes_of_it(self, photos):
        """Nothing changed that a run would have to look at."""
        erase(photos)
        photos.run()
        before = photos.store.summary("main").generation
        photos.run()
        assert photos.store.summary("main").generation == before

    def test_a_row_of_many_images(self, photos, axis):
        """Images with one vector share a row afterwards too."""
        photos.send("twin", photo(axis, "a", 1))
        erase(photos)
        photos.run()
        rows, dead, words = stored(photos)
        assert (rows, dead, len(words)) == (15, 0, 16)
        assert clusters(photos, ["twin"])["twin"] == clusters(photos)["a1"]


@pytest.mark.usefixtures("slowly")
class TestMeanwhile:
    def test_how_far_it_is(self, photos):
        """The status says which share is written anew; nothing before and after."""
        assert photos.store.status("main")["compacted"] is None
        worker = in_the_middle(photos, images=6)
        worker.board.show(at_once=True)
        assert photos.store.status("main")["compacted"] == pytest.approx(12 / 30, abs=0.01)
        assert_ends(photos, worker, left())
        assert photos.store.status("main")["compacted"] is None

    def test_images_come_change_and_go(self, photos, axis):
        """What happens to an image while it is being copied, before or after, is not forgotten."""
        worker = in_the_middle(photos)
        photos.send("late", photo(axis, "c", 11), group="new")
        photos.send("a1", photo(axis, "b", 12), group="moved")
        photos.send("a3", photo(axis, "a", 3), group="word")
        photos.send("c9", photo(axis, "a", 13), group="moved")
        photos.erase("b1")
        photos.erase("c7")
        step(worker, 2)
        photos.send("b1", photo(axis, "b", 14), group="again")
        step(worker, 60)
        worker.close()
        assert compactions(photos) == 1
        _, _, words = stored(photos)
        expected = {image: (image[0], None) for image in left()} | {
            "late": ("new", None),
            "a1": ("moved", None),
            "a3": ("word", None),
            "c9": ("moved", None),
            "b1": ("again", None),
        }
        del expected["c7"]
        assert words == expected
        cluster = clusters(photos, list(expected))
        assert cluster["late"] == cluster["c1"]
        assert cluster["a1"] == cluster["b1"] == cluster["b3"]
        assert cluster["c9"] == cluster["a5"]
        assert photos.states("c7") == [None]

    def test_erased_by_command(self, photos):
        """An erasure that is no record of the topic is one in both indexes."""
        worker = in_the_middle(photos)
        first = worker.collections.find("main")
        worker.answering.erase(first, ["a1", "c9"])
        assert_ends(photos, worker, set(left()) - {"a1", "c9"})

    def test_compared_before_the_switch(self, photos, monkeypatch):
        """An image that was not heard of is found by the comparison, and copied."""
        worker = in_the_middle(photos)
        monkeypatch.setattr(Compaction, "saw", lambda *_: None)
        photos.erase("a1")
        photos.erase("a3")
        assert_ends(photos, worker, set(left()) - {"a1", "a3"})

    def test_a_migration_comes_first(self, photos, axis):
        """A collection that moves to another model is written anew by that."""
        worker = in_the_middle(photos)
        answer = worker.migrating.begin(worker.collections.find("main"), "clip-large", None)
        assert answer.startswith("migrates")
        step(worker, 5)
        assert compactions(photos) == 0
        for image in left():
            vector = axis(4 + LETTERS.index(image[0]), dimension=12, tilt=int(image[1:]) / 40)
            photos.send(image, vector, model="clip-large")
        step(worker, 60)
        worker.close()
        assert photos.store.summary("main").model == "clip-large"
        assert all(clusters(photos).values())

    def test_closed_before_its_end(self, photos):
        """A worker that is stopped in the middle leaves nothing of it, and the next begins anew."""
        worker = in_the_middle(photos)
        worker.close()
        assert compactions(photos) == 0
        assert folders(photos) == [".second-main", "main"]
        (photos.path / "collections" / ".second-main" / "catalog.sqlite").write_bytes(b"half")
        [found] = verify(photos.path).findings
        assert found.harm == Harm.NONE
        assert "the next start removes it" in found.what
        assert indexes(photos.path, None) == ["main"]
        before = clusters(photos)
        photos.run()
        assert compactions(photos) == 1
        assert folders(photos) == ["main"]
        assert clusters(photos) == before

    def test_a_disk_that_is_full(self, photos, monkeypatch):
        """Where the disk does not take the copy, that goes, and images go on coming."""
        worker = in_the_middle(photos)
        second = worker.collections.opened(".second-main")

        def full(*_):
            raise OSError(errno.ENOSPC, "no space left")

        monkeypatch.setattr(second.index, "log", full)
        step(worker, 3)
        assert folders(photos) == ["main"]
        assert worker.pause.reason is None
        photos.clock.advance(601.0)
        assert_ends(photos, worker, left())

    def test_a_disk_that_fails_at_the_end(self, photos, monkeypatch):
        """Where the disk does not take what is carried the first index goes on serving."""
        whole = generations.save

        def full(directory, *rest):
            if directory.name == ".second-main":
                raise OSError(errno.ENOSPC, "no space left")
            whole(directory, *rest)

        monkeypatch.setattr(generations, "save", full)
        worker = in_the_middle(photos)
        step(worker, 40)
        assert compactions(photos) == 0
        assert folders(photos) == ["main"]
        assert worker.pause.reason is None
        monkeypatch.setattr(generations, "save", whole)
        photos.clock.advance(601.0)
        assert_ends(photos, worker, left())

    @pytest.mark.parametrize("length", [1.0, 2.0])
    def test_a_garbled_vector(self, photos, monkeypatch, length):
        """A vector that is not what was logged is not taken for it: the first index stays."""
        writes_of = CollectionIndex.writes_of

        def garbled(index, ids):
            return [
                replace(write, vector=length * np.roll(write.vector, 1))
                if write.id == "b3"
                else write
                for write in writes_of(index, ids)
            ]

        monkeypatch.setattr(CollectionIndex, "writes_of", garbled)
        erase(photos)
        worker = photos.parts(once=False)
        step(worker, 60)
        assert compactions(photos) == 0
        assert folders(photos) == ["main"]
        worker.close()

    def test_only_the_compaction_writes_to_it(self, photos):
        """A record that the first index has does nothing to the copy when it is read again."""
        worker = in_the_middle(photos, images=14)
        photos.erase("a1")
        second = worker.collections.opened(".second-main")
        shares, _ = worker.ingest._sorter.sort(worker.source.poll(10, 0.0))
        assert list(shares) == ["main"]
        assert second.images == 14
        worker.abandon()

    def test_a_run_that_is_held(self, photos):
        """It is over the first one's rows: the compaction gives way until a person has decided."""
        photos.settings["gate_min_images"] = "5"
        photos.cluster_all_in_one()
        worker = in_the_middle(photos)
        worker.queue.request(worker.collections.find("main"))
        step(worker, 40)
        assert compactions(photos) == 0
        assert folders(photos) == ["main"]
        assert worker.takeover.is_held(worker.collections.find("main"))
        assert worker.takeover.discard_held(worker.collections.find("main"))
        step(worker, 60)
        worker.close()
        assert compactions(photos) == 1

    def test_a_run_goes_on(self, photos):
        """The switch waits for the end of a run over the old rows."""
        photos.runner.holding = True
        worker = in_the_middle(photos)
        worker.queue.request(worker.collections.find("main"))
        step(worker, 60)
        assert compactions(photos) == 0
        photos.runner.holding = False
        assert_ends(photos, worker, left())


class TestWhen:
    @pytest.mark.parametrize(
        ("dead", "rows", "expected"),
        [(9, 12, False), (10, 30, True), (10, 31, False), (400, 1_000, True), (300, 1_000, False)],
    )
    def test_due(self, dead, rows, expected):
        """A third of the rows, and not for a few."""
        assert due(dead, rows) is expected

    def test_no_room(self, photos, monkeypatch):
        """A disk with too little room is not filled; it is looked at again later."""
        erase(photos)
        worker = photos.parts(once=False)
        with monkeypatch.context() as full:
            full.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
            step(worker, 40)
        assert compactions(photos) == 0
        assert folders(photos) == ["main"]
        photos.clock.advance(601.0)
        step(worker, 40)
        worker.close()
        assert compactions(photos) == 1
