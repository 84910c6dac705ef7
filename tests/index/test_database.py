"""The pages of an SQLite file and their checksums, across commits, folds of the log, and kills."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from index import CorruptError, Database, StorageError, pages, waits_for, wal
from index.database import check, reading

ROOT = Path(__file__).parents[2]
SCHEMA = "CREATE TABLE IF NOT EXISTS kept (number INTEGER PRIMARY KEY, text TEXT)"


def write(database, numbers, *, durable=True):
    with database.transaction(durable=durable) as db:
        db.executemany("INSERT INTO kept VALUES (?, ?)", [(n, f"{n}" * 200) for n in numbers])


def numbers(database):
    return [number for (number,) in database.connection.execute("SELECT number FROM kept")]


def delete_most(database):
    """Few pages are in use then, and the file keeps its size until it is rewritten."""
    with database.transaction(durable=True) as db:
        db.execute("DELETE FROM kept WHERE number > 3")
    assert database.checkpoint()


def copy_as_killed(path, target):
    """What another process would find if this one died now."""
    target.mkdir()
    for name in (path.name, f"{path.name}-wal", f"{path.name}.sums"):
        shutil.copy(path.with_name(name), target / name)
    return target / path.name


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path / "a.sqlite", schema=SCHEMA)
    yield made
    made.close()


def test_what_is_in_the_log_needs_no_checksums(database, tmp_path):
    """A killed process leaves pages in the log, a start folds them in and knows them from then."""
    write(database, range(50))
    assert database.checkpoint()
    write(database, range(50, 90))
    found = Database(copy_as_killed(database.path, tmp_path / "killed"), schema=SCHEMA)
    assert numbers(found) == list(range(90))
    found.close()
    assert not wal.size(found.path)
    found = Database(found.path, schema=SCHEMA)
    assert numbers(found) == list(range(90))
    found.close()


@pytest.mark.parametrize("place", [0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_log_that_lost_commits(database, tmp_path, place, damage):
    """SQLite takes a log up to the first bad frame without a word; here that is damage."""
    for number in range(20):
        write(database, [number])
    path = copy_as_killed(database.path, tmp_path / "killed")
    log = wal.path_of(path)
    content = bytearray(log.read_bytes())
    content[int(place * len(content))] ^= 4
    if damage == "cut":
        del content[int(place * len(content)) :]
    log.write_bytes(content)
    if damage == "gone":
        log.unlink()
    with pytest.raises(CorruptError):
        Database(path, schema=SCHEMA)
    with pytest.raises(CorruptError):
        Database(path, schema=SCHEMA)


def test_commits_that_did_not_wait_for_the_disk_may_be_lost(database, tmp_path):
    """A power loss may take them; that is no damage."""
    write(database, [1])
    size = wal.size(database.path)
    write(database, [2], durable=False)
    path = copy_as_killed(database.path, tmp_path / "killed")
    os.truncate(wal.path_of(path), size)
    found = Database(path, schema=SCHEMA)
    assert numbers(found) == [1]
    found.close()


def test_another_program_may_fold_the_log_in(database, tmp_path):
    """`sqlite3` on the file of a killed worker does: the next start takes it, and says so."""
    write(database, range(100))
    path = copy_as_killed(database.path, tmp_path / "killed")
    other = sqlite3.connect(path)
    assert other.execute("SELECT count(*) FROM kept").fetchone() == (100,)
    other.close()
    assert not wal.size(path)
    found = Database(path, schema=SCHEMA)
    assert numbers(found) == list(range(100))
    found.close()


def test_a_structure_that_another_program_left_broken(database, tmp_path):
    """A log that another program folded in is taken only where SQLite finds the file whole."""
    write(database, range(50))
    assert database.checkpoint()
    write(database, range(50, 90))
    path = copy_as_killed(database.path, tmp_path / "killed")
    with closing(sqlite3.connect(path)) as other:
        other.execute("SELECT * FROM kept").fetchone()
    assert not wal.size(path)
    with path.open("r+b") as file:
        file.seek(2 * 4_096)
        file.write(bytes(4_096))
    with pytest.raises(CorruptError):
        Database(path, schema=SCHEMA)


def test_another_program_may_not_write(database):
    """A change by hand is damage like any other."""
    write(database, range(100))
    database.close()
    other = sqlite3.connect(database.path)
    other.execute("UPDATE kept SET text = 'x' WHERE number = 50")
    other.commit()
    other.close()
    with pytest.raises(CorruptError, match="not what was written"):
        Database(database.path, schema=SCHEMA)


def test_old_pages_are_noticed(database):
    """A page of an earlier moment, such as a write that never reached the disk, does not pass."""
    write(database, range(100))
    database.checkpoint()
    before = database.path.read_bytes()
    with database.transaction(durable=True) as db:
        db.execute("UPDATE kept SET text = upper(text) || 'new' WHERE number = 50")
    database.close()
    after = bytearray(database.path.read_bytes())
    changed = [n for n in range(0, len(before), 4_096) if before[n:][:4_096] != after[n:][:4_096]]
    for start in changed:
        content = bytearray(after)
        content[start : start + 4_096] = before[start : start + 4_096]
        database.path.write_bytes(content)
        with pytest.raises(CorruptError, match=f"page {start // 4_096 + 1} is not what"):
            Database(database.path, schema=SCHEMA)


def test_a_reader_holds_the_log_but_not_the_checksums(database, tmp_path):
    """While another connection reads, the log cannot be emptied; nothing is wrong meanwhile."""
    write(database, range(50))
    reader = sqlite3.connect(database.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM kept").fetchall()
    write(database, range(50, 60))
    assert not database.checkpoint()
    write(database, range(60, 70))
    found = Database(copy_as_killed(database.path, tmp_path / "killed"), schema=SCHEMA)
    assert numbers(found) == list(range(70))
    found.close()
    reader.close()
    assert database.checkpoint()


def test_a_file_that_shrinks(database):
    """Pages that are given back are forgotten by the checksums too."""
    write(database, range(500))
    database.checkpoint()
    size = database.path.stat().st_size
    delete_most(database)
    database.connection.execute("VACUUM")
    database.checkpoint()
    assert database.path.stat().st_size < size / 2
    database.close()
    found = Database(database.path, schema=SCHEMA)
    assert numbers(found) == [0, 1, 2, 3]
    found.close()


@pytest.mark.parametrize("reads", ["nobody", "the old", "the new"])
def test_killed_as_the_file_shrinks(database, tmp_path, monkeypatch, reads):
    """Pages that the file is about to lose are no damage, also while a reader keeps them there."""
    write(database, range(500))
    delete_most(database)
    if reads == "the new":
        database.connection.execute("VACUUM")
    killed = []

    def copy(point):
        if point == "checkpoint":
            killed.append(copy_as_killed(database.path, tmp_path / f"killed-{len(killed)}"))

    with (
        closing(sqlite3.connect(database.path, isolation_level=None)) as reader,
        monkeypatch.context() as patched,
    ):
        patched.setattr("index.database.reach", copy)
        if reads != "nobody":
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM kept").fetchall()
        if reads != "the new":
            database.connection.execute("VACUUM")
        assert database.checkpoint() == (reads == "nobody")
        write(database, [9])
        assert database.checkpoint() == (reads == "nobody")
    for path, more in zip(killed, ([], [9]), strict=True):
        found = Database(path, schema=SCHEMA)
        assert numbers(found) == [0, 1, 2, 3, *more]
        assert path.stat().st_size == len(found.sums.sums) * 4_096 < 50_000
        found.close()


def test_what_is_rewritten_lies_beside_the_file(tmp_path):
    """The copy that SQLite makes takes room where the file is, and the disk is waited for."""
    folder = tmp_path / "it's"
    folder.mkdir()
    database = Database(folder / "a.sqlite", schema=SCHEMA)
    write(database, range(6_000))
    spooled, waited = set(), set()

    def look():
        waited.add(waits_for())
        with suppress(OSError):
            for opened in Path("/proc/self/fd").iterdir():
                spooled.add(opened.readlink())

    database.connection.set_progress_handler(look, 1_000)
    assert database.vacuum()
    database.connection.set_progress_handler(None, 0)
    database.close()
    assert {path.parent for path in spooled if path.name.startswith("etilqs_")} == {folder}
    assert waited == {database.path}
    assert [path.name for path in folder.iterdir() if path.suffix != ".sums"] == ["a.sqlite"]


@pytest.mark.parametrize("log", ["empty", "not empty"])
def test_a_file_that_is_read_is_not_rewritten_again(database, log):
    """While a reader keeps a moment each further try adds nothing to the log."""
    write(database, range(500))
    delete_most(database)
    if log == "not empty":
        write(database, [9])
    with closing(sqlite3.connect(database.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM kept").fetchall()
        before = wal.size(database.path)
        assert not database.vacuum()
        size = wal.size(database.path)
        assert (size > before) == (log == "empty")  # of an empty one SQLite does not say who reads
        for _ in range(3):
            assert not database.vacuum()
            assert wal.size(database.path) == size
    assert database.vacuum()
    assert database.path.stat().st_size < 50_000


@pytest.mark.parametrize("number", [None, "many", b"\x01", 0.5])
def test_a_damaged_count_of_commits(database, number):
    """Other bytes in the record's page make anything of the number; it is damage by name."""
    write(database, range(5))
    database.close()
    for statement in (
        "UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'commits'",
        "UPDATE commits SET number = :number",
    ):
        with closing(sqlite3.connect(database.path)) as db, db:
            db.execute("PRAGMA writable_schema = ON")
            db.execute(statement, {"number": number})
    with pytest.raises(CorruptError, match=r"pages? .* not what"):
        Database(database.path, schema=SCHEMA)


@pytest.mark.parametrize("name", [b"commits", b"kept"])
def test_a_damaged_name(database, name):
    """What SQLite says of one is no text, and Python's error is of that; it is damage by name."""
    write(database, range(5))
    database.close()
    content = database.path.read_bytes()
    place = content.index(b"CREATE TABLE " + name) + len(b"CREATE TABLE ")
    database.path.write_bytes(content[: place - 7] + b"\xac" * 8 + content[place + 1 :])
    with pytest.raises(CorruptError, match="page 1 is not what"):
        Database(database.path, schema=SCHEMA)


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_a_damaged_file_with_a_log(database, tmp_path, damage):
    """What is in the log excuses only its own pages, and those beyond the database."""
    write(database, range(500))
    assert database.checkpoint()
    write(database, [500])
    path = copy_as_killed(database.path, tmp_path / "killed")
    in_log, size = wal.frames(database.path).sums, wal.frames(database.path).size
    page = max(set(range(1, size + 1)) - set(in_log))
    if damage == "cut":
        os.truncate(path, 4_096 * (page - 1))
    else:
        content = bytearray(path.read_bytes())
        content[4_096 * (page - 1) + 99] ^= 4
        path.write_bytes(content)
    with pytest.raises(CorruptError, match=f"page {page} is not what"):
        Database(path, schema=SCHEMA)


def test_the_log_is_folded_in_when_it_is_long(database, monkeypatch):
    """Under load it does not grow without end, and the checksums follow."""
    monkeypatch.setattr("index.database.CHECKPOINT_BYTES", 100_000)
    for number in range(300):
        write(database, [number], durable=not number % 10)
        assert wal.size(database.path) < 200_000
    kept, _ = pages.read(database.path)
    assert len(kept.sums) > 10
    database.close()
    Database(database.path, schema=SCHEMA).close()


def test_a_disk_that_does_not_take_the_checksums(database, monkeypatch):
    """The log stays, commits go on, and it is folded in later."""

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("index.database.CHECKPOINT_BYTES", 1)
    with monkeypatch.context() as patch:
        patch.setattr("index.pages.write", full)
        write(database, [1])
        write(database, [2])
        assert wal.size(database.path)
    write(database, [3])
    assert not wal.size(database.path)
    assert numbers(database) == [1, 2, 3]


@pytest.mark.parametrize("how", ["folded in", "rewritten"])
def test_a_log_that_is_not_synced(database, monkeypatch, how):
    """After a failed sync nothing more is acknowledged before the file is opened again."""

    def failing(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr("index.database.CHECKPOINT_BYTES", 1 if how == "folded in" else 10**9)
    with monkeypatch.context() as patch:
        patch.setattr("index.files.sync", failing)
        write(database, [1], durable=False)
        if how == "rewritten":
            with pytest.raises(OSError, match="Input/output"):
                database.vacuum()
    assert database.failed
    with pytest.raises(OSError, match="Input/output"):
        write(database, [2])
    database.close()
    assert wal.size(database.path)
    found = Database(database.path, schema=SCHEMA)
    write(found, [3])
    assert numbers(found) == [1, 3]
    found.close()


def test_a_transaction_inside_another(database):
    """One at a time."""
    with (
        database.transaction(durable=True),
        pytest.raises(StorageError, match="inside another"),
        database.transaction(durable=True),
    ):
        pass


SCRIPT = """
import sys
from pathlib import Path
import index.database
from index import Database
index.database.CHECKPOINT_BYTES = 20_000
database = Database(Path(sys.argv[1]), schema=sys.argv[2])
first = database.connection.execute("SELECT coalesce(max(number) + 1, 0) FROM kept").fetchone()[0]
for number in range(first, 60):
    with database.transaction(durable=True) as db:
        db.execute("INSERT INTO kept VALUES (?, ?)", (number, str(number) * 200))
    print(number, flush=True)
database.close()
"""


@pytest.mark.parametrize(
    "fault", ["checkpoint:1", "checkpoint:2", "checkpoint:5", "sums:1", "sums:4"]
)
def test_killed_while_the_log_is_folded_in(tmp_path, fault):
    """Before the checksums, between them and the pages: everything acknowledged is there."""

    def run(fault):
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, tmp_path / "a.sqlite", SCHEMA],
            cwd=ROOT,
            env={**os.environ, "SHOAL_FAULT": fault, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    killed = run(fault)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    acknowledged = len(killed.stdout.split())
    found = Database(tmp_path / "a.sqlite", schema=SCHEMA)
    assert len(numbers(found)) >= acknowledged
    found.close()
    finished = run("")
    assert finished.returncode == 0, finished.stderr
    found = Database(tmp_path / "a.sqlite", schema=SCHEMA)
    assert numbers(found) == list(range(60))
    found.close()


SHRINKING = """
import sqlite3, sys
from pathlib import Path
from index import Database
database = Database(Path(sys.argv[1]), schema=sys.argv[2])
with database.transaction(durable=True) as db:
    db.executemany("INSERT INTO kept VALUES (?, ?)", [(n, str(n) * 200) for n in range(500)])
with database.transaction(durable=True) as db:
    db.execute("DELETE FROM kept WHERE number > 3")
database.checkpoint()
reader = sqlite3.connect(sys.argv[1], isolation_level=None)
if sys.argv[3] == "read":
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM kept").fetchall()
database.vacuum()
"""


@pytest.mark.parametrize("how", ["read", "not read"])
def test_killed_while_it_is_rewritten(tmp_path, how):
    """After the checksums of the shorter file are there, and before it is shorter."""
    path = tmp_path / "a.sqlite"
    killed = subprocess.run(
        [sys.executable, "-c", SHRINKING, path, SCHEMA, how],
        cwd=ROOT,
        env={**os.environ, "SHOAL_FAULT": "checkpoint:4", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    found = Database(path, schema=SCHEMA)
    assert path.stat().st_size == 4_096 * len(found.sums.sums) < 50_000
    assert numbers(found) == [0, 1, 2, 3]
    found.close()


_HEADER = "print(open(sys.argv[1] + '-shm', 'rb').read(96).hex())"
_READ = """
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
print(db.execute("SELECT count(*) FROM kept").fetchone()[0])
"""


def beside(database, script):
    """What another process prints."""
    command = [sys.executable, "-c", f"import sqlite3, sys\n{script}", str(database.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_another_process_may_read_at_any_time(database):
    """It finds the index of the log in use, and does not begin it anew under the writer."""
    write(database, range(50))
    assert wal.frames(database.path).sums
    pages.measure(database.path, 4_096)
    before = beside(database, _HEADER)
    assert beside(database, _READ) == "50"
    assert beside(database, _HEADER) == before
    write(database, range(50, 60))
    assert beside(database, _READ) == "60"
    with reading(database.path) as db:
        assert db.execute("SELECT count(*) FROM kept").fetchone() == (60,)
    before = beside(database, _HEADER)
    assert beside(database, _READ) == "60"
    assert beside(database, _HEADER) == before


def test_descriptors_are_let_go(tmp_path):
    """What is kept open for the locks is closed with the database."""

    def descriptors():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    for _ in range(3):
        made = Database(tmp_path / "a.sqlite", schema=SCHEMA)
        with made.transaction(durable=True) as db:
            db.execute("INSERT INTO kept (text) VALUES ('a')")
        assert made.checkpoint()
        made.close()
        made.close()
        with reading(made.path) as db:
            check(made.path, db)
    assert descriptors() == before
