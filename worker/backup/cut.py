"""One collection, copied as it is at one moment, while its worker goes on.

The moment is a transaction that reads the catalog. What it counts is in the vector log, which only
grows; rows that are wiped after it are found by the checksums of their block, which the catalog
has, and then another moment is chosen. Snapshots are of an earlier moment, which a start makes up
for. Nothing here writes to the collection.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index import pages, wal
from index.blocks import BLOCK_ROWS, wrong
from index.checksums import text_checksum
from index.database import FORMAT, commits_of, version_of
from index.opening import CATALOG, VECTORS
from index.snapshot import SNAPSHOTS
from worker import adopt
from worker.backup.manifest import Piece, Stored
from worker.backup.pieces import PIECE_BYTES, Pieces
from worker.errors import CorruptError, RetryError
from worker.recluster import generations

# While the moment is held the catalog's log cannot be folded in, and grows: so much of the vectors
# may be left to send then.
_HELD_BYTES = 2**28

# Between two attempts only what was erased meanwhile is sent again.
_ATTEMPTS = 20


class _MovedError(Exception):
    """Something was changed or removed while it was copied."""


_MOVED = (_MovedError, FileNotFoundError)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of the moment: their number, the checksums of their blocks, and those that count as
    zeros though they may not be on the disk yet.
    """

    rows: int
    dimension: int
    sums: NDArray[np.uint64]
    to_wipe: NDArray[np.int64]

    def piece_rows(self) -> int:
        """Rows of a piece: whole blocks."""
        return max(1, PIECE_BYTES // (4 * self.dimension * BLOCK_ROWS)) * BLOCK_ROWS

    def parts(self) -> Iterator[tuple[range, NDArray[np.uint64]]]:
        """The rows of each piece, and the checksums of their blocks."""
        step = self.piece_rows()
        for start in range(0, self.rows, step):
            stop = min(start + step, self.rows)
            yield (
                range(start, stop),
                self.sums[start // BLOCK_ROWS : -(-stop // BLOCK_ROWS)],
            )


def copy_collection(directory: Path, pieces: Pieces, scratch: Path) -> Stored:
    """Send a collection; `scratch` is a folder for a copy of its catalog.

    Raises `OSError`, `CorruptError` where the vector log is damaged, and `RetryError` where so much
    is erased all the time that no moment is found.
    """
    for _ in range(_ATTEMPTS):
        try:
            with _unmoved(directory):
                return _copy(directory, pieces, scratch)
        except _MOVED:
            continue
    damaged = _damaged(directory)
    if damaged:
        raise CorruptError(f"{directory / VECTORS}: {damaged}; see shoal verify")
    raise RetryError(f"{directory}: it changed while it was copied, {_ATTEMPTS} times")


def copy_database(path: Path, copy: Path) -> None:
    """Copy an SQLite file that a worker may be writing to, with the checksums of its pages.

    Raises as `copy_collection`.
    """
    for _ in range(_ATTEMPTS):
        try:
            with held(path) as db:
                _copy_held(db, copy)
        except _MOVED:
            continue
        return
    raise RetryError(f"{path}: it changed while it was copied, {_ATTEMPTS} times")


def _copy(directory: Path, pieces: Pieces, scratch: Path) -> Stored:
    files = _send_snapshot(directory, pieces)
    _send_most(directory, pieces)
    copy = scratch / CATALOG
    with held(directory / CATALOG) as db:
        rows = _rows(db)
        files[VECTORS] = tuple(_send_rows(directory / VECTORS, rows, pieces))
        _copy_held(db, copy)
        stored = _described(db, rows)
        adopting = _adopting(db)
    if adopting:
        files |= _send_settled(directory / "runs" / adopt.ADOPTING, directory, pieces)
        with held(directory / CATALOG) as db:
            if _adopting(db) != adopting:
                raise _MovedError  # it may be the result of another run
    for number in generations.numbers(directory):
        files |= _send_settled(generations.path_of(directory, number), directory, pieces)
    for path in (copy, pages.path_of(copy)):
        files[path.name] = pieces.put_file(path)
        path.unlink()
    return Stored(**stored, files=files)  # type: ignore[arg-type]  # made just above


def _send_snapshot(directory: Path, pieces: Pieces) -> dict[str, tuple[Piece, ...]]:
    """The newest one; a worker may remove it meanwhile."""
    found = [path for path in (directory / SNAPSHOTS).glob("*") if path.name.isdigit()]
    return pieces.put_folder(max(found), directory) if found else {}


def _send_settled(folder: Path, directory: Path, pieces: Pieces) -> dict[str, tuple[Piece, ...]]:
    """A folder that is replaced as a whole, if it was not meanwhile."""
    with _unmoved(folder):
        return pieces.put_folder(folder, directory)


@contextmanager
def _unmoved(folder: Path) -> Iterator[None]:
    """Raises `_MovedError`, or `FileNotFoundError`, where another takes its place meanwhile."""
    before = folder.stat().st_ino
    yield
    if folder.stat().st_ino != before:
        raise _MovedError


def _send_most(directory: Path, pieces: Pieces) -> None:
    """Send rows without holding a moment, until few are left; those that change meanwhile are."""
    left = None
    while True:
        with held(directory / CATALOG) as db:
            rows = _rows(db)
        missing = [part for part in rows.parts() if pieces.known(_name(part[1])) is None]
        size = sum(len(part) for part, _ in missing) * 4 * rows.dimension
        if size <= _HELD_BYTES or (left is not None and size >= left):
            return
        left = size
        for part, sums in missing:
            content = _read(directory / VECTORS, part, rows)
            if not wrong(content, sums):
                pieces.put(_bytes(content), _name(sums))


def _send_rows(path: Path, rows: _Rows, pieces: Pieces) -> Iterator[Piece]:
    """Every piece of the vector log. Raises `_MovedError` where it is not as the moment has it."""
    for part, sums in rows.parts():
        name = _name(sums)
        known = pieces.known(name)
        if known is None:
            content = _read(path, part, rows)
            if wrong(content, sums):
                raise _MovedError
            known = pieces.put(_bytes(content), name)
        yield known


def _read(path: Path, part: range, rows: _Rows) -> NDArray[np.float32]:
    """Some rows of the log, float32 [n, d]; fewer where the file ends before."""
    wide = 4 * rows.dimension
    content = np.fromfile(
        path, "<f4", count=len(part) * rows.dimension, offset=part.start * wide
    ).reshape(-1, rows.dimension)
    inside = rows.to_wipe[(rows.to_wipe >= part.start) & (rows.to_wipe < part.stop)]
    content[inside - part.start] = 0
    return content


def _rows(db: sqlite3.Connection) -> _Rows:
    rows = int(db.execute("SELECT coalesce(max(row) + 1, 0) FROM row").fetchone()[0])
    dimension = int(db.execute("SELECT value FROM meta WHERE key = 'dimension'").fetchone()[0])
    sums = [value for (value,) in db.execute("SELECT sum FROM block ORDER BY block")]
    to_wipe = [row for (row,) in db.execute("SELECT row FROM wipe")]
    return _Rows(
        rows, dimension, np.array(sums, np.int64).astype(np.uint64), np.array(to_wipe, np.int64)
    )


def _described(db: sqlite3.Connection, rows: _Rows) -> dict[str, object]:
    model = db.execute("SELECT value FROM meta WHERE key = 'model'").fetchone()
    return {
        "images": int(db.execute("SELECT count(*) FROM image").fetchone()[0]),
        "rows": rows.rows,
        "dimension": rows.dimension,
        "model": model[0] if model else None,
        "positions": dict(db.execute("SELECT partition, next FROM position")),
    }


def _adopting(db: sqlite3.Connection) -> int:
    """The run that is being published at the moment; 0 if there is none."""
    if not db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'state'").fetchone()[0]:
        return 0
    found = db.execute("SELECT value FROM state WHERE key = 'adopting'").fetchone()
    return int(found[0]) if found else 0


def _damaged(directory: Path) -> str:
    """What is wrong with the vectors at this moment; empty where nothing is."""
    try:
        with held(directory / CATALOG) as db:
            rows = _rows(db)
            bad = [
                part.start
                for part, sums in rows.parts()
                if wrong(_read(directory / VECTORS, part, rows), sums)
            ]
    except _MovedError:
        return ""
    return f"rows from {bad[0]} on are not what was written" if bad else ""


@contextmanager
def held(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads `path` as it is now, whatever is written meanwhile.

    While nothing is in its write-ahead log, of a closed collection above all, SQLite is told that
    the file does not change, and makes no companions of it; whether it did is found out afterwards.
    Raises `FileNotFoundError`, `_MovedError` if it did, FormatError, `CorruptError` for an older
    format.
    """
    stamp = _stamp(path)
    how = "immutable=1" if not wal.size(path) else "mode=ro"
    uri = f"{path.absolute().as_uri()}?{how}"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
            if version_of(path, db) < FORMAT:
                raise CorruptError(f"{path}: of an older version; a start upgrades it")
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            yield db
    except sqlite3.DatabaseError as error:
        if how == "immutable=1" and _stamp(path) != stamp:
            raise _MovedError from error
        raise
    if how == "immutable=1" and _stamp(path) != stamp:
        raise _MovedError


def _stamp(path: Path) -> tuple[int, int]:
    """Changes before the file does: its checksums are renewed first."""
    found = pages.path_of(path).stat()
    return found.st_ino, found.st_ctime_ns


def _copy_held(db: sqlite3.Connection, copy: Path) -> None:
    for path in (copy, pages.path_of(copy)):
        path.unlink(missing_ok=True)
    with closing(sqlite3.connect(copy)) as target:
        db.backup(target)
    commits = commits_of(db)
    page_bytes = int(db.execute("PRAGMA page_size").fetchone()[0])
    sums = pages.PageSums(page_bytes, commits, pages.measure(copy, page_bytes))
    pages.write(copy, sums, commits)


def _name(sums: NDArray[np.uint64]) -> str:
    return text_checksum(sums.astype("<u8").tobytes())


def _bytes(rows: NDArray[np.float32]) -> memoryview:
    return np.ascontiguousarray(rows, "<f4").view(np.uint8).data.cast("B")
