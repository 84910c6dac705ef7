"""A disk that takes no more: the limit on the size of a file stands for it."""

import sqlite3

import numpy as np
import pytest

from index import NewImage, SnapshotError


@pytest.fixture
def filled(reopen, tools):
    collection = reopen(16)
    tools.feed(collection, tools.clustered(1_000, 16)[0])
    return collection


@pytest.mark.parametrize(
    ("exact_rows", "error", "says"),
    [(400, SnapshotError, "is the disk full"), (4_096, OSError, "File too large")],
)
def test_a_snapshot_that_does_not_fit(reopen, tools, monkeypatch, exact_rows, error, says):
    """The size of its file tells what hnswlib does not. The snapshot before stays."""
    monkeypatch.setattr("index.few.EXACT_ROWS", exact_rows)
    filled = reopen(16)
    tools.feed(filled, tools.clustered(1_000, 16)[0])
    filled.snapshot()
    tools.feed(filled, tools.clustered(100, 16, seed=1)[0], first=1_000)
    with tools.full_disk(50_000), pytest.raises(error, match=says):
        filled.snapshot()
    assert filled.rows_since_snapshot == 100
    collection = reopen()
    assert collection.rows_since_snapshot == 100
    tools.check(collection)
    collection.snapshot()
    assert reopen().rows_since_snapshot == 0


def test_vectors_that_do_not_fit(reopen, filled, tools):
    """A batch of which only a part can be written is not taken; it can be logged later."""
    images = [NewImage(f"more-{i}", v) for i, v in enumerate(tools.clustered(50, 16, seed=1)[0])]
    with tools.full_disk(64 * 1_010), pytest.raises(OSError, match="File too large"):
        filled.log(images, {"t:0": 1})
    assert (filled.rows, filled.images) == (1_000, 1_000)
    tools.check(filled)
    filled.insert(filled.log(images, {"t:0": 1}).new_rows)
    tools.check(filled)
    tools.check(reopen())


def test_a_catalog_that_does_not_fit(reopen, filled, tools):
    """When SQLite cannot write its log, the vectors written before it are a torn tail."""
    images = [NewImage(f"more-{i}" * 20, v) for i, v in enumerate(np.eye(16, dtype=np.float32))]
    wal = filled.directory / "catalog.sqlite-wal"
    assert wal.stat().st_size > filled.vectors_path.stat().st_size + 64 * 16
    with tools.full_disk(wal.stat().st_size), pytest.raises(sqlite3.OperationalError):
        filled.log(images, {"t:0": 1})
    assert (filled.rows, filled.images) == (1_000, 1_000)
    tools.check(filled)
    filled.insert(filled.log(images, {"t:0": 1}).new_rows)
    tools.check(reopen())
