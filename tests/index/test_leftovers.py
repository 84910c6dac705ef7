"""What erased and replaced images leave behind goes while the collection serves."""

import numpy as np
import pytest

from index.holes import whole_blocks

K = 30
SLICE_ROWS = 300


def rebuild(collection, limit=SLICE_ROWS):
    """Rebuild HNSW to the end; how many calls it took."""
    calls = 1
    while not collection.leftovers.rebuild(limit):
        calls += 1
    return calls


def files_with(directory, content):
    """The files below a folder that hold these bytes."""
    return sorted(
        path.name
        for path in directory.rglob("*")
        if path.is_file() and content in path.read_bytes()
    )


@pytest.mark.usefixtures("approximate")
def test_rebuilt_without_the_deleted(reopen, tools):
    """Afterwards HNSW holds the live rows alone, finds them, and takes in more."""
    collection = reopen(32)
    vectors, _ = tools.clustered(2_000, 32)
    tools.feed(collection, vectors)
    tools.write(collection, *[str(i) for i in range(0, 2_000, 3)])
    assert (collection.leftovers.deleted, collection.leftovers.elements) == (667, 2_000)
    assert rebuild(collection) > 3
    assert (collection.leftovers.deleted, collection.leftovers.elements) == (0, 1_333)
    tools.check(collection)
    more, _ = tools.clustered(300, 32, seed=3)
    tools.feed(collection, more, first=2_000)
    assert tools.recall(collection) >= 0.97
    tools.check(collection)
    collection.snapshot()
    tools.check(reopen())


@pytest.mark.usefixtures("approximate")
def test_recall_after_any_mix(reopen, tools):
    """Images come, change and go while HNSW is rebuilt again and again: still .97 of the true
    neighbours at K = 30.
    """
    collection = reopen(32, k=K)
    vectors, _ = tools.clustered(6_000, 32, seed=4)
    tools.feed(collection, vectors[:2_000], batch=250)
    rng = np.random.default_rng(0)
    rebuilt = 0
    for start in range(2_000, 5_000, 250):
        ids = rng.permutation(start)[:120].astype(str).tolist()
        changed = [(id_, vectors[5_000 + rng.integers(1_000)]) for id_ in ids[60:]]
        tools.write(collection, *ids[:60], *changed)
        tools.feed(collection, vectors[start : start + 250], batch=125, first=start)
        rebuilt += collection.leftovers.rebuild(SLICE_ROWS)
    rebuild(collection)
    assert rebuilt >= 1
    assert tools.recall(collection) >= 0.97
    tools.check(collection)


@pytest.mark.usefixtures("approximate")
def test_what_dies_meanwhile_is_left_out(reopen, tools):
    """A row that is erased after it was taken in is found no more, and gone with the next one."""
    collection = reopen(16)
    vectors, _ = tools.clustered(900, 16)
    tools.feed(collection, vectors)
    tools.write(collection, "1", "2")
    assert not collection.leftovers.rebuild(SLICE_ROWS)
    assert not collection.leftovers.rebuild(SLICE_ROWS)
    tools.write(collection, "3", ("4", vectors[5]))
    rebuild(collection)
    assert collection.leftovers.deleted == 2
    tools.check(collection)
    rebuild(collection)
    assert collection.leftovers.deleted == 0
    tools.check(collection)


@pytest.mark.usefixtures("approximate")
def test_closed_in_the_middle(reopen, tools):
    """A rebuild that was not finished leaves no trace."""
    collection = reopen(16)
    tools.feed(collection, tools.clustered(900, 16)[0])
    tools.write(collection, "1")
    collection.leftovers.rebuild(SLICE_ROWS)
    tools.check(reopen())


@pytest.mark.parametrize("how", ["erased", "replaced"])
@pytest.mark.parametrize(("exact_rows", "copies"), [(4_096, 1), (100, 2)])
def test_no_copy_is_left(reopen, tools, monkeypatch, how, exact_rows, copies):
    """The vector of an image that was erased, or got another one, is in no file any more: HNSW
    keeps it for a while, the plain arrays of a small collection do not.
    """
    monkeypatch.setattr("index.few.EXACT_ROWS", exact_rows)
    collection = reopen(16)
    vectors, _ = tools.clustered(400, 16)
    tools.feed(collection, vectors[:300])
    collection.snapshot()
    collection.snapshot()
    gone, kept = (vectors[row].tobytes() for row in (7, 8))
    tools.write(collection, "7" if how == "erased" else ("7", vectors[350]))
    collection.snapshot()
    assert files_with(collection.directory, gone) == ["hnsw.bin"] * copies
    rebuild(collection)
    collection.snapshot()
    collection.leftovers.drop_older_snapshots()
    collection.leftovers.give_back_rows()
    assert collection.leftovers.vacuum()
    assert files_with(collection.directory, gone) == []
    assert files_with(collection.directory, kept) == ["hnsw.bin", "vectors.f32"]
    tools.check(reopen())


def test_deleted_ids_leave_the_catalog(reopen, tools):
    """No page of the catalog, nor its write-ahead log, holds the id of an erased image."""
    collection = reopen(8)
    vectors, _ = tools.clustered(5_000, 8)
    images = [tools.image(f"photo-{i:08}", vector) for i, vector in enumerate(vectors)]
    collection.log(images, {})
    gone = range(0, 5_000, 7)
    tools.write(collection, *[f"photo-{i:08}" for i in gone])
    assert files_with(collection.directory, b"photo-00000007") != []
    assert collection.leftovers.vacuum()
    size = (collection.directory / "catalog.sqlite").stat().st_size
    content = b"".join(path.read_bytes() for path in collection.directory.glob("catalog*"))
    assert [i for i in gone if f"photo-{i:08}".encode() in content] == []
    assert b"photo-00000001" in content
    tools.write(collection, *[image.id for image in images[2_000:]])
    assert collection.leftovers.vacuum()
    assert (collection.directory / "catalog.sqlite").stat().st_size < size


def allocated(path):
    return path.stat().st_blocks * 512


def test_the_space_of_dead_rows_comes_back(reopen, tools, tmp_path):
    """Whole blocks of dead rows are given back to the file system; the rows keep their numbers."""
    collection = reopen(256)
    vectors, _ = tools.clustered(1_000, 256)
    tools.feed(collection, vectors)
    before = allocated(collection.vectors_path)
    tools.write(collection, *[str(i) for i in range(100, 900)])
    collection.leftovers.give_back_rows()
    if allocated(collection.vectors_path) == before:
        pytest.skip(f"the file system of {tmp_path} makes no holes")
    assert allocated(collection.vectors_path) < 0.3 * before
    assert collection.vectors_path.stat().st_size == 1_000 * 1_024
    tools.check(collection)
    assert np.array_equal(collection.vectors[900:], vectors[900:])
    tools.check(reopen())


@pytest.mark.parametrize(
    ("dead", "row_bytes", "expected"),
    [
        ([0, 0, 0, 0], 512, []),
        ([1, 1, 1, 1], 512, [[0, 2_048]]),
        ([1, 1, 1, 0], 512, [[0, 1_024]]),
        ([0, 1, 1, 1], 512, [[1_024, 2_048]]),
        ([0, 1, 1, 0], 512, []),
        ([1, 0, 1, 1], 1_024, [[0, 1_024], [2_048, 4_096]]),
        ([1, 1, 0, 1], 1_536, [[0, 3_072], [5_120, 6_144]]),
    ],
)
def test_whole_blocks(dead, row_bytes, expected):
    """Only blocks of 1,024 bytes that lie wholly in dead rows."""
    assert whole_blocks(np.array(dead, bool), row_bytes, 1_024).tolist() == expected


def test_a_snapshot_that_does_not_go(reopen, tools):
    """Older snapshots that the disk keeps are told, and go by the same call later."""
    collection = reopen(8)
    vectors, _ = tools.clustered(60, 8)
    folder = collection.directory / "snapshots"
    for start in (0, 30):
        tools.feed(collection, vectors[start : start + 30], first=start)
        collection.snapshot()
    (folder / "removed").touch()
    with pytest.raises(NotADirectoryError):
        collection.leftovers.drop_older_snapshots()
    assert len(list(folder.glob("0*"))) == 2
    (folder / "removed").unlink()
    collection.leftovers.drop_older_snapshots()
    assert [path.name for path in folder.iterdir()] == [collection.leftovers.newest_snapshot]
