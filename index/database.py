"""One SQLite file: how it is opened, and what a commit means."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from index.disk import is_disk_error, is_want_of_room, naming, waiting_for
from index.errors import CorruptError, FormatError, StorageError

# A random id or hash touches a page of its own; a larger log is copied into the file less often.
CHECKPOINT_PAGES = 8_192


class Database:
    """A file in WAL mode with a format of its own. One owner; one call at a time."""

    def __init__(self, path: Path, *, version: int, schema: str) -> None:
        """Open the file; when new, run `schema` and note the format `version`.

        What an earlier owner left in the write-ahead log is checked, folded in and synced. Raises
        CorruptError when it is no database, FormatError when it is of a newer format, sqlite3's
        own errors when the disk fails.
        """
        self.path = path
        self.failed = False
        self.connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        try:
            with naming(path):
                self._open(version, schema)
        except sqlite3.DatabaseError as error:
            self.failed = True
            self.close()
            if is_disk_error(error):
                raise
            raise CorruptError(f"{path}: {error}") from error
        except StorageError:
            self.close()
            raise

    def _open(self, version: int, schema: str) -> None:
        db = self.connection
        written = db.execute("PRAGMA user_version").fetchone()[0]
        if written > version:
            raise FormatError(f"{self.path}: format {written}; this version reads up to {version}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        self._durable = True
        # What is erased is overwritten in the file, not only unlinked.
        db.execute("PRAGMA secure_delete = ON")
        db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        with waiting_for(self.path):
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if written == 0:
            self.run_script(f"{schema}; PRAGMA user_version = {version};")

    @contextmanager
    def transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """Commit at the end of the block, roll back when it raises.

        After an error of the disk, save want of room, what became of it is known only when the file
        is opened again: `failed` is true from then on. `durable` commits survive a power loss
        (fsync); the others survive the death of the process.
        """
        db = self.connection
        if db.in_transaction:
            raise StorageError(f"{self.path}: a transaction inside another")
        if durable != self._durable:
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        db.execute("BEGIN IMMEDIATE")
        try:
            with naming(self.path):
                yield db
            with waiting_for(self.path):
                db.execute("COMMIT")
        except BaseException as error:
            if isinstance(error, sqlite3.Error) and is_disk_error(error):
                self.failed |= not is_want_of_room(error)
            db.rollback()
            raise

    def run_script(self, script: str) -> None:
        """Run several statements in one transaction."""
        try:
            self.connection.executescript(f"BEGIN IMMEDIATE; {script}; COMMIT;")
        except BaseException:
            self.connection.rollback()
            raise

    def vacuum(self) -> bool:
        """Rewrite the file without its free pages, and empty the write-ahead log: nothing that was
        deleted is in either.

        False where a reader kept the log from being emptied; it has to be done again then. Blocks
        for a time that grows with the file. Not within a transaction.
        """
        self.connection.execute("VACUUM")
        kept: int = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return not kept

    def close(self) -> None:
        """Close the file, once or more; its write-ahead log is folded in, unless writing failed.

        After a failed fsync the pages in memory may not be those on the disk, and SQLite would
        fold them in unchecked. The next opening checks every frame.
        """
        with ExitStack() as readers:
            if self.failed:
                # Only the last connection to close folds in, and one that reads cannot.
                with suppress(sqlite3.Error):
                    uri = f"file:{quote(str(self.path))}?mode=ro"
                    reader = readers.enter_context(closing(sqlite3.connect(uri, uri=True)))
                    reader.execute("PRAGMA schema_version").fetchone()
            self.connection.close()
