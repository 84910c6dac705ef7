"""A disk that does not take what is written: told from a defect, and seen by who waits for it."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Full, read-only, failing, away, or not to be written by this user: all may pass.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ERRNOS = _NO_ROOM | frozenset(
    {
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.ENXIO,
        errno.ENODEV,
        errno.ESTALE,
        errno.EUCLEAN,
    }
)
_CODES = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        # Another program holds the file; or the disk is read-only and the file's log has its header
        # alone, on which SQLite gives up after ten seconds.
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_PROTOCOL,
    }
)

_waits_for: list[Path] = []


def is_disk_error(error: BaseException) -> bool:
    """Whether the disk did not take or give something, so that the same may succeed later."""
    if isinstance(error, sqlite3.Error):
        return _primary(error) in _CODES
    return isinstance(error, OSError) and error.errno in _ERRNOS


def is_want_of_room(error: BaseException) -> bool:
    """Whether nothing was written for want of room; after anything else what was is open."""
    if isinstance(error, sqlite3.Error):
        return _primary(error) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def _primary(error: sqlite3.Error) -> int:
    # Errors of Python's own module have no code. An extended code has the primary one below it.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


@contextmanager
def waiting_for(path: Path) -> Iterator[None]:
    """Say that this thread waits until the disk has taken what is written to `path`."""
    _waits_for.append(path)
    try:
        with naming(path):
            yield
    finally:
        _waits_for.pop()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Note the path on an error of the disk that does not name it; `text` tells it."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if is_disk_error(error) and getattr(error, "filename", None) is None:
            error.add_note(str(path))
        raise


def text(error: BaseException) -> str:
    """What went wrong, and with what file."""
    return "; ".join([str(error), *dict.fromkeys(getattr(error, "__notes__", ()))])


def waits_for() -> Path | None:
    """What is being written to the disk at this moment, None if nothing is. From any thread."""
    waits = _waits_for[-1:]
    return waits[0] if waits else None
