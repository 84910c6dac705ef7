"""`repair` killed at its steps: what it tells, and that nothing is lost without a word."""

import os
import shutil

import numpy as np
import pytest
from killed import kill_at

from index import CollectionIndex, CorruptError, Erasure, IndexSettings, NewImage
from index.aside import Aside
from index.findings import Harm
from index.repair import mend, repair
from index.verify import verify

SETTINGS = IndexSettings(k=5, threads=1)
ROWS = 300
ROW_BYTES = 4 * 8
REPAIR = """
import sys
from pathlib import Path
from index import IndexSettings
from index.repair import mend
mend(Path(sys.argv[1]), IndexSettings(k=5, threads=1))
"""


@pytest.fixture
def directory(tmp_path):
    """A collection of which no snapshot was taken."""
    collection = CollectionIndex.open(tmp_path / "c", settings=SETTINGS, dimension=8)
    vectors = np.random.default_rng(0).standard_normal((ROWS, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    images = [NewImage(f"image-{row}", vector) for row, vector in enumerate(vectors)]
    collection.insert(collection.log(images, {"t:0": ROWS}).new_rows)
    collection.close()
    return tmp_path / "c"


def snapshot(directory):
    collection = CollectionIndex.open(directory, settings=SETTINGS)
    collection.snapshot()
    collection.close()


def content(directory):
    """Every image with its vector, of a collection that a start takes."""
    collection = CollectionIndex.open(directory, settings=SETTINGS)
    found = {id_: collection.vectors[row].tobytes() for id_, row in collection.iterate()}
    collection.close()
    return found


def overwrite(file, at, data):
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(data)


def flip(directory, rows):
    """One bit of each row."""
    log = bytearray((directory / "vectors.f32").read_bytes())
    for row in rows:
        log[ROW_BYTES * row] ^= 1
    (directory / "vectors.f32").write_bytes(log)


def lose_an_erasure(directory, id_):
    """Erase an image, and lose the end of the catalog's log with it."""
    kept = shutil.copytree(directory, directory.with_name("kept"))
    collection = CollectionIndex.open(directory, settings=SETTINGS)
    collection.remove(collection.log([Erasure(id_)], {}).dead_rows)
    collection.close()
    sums = directory / "catalog.sqlite.sums"
    committed = sums.read_bytes()[:16]
    shutil.copy(kept / "catalog.sqlite", directory)
    sums.write_bytes(committed + (kept / sums.name).read_bytes()[16:])


def kill(directory, fault):
    """Repair in a process that is killed at a fault point."""
    kill_at(fault, REPAIR, directory)
    with pytest.raises(CorruptError, match="a repair did not end: run it again"):
        CollectionIndex.open(directory, settings=SETTINGS)


@pytest.mark.parametrize("fault", ["repair-log", "repair-committed", "snapshot-before-rename"])
def test_killed_when_the_catalog_was_made_anew(directory, fault):
    """The second run finds just the files that the first one found, and ends as if alone."""
    overwrite(directory / "catalog.sqlite", 3 * 4_096, bytes(4_096))
    alone = shutil.copytree(directory, directory.with_name("alone"))
    expected = repair(alone, SETTINGS)
    kill(directory, fault)
    repaired = repair(directory, SETTINGS)
    assert set(repaired.lost_images) == set(expected.lost_images)
    assert (repaired.tables, repaired.nameless) == (expected.tables, expected.nameless)
    assert content(directory) == content(alone)
    assert all(finding.harm is Harm.NONE for finding in verify(directory))


def test_put_back_removes_what_was_not_there(directory):
    """The write-ahead log of a new catalog is not left beside the old one."""
    catalog, log = directory / "catalog.sqlite", directory / "catalog.sqlite-wal"
    before = catalog.read_bytes()
    assert not log.exists()
    Aside(directory).keep(catalog, log)
    catalog.write_bytes(b"new")
    log.write_bytes(b"of the new one")
    Aside(directory).put_back()
    assert catalog.read_bytes() == before
    assert not log.exists()


@pytest.mark.parametrize("fault", ["repair-log", "repair-committed", "snapshot-before-rename"])
def test_killed_when_vectors_were_given_up(directory, fault):
    """Whichever run ends names what the first one dropped."""
    overwrite(directory / "vectors.f32", ROW_BYTES * 7, b"\x55" * ROW_BYTES)
    kill(directory, fault)
    assert repair(directory, SETTINGS).lost_images == ["image-7"]
    assert "image-7" not in content(directory)
    assert repair(directory, SETTINGS).lost_images == []


def test_what_was_not_told_is_told_again(directory):
    """Until what was damaged is discarded each run returns the same losses; no start goes on."""
    overwrite(directory / "vectors.f32", ROW_BYTES * 7, b"\x55" * ROW_BYTES)
    first = mend(directory, SETTINGS)
    with pytest.raises(CorruptError, match="a repair did not end"):
        CollectionIndex.open(directory, settings=SETTINGS)
    assert mend(directory, SETTINGS).lost_images == first.lost_images == ["image-7"]
    Aside(directory).discard()
    assert len(content(directory)) == ROWS - 1


@pytest.mark.parametrize("fault", ["", "repair-log", "repair-committed"])
def test_an_erasure_that_was_lost_is_not_undone(directory, fault):
    """A row that was overwritten after the last commit there is, is not taken from a snapshot."""
    snapshot(directory)
    lose_an_erasure(directory, "image-3")
    if fault:
        kill(directory, fault)
    repaired = repair(directory, SETTINGS)
    assert (repaired.perhaps_erased, repaired.lost_images) == (["image-3"], [])
    assert repaired.lost_commits
    assert repaired.reread == {"t:0": ROWS}
    assert len(content(directory)) == ROWS - 1


@pytest.mark.parametrize("damage", [b"[3]", b"[", b"\xff", b'{"rows": [3]}'])
def test_damage_of_what_a_repair_took_for_erased_is_named(directory, damage):
    """The next run cannot tell it from rows that the disk lost, and does not guess."""
    snapshot(directory)
    lose_an_erasure(directory, "image-3")
    kill(directory, "repair-log")
    (directory / "damaged" / "vectors.f32.erased").write_bytes(damage)
    with pytest.raises(CorruptError, match=r"damaged/vectors\.f32\.erased"):
        repair(directory, SETTINGS)


@pytest.mark.parametrize("fault", ["", "repair-log", "repair-committed"])
def test_rows_that_are_gone_were_not_erased(directory, fault):
    """Where commits are lost, too: what the file is too short for is taken from a snapshot."""
    before = content(directory)
    snapshot(directory)
    lose_an_erasure(directory, "image-3")
    os.truncate(directory / "vectors.f32", ROW_BYTES * 200)
    if fault:
        kill(directory, fault)
    repaired = repair(directory, SETTINGS)
    assert (repaired.perhaps_erased, repaired.lost_images) == (["image-3"], [])
    assert content(directory) == {k: v for k, v in before.items() if k != "image-3"}


@pytest.mark.parametrize("fault", ["repair-log", "repair-committed"])
def test_what_is_lost_is_not_called_erased_by_the_next_run(directory, fault):
    """The first run leaves zeros for rows that it could not restore."""
    lose_an_erasure(directory, "image-3")
    overwrite(directory / "vectors.f32", ROW_BYTES * 7, b"\x55" * ROW_BYTES)
    kill(directory, fault)
    repaired = repair(directory, SETTINGS)
    assert (repaired.perhaps_erased, repaired.lost_images) == (["image-3"], ["image-7"])


def test_zeros_are_damage_where_no_commit_is_lost(directory):
    """Their images are restored."""
    before = content(directory)
    snapshot(directory)
    overwrite(directory / "vectors.f32", ROW_BYTES * 7, bytes(ROW_BYTES))
    repaired = repair(directory, SETTINGS)
    assert (repaired.perhaps_erased, repaired.lost_images) == ([], [])
    assert content(directory) == before


def test_a_row_of_other_bytes(directory):
    """Bytes that are no number, nor even a quiet one, are as damaged as any."""
    overwrite(directory / "vectors.f32", ROW_BYTES * 7, b"\x01\x00\xa0\x7f" * (ROW_BYTES // 4))
    repaired = repair(directory, SETTINGS)
    assert repaired.lost_images == ["image-7"]


def test_many_damaged_rows(directory):
    """Single bits are looked for in so many rows only, since that takes long; the rest is named."""
    flip(directory, range(100))
    repaired = repair(directory, SETTINGS)
    assert len([line for line in repaired.done if "flipped bit" in line]) == 64
    assert len(repaired.lost_images) == 36


def test_no_bit_is_looked_for_in_zeros(directory):
    """A lost page takes nothing from the rows of which more is left."""
    overwrite(directory / "vectors.f32", 0, bytes(ROW_BYTES * 100))
    flip(directory, [200])
    repaired = repair(directory, SETTINGS)
    assert repaired.lost_images == [f"image-{row}" for row in range(100)]
    assert any("row 200 had a flipped bit" in line for line in repaired.done)


def test_snapshots_are_asked_before_bits_are_looked_for(directory):
    """However many rows are damaged, what a snapshot covers is restored, and it is told how far."""
    before = content(directory)
    snapshot(directory)
    flip(directory, range(100))
    told = []
    repaired = repair(directory, SETTINGS, lambda *words: told.append(words))
    assert len([line for line in repaired.done if "restored from a snapshot" in line]) == 100
    assert content(directory) == before
    assert {("damaged rows", number, 100) for number in range(1, 101)} <= set(told)
