"""What is on the disk is read again while the collection serves, and damage is found."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from index import CorruptError, Erasure, Harm, NewImage


@pytest.fixture
def collection(reopen, tools):
    """A collection of seven hundred images, with two snapshots and pages in its main file."""
    collection = reopen(16)
    vectors = tools.clustered(700, 16)[0]
    tools.feed(collection, vectors[:600])
    collection.snapshot()
    tools.feed(collection, vectors[600:], first=600)
    collection.snapshot()
    collection._catalog.checkpoint()
    return collection


def scrubbed(collection):
    """What a whole pass finds: the name of each file, and how bad it is."""
    findings = []
    for _ in collection.scrub(findings.append):
        pass
    return {(finding.path.name, finding.harm) for finding in findings}


def flip(path, at):
    """Flip a bit of a file, as the disk might."""
    with path.open("r+b", buffering=0) as file:
        [byte] = os.pread(file.fileno(), 1, at)
        os.pwrite(file.fileno(), bytes([byte ^ 4]), at)


def fail(*_):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_whole_collection(collection):
    """A pass reads vectors, pages and both snapshots, and finds nothing."""
    files = [p for p in collection.directory.rglob("*") if p.suffix in {".f32", ".npy", ".bin"}]
    least = sum(path.stat().st_size for path in files)
    assert sum(collection.scrub(pytest.fail)) >= least


def test_while_it_is_written_to(collection, tools):
    """Images that come, change and go between two slices are no damage, nor is a fold or a vacuum,
    nor a snapshot that takes the place of one that is being read.
    """
    fresh = np.eye(16, dtype=np.float32)
    number = 0
    for _ in range(3):
        for _ in collection.scrub(pytest.fail):
            number += 1
            new = [NewImage(f"new-{number}-{i}", fresh[i]) for i in range(16)]
            changed = NewImage(str(number), fresh[number % 16])
            batch = [*new, changed, Erasure(str(100 + number)), Erasure(f"new-{number - 1}-3")]
            logged = collection.log(batch, {})
            collection.insert(logged.new_rows)
            collection.remove(logged.dead_rows)
            if number % 3 == 0:
                collection.snapshot()
            if number % 4 == 0:
                collection._catalog.checkpoint()
            if number % 5 == 0:
                collection.leftovers.vacuum()
                collection.leftovers.give_back_rows()
    assert number > 10
    tools.check(collection)


@pytest.mark.parametrize("at", [0, 20_000, 64 * 699])
def test_a_flipped_bit_in_the_vectors(collection, at):
    """The file is named, with the rows."""
    flip(collection.vectors_path, at)
    findings = []
    for _ in collection.scrub(findings.append):
        pass
    [finding] = findings
    assert (finding.path, finding.harm) == (collection.vectors_path, Harm.DATA)
    first = at // 64 // 256 * 256
    assert f"rows {first} to {min(first + 255, 699)}" in finding.what


def test_vectors_cut_short(collection):
    """What is gone is not what was written."""
    os.truncate(collection.vectors_path, 64 * 300)
    assert scrubbed(collection) == {("vectors.f32", Harm.DATA)}


def test_a_flipped_bit_in_the_catalog(collection):
    """In any page of the main file; one whose newest content is in the log does not count."""
    path = collection.directory / "catalog.sqlite"
    for page in range(path.stat().st_size // 4_096):
        flip(path, 4_096 * page + 1_000)
        assert scrubbed(collection) == {("catalog.sqlite", Harm.DATA)}
        flip(path, 4_096 * page + 1_000)
    assert scrubbed(collection) == set()
    flip(path, 50)
    collection._catalog.set_meta({"more": "1"})
    flip(collection.directory / "catalog.sqlite.sums", 40)
    assert scrubbed(collection) >= {("catalog.sqlite.sums", Harm.DATA)}


def test_a_flipped_bit_in_the_log_of_the_catalog(reopen, collection):
    """It is found, and the log is not folded in; the next start says that commits are lost."""
    for number in range(300):
        collection._catalog.set_meta({f"key-{number}": "x" * 100})
    path = collection.directory / "catalog.sqlite-wal"
    for at in (10, 20, 30, 40, 3_000, path.stat().st_size // 2, path.stat().st_size - 1):
        flip(path, at)
        assert scrubbed(collection) == {("catalog.sqlite-wal", Harm.DATA)}
        flip(path, at)
    assert scrubbed(collection) == set()
    flip(path, path.stat().st_size // 2)
    before = (collection.directory / "catalog.sqlite").read_bytes()
    with pytest.raises(CorruptError, match="frames"):
        collection._catalog.checkpoint()
    collection.close()
    assert (collection.directory / "catalog.sqlite").read_bytes() == before
    with pytest.raises(CorruptError, match="its log is damaged"):
        reopen()


@pytest.mark.parametrize("name", ["hnsw.bin", "neighbours.npy", "manifest.json"])
def test_a_damaged_snapshot_is_set_aside(collection, reopen, tools, name):
    """The one before serves the next start, and a new one is due."""
    older, newest = sorted(p for p in (collection.directory / "snapshots").iterdir())
    assert collection.rows_since_snapshot == 0
    flip(newest / name, (newest / name).stat().st_size // 2)
    assert scrubbed(collection) == {(newest.name, Harm.SPARE)}
    assert (older.exists(), newest.exists()) == (True, False)
    assert collection.rows_since_snapshot == 100
    assert scrubbed(collection) == set()
    replayed = []
    collection = reopen(progress=lambda _, total: replayed.append(total))
    assert replayed == [100]
    assert not (collection.directory / "snapshots/damaged").exists()
    tools.check(collection)


def test_what_is_set_aside_goes_with_the_next_snapshot(collection):
    """No copy of a vector stays longer than a snapshot would."""
    folder = collection.directory / "snapshots"
    newest = max(folder.iterdir())
    flip(newest / "hnsw.bin", 999)
    scrubbed(collection)
    assert (folder / "damaged").is_dir()
    collection.snapshot()
    assert sorted(path.name for path in folder.iterdir()) == [newest.name[:-1] + i for i in "12"]


@pytest.mark.parametrize(
    ("call", "files"),
    [
        ("os.pread", {("vectors.f32", Harm.DATA), ("catalog.sqlite", Harm.DATA)}),
        ("index.scrub.compare", {(f"{2:020}", Harm.SPARE), (f"{1:020}", Harm.SPARE)}),
    ],
)
def test_what_cannot_be_read(collection, monkeypatch, call, files):
    """An error of the disk is damage of that file, and nothing is raised."""
    with monkeypatch.context() as patched:
        patched.setattr(call, fail)
        assert scrubbed(collection) == files
    assert scrubbed(collection) == set()


def test_a_start_that_cannot_read_the_vectors(reopen, collection, monkeypatch):
    """Is an error of the disk that names the file, not the death of the process."""
    collection.close()
    pread = os.pread

    def read(file, size, at):
        name = Path(f"/proc/self/fd/{file}").readlink().name
        return fail() if name == "vectors.f32" else pread(file, size, at)

    with monkeypatch.context() as patched:
        patched.setattr("os.pread", read)
        with pytest.raises(OSError, match="Input/output") as raised:
            reopen()
    assert str(collection.vectors_path) in raised.value.__notes__
    assert reopen().images == 700
