import shutil
import sqlite3

import pytest
from full import full_disk

from index.errors import CorruptError, FormatError
from models.errors import BadInputError
from worker.cli import exit_status
from worker.errors import BadStreamError, LeaseError, StoreUnavailableError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (LeaseError("main", "other"), 4),
        (BadStreamError("too many"), 6),
        (FormatError("newer"), 3),
        (CorruptError("vectors.f32"), 7),
        (BadInputError("row 3"), 2),
        (StoreUnavailableError("away"), 75),
        (KeyError("a defect"), None),
    ],
)
def test_exit_status(error, status):
    """Each kind of error ends the command with the status that the README lists for it."""
    assert exit_status(error) == status


@pytest.mark.parametrize(
    ("name", "status"), [("lock", 3), ("holder", 74), ("positions.sqlite", 74)]
)
def test_a_disk_that_fails_before_anything_is_open(bench, name, status):
    """The start ends with a status that says so; the directory as it was still works."""
    bench.run()
    copy = bench.path.with_name("copy")
    shutil.copytree(bench.path, copy)
    for suffix in ("", ".sums"):
        copy.joinpath(f"{name}{suffix}").unlink(missing_ok=True)
    (copy / name).mkdir()
    with pytest.raises(Exception) as caught:  # noqa: PT011  which one is what the test is about
        bench.run(data_dir=str(copy))
    assert exit_status(caught.value) == status
    bench.run()


def test_no_room_before_anything_is_open(bench):
    """A disk without room ends the start as any command without a worker."""
    with full_disk(0), pytest.raises(Exception) as caught:  # noqa: PT011  which one is what the test is about
        bench.run(data_dir=str(bench.path.with_name("full")))
    assert exit_status(caught.value) == 74
    bench.run()


def test_damage_that_sqlite_meets(tmp_path):
    """What SQLite finds damaged after the start ends the command as damage, not as a full disk."""
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"no database" * 1_000)
    db = sqlite3.connect(path)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        db.execute("SELECT * FROM sqlite_schema")
    db.close()
    assert exit_status(caught.value) == 7
