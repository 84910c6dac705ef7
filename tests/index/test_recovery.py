"""A start finds what was there, whatever became of snapshots and of the end of the log."""

import json
import logging
import shutil

import numpy as np
import pytest

from index import CorruptError, Erasure, file_checksum, seal

ROWS = 900
FILES = [
    "hnsw.bin",
    "neighbours.npy",
    "similarity.npy",
    "present.npy",
    "searched_at.npy",
    "manifest.json",
]


@pytest.fixture
def filled(reopen, tools):
    """A collection with two snapshots and images, replaced and erased ones after each."""
    vectors, _ = tools.clustered(ROWS, 16)
    collection = reopen(16)
    tools.feed(collection, vectors[:500], batch=250)
    tools.write(collection, "3", ("4", vectors[800]))
    collection.snapshot()
    tools.feed(collection, vectors[500:700], batch=100, first=500)
    tools.write(collection, "5", "501", ("6", vectors[801]))
    collection.snapshot()
    tools.feed(collection, vectors[700:800], batch=100, first=700)
    tools.write(collection, "7", "502", "702", ("8", vectors[802]))
    return collection


def state(collection):
    """Everything that must survive, copied."""
    return {
        "images": dict(collection.iterate()),
        "vectors": collection.vectors.copy(),
        "counts": collection.counts.copy(),
        "positions": dict(collection.positions),
        "dimension": collection.dimension,
        "model": collection.model,
    }


def assert_same(expected, actual):
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(value, actual[name]), name
        else:
            assert value == actual[name], name


def snapshots(collection):
    return sorted((collection.directory / "snapshots").iterdir())


def test_without_a_snapshot_everything_is_replayed(reopen, filled, tools):
    """The log alone is enough; the progress of the replay is told."""
    before = state(filled)
    filled.close()
    shutil.rmtree(filled.directory / "snapshots")
    told = []
    collection = reopen(progress=lambda done, total: told.append((done, total)))
    assert_same(before, state(collection))
    assert told[-1] == (np.count_nonzero(collection.counts),) * 2
    assert collection.rows_since_snapshot == collection.rows
    assert tools.recall(collection) > 0.99
    tools.check(collection)


def test_with_a_snapshot_only_the_rest_is_replayed(reopen, filled, tools):
    """A start inserts only the rows after the newest snapshot, and forgets what died since."""
    before = state(filled)
    told = []
    collection = reopen(progress=lambda done, total: told.append((done, total)))
    assert_same(before, state(collection))
    assert told == [(100, 100)]
    assert collection.rows_since_snapshot == 101
    assert tools.recall(collection) > 0.99
    tools.check(collection)
    collection.snapshot()
    assert collection.rows_since_snapshot == 0


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_flipped_bit_makes_the_snapshot_before_serve(reopen, filled, tools, caplog, name, place):
    """One wrong bit in any file of the newest snapshot: it is passed over, loudly."""
    before = state(filled)
    newest = snapshots(filled)[-1]
    content = bytearray((newest / name).read_bytes())
    content[int(place * (len(content) - 1))] ^= 1
    (newest / name).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        collection = reopen()
    assert "snapshot passed over" in caplog.text
    assert collection.rows_since_snapshot == collection.rows - 501
    assert_same(before, state(collection))
    tools.check(collection)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_short_file_makes_the_snapshot_before_serve(reopen, filled, tools, name):
    """So does a file that is cut off or gone, in every snapshot there is."""
    before = state(filled)
    older, newest = snapshots(filled)
    (newest / name).unlink()
    (older / name).write_bytes((older / name).read_bytes()[:-1])
    collection = reopen()
    assert collection.rows_since_snapshot == collection.rows
    assert_same(before, state(collection))
    tools.check(collection)
    collection.snapshot()
    assert [path.name for path in snapshots(collection)] == [f"{3:020}"]


@pytest.mark.parametrize("size", [0, 5, 60, 128, -1])
@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".npy")])
def test_a_file_that_was_written_short_makes_the_snapshot_before_serve(
    reopen, filled, tools, name, size
):
    """Also where the manifest has the checksum of the short file, as of a disk that was full."""
    before = state(filled)
    newest = snapshots(filled)[-1]
    (newest / name).write_bytes((newest / name).read_bytes()[:size])
    manifest = newest / "manifest.json"
    fields = json.loads(manifest.read_text())
    fields["checksums"][name] = file_checksum(newest / name)
    manifest.write_text(seal({key: fields[key] for key in fields if key != "checksum"}))
    collection = reopen()
    assert collection.rows_since_snapshot == collection.rows - 501
    assert_same(before, state(collection))
    tools.check(collection)


@pytest.mark.parametrize(
    "content", [b"", bytes(300), b"[]", b"null", b"[" * 200_000, b'{"facts": 1}', b'{"facts": []}']
)
def test_what_is_no_manifest_makes_the_snapshot_before_serve(reopen, filled, tools, content):
    """Whatever is in its place."""
    before = state(filled)
    (snapshots(filled)[-1] / "manifest.json").write_bytes(content)
    collection = reopen()
    assert collection.rows_since_snapshot == collection.rows - 501
    assert_same(before, state(collection))
    tools.check(collection)


def test_every_number_of_the_manifest_is_checked(reopen, filled, tools):
    """A manifest that was changed by hand is not believed."""
    before = state(filled)
    manifest = snapshots(filled)[-1] / "manifest.json"
    fields = json.loads(manifest.read_text())
    for change in ("rows", "elements", "live"):
        manifest.write_text(json.dumps({**fields, change: fields[change] - 1}))
        collection = reopen()
        assert collection.rows_since_snapshot == collection.rows - 501, change
        assert_same(before, state(collection))
        tools.check(collection)


def test_a_snapshot_of_another_log_is_refused(reopen, filled, tools, tmp_path):
    """Snapshots that belong to another collection, or to a longer log, do not serve."""
    other = reopen(16, directory=tmp_path / "other")
    vectors, _ = tools.clustered(700, 16, seed=9)
    tools.feed(other, vectors)
    shutil.rmtree(other.directory / "snapshots")
    shutil.copytree(filled.directory / "snapshots", other.directory / "snapshots")
    other = reopen(directory=other.directory)
    assert other.rows_since_snapshot == other.rows
    assert tools.recall(other) > 0.99
    tools.check(other)


def test_an_older_catalog_put_back_does_not_meet_newer_snapshots(reopen, filled, tools, tmp_path):
    """After a backup of log and catalog is restored, snapshots from beyond it are refused."""
    filled.close()
    directory = filled.directory
    shutil.copytree(directory, tmp_path / "backup")
    collection = reopen()
    vectors, _ = tools.clustered(300, 16, seed=5)
    tools.feed(collection, vectors, first=2_000)
    collection.snapshot()
    collection.close()
    for name in ("catalog.sqlite", "catalog.sqlite.sums", "vectors.f32"):
        shutil.copy(tmp_path / "backup" / name, directory / name)
    collection = reopen()
    others, _ = tools.clustered(400, 16, seed=6)
    tools.check(collection)
    tools.feed(collection, others, first=2_000)
    assert tools.recall(collection) > 0.99
    tools.check(reopen())
    assert tools.recall(reopen()) > 0.99


def test_other_settings_rebuild_the_graph(reopen, filled, tools):
    """A snapshot made with another k, m or ef_construction does not serve."""
    before = state(filled)
    collection = reopen(k=7)
    assert collection.rows_since_snapshot == collection.rows
    assert collection.neighbours.shape[1] == 7
    assert_same(before, state(collection))
    tools.check(collection)


def test_snapshots_kept(reopen, filled):
    """The newest ones stay, as many as the settings say; an unfinished one is swept away."""
    filled.snapshot()
    names = [path.name for path in snapshots(filled)]
    assert names == [f"{2:020}", f"{3:020}"]
    (filled.directory / "snapshots" / "unfinished").mkdir()
    collection = reopen(snapshots_kept=1)
    info = collection.snapshot()
    assert [path.name for path in snapshots(collection)] == [f"{4:020}"]
    assert info.rows == collection.rows
    sizes = [file.stat().st_size for file in snapshots(collection)[0].iterdir()]
    assert info.bytes == sum(sizes)


@pytest.mark.parametrize("extra", [1, 64, 64 * 40 + 7])
def test_a_torn_tail_is_cut_off(reopen, filled, tools, extra):
    """Bytes beyond the rows of the catalog were never committed: they go, and rows follow."""
    before = state(filled)
    filled.close()
    with filled.vectors_path.open("ab") as file:
        file.write(b"\x01" * extra)
    collection = reopen()
    assert_same(before, state(collection))
    assert collection.vectors_path.stat().st_size == collection.rows * 64
    tools.write(collection, ("next", tools.clustered(1, 16, seed=3)[0][0]))
    tools.check(reopen())


def test_a_log_that_is_too_short_is_corrupt(reopen, filled):
    """Rows that the catalog counts and the file lacks cannot be rebuilt: the start fails."""
    filled.close()
    with filled.vectors_path.open("r+b") as file:
        file.truncate(64 * 100)
    with pytest.raises(CorruptError, match=r"vectors\.f32: 6400 bytes"):
        reopen()


@pytest.mark.parametrize("image", ["20", "750"])
def test_a_changed_row_is_corrupt(reopen, filled, image):
    """Every row is verified at the start, whether a snapshot covers it or not, and is named."""
    row = filled.row_of([image])[0]
    filled.close()
    with filled.vectors_path.open("r+b") as file:
        file.seek(64 * row)
        file.write(b"\x00")
    with pytest.raises(CorruptError, match=f"row {row} is not what"):
        reopen()


def test_a_row_that_was_not_wiped_yet_is_wiped_on_start(reopen, filled, tools):
    """Killed between the commit of an erasure and the overwriting of the row: the start does it."""
    row = filled.row_of(["750"])[0]
    vector = filled.vectors[row].copy()
    filled.log([Erasure("750")], {})
    filled.close()
    with filled.vectors_path.open("r+b") as file:
        file.seek(64 * row)
        file.write(vector.tobytes())
    collection = reopen()
    assert not collection.vectors[row].any()
    tools.check(collection)


def test_logged_but_not_indexed(reopen, filled, tools):
    """A snapshot between `log` and `insert` holds what is indexed; the start adds the rest."""
    vectors, _ = tools.clustered(50, 16, seed=4)
    filled.log([tools.image(f"late-{i}", vector) for i, vector in enumerate(vectors)], {})
    filled.log([Erasure("10")], {})
    filled.snapshot()
    collection = reopen()
    assert tools.recall(collection) > 0.99
    tools.check(collection)
