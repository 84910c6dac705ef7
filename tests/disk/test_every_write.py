"""The disk begins to fail at one call after another, and works again after a while."""

import os
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# Calls at which the disk begins to fail, of about a thousand; 0: every one (`make chaos`).
TIMES = int(os.environ.get("SHOAL_DISK_TIMES", "15"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["full", "read-only", "failing", "unsynced"])
def test_everything_is_there_once_after_the_disk_failed(on_failing_disk, disk, mode):
    """Whatever the disk did not take is there in the end, without a restart, and only once."""
    ended = on_failing_disk(HERE / "every_write.py", disk, mode, TIMES)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "outages" in ended.stdout
    assert " 0 outages" not in ended.stdout


_BEGUN = """
import pathlib, sqlite3, sys
from every_write import Disk
from index import Database, is_disk_error
from index.database import reading

path, kept = pathlib.Path(sys.argv[1], "a.sqlite"), pathlib.Path(sys.argv[1], "b.sqlite")
made = Database(path, schema="CREATE TABLE t (n INTEGER)")
with made.transaction(durable=True) as db:
    db.execute("INSERT INTO t VALUES (1)")
for end, size in (("", None), ("-wal", 32), ("-shm", None)):
    path.with_name(kept.name + end).write_bytes(path.with_name(path.name + end).read_bytes()[:size])
made.close()
disk = Disk()
disk.fail("read-only", 1)
try:
    with reading(kept) as db:
        db.execute("PRAGMA user_version").fetchone()
except sqlite3.OperationalError as error:
    print(is_disk_error(error), error)
disk.work()
with reading(kept) as db:
    print("readable", db.execute("PRAGMA user_version").fetchone())
"""


def test_a_log_that_was_only_begun_on_a_read_only_disk(on_failing_disk, disk):
    """SQLite gives up on one that has its header alone; that is not taken for damage."""
    ended = on_failing_disk("-c", _BEGUN, disk)
    said = "True locking protocol\nreadable (2,)\n"
    assert ended.stdout == said, ended.stdout + ended.stderr
