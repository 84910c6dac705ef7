"""A disk that fails under a collection: what is known then, and what the next opening finds."""

import errno
import os
import sqlite3

import numpy as np
import pytest
from full import full_disk

from index import Database, NewImage, is_disk_error

SCHEMA = "CREATE TABLE IF NOT EXISTS t (a)"


@pytest.fixture
def filled(reopen, tools):
    """A collection of a hundred images."""
    collection = reopen(16)
    tools.feed(collection, tools.clustered(100, 16)[0])
    return collection


def more(count=16):
    """New images."""
    return [NewImage(f"more-{i}", v) for i, v in enumerate(np.eye(16, dtype=np.float32)[:count])]


def fail(*_):
    raise OSError(errno.EIO, "Input/output error")


def test_want_of_room_leaves_nothing_in_doubt(filled, tools):
    """A batch that SQLite has no room for changes nothing, and can be logged later."""
    db = filled._catalog.connection
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    images = [NewImage(f"{i}" * 200, image.vector) for i, image in enumerate(more())]
    with pytest.raises(sqlite3.OperationalError, match="full") as raised:
        filled.log(images, {"t:0": 1})
    assert is_disk_error(raised.value)
    assert str(filled.directory / "catalog.sqlite") in raised.value.__notes__
    assert not filled.doubtful
    assert (filled.rows, filled.images, dict(filled.positions)) == (100, 100, {"images:0": 100})
    db.execute("PRAGMA max_page_count = 1000000")
    filled.insert(filled.log(images, {"t:0": 1}).new_rows)
    tools.check(filled)


def test_a_failed_sync_of_the_vectors_is_in_doubt(reopen, filled, tools, monkeypatch):
    """Nothing of the batch was taken; opened again the collection takes it."""
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            filled.log(more(), {"t:0": 1})
    assert filled.doubtful
    collection = reopen()
    assert (collection.images, collection.doubtful) == (100, False)
    collection.insert(collection.log(more(), {"t:0": 1}).new_rows)
    tools.check(collection)


def test_a_sync_is_not_believed_after_one_that_failed(reopen, filled, tools, monkeypatch):
    """However well the next would end: what is to be wiped stays so until it was wiped again."""
    tools.write(filled, "7")
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            filled.leftovers.give_back_rows()
    with pytest.raises(OSError, match="failed before") as raised:
        filled.leftovers.give_back_rows()
    assert is_disk_error(raised.value)
    with pytest.raises(OSError, match="failed before"):
        filled.log(more(), {"t:0": 1})
    assert filled._catalog.rows_to_wipe().tolist() == [7]
    collection = reopen()
    collection.leftovers.give_back_rows()
    assert collection._catalog.rows_to_wipe().tolist() == []
    collection.insert(collection.log(more(), {"t:0": 1}).new_rows)
    tools.check(collection)


def test_a_wipe_in_parts(filled, tools, monkeypatch):
    """A disk that takes a part at a time gets the rest too."""
    pwrite, zeros = os.pwrite, bytes(64)
    monkeypatch.setattr(
        "os.pwrite", lambda f, data, at: pwrite(f, data[:24] if data == zeros else data, at)
    )
    tools.write(filled, "7")
    assert not filled.vectors[7].any()


def test_a_wipe_that_fails_is_in_doubt(reopen, filled, tools, monkeypatch):
    """The erasure is durable, and the next opening overwrites the vector."""
    pwrite = os.pwrite
    zeros = bytes(64)
    with monkeypatch.context() as patched:
        patched.setattr(
            "os.pwrite", lambda f, data, at: fail() if data == zeros else pwrite(f, data, at)
        )
        with pytest.raises(OSError, match="Input/output"):
            tools.write(filled, "7")
    assert filled.doubtful
    [row] = [7]
    assert filled.vectors[row].any()
    collection = reopen()
    assert (collection.images, collection.row_of(["7"])) == (99, [None])
    assert not collection.vectors[row].any()
    tools.check(collection)


def test_a_transaction_that_fails_is_in_doubt(filled):
    """What the caller changed in memory meanwhile may be ahead of the disk."""
    with pytest.raises(KeyError), filled.transaction(durable=True):
        raise KeyError
    assert filled.doubtful


def test_after_a_failure_nothing_is_folded_in_unchecked(tmp_path):
    """The write-ahead log stays as it is, and the next opening checks it and folds it in."""
    path = tmp_path / "a.sqlite"
    database = Database(path, schema=SCHEMA)
    with database.transaction(durable=False) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
    wal = path.with_name("a.sqlite-wal")
    size = wal.stat().st_size
    database.failed = True
    database.close()
    assert wal.stat().st_size == size
    with wal.open("r+b") as file:  # as if the pages of the last commit had not reached the disk
        file.seek(size - 100)
        file.write(bytes(100))
    again = Database(path, schema=SCHEMA)
    assert again.connection.execute("SELECT * FROM t").fetchall() == []
    assert wal.stat().st_size == 0
    again.close()
    assert not wal.exists()


def test_a_disk_that_fails_is_no_corrupt_database(tmp_path):
    """Opening where the write-ahead log cannot be folded in is an error of the disk."""
    path = tmp_path / "a.sqlite"
    database = Database(path, schema=SCHEMA)
    with database.transaction(durable=True) as connection:
        connection.executemany("INSERT INTO t VALUES (?)", [("a" * 1_000,)] * 100)
    database.failed = True
    database.close()
    with full_disk(50_000), pytest.raises(sqlite3.OperationalError) as raised:
        Database(path, schema=SCHEMA)
    assert is_disk_error(raised.value)
    again = Database(path, schema=SCHEMA)
    assert again.connection.execute("SELECT count(*) FROM t").fetchone() == (100,)
    again.close()


def of_sqlite(code):
    """An error of this code."""
    error = sqlite3.OperationalError("of SQLite")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, ""), True),
        (OSError(errno.EROFS, ""), True),
        (OSError(errno.EIO, ""), True),
        (OSError(errno.EUCLEAN, ""), True),
        (FileNotFoundError(errno.ENOENT, ""), False),
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), False),
        (OSError("of a library"), False),
        (sqlite3.ProgrammingError("of ours"), False),
        (of_sqlite(sqlite3.SQLITE_BUSY), True),
        (of_sqlite(sqlite3.SQLITE_PROTOCOL), True),
        (of_sqlite(sqlite3.SQLITE_CORRUPT), False),
        (ValueError(), False),
    ],
)
def test_what_is_an_error_of_the_disk(error, expected):
    """What may pass by itself is told from a defect."""
    assert is_disk_error(error) is expected
