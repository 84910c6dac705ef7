"""Erased and replaced images leave nothing behind, in the stated time and while work goes on."""

import base64
import dataclasses
import errno
import json
import os
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from rounds import step, step_until

from index import CollectionIndex, Database, IndexSettings
from index.leftovers import Leftovers
from worker.dead_letters.file import FileDeadLetters
from worker.errors import LeaseError
from worker.purging import Waiting, due
from worker.requests import Mailbox

HOUR = 3_600.0


@pytest.fixture
def photos(bench, axis):
    """Two clusters of ten photos, confirmed by a run, with a snapshot."""
    for number in range(10):
        bench.send(f"photo-a{number}", axis(0, tilt=number / 50))
        bench.send(f"photo-b{number}", axis(1, tilt=number / 50))
    bench.run()
    return bench


def vector(bench, image):
    """The bytes of an image's vector, as it is kept."""
    folder = bench.path / "collections" / "main"
    rows = CollectionIndex.open(folder, settings=IndexSettings())
    try:
        [row] = rows.row_of([image])
        return rows.vectors[row].tobytes()
    finally:
        rows.close()


def holding(bench, content):
    """Names of the files in the data directory that hold these bytes."""
    return {
        path.name
        for path in bench.path.rglob("*")
        if path.is_file() and content in path.read_bytes()
    }


def told(bench, image):
    """Kinds of the events that name an image."""
    events = [event for _, event in bench.store.events("main", "0")]
    return [event.kind for event in events if image in event.data.values()]


def purge(bench):
    """Let the time pass in which everything must be gone."""
    bench.clock.advance(13 * HOUR)
    bench.run()


def pass_time(bench, parts, reached):
    """Go on, a second in each round, until something is reached."""

    def a_second_later():
        bench.clock.advance(1.0)
        return reached()

    step_until(parts, a_second_later)


def waiting(bench):
    return bench.metrics.erasures_waiting._value.get()


def found_while_in_the_way(bench, name, old):
    """Erase a photo, and purge while a file is where snapshots need a folder, until the purge
    waits, then without it. Names of the files that hold `old` while it waits.
    """
    bench.erase("photo-a3")
    bench.run()
    bench.clock.advance(13 * HOUR)
    worker = bench.worker(once=False)
    in_the_way = bench.path / "collections" / "main" / "snapshots" / name
    in_the_way.touch()
    meanwhile = []

    def watch(**_):
        bench.clock.advance(1.0)
        purged = bench.metrics.purges._value.get()
        if worker._parts.purging._failed and in_the_way.exists():
            assert not purged
            meanwhile.append(holding(bench, old))
            in_the_way.unlink()
        if purged:
            worker.stop()

    worker._parts.board.show = watch
    worker.run()
    [found] = meanwhile
    return found


class TestWhen:
    @pytest.mark.parametrize(
        ("waiting", "deleted", "elements", "expected"),
        [
            (None, 0, 0, None),
            (None, 999, 4_000, None),
            (None, 1_000, 6_000, None),
            (None, 1_000, 5_000, "all"),
            (Waiting(1, 91.0, 91.0), 1, 5, None),
            (Waiting(1, 90.0, 90.0), 0, 5, "all"),
            (Waiting(2, 83.0, 91.0), 0, 5, None),
            (Waiting(2, 83.0, None), 0, 5, None),
            (Waiting(2, 82.0, 91.0), 0, 5, "names"),
            (Waiting(2, 82.0, None), 0, 5, "names"),
        ],
    )
    def test_due(self, waiting, deleted, elements, expected):
        """Copies halfway, events alone at nine tenths, of 20; or a fifth of many is deleted."""
        assert due(waiting, deleted, elements, 100.0, 20.0) == expected


def purge_due(photos):
    """A worker that finds an image erased, and its copies due to go."""
    photos.erase("photo-a3")
    photos.run()
    photos.clock.advance(13 * HOUR)
    return photos.worker()


class TestPurge:
    @pytest.mark.parametrize("how", ["null", "command", "replaced"])
    def test_nothing_is_left(self, photos, axis, how):
        """By a null value, by the command, or by another vector for the same id: no file holds the
        old vector, no file or event an erased id; the rest serves on.
        """
        old = vector(photos, "photo-a3")
        if how == "null":
            photos.erase("photo-a3")
            photos.run()
        elif how == "command":
            assert photos.alone().erase("main", ["photo-a3", "?"]) == '["erased", "absent"]'
        else:
            photos.send("photo-a3", axis(4))
            photos.run()
        photos.run()
        assert "hnsw.bin" in holding(photos, old)
        assert waiting(photos) == 1
        assert photos.metrics.oldest_erasure._value.get() == photos.clock.time()
        purge(photos)
        assert holding(photos, old) == set()
        assert waiting(photos) == photos.metrics.oldest_erasure._value.get() == 0
        assert photos.metrics.purges._value.get() == 1
        if how != "replaced":
            assert holding(photos, b"photo-a3") == set()
            assert told(photos, "photo-a3") == []
        else:
            assert photos.states("photo-a3")[0] is not None
        assert told(photos, "photo-a4") != []
        assert holding(photos, b"photo-a4") == {"catalog.sqlite"}
        assert holding(photos, vector(photos, "photo-a4")) == {"vectors.f32", "hnsw.bin"}

    def test_one_snapshot_is_left(self, photos, axis):
        """Those from before the erasure go, however many are kept; and nothing is done twice."""
        photos.send("photo-c", axis(2))
        photos.erase("photo-a3")
        photos.run()
        folder = photos.path / "collections" / "main" / "snapshots"
        assert len(list(folder.iterdir())) == 2
        purge(photos)
        before = {path.name for path in folder.iterdir()}
        assert len(before) == 1
        purge(photos)
        assert {path.name for path in folder.iterdir()} == before

    def test_an_image_that_shares_its_row(self, photos, axis):
        """The other one keeps the vector."""
        photos.send("photo-twin", axis(0))
        photos.run()
        photos.erase("photo-a0")
        photos.run()
        purge(photos)
        assert holding(photos, b"photo-a0") == set()
        assert "vectors.f32" in holding(photos, vector(photos, "photo-twin"))

    def test_an_image_that_came_back(self, photos, axis):
        """What happened to it before and after stays in the stream."""
        photos.erase("photo-a3")
        photos.run()
        photos.send("photo-a3", axis(1, tilt=0.9))
        photos.run()
        before = told(photos, "photo-a3")
        purge(photos)
        assert told(photos, "photo-a3") == before
        assert photos.states("photo-a3")[0].cluster == photos.states("photo-b1")[0].cluster

    def test_events_stay_for_half_of_the_time(self, photos):
        """A follower that is not away for longer hears of every erasure, also of one just before a
        purge.
        """
        old = vector(photos, "photo-b3")
        photos.erase("photo-a3")
        photos.run()
        photos.clock.advance(11 * HOUR)
        photos.erase("photo-b3")
        photos.run()
        photos.clock.advance(2 * HOUR)
        photos.run()
        assert told(photos, "photo-a3") == []
        assert told(photos, "photo-b3")[-1] == "erased"
        assert holding(photos, old) == set()
        assert holding(photos, b"photo-a3") == set()
        assert waiting(photos) == 1
        photos.clock.advance(18 * HOUR)
        photos.run()
        assert told(photos, "photo-b3")[-1] == "erased"
        photos.clock.advance(2 * HOUR)
        photos.run()
        assert told(photos, "photo-b3") == []
        assert holding(photos, b"photo-b3") == set()
        assert waiting(photos) == 0

    def test_generations(self, photos):
        """The row of an erased image has no cluster in any former run."""
        folder = photos.path / "collections" / "main"
        photos.erase("photo-a3")
        photos.run()
        purge(photos)
        labels = [np.load(path) for path in folder.glob("generations/*/labels.npy")]
        assert len(labels) == 2
        assert {int(found[6]) for found in labels} == {-1}
        assert not list((folder / "runs").iterdir())
        purge(photos)

    def test_dead_letters(self, photos):
        """Letters of an erased image become blanks of the same length; others stay."""
        path = photos.path / "dead-letters.jsonl"
        keep = [letter("photo-a4"), letter("photo-a3", "other"), letter("photo-a3x")]
        lines = [letter("photo-a3"), *keep, letter("photo-a3", "main")]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        size = path.stat().st_size
        letters = FileDeadLetters(path)
        photos.erase("photo-a3")
        photos.run()
        purge(photos)
        letters.close()
        found = [json.loads(line) for line in path.read_text().splitlines()]
        assert found == [{"reason": "erased"}, *keep, {"reason": "erased"}]
        assert path.stat().st_size == size

    def test_a_damaged_dead_letter(self, photos):
        """What is left of a letter that may be the image's goes as well, and the purge ends."""
        path = photos.path / "dead-letters.jsonl"
        damaged = letter("photo-a3")
        del damaged["value"]
        lines = [damaged, letter("photo-a4")]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        photos.erase("photo-a3")
        photos.run()
        purge(photos)
        found = [json.loads(line) for line in path.read_text().splitlines()]
        assert found == [{"reason": "erased"}, lines[1]]

    def test_answers(self, photos):
        """An answer that names the image and that nobody fetched goes as well."""
        Mailbox(photos.path).send("same", "main", "photo-a3", "photo-b3")
        photos.run()
        assert holding(photos, b"photo-a3") > {"catalog.sqlite"}
        answer = next((photos.path / "requests").glob("*.answer"))
        os.utime(answer, (0, 0))
        photos.erase("photo-a3")
        photos.run()
        purge(photos)
        assert holding(photos, b"photo-a3") == set()

    def test_while_the_store_is_away(self, photos):
        """The disk is rid of it; the rest waits, and goes when the store is back."""
        old = vector(photos, "photo-a3")
        photos.erase("photo-a3")
        photos.run()
        old_events = told(photos, "photo-a3")
        photos.clock.advance(13 * HOUR)
        worker = photos.worker(once=False)
        purging = worker._parts.purging
        left = []

        def watch(**_):
            photos.clock.advance(0.5)
            if photos.store.down and purging.goes_on and not holding(photos, old):
                left.append(holding(photos, b"photo-a3"))
                photos.store.down = False
            if left and not purging.goes_on:
                worker.stop()

        worker._parts.board.show = watch
        photos.store.down = True
        worker.run()
        assert old_events != []
        assert {name.removesuffix("-wal") for name in left[0]} == {"catalog.sqlite"}
        assert told(photos, "photo-a3") == []
        assert holding(photos, b"photo-a3") == set()

    @pytest.mark.parametrize("cause", ["store", "run"])
    def test_one_that_waits_keeps_no_other(self, photos, axis, cause):
        """While the store is away, or one collection is being reclustered, the disk is rid of what
        others had in time.
        """
        for number in range(10):
            photos.send(f"pet-{number}", axis(2, tilt=number / 50), collection="other")
        photos.run()
        photos.erase("photo-a3")
        photos.erase("pet-3", collection="other")
        photos.run()
        parts = photos.parts(once=False, recluster_seconds="1e9")
        step(parts, 3)
        main, other = (parts.collections.get(name) for name in ("main", "other"))
        assert None not in {main.erasures.oldest_copies, other.erasures.oldest_copies}
        if cause == "run":
            photos.runner.holding = True
            parts.queue.request(main)
            step(parts, 3)
            assert parts.queue.busy(main)
        photos.store.down = cause == "store"
        photos.clock.advance(13 * HOUR)
        if cause == "run":
            pass_time(photos, parts, lambda: not holding(photos, b"pet-3"))
            assert main.erasures.oldest_copies is not None
        else:
            erasures = (main.erasures, other.erasures)
            pass_time(photos, parts, lambda: not any(e.oldest_copies for e in erasures))
            assert holding(photos, b"pet-3") != set()
        photos.store.down = False
        photos.runner.holding = False
        pass_time(photos, parts, lambda: not parts.purging.waiting())
        parts.close()
        for image in (b"photo-a3", b"pet-3"):
            assert holding(photos, image) == set()

    def test_many_that_wait_while_few_may_be_open(self, photos, axis):
        """While the store is away the disk is rid of all of it, and only so many are open."""
        names = [f"user-{number}" for number in range(5)]
        for name in names:
            for number in range(3):
                photos.send(f"pet-{number}", axis(number), collection=name)
        photos.run()
        for name in names:
            photos.erase("pet-1", collection=name)
        photos.run()
        parts = photos.parts(once=False, open_collections="2", recluster_seconds="1e9")
        step(parts, 10)
        photos.store.down = True
        photos.clock.advance(13 * HOUR)

        def rid_of_copies():
            assert len(list(parts.collections)) <= 3
            waiting = parts.purging.waiting()
            return len(waiting) == len(names) and not any(w.oldest_copies for w in waiting)

        pass_time(photos, parts, rid_of_copies)
        photos.store.down = False
        photos.clock.advance(11 * HOUR)
        pass_time(photos, parts, lambda: not parts.purging.waiting())
        parts.close()
        assert holding(photos, b"pet-1") == set()

    def test_letters_of_one_erased_later(self, photos):
        """Dead letters go with the purge that removes the other copies, however young they are."""
        letters = photos.path / "dead-letters.jsonl"
        names = ["photo-a3", "photo-b3", "photo-a4"]
        letters.write_text("".join(json.dumps(letter(name)) + "\n" for name in names))
        photos.erase("photo-a3")
        photos.run()
        photos.clock.advance(11 * HOUR)
        photos.erase("photo-b3")
        photos.run()
        photos.clock.advance(2 * HOUR)
        photos.run()
        left = [n for n in names if base64.b64encode(n.encode()) in letters.read_bytes()]
        assert left == ["photo-a4"]

    def test_a_request_that_was_not_written_to_its_end(self, photos):
        """A command that was killed as it asked leaves nothing that names the image."""
        mailbox = Mailbox(photos.path)
        aside = photos.path / "requests" / ".1.json.tmp"
        aside.write_text('{"verb": "erase", "collection": "main", "words": ["photo-a3"]}')
        os.utime(aside, (1, 1))
        photos.erase("photo-a3")
        photos.run()
        purge(photos)
        assert holding(photos, b"photo-a3") == set()
        assert list(mailbox.pending()) == []

    @pytest.mark.parametrize("kind", ["run", "answer", "second index"])
    def test_a_disk_that_lets_something_go_later(self, photos, monkeypatch, kind):
        """Whatever it keeps that a purge removes, the purge waits for it."""
        path = {
            "run": photos.path / "collections/main/runs/old",
            "answer": photos.path / "requests/1.answer",
            "second index": photos.path / "collections/.second-main",
        }[kind]
        photos.erase("photo-a3")
        worker = photos.worker(once=False)
        failed = []

        def refused(found):
            if Path(found) == path and len(failed) < 3:
                failed.append(worker._parts.collections.find("main").erasures.waiting)
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(found))

        rmtree, unlink = shutil.rmtree, Path.unlink
        monkeypatch.setattr("shutil.rmtree", lambda p, **how: refused(p) or rmtree(p, **how))
        monkeypatch.setattr(Path, "unlink", lambda p, **how: refused(p) or unlink(p, **how))

        def watch(**_):
            photos.clock.advance(0.5 if failed else 13 * HOUR)
            if not failed and not path.exists():
                if kind == "answer":
                    path.write_text("photo-a3")
                    os.utime(path, (1, 1))
                else:
                    path.mkdir()
                    (path / "left").write_text("photo-a3")
            if photos.metrics.purges._value.get():
                worker.stop()

        worker._parts.board.show = watch
        worker.run()
        assert failed == [1, 1, 1]
        assert holding(photos, b"photo-a3") == set()

    def test_a_worker_that_is_replaced_while_the_catalog_is_rewritten(self, photos, monkeypatch):
        """It ends, but not before the catalog is whole."""
        worker = purge_due(photos)
        monkeypatch.setattr("worker.purge._MEANWHILE_SECONDS", 0.001)
        begun, done, vacuum = threading.Event(), [], Leftovers.vacuum

        def slowly(leftovers):
            begun.set()
            time.sleep(0.3)
            done.append(vacuum(leftovers))
            return done[-1]

        def extend():
            assert begun.wait(30)
            photos.store.acquire("main", "another", 0)
            raise LeaseError("another holds it")

        tools = dataclasses.replace(worker._parts.purging._tools, meanwhile=extend)
        monkeypatch.setattr(worker._parts.purging, "_tools", tools)
        monkeypatch.setattr(Leftovers, "vacuum", slowly)
        with pytest.raises(LeaseError):
            worker.run()
        assert done == [True]

    def test_a_disk_that_takes_no_snapshot(self, photos):
        """The older ones stay, and it is tried again until it does."""
        old = vector(photos, "photo-a3")
        assert found_while_in_the_way(photos, "unfinished", old) == {"hnsw.bin"}
        assert holding(photos, old) == set()

    def test_a_disk_that_lets_no_snapshot_go(self, photos):
        """The purge is not done before the older ones are gone, and tries until they are."""
        old = vector(photos, "photo-a3")
        assert found_while_in_the_way(photos, "removed", old) == {"hnsw.bin"}
        assert holding(photos, old) == set()

    def test_a_sync_that_fails(self, photos, monkeypatch):
        """It is an outage as after any write: the vector, which the disk has still, is overwritten
        again before the purge is done.
        """
        old = vector(photos, "photo-a3")
        worker = purge_due(photos)
        worker._collections.get("main")
        worker._parts.board.show = lambda **_: photos.clock.advance(1.0)
        vectors = photos.path / "collections/main/vectors.f32"
        fsync, sleep, failed, reasons = os.fsync, photos.clock.sleep, [], []

        def fail_once(file):
            if not failed and os.path.samestat(os.fstat(file), vectors.stat()):
                failed.append(file)
                os.pwrite(file, old, 6 * len(old))  # what the disk has
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fsync(file)

        def wait(seconds):
            reasons.append(worker.ready())
            sleep(seconds)

        monkeypatch.setattr("os.fsync", fail_once)
        photos.clock.sleep = wait
        worker.run()
        assert "reading is paused: the disk fails: [Errno 5]" in reasons[0]
        assert photos.metrics.disk_errors._value.get() == 1
        assert photos.metrics.purges._value.get() == 1
        assert holding(photos, old) == set()

    def test_leases_are_kept_while_the_catalog_is_rewritten(self, photos, monkeypatch):
        """However long that takes."""
        monkeypatch.setattr("worker.purge._MEANWHILE_SECONDS", 0.001)
        worker = purge_due(photos)
        main = worker._collections.get("main")
        vacuum, meanwhile = Leftovers.vacuum, worker._parts.leases.extend
        kept, enough = [], threading.Event()

        def extend():
            photos.clock.advance(6.0)
            meanwhile()
            kept.append(main.lease)
            if len(kept) == 5:
                enough.set()

        def slowly(leftovers):
            assert enough.wait(30)
            return vacuum(leftovers)

        tools = dataclasses.replace(worker._parts.purging._tools, meanwhile=extend)
        monkeypatch.setattr(worker._parts.purging, "_tools", tools)
        monkeypatch.setattr(Leftovers, "vacuum", slowly)
        epoch = main.lease.epoch
        worker.run()
        assert len(kept) >= 5
        assert {lease.epoch for lease in kept} == {epoch}
        assert photos.metrics.purges._value.get() == 1

    def test_a_catalog_that_takes_long(self, photos, monkeypatch):
        """The worker is not ended, and says what it waits for."""
        worker = purge_due(photos)
        seen, spool = [], Database._spool_here

        def slowly(database):
            photos.clock.advance(700.0)
            seen.append((worker.healthy(), worker.ready()))
            spool(database)

        monkeypatch.setattr(Database, "_spool_here", slowly)
        worker.run()
        [(healthy, ready)] = seen
        assert healthy is None
        assert "catalog.sqlite is waited for, for up to 700 s" in ready
        assert photos.metrics.purges._value.get() == 1

    def test_no_room_for_the_catalog(self, photos, monkeypatch):
        """The purge waits until there is, and only then is it done."""
        worker = purge_due(photos)
        waits, spool = [], Database._spool_here

        def full(database):
            if len(waits) == 3:
                spool(database)
                return
            waits.append(worker._collections.get("main").erasures.waiting)
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

        worker._parts.board.show = lambda **_: photos.clock.advance(1.0)
        monkeypatch.setattr(Database, "_spool_here", full)
        worker.run()
        assert waits == [1, 1, 1]
        assert holding(photos, b"photo-a3") == set()

    def test_many_deleted_elements(self, bench, monkeypatch):
        """A fifth of HNSW makes a purge at once; events stay for their time."""
        monkeypatch.setattr("index.few.EXACT_ROWS", 100)
        rng = np.random.default_rng(0)
        for number in range(2_500):
            bench.send(f"photo-{number}", rng.standard_normal(8))
        for number in range(1_000):
            bench.erase(f"photo-{number}")
        worker = bench.worker(once=False, recluster_first_images="1000000")

        def watch(**_):
            if bench.metrics.purges._value.get():
                worker.stop()

        worker._parts.board.show = watch
        worker.run()
        index = CollectionIndex.open(bench.path / "collections/main", settings=IndexSettings())
        leftovers = index.leftovers.deleted, index.leftovers.elements
        index.close()
        assert leftovers == (0, 1_500)
        assert told(bench, "photo-7")[-1] == "erased"

    def test_a_closed_collection(self, photos, axis):
        """It is opened for its purge and closed again."""
        photos.erase("photo-a3")
        for number in range(3):
            photos.send("photo-x", axis(number), collection=f"user-{number}")
        worker = photos.worker(once=False, open_collections="1", recluster_first_images="1000")
        old = []

        def watch(**_):
            names = [c.name for c in worker._collections]
            if not old and "main" not in names:
                old.append(holding(photos, b"photo-a3"))
                photos.clock.advance(13 * HOUR)
            if old and not holding(photos, b"photo-a3"):
                worker.stop()

        worker._parts.board.show = watch
        worker.run()
        assert old != []
        assert holding(photos, b"photo-a3") == set()

    def test_a_closed_collection_that_the_disk_does_not_open(self, photos, axis, monkeypatch):
        """Its erasures go on waiting, and it is opened for its purge when the disk lets it."""
        photos.erase("photo-a3")
        for number in range(3):
            photos.send("photo-x", axis(number), collection=f"user-{number}")
        worker = photos.worker(
            once=False, open_collections="1", recluster_first_images="1000", recluster_seconds="1e9"
        )
        parts = worker._parts
        open_, waits = CollectionIndex.open.__func__, []
        until = photos.clock.time() + 14 * HOUR

        def fail_twice(cls, directory, **options):
            if directory.name == "main" and 0 < len(waits) < 3:
                waits.append([found.number for found in parts.purging.waiting()])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return open_(cls, directory, **options)

        def watch(**_):
            photos.clock.advance(1.0)
            if not waits and "main" not in [c.name for c in worker._collections]:
                waits.append([found.number for found in parts.purging.waiting()])
                photos.clock.advance(13 * HOUR)
            if photos.metrics.purges._value.get() or photos.clock.time() > until:
                worker.stop()

        monkeypatch.setattr(CollectionIndex, "open", classmethod(fail_twice))
        parts.board.show = watch
        worker.run()
        assert waits == [[1], [1], [1]]
        assert holding(photos, b"photo-a3") == set()

    def test_a_closed_collection_that_cannot_be_opened(self, photos, axis, monkeypatch):
        """It holds up neither what comes nor the purge of another one."""
        photos.erase("photo-a3")
        photos.send("photo-z1", axis(0), collection="zoo")
        photos.erase("photo-z1", collection="zoo")
        photos.send("photo-x", axis(0), collection="user-1")
        photos.send("photo-x", axis(0), collection="user-2")
        worker = photos.worker(
            once=False, open_collections="1", recluster_first_images="1000", recluster_seconds="1e9"
        )
        parts = worker._parts
        find, until = parts.collections.find, photos.clock.time() + 24 * HOUR
        started = []

        def fail(name):
            if name == "main" and started:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return find(name)

        def watch(**_):
            photos.clock.advance(1.0)
            if not started and {c.name for c in worker._collections} == {"user-2"}:
                started.append(True)
                photos.clock.advance(23 * HOUR)
                photos.send("photo-late", axis(1), collection="user-3")
            if photos.metrics.purges._value.get() or photos.clock.time() > until:
                worker.stop()

        monkeypatch.setattr(parts.collections, "find", fail)
        parts.board.show = watch
        worker.run()
        assert photos.store.summary("user-3").images == 1
        assert holding(photos, b"photo-z1") == set()
        assert holding(photos, b"photo-a3") != set()


def letter(image, collection=None):
    """A dead letter of the file source."""

    def coded(text):
        return base64.b64encode(text.encode()).decode()

    body = {"embedding": [0.0]} | ({"collection": collection} if collection else {})
    return {
        "reason": "zero_vector",
        "detail": "embedding: all 1 numbers are zero",
        "partition": "images.jsonl",
        "offset": 0,
        "time": None,
        "key": coded(image),
        "value": coded(json.dumps(body)),
        "headers": [["collection", coded("main")]],
    }


class TestExemplars:
    def test_readers_are_not_shown_an_erased_image(self, photos):
        """A cluster whose most typical image is erased, or gets another vector, shows none until
        the next run.
        """
        cluster = photos.states("photo-a0")[0].cluster
        shown = photos.store.cluster("main", cluster).exemplar
        assert shown == "photo-a0"
        photos.erase(shown)
        photos.run(recluster_first_images="1000", recluster_seconds="1e9")
        found = photos.store.cluster("main", cluster).exemplar
        assert found != shown
