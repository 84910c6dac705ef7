"""Make a catalog whole again: flipped bits put back, lost commits owned up to, or made anew from
what can still be read.
"""

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from index import files, pages, wal
from index.checksums import checksum
from index.database import FORMAT, Database, check, commits_of, reading, version_of, wrong_beside
from index.errors import CorruptError
from index.flipped import unflip
from index.pages import PageSums
from index.salvage import salvage, zeroed_copy

# More pages than these are not a matter of single bits.
MOST_PAGES = 64


@dataclass
class CatalogRepair:
    """What was `done`; `lost_commits`: the log ended early; `damaged`: tables of which only so many
    records could be read.
    """

    done: list[str] = field(default_factory=list)
    lost_commits: bool = False
    damaged: dict[str, int] = field(default_factory=dict)


def files_of(path: Path) -> list[Path]:
    """The files that the database `path` may have."""
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", pages.SUFFIX)]


def repair_database(path: Path, schema: str) -> CatalogRepair:
    """Make the database `path` pass its checks, whatever that takes; the caller kept its files.

    Raises CorruptError when nothing can be read of it, FormatError when it is of a newer format.
    """
    repaired = CatalogRepair()
    if not path.exists():
        raise CorruptError(f"{path} is missing, and cannot be made again: put a backup back")
    if _is_whole(path):
        return repaired
    _mend_sums(path, repaired)
    _mend_pages(path, repaired)
    if not _is_whole(path):
        _own_up(path, repaired)
    if not _is_whole(path):
        _make_anew(path, schema, repaired)
    _check(path)
    return repaired


def _check(path: Path) -> None:
    """Raises CorruptError when the file is not whole in itself."""
    with reading(path) as db:
        if version_of(path, db) >= FORMAT or pages.path_of(path).exists():
            check(path, db)
        problems = [text for (text,) in db.execute("PRAGMA integrity_check(1)")]
    if problems != ["ok"]:
        raise CorruptError(f"{path}: {problems[0]}")


def _is_whole(path: Path) -> bool:
    try:
        _check(path)
    except CorruptError:
        return False
    return True


def _mend_sums(path: Path, repaired: CatalogRepair) -> None:
    """Put a flipped bit of the checksums themselves back."""
    own = pages.path_of(path)
    content = own.read_bytes() if own.exists() else b""
    if not content or pages.is_whole(content):
        return
    mended = unflip(content, lambda tried: pages.is_whole(bytes(tried)))
    if mended is not None:
        files.replace(own, mended)
        repaired.done.append(f"{own.name}: a flipped bit put back")


def _mend_pages(path: Path, repaired: CatalogRepair) -> None:
    """Put flipped bits of pages back, and cut off what is beyond the last page."""
    try:
        kept, _ = pages.read(path)
    except CorruptError:
        return
    in_log = _pages_in_log(path)
    if not in_log and path.stat().st_size > len(kept.sums) * kept.page_bytes:
        with path.open("r+b") as file:
            file.truncate(len(kept.sums) * kept.page_bytes)
        repaired.done.append(f"{path.name}: cut off what is beyond its last page")
    wrong = kept.wrong_pages(path, in_log)
    for number in wrong[:MOST_PAGES]:
        if number <= len(kept.sums):
            _mend_page(path, number, kept, repaired)
    files.sync(path)


def _mend_page(path: Path, number: int, kept: PageSums, repaired: CatalogRepair) -> None:
    with path.open("r+b") as file:
        file.seek((number - 1) * kept.page_bytes)
        content = file.read(kept.page_bytes)
        expected = int(kept.sums[number - 1])
        mended = unflip(content, lambda tried: checksum(tried) == expected)
        if mended is not None:
            file.seek((number - 1) * kept.page_bytes)
            file.write(mended)
            repaired.done.append(f"{path.name}: a flipped bit of page {number} put back")


def _pages_in_log(path: Path) -> set[int]:
    if not wal.size(path):
        return set()
    try:
        with reading(path) as db:
            version_of(path, db)
            return set(wal.frames(path).sums)
    except CorruptError:
        return set()


def _own_up(path: Path, repaired: CatalogRepair) -> None:
    """Where the pages are right but the last commits are gone: go on from what there is."""
    try:
        kept, committed = pages.read(path)
        with reading(path) as db:
            commits = commits_of(db)
            wrong = wrong_beside(path, kept, wal.frames(path))
    except CorruptError:
        return
    if not wrong and commits < committed:
        pages.write(path, kept, commits)
        repaired.lost_commits = True
        repaired.done.append(
            f"{path.name}: its log is damaged; goes on from commit {commits} of {committed}"
        )


def _make_anew(path: Path, schema: str, repaired: CatalogRepair) -> None:
    """Copy every record that can be read into a new file, and put it in the place of the old."""
    try:
        kept, committed = pages.read(path)
        wrong = kept.wrong_pages(path, _pages_in_log(path))
    except CorruptError:
        # Without checksums what SQLite itself finds no fault with is all there is to go by.
        kept, committed, wrong = pages.nothing(4_096), 0, []
    source, target = path.with_name(f"{path.name}.old"), path.with_name(f"{path.name}.anew")
    for left in (source, target):
        _remove(left)
    zeroed_copy(path, source, wrong, kept.page_bytes)
    made = Database(target, schema=schema)
    try:
        repaired.lost_commits = _commits_read(source) < committed
        made.connection.execute("BEGIN IMMEDIATE")
        repaired.damaged = salvage(source, made.connection)
        made.connection.execute("COMMIT")
        made.connection.execute("REINDEX")
    except (CorruptError, sqlite3.DatabaseError) as error:
        made.close()
        _remove(target)
        raise CorruptError(
            f"{path}: too little can be read; put a backup back ({error})"
        ) from error
    finally:
        made.close()
        _remove(source)
    _remove(path)
    pages.path_of(target).replace(pages.path_of(path))
    target.replace(path)
    files.sync(path.parent)
    repaired.done.append(f"{path.name}: made anew from what can be read of it")


def _commits_read(path: Path) -> int:
    """How many commits a damaged file has; 0 when that cannot be read."""
    try:
        with reading(path) as db:
            return commits_of(db)
    except CorruptError:
        return 0


def _remove(path: Path) -> None:
    for own in files_of(path):
        own.unlink(missing_ok=True)
