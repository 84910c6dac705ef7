"""A collection moves to another embedding model while it serves."""

import errno
import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from rounds import step, step_until

from index import CollectionIndex, ImageWrite, IndexSettings, Outcome
from worker import carry as carry_module
from worker.carry import seeds
from worker.coverage import Coverage, Coverages, changes
from worker.dead_letters.base import DeadLetter
from worker.dead_letters.file import FileDeadLetters
from worker.errors import Reason
from worker.migrating import is_due
from worker.migration import Migration
from worker.records import RawRecord
from worker.repair import repair
from worker.requests import Mailbox
from worker.takeover import Takeover
from worker.traces.in_files import Searched, in_files
from worker.traces.sought import Sought
from worker.verify import verify

OLD, NEW = "clip-small", "clip-large"
LETTERS = "abc"


def old(axis, letter, number):
    return axis(LETTERS.index(letter), tilt=number / 50)


def new(axis, letter, number):
    """The same photo, as the other model sees it."""
    return axis(5 + LETTERS.index(letter), dimension=12, tilt=number / 40)


@pytest.fixture
def photos(bench, axis):
    """Three clusters of ten photos, a0.., b0.. and c0.., confirmed by a run."""
    for letter, number in names():
        bench.send(f"{letter}{number}", old(axis, letter, number), model=OLD)
    bench.run()
    return bench


def names():
    return [(letter, number) for letter in LETTERS for number in range(10)]


def send_new(bench, axis, photos=None):
    for letter, number in photos or names():
        bench.send(f"{letter}{number}", new(axis, letter, number), model=NEW)


def migrate(bench, *words):
    return bench.alone().migrate("main", words)


def begin(bench):
    assert migrate(bench, "to", NEW, "").startswith(f"migrates to '{NEW}'")


def everyone(bench):
    ids = [f"{letter}{number}" for letter, number in names()]
    return dict(zip(ids, bench.states(*ids), strict=True))


@contextmanager
def catalog(bench):
    """The catalog of the collection that serves, where no worker runs."""
    parts = bench.parts()
    with parts.collections.get("main").index.transaction(durable=True) as connection:
        yield connection
    parts.close()


def clusters(bench):
    return {image: state and state.cluster for image, state in everyone(bench).items()}


def folders(bench):
    return sorted(path.name for path in (bench.path / "collections").iterdir())


def model(bench):
    return bench.store.summary("main").model


def told(bench):
    return bench.store.status("main")["migration"]


def kinds(bench):
    return [event.kind for _, event in bench.store.events("main", "0")]


def in_a_run(photos, axis):
    """The parts of a worker whose second index is being reclustered, until told to go on."""
    photos.runner.holding = True
    begin(photos)
    send_new(photos, axis)
    worker = photos.parts(once=False)
    step(worker, 5)
    assert told_now(worker)["reclustering"]
    return worker


class TestSwitch:
    def test_clusters_stay_themselves(self, photos, axis):
        """Ids of clusters, and the images in them, are what they were; the model is the new one."""
        before = clusters(photos)
        begin(photos)
        send_new(photos, axis)
        photos.run()
        assert clusters(photos) == before
        assert model(photos) == NEW
        assert photos.store.summary("main").dimension == 12
        assert folders(photos) == ["main"]
        assert told(photos) is None
        assert not {"created", "retired"} & set(kinds(photos)[-3:])

    def test_first_serves_meanwhile(self, photos, axis):
        """Until the last image has come readers see the first index, new images included."""
        before = clusters(photos)
        begin(photos)
        send_new(photos, axis, names()[:-1])
        photos.send("a10", old(axis, "a", 10), model=OLD)
        photos.run()
        assert clusters(photos) == before
        assert photos.states("a10")[0].cluster == before["a0"]
        assert model(photos) == OLD
        assert told(photos) == {
            "model": NEW,
            "shared": 29,
            "missing": 2,
            "new": 0,
            "reclustering": False,
            "held": "",
        }
        assert photos.metrics.migrations._value.get() == 1
        assert photos.metrics.migration_missing._value.get() == 2

    def test_readers_never_miss_an_image(self, photos, axis):
        """After every write to the store each image has a cluster."""
        begin(photos)
        send_new(photos, axis)
        photos.cluster_all_in_one()
        write, seen = photos.store.apply, []

        def apply(lease, update):
            write(lease, update)
            seen.append(all(everyone(photos).values()))

        photos.store.apply = apply
        photos.run()
        assert seen
        assert all(seen)
        assert len(set(clusters(photos).values())) == 1

    def test_what_people_said(self, photos, axis):
        """Names, corrections and the labelled sample hold after the switch, and can be undone."""
        said = photos.alone
        before = clusters(photos)
        said().say("main", "name", (before["a0"], "sea"))
        said().say("main", "same", ("b0", "c0"))
        begin(photos)
        send_new(photos, axis, names()[:20])
        photos.run()
        said().say("main", "apart", ("a1", "a2"))
        said().say("main", "belongs", ("c3", before["a0"]))
        said().say("main", "truth", ("a0", "x", "a3", "x", "b0", "y"))
        asked = (("a0", "b0", 0), ("b0", "c0", 1), ("a1", "nobody", 0))
        with catalog(photos) as connection:
            connection.executemany(
                "INSERT INTO question (word, image, other, same) VALUES ('thing', ?, ?, ?)", asked
            )
        between = clusters(photos)
        send_new(photos, axis, names()[20:])
        photos.run()
        assert model(photos) == NEW
        after = clusters(photos)
        assert photos.store.cluster("main", before["a0"]).name == "sea"
        assert after["c3"] == before["a0"]
        assert after["a1"] != after["a2"]
        assert {after[image] for image in after if image[0] in "bc" and image != "c3"} == {
            between["b0"]
        }
        with catalog(photos) as connection:
            kept = connection.execute("SELECT image, other, same FROM question").fetchall()
        assert kept == list(asked[:2])
        listed = json.loads(said().say("main", "corrections", ()))
        assert [(c["number"], c["holds"]) for c in listed] == [(1, True), (2, True), (3, True)]
        said().say("main", "uncorrect", ("1",))
        assert said().say("main", "same", ("a1", "a2")).startswith("correction 4")
        photos.send("late", new(axis, "a", 11), model=NEW)
        photos.run()
        assert clusters(photos)["c0"] != clusters(photos)["b0"]

    def test_images_of_the_new_model_alone(self, photos, axis):
        """They are seen from the switch on, in the cluster where they belong."""
        begin(photos)
        photos.send("fresh", new(axis, "b", 20), model=NEW)
        photos.run()
        assert photos.states("fresh") == [None]
        send_new(photos, axis)
        photos.run()
        assert photos.states("fresh")[0].cluster == clusters(photos)["b0"]

    def test_images_that_one_vector_joins(self, photos, axis):
        """Two images that the new model cannot tell apart share a row, and so a cluster."""
        begin(photos)
        send_new(photos, axis, [pair for pair in names() if pair != ("b", 0)])
        photos.send("b0", new(axis, "a", 0), model=NEW)
        photos.run()
        after = everyone(photos)
        assert after["b0"] == after["a0"]
        assert after["b0"].cluster != after["b1"].cluster

    def test_images_that_came_in_the_run(self, photos, axis):
        """An image that comes while the second index is reclustered is in a cluster at once."""
        worker = in_a_run(photos, axis)
        for name, vector in [("late", old(axis, "c", 11)), ("a0", old(axis, "c", 12))]:
            photos.send(name, vector, model=OLD)
        photos.send("late", new(axis, "c", 11), model=NEW)
        photos.send("new", new(axis, "b", 12), model=NEW)
        photos.send("a0", new(axis, "c", 12), model=NEW)
        step(worker, 3)
        photos.runner.holding = False
        step(worker, 30)
        worker.close()
        assert model(photos) == NEW
        cluster = clusters(photos)
        late, fresh = photos.states("late", "new")
        assert (late.cluster, fresh.cluster) == (cluster["c0"], cluster["b0"])
        assert all(cluster.values())

    def test_the_first_is_reclustered_meanwhile(self, photos, axis):
        """A run over the second index that was matched with clusters of before is done again."""
        photos.runner.holding = True
        before = clusters(photos)
        begin(photos)
        send_new(photos, axis)
        worker = photos.parts(once=False)
        step(worker, 5)
        photos.send("missing", old(axis, "a", 15), model=OLD)
        step(worker, 3)
        photos.runner.holding = False
        step(worker, 5)
        [ready] = worker.migrating._ready.values()
        worker.queue.request(worker.collections.find("main"))
        step(worker, 10)
        assert worker.collections.find("main").state.generation > ready.generation
        photos.send("missing", new(axis, "a", 15), model=NEW)
        step(worker, 30)
        worker.close()
        assert model(photos) == NEW
        assert clusters(photos) == before
        assert worker.metrics.triggers.labels("demand")._value.get() == 4

    def test_generations_go_on(self, photos, axis):
        """The run of the switch has a higher number than all before, and later ones a higher."""
        before = photos.store.summary("main").generation
        begin(photos)
        send_new(photos, axis)
        photos.run()
        at_switch = photos.store.summary("main").generation
        photos.send("late", new(axis, "a", 11), model=NEW)
        photos.run()
        assert before < at_switch < photos.store.summary("main").generation

    def test_store_away(self, photos, axis):
        """A store that is away at the switch learns of it when it is back."""
        begin(photos)
        send_new(photos, axis)
        worker = photos.parts(once=False)
        photos.store.down = True
        step(worker, 40)
        assert folders(photos) == ["main"]
        photos.store.down = False
        photos.clock.advance(60.0)
        step(worker, 40)
        worker.close()
        assert model(photos) == NEW
        assert all(clusters(photos).values())

    def test_many_collections_few_open(self, bench, axis):
        """Each of several collections migrates, also where only one or two may be open."""
        users = [f"user:{number}" for number in range(4)]
        for user in users:
            for number in range(6):
                vector = old(axis, "ab"[number % 2], number)
                bench.send(f"p{number}", vector, model=OLD, collection=user)
        bench.run(open_collections=1)
        for user in users:
            assert bench.alone().migrate(user, ("to", NEW, "12")).startswith("migrates")
        for user in users:
            for number in range(6):
                vector = new(axis, "ab"[number % 2], number)
                bench.send(f"p{number}", vector, model=NEW, collection=user)
        bench.run(open_collections=1)
        assert {bench.store.summary(user).model for user in users} == {NEW}
        assert folders(bench) == users

    @pytest.mark.parametrize("step", ["counted", "opened"])
    def test_a_closed_one_that_the_disk_does_not_open(self, photos, axis, monkeypatch, step):
        """It holds up nobody, and switches when the disk gives it."""
        begin(photos)
        send_new(photos, axis)
        worker = photos.worker(once=False, recluster_first_images="1000")
        parts = worker._parts
        worker._recover()
        worker._open_source()
        parts.ingest.batch(0.0)
        for name in ("main", ".second-main"):
            parts.collections.close(parts.collections.opened(name))
        find = parts.collections.find

        def fail(name):
            if name == "main":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return find(name)

        with monkeypatch.context() as patched:
            if step == "counted":
                patched.setattr(Coverages, "on_disk", lambda _, name: fail(name))
            else:
                patched.setattr(parts.collections, "find", fail)
            for number in range(3):
                photos.clock.advance(10.0)
                photos.send(f"late-{number}", axis(2), collection="other")
                worker._round()
        assert parts.collections.opened("main") is None
        assert photos.store.summary("other").images == 3
        photos.clock.advance(10.0)
        for _ in range(40):
            worker._round()
        parts.close()
        assert model(photos) == NEW


class TestRecords:
    def test_go_to_their_model(self, photos, axis):
        """Of the old model and of none: the first index; of the new one: the second."""
        begin(photos)
        photos.send("a0", new(axis, "a", 1), model=NEW)
        photos.send("named", old(axis, "a", 12), model=OLD)
        photos.send("nameless", old(axis, "a", 13))
        photos.run()
        assert not photos.dead_letters.letters
        assert None not in photos.states("named", "nameless")
        assert (told(photos)["shared"], told(photos)["missing"]) == (1, 31)

    def test_refused(self, photos, axis):
        """A third model, a vector of another length than was said, and the old one afterwards."""
        assert migrate(photos, "to", NEW, "12").startswith("migrates")
        photos.send("x", axis(0), model="other")
        photos.send("y", axis(0, dimension=9), model=NEW)
        photos.send("z", new(axis, "a", 0))
        photos.run()
        reasons = [letter.reason for letter in photos.dead_letters.letters]
        assert reasons == [Reason.OTHER_MODEL, Reason.WRONG_DIMENSION, Reason.WRONG_DIMENSION]
        send_new(photos, axis)
        photos.run()
        photos.send("a0", old(axis, "a", 0), model=OLD)
        photos.run()
        assert photos.dead_letters.letters[-1].reason == Reason.WRONG_DIMENSION

    def test_a_change(self, photos, axis):
        """The last vector of each model counts."""
        begin(photos)
        send_new(photos, axis)
        photos.send("a0", new(axis, "b", 0.5), model=NEW)
        photos.run()
        assert model(photos) == NEW
        assert clusters(photos)["a0"] == clusters(photos)["b0"]

    def test_the_same_dimension(self, photos, axis):
        """Models are told apart by their names where their vectors are of one length."""
        before = clusters(photos)
        begin(photos)
        for letter, number in names():
            vector = axis(7 - LETTERS.index(letter), tilt=number / 30)
            photos.send(f"{letter}{number}", vector, model=NEW)
        photos.run()
        assert (model(photos), clusters(photos)) == (NEW, before)
        photos.send("a0", old(axis, "a", 0), model=OLD)
        photos.run()
        assert photos.dead_letters.letters[-1].reason == Reason.OTHER_MODEL


class TestErasure:
    @pytest.mark.parametrize("how", ["null", "command"])
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_nothing_is_left(self, photos, axis, how, when):
        """Erased while it migrates, an image is gone from both indexes, before the switch and
        after it; its vectors with it.
        """
        begin(photos)
        send_new(photos, axis)
        photos.send("still", old(axis, "b", 21), model=OLD)
        photos.run()
        first, second = (vector(photos, name, "a5") for name in (".second-main", "main"))
        if how == "null":
            photos.erase("a5")
            photos.run()
        else:
            assert photos.alone().erase("main", ["a5", "nobody"]) == '["erased", "absent"]'
        assert photos.states("a5") == [None]
        if when == "after":
            photos.send("still", new(axis, "b", 21), model=NEW)
            photos.run()
            assert folders(photos) == ["main"]
        photos.clock.advance(13 * 3_600.0)
        for _ in range(2):  # one purge each
            photos.run()
        assert holding(photos, first) == holding(photos, second) == set()
        assert photos.metrics.erasures_waiting._value.get() == 0
        told_of = [e for _, e in photos.store.events("main", "0") if "a5" in e.data.values()]
        assert told_of == []

    def test_only_of_the_new_model(self, photos, axis):
        """An image that the first index does not have is erased from the second."""
        begin(photos)
        photos.send("fresh", new(axis, "a", 11), model=NEW)
        photos.run()
        assert photos.alone().erase("main", ["fresh"]) == '["erased"]'
        send_new(photos, axis)
        photos.run()
        assert model(photos) == NEW
        assert photos.states("fresh") == [None]

    def test_letters_of_an_image_of_the_new_model_alone(self, photos, axis):
        """The second index's purge finds them under the name that their records have."""
        begin(photos)
        send_new(photos, axis, [("a", 0)])
        photos.send("fresh", new(axis, "a", 11), model=NEW)
        photos.run()
        letters = FileDeadLetters(photos.path / "dead-letters.jsonl")
        for image, collection in (("fresh", "main"), ("fresh", "other"), ("a1", "main")):
            headers = (("collection", collection.encode()),)
            raw = RawRecord("images/0", 7, image.encode(), b"no json", headers, 1.0)
            letters.send([DeadLetter(raw, Reason.NOT_JSON, "value: no JSON")])
        letters.close()
        lines = (photos.path / "dead-letters.jsonl").read_bytes().splitlines()
        assert photos.alone().erase("main", ["fresh"]) == '["erased"]'
        photos.clock.advance(13 * 3_600.0)
        photos.run()
        gone, *left = (photos.path / "dead-letters.jsonl").read_bytes().splitlines()
        assert json.loads(gone) == {"reason": "erased"}
        assert left == lines[1:]

    def test_cancelled_in_a_run(self, photos, axis):
        """A purge waits for what a run reads of a migration that was cancelled."""
        worker = in_a_run(photos, axis)
        main = worker.collections.find("main")
        second = vector(photos, ".second-main", "a5")
        assert ask(worker, "cancel").startswith("cancelled")
        photos.erase("a5")
        step(worker, 5)
        photos.clock.advance(13 * 3_600.0)
        before = main.index.leftovers.newest_snapshot
        step_until(worker, lambda: main.index.leftovers.newest_snapshot != before)
        step(worker, 20)
        assert main.erasures.waiting
        assert holding(photos, second)
        photos.runner.holding = False
        step_until(worker, lambda: not main.erasures.waiting)
        assert holding(photos, second) == set()
        worker.close()

    @pytest.mark.parametrize("in_both", [True, False])
    def test_that_waited_for_the_store(self, photos, axis, in_both):
        """What waits for readers when the second index is carried to, and is erased before the
        switch, stays in neither index, whether the second has it or not.
        """
        begin(photos)
        photos.send("still", old(axis, "b", 21), model=OLD)
        worker = photos.parts(once=False)
        step(worker, 5)
        photos.store.down = True
        send_new(photos, axis)
        there = ["erased-1", "erased-\u00fc"]
        for number, image in enumerate(there):
            photos.send(image, old(axis, "a", 20 + number), model=OLD)
            if in_both:
                photos.send(image, new(axis, "a", 20 + number), model=NEW)
        step(worker, 5)
        first, second = worker.collections.indexes_of("main")
        assert "failed" not in worker.answering.say(first, "same", there)
        assert "failed" not in worker.answering.say(first, "truth", [there[0], "x", there[1], "x"])
        assert worker.migrating.prepare(second)
        photos.store.down = False
        photos.clock.advance(60.0)
        step(worker, 5)
        for image in there:
            photos.erase(image)
        step(worker, 5)
        photos.clock.advance(13 * 3_600.0)
        step_until(worker, lambda: not (first.erasures.waiting or second.erasures.waiting))
        assert folders(photos) == [".second-main", "main"]
        assert holding(photos, b"erased-") == set()
        worker.close()

    def test_a_switch_that_did_not_come(self, photos, axis):
        """Killed before it, the second index has nothing for readers, who hear from the first."""
        begin(photos)
        send_new(photos, axis, names()[1:])
        worker = photos.parts(once=False)
        step(worker, 5)
        first, second = worker.collections.indexes_of("main")
        carry_module.carry(first, second, switch=True)
        assert list(second.outbox.images) == ["a0"]
        worker.abandon()
        worker = photos.parts(once=False)
        assert not worker.collections.indexes_of("main")[1].outbox
        worker.close()

    def test_told_after_the_switch(self, photos, axis):
        """Events of an image that was erased before the switch go in time after it."""
        begin(photos)
        send_new(photos, axis, names()[1:])
        photos.run()
        photos.erase("a0")
        photos.run()
        assert model(photos) == NEW
        photos.clock.advance(13 * 3_600.0)
        photos.run()
        assert not [e for _, e in photos.store.events("main", "0") if "a0" in e.data.values()]


class TestOnDisk:
    def test_verified(self, photos, axis):
        """The second index is verified as the first is, and damage in it is named and mended."""
        begin(photos)
        send_new(photos, axis, names()[1:])
        photos.run()
        assert verify(photos.path).findings == []
        log = photos.path / "collections" / ".second-main" / "vectors.f32"
        content = bytearray(log.read_bytes())
        content[100] ^= 1
        log.write_bytes(content)
        found = verify(photos.path, "main").collections
        assert (found["main"], len(found[".second-main"])) == ([], 1)
        assert repair(photos.path, IndexSettings(), "main").failed == {}
        assert verify(photos.path).findings == []
        photos.send("a0", new(axis, "a", 0), model=NEW)
        photos.run()
        assert model(photos) == NEW
        assert verify(photos.path).findings == []

    @pytest.mark.parametrize("moved", [1, 2])
    def test_a_switch_that_was_cut_short(self, photos, axis, moved):
        """Whatever opens the data directory next ends it."""
        begin(photos)
        send_new(photos, axis, names()[1:])
        photos.run()
        collections = photos.path / "collections"
        (collections / "main").rename(collections / ".former-main")
        if moved == 2:
            (collections / ".second-main").rename(collections / "main")
        assert {f.path.name for f in verify(photos.path).findings} == {".former-main"}
        assert repair(photos.path, IndexSettings()).failed == {}
        assert folders(photos) == ["main"]

    def test_traces(self, photos, axis):
        """The search for an image finds both of its vectors."""
        begin(photos)
        send_new(photos, axis, names()[1:])
        photos.run()
        own = Sought("b1").also(row(photos, "main", "b1")).also(row(photos, ".second-main", "b1"))
        places = {
            t.where for t in in_files(photos.path, "main", own, Searched()) if t.what == "vector"
        }
        assert {place.split("/")[1] for place in places} == {"main", ".second-main"}


class TestDisk:
    @pytest.mark.parametrize("which", [".second-main", "main"])
    def test_renames_that_fail(self, photos, axis, which, monkeypatch):
        """A disk that does not take the switch is waited for; then it is made."""
        begin(photos)
        send_new(photos, axis)
        rename, failed = Path.rename, []

        def fails(path, target):
            if path.name == which and Path(target).name in {"main", ".former-main"} and not failed:
                failed.append(path)
                raise OSError(errno.EIO, "the disk is broken", str(path))
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", fails)
        before = clusters(photos)
        photos.run()
        assert failed
        assert (model(photos), clusters(photos), folders(photos)) == (NEW, before, ["main"])

    def test_carrying_that_fails(self, photos, axis, monkeypatch):
        """As one that does not take the new catalog."""
        begin(photos)
        send_new(photos, axis)
        whole, failed = carry_module._assign, []

        def fails(*args):
            if len(failed) < 2:
                failed.append(1)
                raise OSError(errno.ENOSPC, "no room")
            return whole(*args)

        monkeypatch.setattr(carry_module, "_assign", fails)
        before = clusters(photos)
        photos.run()
        assert (model(photos), clusters(photos), folders(photos)) == (NEW, before, ["main"])

    def test_a_second_index_that_does_not_go(self, photos, axis, monkeypatch):
        """What a killed worker left of a cancelled migration is removed before its collection is
        served, once the disk lets it go.
        """
        begin(photos)
        send_new(photos, axis, names()[:5])
        photos.run()
        left, kept = photos.path / "collections" / ".second-main", photos.path / "kept"
        shutil.copytree(left, kept)
        migrate(photos, "cancel")
        kept.rename(left)
        rmtree, failed = shutil.rmtree, []

        def fails(path, *, ignore_errors=False):
            if path == left and not failed:
                failed.append(path)
                if not ignore_errors:
                    raise OSError(errno.EROFS, "the disk takes nothing", str(path))
            else:
                rmtree(path, ignore_errors=ignore_errors)

        monkeypatch.setattr("worker.collections.shutil.rmtree", fails)
        before = clusters(photos)
        photos.run()
        assert failed
        assert (clusters(photos), folders(photos)) == (before, ["main"])

    def test_a_result_that_is_not_kept(self, photos, axis, monkeypatch):
        """It is that of a run that failed: the worker goes on, and the next run is kept."""
        begin(photos)
        send_new(photos, axis)
        before = clusters(photos)
        with monkeypatch.context() as patched:
            broken = OSError(errno.EIO, "the disk is broken")
            patched.setattr(Takeover, "keep", Mock(side_effect=broken))
            photos.run()
        assert (model(photos), clusters(photos)) == (OLD, before)
        photos.run()
        assert (model(photos), clusters(photos), folders(photos)) == (NEW, before, ["main"])


def row(bench, name, image):
    """An image's vector as an index keeps it."""
    opened = CollectionIndex.open(bench.path / "collections" / name, settings=IndexSettings())
    try:
        [number] = opened.row_of([image])
        return opened.vectors[number].copy()
    finally:
        opened.close()


def vector(bench, name, image):
    """Its bytes."""
    return row(bench, name, image).tobytes()


def holding(bench, content):
    """The files in the data directory that hold these bytes."""
    files = (path for path in bench.path.rglob("*") if path.is_file())
    return {str(path.relative_to(bench.path)) for path in files if content in path.read_bytes()}


class TestAsked:
    def test_begin(self, photos):
        """Once again is the same; another model, the one it has, or none under way is refused."""
        assert migrate(photos, "to", OLD, "") == f"failed: it holds '{OLD}' already"
        assert migrate(photos, "finish") == "failed: no migration is under way"
        assert migrate(photos, "cancel") == "failed: no migration is under way"
        begin(photos)
        begin(photos)
        assert migrate(photos, "to", "third", "") == f"failed: a migration to '{NEW}' is under way"
        assert migrate(photos, "finish") == f"failed: no image of '{NEW}' has come"

    def test_by_the_mailbox(self, photos):
        """A running worker answers."""
        mailbox = Mailbox(photos.path)
        id_ = mailbox.send("migrate", "main", "to", NEW, "12")
        photos.run()
        assert mailbox.wait(id_, 0.1).startswith("migrates")
        assert told(photos)["model"] == NEW

    def test_finish_with_images_missing(self, photos, axis):
        """Refused with their number; with force they are gone, and so is what was said of them."""
        photos.alone().say("main", "same", ("a0", "c0"))
        begin(photos)
        send_new(photos, axis, names()[:-1][1:])
        photos.run()
        assert migrate(photos, "finish") == (
            f"failed: 2 of 30 images have no embedding of '{NEW}' and would be gone;"
            " --force switches anyway"
        )
        photos.run()
        assert model(photos) == OLD
        before = clusters(photos)
        assert migrate(photos, "finish", "force").endswith("2 images will be gone")
        photos.run()
        assert model(photos) == NEW
        after = clusters(photos)
        assert {image for image, cluster in after.items() if cluster is None} == {"a0", "c9"}
        assert (after["a1"], after["b1"]) == (before["a1"], before["b1"])
        assert after["c0"] not in {after["a1"], after["b1"], None}
        assert json.loads(photos.alone().say("main", "corrections", ())) == []
        events = [event for _, event in photos.store.events("main", "0")]
        assert {e.data["image"] for e in events if e.kind == "erased"} == {"a0", "c9"}

    def test_held(self, photos, axis):
        """A run that moves too much waits for a person, who may insist or cancel."""
        photos.settings["gate_min_images"] = "5"
        photos.cluster_all_in_one()
        begin(photos)
        send_new(photos, axis)
        before = clusters(photos)
        photos.run()
        photos.run()
        assert (model(photos), clusters(photos)) == (OLD, before)
        assert "its largest cluster would hold 30 of 30 images" in told(photos)["held"]
        assert photos.metrics.held_runs._value.get() == 1
        assert migrate(photos, "finish").startswith("failed: the run was held: ")
        migrate(photos, "finish", "force")
        photos.run()
        assert model(photos) == NEW
        assert len(set(clusters(photos).values())) == 1

    def test_cancel(self, photos, axis):
        """Nothing of the second index is left, and its model is refused again."""
        before = clusters(photos)
        begin(photos)
        send_new(photos, axis, names()[:5])
        photos.run()
        assert folders(photos) == [".second-main", "main"]
        assert migrate(photos, "cancel") == f"cancelled: it stays with {OLD}"
        assert folders(photos) == ["main"]
        photos.send("x", new(axis, "a", 0), model=NEW)
        photos.run()
        assert len(photos.dead_letters.letters) == 1
        assert (model(photos), clusters(photos), told(photos)) == (OLD, before, None)

    def test_cancel_in_the_run(self, photos, axis):
        """What a run reads goes when the run has ended; its result is dropped."""
        worker = in_a_run(photos, axis)
        assert ask(worker, "cancel").startswith("cancelled")
        assert ask(worker, "to", NEW, "").startswith("failed: the index of a cancelled")
        photos.runner.holding = False
        step(worker, 5)
        assert folders(photos) == ["main"]
        assert ask(worker, "to", NEW, "").startswith("migrates")
        worker.close()
        assert model(photos) == OLD


def told_now(parts):
    [collection] = parts.collections.serving
    return parts.board._migration(collection)


def ask(parts, *words):
    return parts.migrating.ask(parts.collections.find("main"), words)


@pytest.mark.parametrize(
    ("forced", "held", "coverage", "expected"),
    [
        (False, "", None, False),
        (True, "", None, False),
        (False, "", Coverage(0, 0, 0, ()), False),
        (False, "", Coverage(3, 2, 2, ()), False),
        (False, "", Coverage(3, 3, 3, ()), True),
        (False, "", Coverage(3, 5, 3, ()), True),
        (False, "moved", Coverage(3, 3, 3, ()), False),
        (True, "", Coverage(3, 1, 1, ()), True),
    ],
)
def test_due(forced, held, coverage, expected):
    """With every image, or where a person insists, but not where the gate held it."""
    assert is_due(Migration(NEW, None, forced, held), coverage) == expected


@pytest.mark.parametrize(
    ("writes", "gained", "lost"),
    [
        ([], "", ""),
        ([("a", "added"), ("b", "erased"), ("c", "unchanged"), ("d", "replaced")], "a", "b"),
        ([("a", "absent"), ("a", "added")], "a", ""),
        ([("a", "added"), ("a", "erased")], "", ""),
        ([("a", "erased"), ("a", "added")], "", ""),
        ([("a", "replaced"), ("a", "erased"), ("a", "absent")], "", "a"),
    ],
)
def test_changes(writes, gained, lost):
    """What several writes of one image did in the end."""
    gone = {"erased", "absent"}
    made = [ImageWrite(i, Outcome(o), None if o in gone else 1, None) for i, o in writes]
    assert changes(made) == (set(gained), set(lost))


def test_counted_on(photos, axis):
    """What is counted from batch to batch is what a count of everything finds."""
    begin(photos)
    worker = photos.parts(once=False, batch_records=7)
    rng = np.random.default_rng(0)
    for turn in range(6):
        for letter, number in [names()[k] for k in rng.integers(30, size=12)]:
            image = f"{letter}{number}"
            match int(rng.integers(5)):
                case 0:
                    photos.erase(image)
                case 1:
                    photos.send(image, old(axis, letter, number + turn), model=OLD)
                case _:
                    photos.send(image, new(axis, letter, number + turn), model=NEW)
        step(worker, 4)
        first = worker.collections.find("main")
        counted = worker.migrating._coverages
        known = counted.shown(first)
        counted.forget("main")
        assert known == counted.of(first, at_once=True)
    worker.close()


def test_a_second_index_that_was_closed_is_counted_again(photos, axis):
    """Also where it was closed when it was counted, and is when its images are others."""
    begin(photos)
    send_new(photos, axis, names()[:-1])
    worker = photos.parts(once=False)
    step(worker, 6)
    collections, coverages = worker.collections, worker.migrating._coverages
    collections.close(collections.find(".second-main"))
    first = collections.find("main")
    assert coverages.of(first, at_once=True).missing == 1
    send_new(photos, axis, names()[-1:])
    worker.ingest.batch(0.0)
    worker.ingest.settle()
    collections.close(collections.find(".second-main"))
    assert coverages.of(first, at_once=True).missing == 0
    worker.close()


class TestSeeds:
    LABELS = np.array([7, 7, 4, 4, 9, -1], np.int32)

    @pytest.mark.parametrize(
        ("shared", "rows", "sources", "strays"),
        [
            ([], [], [], []),
            ([(0, 3), (4, 1)], [1, 3], [4, 0], []),
            ([(5, 0), (2, 1)], [1], [2], []),
            ([(0, 0), (1, 0), (2, 0)], [0], [0], [(1, 0), (2, 0)]),
            ([(0, 0), (2, 0)], [0], [2], [(0, 0)]),
            ([(4, 0), (4, 0), (0, 0)], [0], [4], [(0, 0)]),
        ],
    )
    def test_seeds(self, shared, rows, sources, strays):
        """A row takes the cluster that most of its images have; of as many the older one."""
        found = seeds(np.array(shared, np.int64).reshape(-1, 2), self.LABELS)
        assert found.rows.tolist() == rows
        assert found.sources.tolist() == sources
        assert [tuple(pair) for pair in found.strays.tolist()] == strays
