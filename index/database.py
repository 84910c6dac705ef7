"""One SQLite file: how it is opened and checked, and what a commit means."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from index import files, locked, pages, wal
from index.disk import is_disk_error, is_want_of_room, naming, waiting_for
from index.errors import CorruptError, FormatError, StorageError
from index.faults import reach
from index.pages import PageSums

logger = logging.getLogger(__name__)

# The format from which on every page has a checksum; files of earlier ones are brought up to it.
FORMAT = 2
# A random id or hash touches a page of its own; a larger log is copied into the file less often.
CHECKPOINT_BYTES = 8_192 * 4_096

# How long another program that reads the file may keep a start or a commit waiting.
BUSY_MILLISECONDS = 5_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS commits (number INTEGER NOT NULL);
INSERT INTO commits SELECT 0 WHERE NOT EXISTS (SELECT * FROM commits);
"""

# Told the connection, in a transaction, and the format of the file: makes an older one of this.
Upgrade = Callable[[sqlite3.Connection, int], None]


class Database:
    """A file in WAL mode, every page of which is verified when it is opened.

    One owner; one call at a time. Only the owner may write: what others change is damage.
    """

    def __init__(self, path: Path, *, schema: str, upgrade: Upgrade | None = None) -> None:
        """Open the file; when new, run `schema`; when of an older format, `upgrade` first.

        An upgrade is one transaction: a kill leaves the old format or the new one. What an earlier
        owner left in the write-ahead log is checked, folded in and synced. Raises CorruptError when
        the file is no database or a page fails its checksum, FormatError when it is of a newer
        format; neither changes anything. sqlite3's own errors, or OSError, when the disk fails.
        """
        self.path = path
        self.failed = False
        self._unsaid: Exception | None = None
        written = 0
        if pages.path_of(path).exists() or _size(path):
            with reading(path) as db:
                written = version_of(path, db)
                if pages.path_of(path).exists() or written >= FORMAT:
                    check(path, db)
        self._held = True
        locked.hold(path)
        try:
            self.connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, cached_statements=256
            )
        except BaseException:
            self._let_go()
            raise
        try:
            with naming(path):
                self._take_over(written, schema, upgrade)
        except BaseException as error:
            self._close_unfolded()
            if isinstance(error, sqlite3.DatabaseError) and not is_disk_error(error):
                raise CorruptError(f"{path}: {error}") from error
            raise

    def _take_over(self, written: int, schema: str, upgrade: Upgrade | None) -> None:
        db = self.connection
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        self._durable = True
        # What is erased is overwritten in the file, not only unlinked.
        db.execute("PRAGMA secure_delete = ON")
        # `checkpoint` does it: the checksums of the pages go first.
        db.execute("PRAGMA wal_autocheckpoint = 0")
        if not pages.path_of(self.path).exists():
            self._adopt()
        self._kept, self._committed = pages.read(self.path)
        if written < FORMAT:
            self._upgrade(written, schema, upgrade)
        self._commits = commits_of(db)
        if not wal.size(self.path) and _is_foreign(self._kept, self._committed, self._commits):
            logger.warning("%s: its log was folded in by another program", self.path)
            self._check_integrity()
            self._kept = self._measured(self._commits)
            pages.write(self.path, self._kept, self._committed)
        with waiting_for(self.path):
            self.checkpoint()

    def _adopt(self) -> None:
        """Give checksums to a file that has none, new or of an older format."""
        self._check_integrity()
        with waiting_for(self.path):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        reach("upgrade-adopted")
        pages.write(self.path, self._measured(0), 0)

    def _check_integrity(self) -> None:
        problems = self.connection.execute("PRAGMA integrity_check(3)").fetchall()
        if problems != [("ok",)]:
            raise CorruptError(f"{self.path}: {'; '.join(text for (text,) in problems)}")

    def _measured(self, commits: int) -> PageSums:
        page_bytes = int(self.connection.execute("PRAGMA page_size").fetchone()[0])
        return PageSums(page_bytes, commits, pages.measure(self.path, page_bytes))

    def _upgrade(self, written: int, schema: str, upgrade: Upgrade | None) -> None:
        db = self.connection
        reach("upgrade-begun")
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in f"{SCHEMA}{schema}".split(";"):
                db.execute(statement)
            if upgrade is not None and written:
                upgrade(db, written)
            db.execute(f"PRAGMA user_version = {FORMAT}")
            reach("upgrade-before-commit")
            db.execute("COMMIT")
        except BaseException:
            db.rollback()
            raise
        reach("upgrade-after-commit")

    @contextmanager
    def transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """Commit at the end of the block, roll back when it raises.

        After an error of the disk, save want of room, what became of it is known only when the file
        is opened again: `failed` is true from then on. What went so since the last transaction, as
        the log was folded in, is raised before this one begins. `durable` commits survive a power
        loss (fsync); the others survive the death of the process.
        """
        db = self.connection
        if self._unsaid is not None:
            unsaid, self._unsaid = self._unsaid, None
            raise unsaid
        if db.in_transaction:
            raise StorageError(f"{self.path}: a transaction inside another")
        if durable != self._durable:
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        db.execute("BEGIN IMMEDIATE")
        before = db.total_changes
        try:
            with naming(self.path):
                yield db
            changed = db.total_changes != before
            if changed:
                db.execute("UPDATE commits SET number = ?", (self._commits + 1,))
            with waiting_for(self.path):
                db.execute("COMMIT")
        except BaseException as error:
            self.failed |= isinstance(error, sqlite3.Error) and _is_in_doubt(error)
            db.rollback()
            raise
        if changed:
            self._note_commit(durable)

    def _note_commit(self, durable: bool) -> None:
        """After a commit, which holds whatever fails here; want of room is tried again later."""
        self._commits += 1
        if durable:
            self._committed = self._commits
            with suppress(OSError):
                pages.note_committed(self.path, self._committed)
        if wal.size(self.path) >= CHECKPOINT_BYTES:
            self._try_checkpoint()

    def run_script(self, script: str) -> None:
        """Run several statements in one transaction."""
        try:
            self.connection.executescript(f"BEGIN IMMEDIATE; {script}; COMMIT;")
        except BaseException:
            self.connection.rollback()
            raise

    def checkpoint(self) -> bool:
        """Fold the write-ahead log into the file and empty it; the checksums of its pages go first.

        Nothing else may fold it in. The log is synced before the checksums are, which tell of all
        its pages: a kill or a power loss at any moment leaves it, and pages in it need none. False
        where a reader kept it from being emptied. Raises CorruptError when the log is damaged, of
        which nothing is folded in then, OSError or sqlite3.Error when the disk does not take it.
        """
        found = wal.frames(self.path)
        if found.sums:
            files.sync(wal.path_of(self.path))
            kept = self._kept.after(found.sums, found.size, self._commits)
            pages.write(self.path, kept, self._committed)
            self._kept = kept
        reach("checkpoint")
        db = self.connection
        db.execute("PRAGMA busy_timeout = 0")  # who reads is not waited for
        try:
            left: int = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            db.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        return not left

    def _try_checkpoint(self) -> bool:
        try:
            with waiting_for(self.path):
                return self.checkpoint()
        except (CorruptError, OSError, sqlite3.Error) as error:
            self._note_unsaid(error)
            logger.warning("%s: its log is not folded in: %s", self.path, error)
            return False

    def _note_unsaid(self, error: Exception) -> None:
        if _is_in_doubt(error):
            self.failed, self._unsaid = True, error

    @property
    def sums(self) -> PageSums:
        """The checksums of the pages of the main file."""
        return self._kept

    def wrong_pages(self, span: slice) -> list[int]:
        """Which pages of a `span`, which counts from 0, are not what was written, from 1.

        Pages whose newest content is in the write-ahead log do not count. Raises OSError.
        """
        if not (wrong := self._kept.wrong_pages(self.path, (), span)):
            return []
        in_log = wal.frames(self.path).sums
        return [number for number in wrong if number not in in_log]

    def vacuum(self) -> bool:
        """Rewrite the file without its free pages, and empty the write-ahead log: nothing that was
        deleted is in either.

        False where a reader kept the log from being emptied; it has to be done again then, and
        where the reader was seen before, nothing was rewritten. Blocks for a time that grows with
        the file, and takes room for two more in its folder meanwhile. Not within a transaction.
        Raises as `checkpoint`.
        """
        try:
            with waiting_for(self.path):
                if not self.checkpoint():
                    return False
                self._spool_here()
                self.connection.execute("VACUUM")
                return self.checkpoint()
        except (CorruptError, OSError, sqlite3.Error) as error:
            self._note_unsaid(error)
            raise

    def _spool_here(self) -> None:
        """Have SQLite make its temporary files beside the file, as `/tmp` may be small.

        It unlinks them as it makes them. That holds for the process until another file says so.
        """
        folder = str(self.path.parent.absolute()).replace("'", "''")
        with suppress(sqlite3.OperationalError):  # a folder that takes none: the next step says so
            self.connection.execute(f"PRAGMA temp_store_directory = '{folder}'")

    def close(self) -> None:
        """Close the file, once or more; its write-ahead log is folded in, unless writing failed.

        After a failed fsync the pages in memory may not be those on the disk, and SQLite would
        fold them in unchecked. The next opening checks every frame.
        """
        if not self.failed and wal.size(self.path) and self._try_checkpoint():
            self.connection.close()
            self._let_go()
        else:
            self._close_unfolded()

    def _close_unfolded(self) -> None:
        with ExitStack() as readers:
            if wal.size(self.path):
                # Only the last connection to close folds in, and one that reads cannot.
                with suppress(CorruptError, OSError, sqlite3.Error):
                    reader = readers.enter_context(reading(self.path))
                    reader.execute("PRAGMA schema_version").fetchone()
            self.connection.close()
            self._let_go()

    def _let_go(self) -> None:
        if self._held:
            self._held = False
            locked.let_go(self.path)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing of the file or its log, for as long as nobody writes.

    Raises CorruptError when the file is missing, empty, or no database.
    """
    if not _size(path):
        raise CorruptError(f"{path}: missing or empty")
    locked.hold(path)
    try:
        db = sqlite3.connect(uri(path), uri=True, isolation_level=None)
    except BaseException:
        locked.let_go(path)
        raise
    try:
        with naming(path):
            yield db
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # as in `commits_of`
        if is_disk_error(error):
            raise
        raise CorruptError(f"{path}: {error}") from error
    finally:
        db.close()
        locked.let_go(path)


def uri(path: Path) -> str:
    """How to open a file, or attach it, so that it can only be read."""
    # Without a log there is nothing to share: SQLite need not even make its companion files.
    how = "mode=ro" if wal.size(path) else "immutable=1"
    return f"{path.absolute().as_uri()}?{how}"


def version_of(path: Path, db: sqlite3.Connection) -> int:
    """The format of a file.

    Raises FormatError when it is newer than this program's, CorruptError when it only seems so.
    """
    written = int(db.execute("PRAGMA user_version").fetchone()[0])
    if written > FORMAT:
        if _is_header_damaged(path):
            raise CorruptError(f"{path}: {_pages([1])} not what was written")
        raise FormatError(f"{path}: format {written}; this version reads up to {FORMAT}")
    return written


def _is_header_damaged(path: Path) -> bool:
    """Whether page 1, which holds the format, is not that of its checksum; False without one, since
    a newer version may keep them elsewhere.
    """
    try:
        kept, _ = pages.read(path)
    except CorruptError:
        return False
    return bool(kept.wrong_pages(path, wal.frames(path).sums, slice(0, 1)))


def commits_of(db: sqlite3.Connection) -> int:
    """How many commits are in the database, those in the log included; 0 where a damaged page gives
    no number.
    """
    try:
        record = db.execute("SELECT number FROM commits").fetchone()
    except UnicodeDecodeError:  # of what SQLite says, which has a damaged name in it
        return 0
    return record[0] if record and isinstance(record[0], int) else 0


def check(path: Path, db: sqlite3.Connection) -> None:
    """Verify every page of the file, and that its log reaches to the last durable commit.

    Raises CorruptError with the pages, or sqlite3's own errors. Changes nothing.
    """
    version = version_of(path, db)
    kept, committed = pages.read(path)
    found = wal.frames(path)
    wrong = wrong_beside(path, kept, found)
    commits = commits_of(db) if version >= FORMAT else 0
    if wrong and (found.sums or not _is_foreign(kept, committed, commits)):
        raise CorruptError(f"{path}: {_pages(wrong)} not what was written")
    if commits < committed:
        raise CorruptError(
            f"{path}: it ends with commit {commits}; {committed} was written: its log is damaged"
        )


def wrong_beside(path: Path, kept: PageSums, log: wal.Frames) -> list[int]:
    """The pages of the main file that are not what was written, from 1.

    Those in the log do not count, nor those beyond the size that the file has with it: they are cut
    off when the log is folded in.
    """
    return kept.wrong_pages(path, log.sums, slice(log.size or None))


def _is_in_doubt(error: Exception) -> bool:
    """Whether what was written, or lies in the log, may not be what the disk has now."""
    return isinstance(error, CorruptError) or (is_disk_error(error) and not is_want_of_room(error))


def _is_foreign(kept: PageSums, committed: int, commits: int) -> bool:
    """Whether another program folded the log in, as SQLite lets every reader do: then durable
    commits are in the file that were not there when its checksums were taken, and no log is left.
    """
    return kept.commits < committed <= commits


def _pages(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    return f"page {shown} is" if len(numbers) == 1 else f"{len(numbers)} pages ({shown}) are"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
