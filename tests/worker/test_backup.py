"""Backups: whole or not there, every byte verified, nothing sent twice, erasures passed on."""

import errno
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from killed import kill_at

from index import CollectionIndex, Erasure, IndexSettings, NewImage
from index.database import reading
from index.findings import Harm
from worker.backup import cut, manifest
from worker.backup.kept import look
from worker.backup.last import last_taken
from worker.backup.move import move
from worker.backup.pieces import Pieces
from worker.backup.restore import RESTORING, restore, restore_collection
from worker.backup.take import MOVING, back_up
from worker.backup.target import FolderTarget, UrlTarget, open_target
from worker.errors import CorruptError, DataDirectoryError, DependencyError, SettingsError
from worker.positions import Positions
from worker.recluster.folder import remove_folder
from worker.recluster.result import read_result
from worker.requests import Mailbox
from worker.settings import load
from worker.state import read_state
from worker.traces.in_files import Searched, in_files
from worker.traces.sought import Sought
from worker.verify import verify

RESTORE = """
import sys
from pathlib import Path
from worker.backup.kept import look
from worker.backup.restore import restore
from worker.backup.target import FolderTarget
target = FolderTarget(Path(sys.argv[1]))
restore(target, look(target).find(None), Path(sys.argv[2]))
"""

CALLS = ("write", "fsync", "rename", "replace", "unlink", "mkdir")


@pytest.fixture
def photos(bench, axis):
    """Two clusters of ten photos in each of two collections, confirmed by a run."""
    for number in range(10):
        for collection in ("main", "user:2"):
            bench.send(f"photo-a{number}", axis(0, tilt=number / 50), collection=collection)
            bench.send(f"photo-b{number}", axis(1, tilt=number / 50), collection=collection)
    bench.run()
    return bench


@pytest.fixture
def target(tmp_path):
    return FolderTarget(tmp_path / "backups")


@pytest.fixture
def vectors(tmp_path):
    """A large collection without a worker, in a data directory."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((3_000, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = CollectionIndex.open(
        tmp_path / "data" / "collections" / "main",
        settings=IndexSettings(k=3, threads=1),
        dimension=16,
    )
    index.log([NewImage(str(n), row) for n, row in enumerate(rows)], {"images/0": 3_000})
    yield index
    index.close()


def newest(target):
    return look(target).find(None)


def content(data_dir):
    """Every byte that counts."""
    return {
        path.relative_to(data_dir): path.read_bytes()
        for path in (data_dir / "collections").rglob("*")
        if path.name in {"vectors.f32", "labels.npy", "hnsw.bin"} and "runs" not in path.parts
    }


def states(bench, collection="main"):
    ids = [f"photo-{kind}{number}" for kind in "ab" for number in range(10)]
    return dict(zip(ids, bench.states(*ids, collection=collection), strict=True))


class TestRoundTrip:
    def test_all_of_it_comes_back(self, photos, target, tmp_path):
        """Every byte is as it was, and clusters keep their ids in an empty Redis."""
        before = {name: states(photos, name) for name in ("main", "user:2")}
        taken = back_up(photos.path, target, keep=3)
        assert (taken.collections, taken.images) == (2, 40)
        again = tmp_path / "again"
        restored = restore(target, newest(target), again)
        assert restored.collections == {"main": 20, "user:2": 20}
        assert restored.positions == {"images/0": 40}
        assert verify(again).harm is Harm.NONE
        assert content(again) == content(photos.path)
        photos.store.wipe()
        photos.run(data_dir=str(again))
        assert {name: states(photos, name) for name in before} == before

    def test_what_came_later_is_read_again(self, photos, target, tmp_path, axis):
        """Records and clusters after the backup come from the source, under ids of their own."""
        back_up(photos.path, target, keep=3)
        photos.send("late", axis(5))
        photos.run()
        lost = photos.states("late")[0].cluster
        again = tmp_path / "again"
        restore(target, newest(target), again)
        photos.store.wipe()
        photos.clock.advance(1.0)
        photos.run(data_dir=str(again))
        found = photos.states("late")[0].cluster
        assert found > lost

    def test_a_store_with_a_later_past_is_written_anew(self, photos, target, tmp_path, axis):
        """Where Redis outlived the data directory, readers see what was restored, and no more."""
        before = states(photos)
        back_up(photos.path, target, keep=3)
        photos.send("photo-a0", axis(6))
        photos.erase("photo-b0")
        photos.run()
        assert states(photos) != before
        again = tmp_path / "again"
        restore(target, newest(target), again)
        photos.run(data_dir=str(again))
        assert photos.states("photo-b0") == [None]

    def test_a_run_that_is_being_published(self, photos, target, tmp_path):
        """A backup in the midst of it goes on with it after the restore."""
        worker = photos.parts(recluster_images=1)
        collection = worker.collections.get("main")
        worker.queue.request(collection)
        worker.reclustering.tick()
        worker.reclustering.tick()
        assert collection.adoption is not None
        back_up(photos.path, target, keep=3)
        worker.abandon()
        again = tmp_path / "again"
        restore(target, newest(target), again)
        assert (again / "collections/main/runs/adopting").is_dir()
        assert verify(again).harm is Harm.NONE

    def test_another_run_is_published_meanwhile(self, photos, target, tmp_path):
        """The run in the backup is the one that its catalog is in the midst of."""
        worker = photos.parts(recluster_images=1)
        collection = worker.collections.get("main")
        described, begun = cut._described, []

        def publish(*moment):
            while collection.adoption is not None:
                worker.takeover.go_on([collection], 1_000)
            if len(begun) < 2:
                worker.queue.request(collection)
                worker.reclustering.tick()
                worker.reclustering.tick()
                begun.append(collection.adoption.generation)
            return described(*moment) if moment else None

        publish()
        with patch.object(cut, "_described", publish):
            back_up(photos.path, target, keep=3)
        worker.abandon()
        again = tmp_path / "again" / "collections" / "main"
        restore(target, newest(target), tmp_path / "again")
        with reading(again / "catalog.sqlite") as db:
            adopting = read_state(db).adopting
        found = [read_result(path).generation for path in again.glob("runs/adopting")]
        assert found == [number for number in [adopting] if number]


class TestTarget:
    @pytest.fixture(params=["folder", "memory"])
    def place(self, request, tmp_path):
        """The same contract for a folder and for what fsspec drives."""
        name = tmp_path.name
        if request.param == "folder":
            return open_target(str(tmp_path / "there"), "worker-0")
        return open_target(f"memory://{name}/there/", "worker-0")

    def test_contract(self, place):
        """Files are written, replaced, listed with their sizes, read and removed by name."""
        assert place.sizes("pieces") == {}
        place.write("pieces/a/b", b"123")
        place.write("pieces/a/b", b"4567")
        place.write("backups/x.json", b"")
        assert place.sizes("pieces") == {"pieces/a/b": 4}
        assert place.sizes("backups") == {"backups/x.json": 0}
        assert place.read("pieces/a/b") == b"4567"
        place.remove("pieces/a/b")
        place.remove("pieces/a/b")
        assert place.sizes("pieces") == {}
        with pytest.raises(FileNotFoundError):
            place.read("pieces/a/b")

    def test_a_backup_by_fsspec(self, photos, tmp_path):
        """A whole round trip through a file system that only fsspec knows."""
        place = open_target(f"memory://{tmp_path.name}", "worker-0")
        back_up(photos.path, place, keep=2)
        assert restore(place, newest(place), tmp_path / "again").collections == {
            "main": 20,
            "user:2": 20,
        }

    @pytest.mark.parametrize(
        ("url", "error"),
        [("nosuch://x", SettingsError), ("abfs://x@y/z", DependencyError)],
    )
    def test_no_driver(self, url, error):
        """A URL that nothing drives is told by name."""
        with pytest.raises(error, match="backup_url"):
            UrlTarget(url)

    @pytest.mark.parametrize(
        "url", ["s3://key:hunter2@b", "s3://key:hun/ter2@b/x", "simplecache::s3://key:hunter2@b"]
    )
    def test_a_password_in_the_url(self, url):
        """It is refused, and not repeated."""
        for refuse in (open_target, lambda url: load({"backup_url": url})):
            with pytest.raises(SettingsError, match=r"backup_url: '.*\*\*\*@b.*no user") as error:
                refuse(url)
            assert not re.search("hun|ter2", str(error.value))

    @pytest.mark.parametrize("url", ["s3://bucket/a@b", "ftp://host:21/x", "s3://b/a:b"])
    def test_no_user_in_the_url(self, url):
        """An @ in a path is not one that ends a user."""
        assert load({"backup_url": url}).backup_url == url


class TestTorn:
    def test_at_every_write(self, photos, target, tmp_path, axis):
        """Whatever write a backup dies at: what is listed as whole can be restored."""
        back_up(photos.path, target, keep=1)
        photos.send("late", axis(5))
        photos.run()
        left = tmp_path / "left"
        counts, seen = [], []

        def died():
            there = sorted(str(path) for path in (tmp_path / "backups").rglob("*"))
            if seen == there:
                return
            seen[:] = there
            shutil.rmtree(left, ignore_errors=True)
            shutil.copytree(tmp_path / "backups", left)
            found = look(FolderTarget(left)).whole
            assert found
            for name, backup in found.items():
                shutil.rmtree(tmp_path / "again", ignore_errors=True)
                restored = restore(FolderTarget(left), backup, tmp_path / "again")
                assert restored.collections["main"] == 20 + (name != first)
            counts.append(len(found))

        [first] = look(target).whole
        with dying(died):
            back_up(photos.path, target, keep=1)
        assert len(counts) > 20
        assert {1, 2} == set(counts)
        assert list(look(target).whole) != [first]

    def test_nothing_is_left_of_what_was_torn(self, photos, target):
        """Pieces of a backup that has no manifest go with the next one."""
        torn = ("pieces/aa/aaaa", "pieces/aa/.aaaa.new", "backups/.20261126T121500Z.json.new")
        for name in torn:
            target.write(name, b"torn")
        assert look(target).damaged == {}
        back_up(photos.path, target, keep=1)
        assert not {*target.sizes("pieces"), *target.sizes("backups")} & set(torn)

    def test_a_piece_that_is_too_short_is_sent_again(self, photos, target):
        """A file of the right name and another size is no piece."""
        back_up(photos.path, target, keep=2)
        piece = max(newest(target).pieces(), key=lambda piece: piece.size)
        target.write(piece.path, b"torn")
        assert look(target).whole == {}
        back_up(photos.path, target, keep=2)
        assert len(look(target).whole) == 2


@contextmanager
def dying(died):
    """Before and after every call that changes the disk is a place to die."""
    busy = []

    def around(call):
        def counted(*args, **options):
            if busy:
                return call(*args, **options)
            busy.append(True)
            died()
            busy.pop()
            done = call(*args, **options)
            busy.append(True)
            died()
            busy.pop()
            return done

        return counted

    with patch.multiple(os, **{name: around(getattr(os, name)) for name in CALLS}):
        yield


class TestDamage:
    def test_a_flipped_bit_is_refused(self, photos, target, tmp_path):
        """In any file of a backup: it is listed as damaged, or no restore ends."""
        back_up(photos.path, target, keep=1)
        backup = newest(target)
        for number, path in enumerate(sorted((tmp_path / "backups").rglob("*"))):
            if not path.is_file():
                continue
            whole = path.read_bytes()
            flipped = bytearray(whole)
            flipped[len(whole) * 2 // 3] ^= 1 << number % 8
            path.write_bytes(flipped)
            again = tmp_path / "again"
            with pytest.raises(CorruptError):
                restore(target, look(target).find(backup.name), again)
            assert not (again / "collections").exists()
            path.write_bytes(whole)
            shutil.rmtree(again, ignore_errors=True)

    def test_a_damaged_log_is_not_backed_up(self, vectors, target, tmp_path):
        """Where the vectors are not what was written there is no backup, and it says why."""
        path = vectors.directory / "vectors.f32"
        damaged = bytearray(path.read_bytes())
        damaged[100_000] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(CorruptError, match="not what was written"):
            back_up(tmp_path / "data", target, keep=1)
        assert look(target).whole == {}

    def test_paths_stay_in_the_data_directory(self, photos, target):
        """A manifest that names a file elsewhere is none."""
        back_up(photos.path, target, keep=1)
        backup = newest(target)
        evil = replace(backup, files={"../../elsewhere": next(iter(backup.files.values()))})
        with pytest.raises(CorruptError, match="no path"):
            manifest.read(backup.name, manifest.write(evil))


class TestSending:
    def test_nothing_is_sent_twice(self, photos, target):
        """A backup of what did not change sends nothing at all."""
        back_up(photos.path, target, keep=3)
        assert back_up(photos.path, target, keep=3).sent == 0
        assert len(look(target).whole) == 2

    def test_folders_are_known_by_their_manifest(self, photos, target):
        """Of a snapshot and a generation that are there nothing else is read again."""
        read = []
        put_file = Pieces.put_file

        def counted(self, path):
            read.append(path.name)
            return put_file(self, path)

        back_up(photos.path, target, keep=3)
        with patch.object(Pieces, "put_file", counted):
            back_up(photos.path, target, keep=3)
        assert {name for name in read if ".sqlite" not in name} == {"manifest.json"}
        assert verify(photos.path).harm is Harm.NONE

    def test_closed_collections_get_no_companions(self, photos, target):
        """SQLite leaves nothing beside a catalog that nobody has open."""
        before = sorted(photos.path.rglob("*sqlite*"))
        back_up(photos.path, target, keep=3)
        assert sorted(photos.path.rglob("*sqlite*")) == before

    def test_vectors_are_neither_sent_nor_read_again(self, vectors, target, tmp_path):
        """Of a log that grew or lost a row only the pieces that changed are."""
        read = []
        whole = cut._read

        def counted(path, part, rows):
            read.append(part.start)
            return whole(path, part, rows)

        with patch.object(cut, "PIECE_BYTES", 4 * 16 * 512), patch.object(cut, "_read", counted):
            back_up(tmp_path / "data", target, keep=3)
            assert read == [0, 512, 1_024, 1_536, 2_048, 2_560]
            read.clear()
            row = np.eye(16, dtype=np.float32)[0]
            vectors.log([NewImage("new", row), Erasure("600")], {"images/0": 3_002})
            back_up(tmp_path / "data", target, keep=3)
        assert read == [512, 2_560]

    def test_rows_that_are_erased_meanwhile(self, vectors, target, tmp_path):
        """Another moment is chosen, so that catalog and vectors agree."""
        put = Pieces.put
        erased = iter(["7", "1000", "2999"])

        def erasing(self, content, sums=None):
            if sums is not None and (image := next(erased, None)):
                vectors.log([Erasure(image)], {"images/0": 3_001})
            return put(self, content, sums)

        small = patch.object(cut, "PIECE_BYTES", 4 * 16 * 512)
        with small, patch.object(Pieces, "put", erasing):
            taken = back_up(tmp_path / "data", target, keep=3)
        assert taken.images == 2_997
        restore(target, newest(target), tmp_path / "again")
        assert verify(tmp_path / "again").harm is Harm.NONE

    def test_a_catalog_that_is_folded_in_meanwhile(self, vectors, target, tmp_path):
        """What was read of it as if it did not change does not count."""
        assert vectors._catalog.checkpoint()
        copy_held, done = cut._copy_held, []

        def folded(db, copy):
            copy_held(db, copy)
            if not done and copy.name == "catalog.sqlite":
                vectors.log([Erasure("5")], {"images/0": 3_001})
                done.append(vectors._catalog.checkpoint())

        with patch.object(cut, "_copy_held", folded):
            taken = back_up(tmp_path / "data", target, keep=3)
        assert (done, taken.images) == ([True], 2_999)
        restore(target, newest(target), tmp_path / "again")
        assert verify(tmp_path / "again").harm is Harm.NONE

    def test_another_folder_in_its_place(self, photos, target, tmp_path):
        """As after a switch to another embedding model: no backup has something of both."""
        collections, described = photos.path / "collections", cut._described
        shutil.copytree(collections / "user:2", tmp_path / "second")

        def switch(*moment):
            if (tmp_path / "second").is_dir():
                (collections / "main").rename(tmp_path / "former")
                (tmp_path / "second").rename(collections / "main")
            return described(*moment)

        in_use = patch.object(cut.wal, "size", return_value=1)
        with in_use, patch.object(cut, "_described", switch):
            back_up(photos.path, target, keep=1)
        files = newest(target).collections["main"].files
        assert files == newest(target).collections["user:2"].files

    def test_most_is_sent_before_the_moment(self, vectors, target, tmp_path):
        """While a moment is held the catalog's log grows: little is left to send then."""
        assert vectors.rows == 3_000
        with patch.object(cut, "PIECE_BYTES", 4 * 16 * 512), patch.object(cut, "_HELD_BYTES", 1):
            back_up(tmp_path / "data", target, keep=3)
        restore(target, newest(target), tmp_path / "again")
        assert verify(tmp_path / "again").harm is Harm.NONE

    def test_a_worker_goes_on_beside_it(self, vectors, target, tmp_path):
        """Its commits, its folding in and its closing do not mind that it is read."""
        with cut.held(vectors.directory / "catalog.sqlite") as db:
            before = db.execute("SELECT count(*) FROM image").fetchone()
            vectors.log([Erasure("1")], {"images/0": 3_001})
            assert not vectors._catalog.checkpoint()
            vectors.close()
            assert db.execute("SELECT count(*) FROM image").fetchone() == before
        reopened = CollectionIndex.open(vectors.directory, settings=IndexSettings(k=3, threads=1))
        assert reopened.images == 2_999
        reopened.close()
        back_up(tmp_path / "data", target, keep=1)
        assert verify(tmp_path / "data").harm in {Harm.NONE, Harm.SPARE}


class TestKeeping:
    def test_the_newest_are_kept(self, photos, target):
        """An older one goes when a newer one is whole, and names rise within a second."""
        names = [back_up(photos.path, target, keep=2).name for _ in range(4)]
        assert names == sorted(set(names))
        assert list(look(target).whole) == names[-2:]

    def test_an_erasure_leaves_with_the_last_backup_before_it(self, photos, target, tmp_path):
        """When that has gone no file of the target holds the vector, or the id."""
        folder = photos.path / "collections" / "main"
        index = CollectionIndex.open(folder, settings=IndexSettings())
        [row] = index.row_of(["photo-a3"])
        vector = index.vectors[row].tobytes()
        index.close()

        def holding(content):
            return [
                p
                for p in (tmp_path / "backups").rglob("*")
                if p.is_file() and content in p.read_bytes()
            ]

        back_up(photos.path, target, keep=2)
        assert holding(vector)
        shutil.rmtree(photos.path / "collections" / "user:2")
        photos.erase("photo-a3")
        photos.run()
        photos.clock.advance(13 * 3_600.0)
        photos.run()
        back_up(photos.path, target, keep=2)
        assert holding(vector)
        back_up(photos.path, target, keep=2)
        assert not holding(vector)

    def test_find(self, photos, target):
        """A backup that is not there, or damaged, is refused by name."""
        with pytest.raises(SettingsError, match="none"):
            newest(target)
        name = back_up(photos.path, target, keep=2).name
        with pytest.raises(SettingsError, match=name):
            look(target).find("20200101T000000Z")
        target.write(manifest.path_of(name), b"{}")
        with pytest.raises(CorruptError, match="damaged"):
            look(target).find(name)


class TestRestore:
    def test_only_into_an_empty_directory(self, photos, target):
        """What is there is not overwritten."""
        back_up(photos.path, target, keep=1)
        with pytest.raises(DataDirectoryError, match=r"not empty: it has main, user:2"):
            restore(target, newest(target), photos.path)

    @pytest.mark.parametrize("call", ["write", "rename"])
    def test_one_that_did_not_end(self, photos, target, tmp_path, call):
        """No worker starts on a part of a backup; the same call brings all of it."""
        back_up(photos.path, target, keep=1)
        again = tmp_path / "again"
        place = "_write" if call == "write" else "reach_fault"
        with (
            patch(f"worker.backup.restore.{place}", side_effect=OSError("full")),
            pytest.raises(OSError, match="full"),
        ):
            restore(target, newest(target), again)
        with pytest.raises(DataDirectoryError, match=RESTORING):
            photos.run(data_dir=str(again))
        restore(target, newest(target), again)
        photos.run(data_dir=str(again))

    @pytest.mark.parametrize("renames", [1, 2, 3])
    def test_killed_between_renames(self, photos, target, tmp_path, renames):
        """Run again it moves the rest, positions too; nothing else is offered, and another backup
        is refused.
        """
        back_up(photos.path, target, keep=2)
        again, expected = tmp_path / "again", restore(target, newest(target), tmp_path / "whole")
        kill_at(f"restore-rename:{renames}", RESTORE, tmp_path / "backups", again)
        with pytest.raises(DataDirectoryError, match=r"run it again$"):
            photos.run(data_dir=str(again))
        other = back_up(photos.path, target, keep=2).name
        with pytest.raises(DataDirectoryError, match=f"restore of {expected.backup} did not end"):
            restore(target, look(target).find(other), again)
        assert restore(target, look(target).find(expected.backup), again) == expected
        assert content(again) == content(tmp_path / "whole")
        assert not (again / RESTORING).exists()
        photos.run(data_dir=str(again))

    def test_one_collection_that_did_not_end(self, photos, target, tmp_path):
        """The search for erased images sees what is left of it, and the next start removes it."""
        back_up(photos.path, target, keep=1)
        again = tmp_path / "again"
        with (
            patch("worker.backup.restore.reach_fault", side_effect=OSError("killed")),
            pytest.raises(OSError, match="killed"),
        ):
            restore_collection(target, newest(target), "main", again)
        vector = np.fromfile(photos.path / "collections" / "main" / "vectors.f32", "<f4", count=8)
        sought = Sought("photo-a0").also(vector)
        assert {t.where for t in in_files(again, "main", sought, Searched()) if t.what == "vector"}
        assert {t.owner for t in in_files(again, "user:2", sought, Searched())} == {"main"}
        photos.run(data_dir=str(again))
        assert sorted(p.name for p in (again / "collections").iterdir()) == ["main", "user:2"]

    def test_one_collection_beside_others(self, photos, target, axis):
        """The others stay, and the source is read on from where it was."""
        back_up(photos.path, target, keep=1)
        photos.send("late", axis(5))
        photos.run()
        shutil.rmtree(photos.path / "collections" / "main")
        with pytest.raises(SettingsError, match="'nobody': not in backup"):
            restore_collection(target, newest(target), "nobody", photos.path)
        with pytest.raises(DataDirectoryError, match="there already"):
            restore_collection(target, newest(target), "user:2", photos.path)
        restored = restore_collection(target, newest(target), "main", photos.path)
        assert restored.positions["images/0"] < 41
        photos.run()
        assert photos.states("late")[0] is not None
        assert all(states(photos, "user:2").values())


class TestPositions:
    @pytest.fixture
    def here(self, tmp_path):
        """A worker's positions, of which nothing is known yet."""
        positions = Positions(tmp_path / "positions.sqlite")
        yield positions
        positions.close()

    @pytest.mark.parametrize(
        ("known", "key", "offset", "expected"),
        [
            ({}, "images/0", 7, {"images/0": 7}),
            ({"images/0": 9}, "images/0", 7, {"images/0": 7}),
            ({"images/0": 5}, "images/0", 7, {"images/0": 5}),
            ({"images/0": 5}, "images/0~1", 7, {"images/0": 5}),
        ],
    )
    def test_join(self, here, known, key, offset, expected):
        """A partition is read on from where the collection is, or the worker if that is earlier."""
        here.advance(known)
        here.join(key, offset, None)
        assert here.next == expected

    def test_offsets_that_began_anew(self, here, tmp_path):
        """They are known again under the name that the collection has for them."""
        there = Positions(tmp_path / "there.sqlite")
        there.advance({"images/0": 9}, "old")
        there.begin_anew(["images/0"])
        there.advance({"images/0": 4}, "new")
        here.join("images/0", 9, there.read["images/0"])
        here.join("images/0~1", 3, there.read["images/0"])
        assert (here.next, here.origin("images/0")) == ({"images/0": 3}, "new")
        assert here.key("images/0", 3) == "images/0~1"
        other = replace(there.read["images/0"], rewinds=2)
        with pytest.raises(DataDirectoryError, match="began anew"):
            here.join("images/0~1", 3, other)
        there.close()


class TestMove:
    def test_a_collection_moves(self, photos, tmp_path, axis):
        """It is whole where it goes, gone where it was, and is read on there."""
        before = states(photos, "user:2")
        to = tmp_path / "to"
        moved = move("user:2", photos.path, to)
        assert moved.collections == {"user:2": 20}
        assert not (photos.path / "collections" / "user:2").exists()
        assert not (to / MOVING).exists()
        assert verify(to).harm is Harm.NONE
        photos.send("late", axis(5), collection="user:2")
        photos.run(data_dir=str(to))
        assert states(photos, "user:2") == before
        assert photos.states("late", collection="user:2")[0] is not None

    def test_killed_when_it_was_copied(self, photos, tmp_path):
        """Both are there then, whole; nothing is lost."""
        to = tmp_path / "to"
        with (
            patch("worker.backup.move.reach_fault", side_effect=OSError("killed")),
            pytest.raises(OSError, match="killed"),
        ):
            move("user:2", photos.path, to)
        assert (verify(photos.path).harm, verify(to).harm) == (Harm.NONE, Harm.NONE)
        with pytest.raises(DataDirectoryError, match="there already"):
            move("user:2", photos.path, to)

    def test_counts_as_no_backup(self, photos, tmp_path):
        """The copies by which it goes are none that anybody could restore."""
        taken = back_up(photos.path, FolderTarget(tmp_path / "backups"), keep=1)
        move("user:2", photos.path, tmp_path / "to")
        assert last_taken(photos.path) == taken

    def test_killed_when_it_was_removed(self, photos):
        """What is left of the collection where it was goes with the next start."""
        with (
            patch("worker.recluster.folder.shutil.rmtree", side_effect=OSError("killed")),
            pytest.raises(OSError, match="killed"),
        ):
            remove_folder(photos.path / "collections" / "user:2")
        assert (photos.path / "collections" / ".aside-doomed-user:2").is_dir()
        photos.run()
        assert [path.name for path in (photos.path / "collections").iterdir()] == ["main"]

    def test_refusals(self, photos, tmp_path):
        """Nothing moves onto itself, and only what is there."""
        with pytest.raises(DataDirectoryError, match="is the data directory"):
            move("main", photos.path, photos.path)
        with pytest.raises(SettingsError, match="'nobody': not in"):
            move("nobody", photos.path, tmp_path / "to")


def value(gauge):
    return gauge._value.get()


def ended(parts):
    """Let the backup that is under way end."""
    backups = parts.backups
    backups.tick()
    backups._child.wait()
    backups.tick()


class TestSchedule:
    @pytest.fixture
    def parts(self, photos, tmp_path):
        """The parts of a worker that takes backups every hour."""
        made = photos.parts(once=False, backup_url=str(tmp_path / "backups"))
        yield made
        made.abandon()

    def test_taken_when_due(self, parts, tmp_path, photos):
        """One at once, the next an hour later; a restart remembers when that is."""
        ended(parts)
        metrics = parts.metrics
        assert len(look(open_target(str(tmp_path / "backups"), "worker-0")).whole) == 1
        assert value(metrics.backups.labels("good")) == 1
        assert value(metrics.backup_interval) == 3_600
        parts.backups.tick()
        assert parts.backups._child is None
        assert value(metrics.last_backup) == parts.backups.last.begun
        again = type(parts.backups)(parts.settings, Mailbox(photos.path), metrics, parts.clock)
        assert again.last == parts.backups.last
        photos.clock.advance(again.last.begun + 3_601 - photos.clock.time())
        again.tick()
        assert again._child is not None
        again.cancel()

    def test_a_target_that_fails(self, parts, tmp_path, photos):
        """It is counted, told, and tried again after a minute; then all is well."""
        (tmp_path / "backups").write_text("no folder")
        ended(parts)
        assert value(parts.metrics.backups.labels("failed")) == 1
        assert "Not a directory" in parts.backups.failure
        parts.backups.tick()
        assert parts.backups._child is None
        (tmp_path / "backups").unlink()
        photos.clock.advance(61)
        ended(parts)
        assert parts.backups.failure is None
        assert value(parts.metrics.backups.labels("good")) == 1

    def test_what_a_killed_one_left_goes(self, parts, photos):
        """It may have copies of what is erased; a start, a stop and a failure clear it away."""
        scratch = photos.path / "backup" / "scratch" / "catalog.sqlite"
        parts.backups.tick()
        for clear in (
            parts.backups.cancel,
            lambda: type(parts.backups)(
                parts.settings, Mailbox(photos.path), parts.metrics, parts.clock
            ),
        ):
            scratch.parent.mkdir(parents=True, exist_ok=True)
            scratch.touch()
            clear()
            assert not scratch.parent.exists()

    def test_what_a_disk_keeps_goes_later(self, parts, photos, monkeypatch):
        """The worker goes on beside the remains, and removes them as soon as the disk lets it."""
        scratch = photos.path / "backup" / "scratch" / "catalog.sqlite"
        parts.backups.tick()

        def keeps(*_args, **_options):
            raise OSError(errno.EIO, "the disk keeps it")

        scratch.parent.mkdir(parents=True, exist_ok=True)
        scratch.touch()
        with monkeypatch.context() as disk:
            disk.setattr(os, "unlink", keeps)
            parts.backups.cancel()
            parts.backups.tick()
            assert scratch.exists()
        parts.backups.tick()
        assert not scratch.parent.exists()

    def test_asked_for(self, parts):
        """Who asks is answered when it ended, and once."""
        mailbox = Mailbox(parts.settings.data_dir)
        id_ = mailbox.send("backup", "main")
        parts.answering.answer()
        parts.answering.answer()
        assert [request.id for request in parts.backups.asked] == [id_]
        ended(parts)
        assert "2 collections, 40 images" in mailbox.wait(id_, 1)
        assert not parts.answering.waits()

    def test_asked_where_none_is_configured(self, photos):
        """The answer says what is missing."""
        parts = photos.parts()
        mailbox = Mailbox(photos.path)
        id_ = mailbox.send("backup", "main")
        parts.answering.answer()
        assert mailbox.wait(id_, 1) == "failed: the worker has no backup_url"
        parts.abandon()


def test_folders_of_the_backup_are_no_collections(photos, target):
    """What a backup leaves in the data directory is in no one's way."""
    back_up(photos.path, target, keep=1)
    assert verify(photos.path).harm is Harm.NONE
    photos.run()
