"""A small collection is held as plain arrays, a larger one by hnswlib."""

import json

import numpy as np
import pytest

from index.errors import SnapshotError
from index.few import Few
from index.sealed import seal


def is_plain(collection):
    """Whether no HNSW graph was made."""
    return collection._live.held.hnsw is None


@pytest.mark.usefixtures("approximate")
def test_grows_out_of_plain_arrays(reopen, tools):
    """Erased rows are not taken along; snapshots of either kind load, and the graph is good."""
    collection = reopen(16)
    vectors, _ = tools.clustered(1_000, 16)
    tools.feed(collection, vectors[:400], batch=100)
    assert is_plain(collection)
    tools.write(collection, "7", "8")
    collection.snapshot()
    collection = reopen()
    assert is_plain(collection)
    assert collection.rows_since_snapshot == 0
    tools.feed(collection, vectors[400:], batch=150, first=400)
    assert not is_plain(collection)
    assert collection.leftovers.elements == 998
    tools.check(collection)
    assert tools.recall(collection) >= 0.97
    collection.snapshot()
    collection = reopen()
    assert not is_plain(collection)
    tools.check(collection)


@pytest.mark.usefixtures("approximate")
def test_shrinks_into_plain_arrays(reopen, tools):
    """What hnswlib wrote of a collection that is small by now becomes plain arrays when it is
    opened, without what died.
    """
    collection = reopen(16)
    tools.feed(collection, tools.clustered(500, 16)[0])
    assert not is_plain(collection)
    tools.write(collection, *[str(i) for i in range(200)])
    assert collection.leftovers.deleted == 200
    collection.snapshot()
    collection = reopen()
    assert is_plain(collection)
    assert collection.leftovers.deleted == 0
    tools.check(collection)


@pytest.mark.parametrize("format_", [2, 3])
def test_snapshots_of_the_format_before(reopen, tools, monkeypatch, format_):
    """A small collection that hnswlib wrote is taken over, in the format that knew no other."""
    monkeypatch.setattr("index.few.EXACT_ROWS", 100)
    collection = reopen(16)
    tools.feed(collection, tools.clustered(300, 16)[0])
    collection.snapshot()
    collection.close()
    [manifest] = (collection.directory / "snapshots").glob("*/manifest.json")
    fields = json.loads(manifest.read_text())
    fields.pop("checksum")
    fields["facts"]["format"] = format_
    manifest.write_text(seal(fields))
    monkeypatch.setattr("index.few.EXACT_ROWS", 4_096)
    collection = reopen()
    assert is_plain(collection)
    assert collection.rows_since_snapshot == 0
    tools.check(collection)


def test_other_rows_than_the_manifest_says(reopen, tools):
    """Such a snapshot is passed over, and the log is read instead."""
    collection = reopen(16)
    tools.feed(collection, tools.clustered(300, 16)[0])
    collection._live.held.mark_deleted(np.array([3]))
    collection.snapshot()
    collection = reopen()
    assert collection.rows_since_snapshot == 300
    tools.check(collection)


def test_a_file_of_another_kind(tmp_path):
    """What is not such an archive is left to hnswlib."""
    path = tmp_path / "hnsw.bin"
    path.write_bytes(bytes(64))
    assert Few.load(path) is None


def test_a_short_file_is_refused_and_closed(tmp_path):
    """Wherever its end is; what does not begin as one is left to hnswlib."""
    few = Few(4)
    few.add(np.eye(4, dtype=np.float32), np.arange(4))
    few.save(tmp_path / "few")
    content = (tmp_path / "few").read_bytes()
    for size in range(len(content)):
        (tmp_path / "few").write_bytes(content[:size])
        if size < 4:
            assert Few.load(tmp_path / "few") is None
            continue
        with pytest.raises(SnapshotError, match="few"):
            Few.load(tmp_path / "few")
