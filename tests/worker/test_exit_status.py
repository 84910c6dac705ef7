import sqlite3

import pytest

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


def test_damage_that_sqlite_meets(tmp_path):
    """What SQLite finds damaged after the start ends the command as damage, not as a full disk."""
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"no database" * 1_000)
    db = sqlite3.connect(path)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        db.execute("SELECT * FROM sqlite_schema")
    db.close()
    assert exit_status(caught.value) == 7
