"""Every file of a collection, damaged in every way: noticed, not served, and said what is lost."""

import os
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from keeping import keep_damaged

from index import CollectionIndex, CorruptError, Erasure, IndexSettings, NewImage, StorageError
from index.findings import Harm, Part
from index.repair import repair
from index.verify import verify

SETTINGS = IndexSettings(k=5, threads=1)
ROWS = 300
# Places in each file; `make chaos` looks at so many times more.
MORE = int(os.environ.get("SHOAL_DAMAGE_MORE", "1"))
TIMES = {"flip": 20, "zero": 4, "garble": 4, "cut": 4}
# Snapshots are all repaired alike: one file stands for the rest.
REPAIRED = {"catalog.sqlite", "catalog.sqlite.sums", "vectors.f32", "present.npy"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Two folders of the same collection, closed and killed, and what is in them."""
    directory = tmp_path_factory.mktemp("damage") / "closed"
    collection = CollectionIndex.open(directory, settings=SETTINGS, dimension=8)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((ROWS, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for start in range(0, ROWS, 100):
        images = [NewImage(f"image-{start + i}", v) for i, v in enumerate(vectors[start:][:100])]
        collection.insert(collection.log(images, {"t:0": start + 100}).new_rows)
        if start < 200:
            collection.snapshot()
    gone = collection.log([Erasure("image-1"), Erasure("image-101")], {"t:0": ROWS + 2})
    collection.remove(gone.dead_rows)
    state = content(collection)
    shutil.copytree(directory, directory.with_name("killed"))
    collection.close()
    return {"closed": directory, "killed": directory.with_name("killed"), "state": state}


def content(collection):
    """Every image with its vector."""
    return {id_: collection.vectors[row].tobytes() for id_, row in collection.iterate()}


def served(directory):
    """What a start serves; None when it refuses."""
    try:
        collection = CollectionIndex.open(directory, settings=SETTINGS)
    except StorageError:
        return None
    found = content(collection)
    collection.close()
    return found


def check_noticed(directory, file, state):
    """`verify` names something, and a start serves what was written or refuses."""
    findings = verify(directory)
    assert findings, file
    found = served(directory)
    if any(finding.harm is Harm.DATA for finding in findings):
        assert found is None, file
    else:
        assert found == state, file


def check_repaired(directory, file, state):
    """After `repair` all is whole, and what is not there any more was said; or it says why not."""
    try:
        repaired = repair(directory, SETTINGS)
    except CorruptError:
        assert served(directory) is None, file
        return
    assert not [f for f in verify(directory) if f.harm is not Harm.NONE], file
    found = served(directory)
    lost = state.keys() - found.keys()
    assert found.items() <= state.items(), file
    assert lost >= set(repaired.lost_images), file
    assert bool(lost) <= bool(repaired.lost_images or repaired.nameless or repaired.tables), file
    if not repaired.tables:
        assert len(lost) == len(repaired.lost_images) + repaired.nameless, file


@pytest.mark.parametrize("kind", TIMES)
def test_damage_is_noticed_and_not_served(filled, damage, kind):
    """Flipped bits, lost pages, other bytes, short files: at places all over every file."""
    for directory, file in damage.damaged_copies(filled["closed"], kind, MORE * TIMES[kind]):
        check_noticed(directory, file, filled["state"])


@pytest.mark.parametrize(("table", "column"), [("row", "count"), ("block", "sum")])
def test_numbers_that_became_null_are_noticed_and_not_served(filled, table, column):
    """A bit of the header of a record makes NULL of a number."""
    directory = filled["closed"].with_name(f"null-{table}")
    shutil.copytree(filled["closed"], directory)
    catalog = directory / "catalog.sqlite"
    with closing(sqlite3.connect(catalog)) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = ?",
            (f"{column} INTEGER NOT NULL", f"{column} INTEGER", table),
        )
    with closing(sqlite3.connect(catalog)) as db, db:
        db.execute(f"UPDATE {table} SET {column} = NULL")  # noqa: S608
    check_noticed(directory, catalog, filled["state"])


def test_swapped_files_are_noticed_and_not_served(filled, damage):
    """Any file of the folder in the place of any other."""
    for directory, file in damage.swapped_copies(filled["closed"], 5 * min(MORE, 2)):
        check_noticed(directory, file, filled["state"])


def test_missing_files_are_noticed_and_not_served(filled, damage):
    """Any file of the folder gone."""
    for directory, file in damage.missing_copies(filled["closed"]):
        check_noticed(directory, file, filled["state"])


def test_longer_files(filled, damage):
    """What was added to a file is noticed; behind the vectors it is a torn tail, which goes."""
    for directory, file in damage.damaged_copies(filled["closed"], "grow", 5):
        if file.name == "vectors.f32":
            assert [f.harm for f in verify(directory)] == [Harm.NONE]
            assert served(directory) == filled["state"]
        else:
            check_noticed(directory, file, filled["state"])


@pytest.mark.parametrize("kind", ["flip", "garble", "cut"])
def test_repair_mends_or_names(filled, damage, kind):
    """A repaired collection is whole, has nothing wrong in it, and what it lost was said."""
    for directory, file in damage.damaged_copies(filled["closed"], kind, 6 * MORE, 1, REPAIRED):
        check_repaired(directory, file, filled["state"])


def test_repair_cuts_a_torn_tail(filled, damage):
    """What a batch that was not committed left behind the vectors goes, and nothing is lost."""
    for directory, _ in damage.damaged_copies(filled["closed"], "grow", 5, 4, {"vectors.f32"}):
        repaired = repair(directory, SETTINGS)
        assert [line for line in repaired.done if "torn tail: cleared" in line]
        assert (repaired.lost_images, repaired.nameless, repaired.reread) == ([], 0, None)
        assert verify(directory) == []
        assert served(directory) == filled["state"]


@pytest.mark.parametrize("file", ["catalog.sqlite", "catalog.sqlite.sums"])
def test_repair_of_longer_files(filled, damage, file):
    """What was added to a file goes, or is named as what cannot be repaired."""
    for directory, _ in damage.damaged_copies(filled["closed"], "grow", 3, 5, {file}):
        check_repaired(directory, file, filled["state"])


def test_flipped_bits_cost_nothing(filled, damage):
    """A single wrong bit is put back wherever it is."""
    for directory, file in damage.damaged_copies(filled["closed"], "flip", 6 * MORE, 2, REPAIRED):
        repaired = repair(directory, SETTINGS)
        assert repaired.done, file
        assert not repaired.lost_images, file
        assert served(directory) == filled["state"], file


@pytest.mark.parametrize("kind", ["flip", "garble", "cut"])
def test_a_damaged_log_of_a_killed_process(filled, damage, kind):
    """Commits that SQLite would silently leave out are missed; repair says where to read again."""
    for directory, file in damage.damaged_copies(
        filled["killed"], kind, 12 * MORE, 3, {"catalog.sqlite-wal"}
    ):
        findings = verify(directory)
        found = served(directory)
        assert found in (None, filled["state"]), file
        # What follows the last durable commit may be lost.
        if found is not None:
            continue
        assert any(f.harm is Harm.DATA and f.part is Part.CATALOG for f in findings), file
        try:
            repaired = repair(directory, SETTINGS)
        except CorruptError:
            continue
        assert repaired.reread is not None, file
        assert repaired.reread.get("t:0", 0) <= ROWS + 2
        served(directory)


def test_a_lost_row_is_restored_from_a_snapshot(filled, tmp_path):
    """HNSW holds the vectors too: what a snapshot covers is not lost."""
    directory = tmp_path / "c"
    shutil.copytree(filled["closed"], directory)
    with (directory / "vectors.f32").open("r+b") as file:
        file.seek(32 * 50)
        file.write(bytes(32 * 3))
    repaired = repair(directory, SETTINGS)
    assert [line for line in repaired.done if "restored from a snapshot" in line]
    assert not repaired.lost_images
    assert served(directory) == filled["state"]


def test_a_lost_row_after_the_snapshots_is_named(filled, tmp_path):
    """Its image is dropped and named, so that it can be sent again, and then is there again."""
    directory = tmp_path / "c"
    shutil.copytree(filled["closed"], directory)
    with (directory / "vectors.f32").open("r+b") as file:
        file.seek(32 * 250)
        file.write(bytes(32))
    repaired = repair(directory, SETTINGS)
    assert repaired.lost_images == ["image-250"]
    collection = CollectionIndex.open(directory, settings=SETTINGS)
    vector = np.frombuffer(filled["state"]["image-250"], np.float32)
    collection.insert(collection.log([NewImage("image-250", vector)], {}).new_rows)
    assert content(collection) == filled["state"]
    collection.close()


def test_a_repair_that_is_killed_begins_anew(filled, tmp_path, monkeypatch):
    """What was damaged is kept until all is whole again, and a second repair starts from it."""
    directory = tmp_path / "c"
    shutil.copytree(filled["closed"], directory)
    with (directory / "catalog.sqlite").open("r+b") as file:
        file.seek(3 * 4_096)
        file.write(bytes(4_096))
    damaged = (directory / "catalog.sqlite").read_bytes()
    expected = tmp_path / "expected"
    shutil.copytree(directory, expected)

    def killed(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("index.repair_log.LogRepair.run", killed)
        with pytest.raises(KeyboardInterrupt):
            repair(directory, SETTINGS)
    assert (directory / "damaged" / "catalog.sqlite.kept").read_bytes() == damaged
    with pytest.raises(CorruptError, match="a repair did not end: run it again"):
        CollectionIndex.open(directory, settings=SETTINGS)
    assert repair(directory, SETTINGS).tables == repair(expected, SETTINGS).tables
    assert served(directory) == served(expected)
    assert not (directory / "damaged").exists()


@pytest.mark.parametrize("after", [repair, CollectionIndex.open])
def test_what_a_repair_kept_goes(filled, tmp_path, after, monkeypatch):
    """Copies that the disk did not let go at the end of a repair go with the next one, or start."""
    directory = tmp_path / "c"
    shutil.copytree(filled["closed"], directory)
    with (directory / "catalog.sqlite").open("r+b") as file:
        file.seek(3 * 4_096)
        file.write(bytes(4_096))

    with monkeypatch.context() as patch:
        keep_damaged(patch)
        with pytest.raises(OSError, match="Read-only"):
            repair(directory, SETTINGS)
    before = {path.name for path in directory.iterdir()}
    assert ".damaged" in before
    opened = after(directory, settings=SETTINGS)
    if isinstance(opened, CollectionIndex):
        opened.close()
    assert ".damaged" not in {path.name for path in directory.iterdir()}


def test_what_cannot_be_repaired_is_left_as_it_was(filled, tmp_path):
    """A catalog of which nothing can be read: the error says so, and nothing was changed."""
    directory = tmp_path / "c"
    shutil.copytree(filled["closed"], directory)
    (directory / "catalog.sqlite").write_bytes(b"no database" * 1_000)
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    with pytest.raises(CorruptError, match="put a backup back"):
        repair(directory, SETTINGS)
    after = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert before == after


def test_verify_changes_nothing(filled):
    """Not a byte, and no file more, whether the process was killed or stopped."""
    for name in ("closed", "killed"):
        before = {p: p.read_bytes() for p in filled[name].rglob("*") if p.is_file()}
        assert all(finding.harm is Harm.NONE for finding in verify(filled[name]))
        after = {p: p.read_bytes() for p in filled[name].rglob("*") if p.is_file()}
        assert [p for p in before if p.suffix != ".sqlite-shm" and before[p] != after[p]] == []
        assert before.keys() == after.keys()
