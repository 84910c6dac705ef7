"""What is on the disk is read again, slice by slice, while the collection serves.

A start verifies every byte; what the system drops from its memory after that, and what nobody reads
for weeks, is only known to be good when it was read and compared again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from index import blocks, pages, wal
from index.checksums import compare
from index.database import Database
from index.disk import text
from index.errors import CorruptError, SnapshotError
from index.findings import Finding, Harm, Part
from index.snapshot import Snapshots, read_manifest
from index.vectors import VectorLog

# Hears of each file that is not what was written, or cannot be read.
Found = Callable[[Finding], object]

# Yields the bytes of each slice once it is compared.
Slices = Iterator[int]


class Rows(Protocol):
    """The length of the log as it is now, see `CollectionIndex`."""

    @property
    def rows(self) -> int:
        """Rows of the log."""


def scrub_log(log: VectorLog, collection: Rows, found: Found) -> Slices:
    """The blocks of the vector log; rows may come and go between two slices."""
    for span in log.slices(collection.rows):
        wrong: list[int] = []
        with _readable(Part.LOG, Harm.DATA, log.path, found):
            wrong = log.wrong_blocks(span, collection.rows)
        for block in wrong:
            rows = blocks.rows_of(block, collection.rows)
            what = f"rows {rows.start} to {rows.stop - 1} are not what was written"
            found(Finding(Part.LOG, Harm.DATA, log.path, what))
        yield 4 * log.dimension * blocks.BLOCK_ROWS * len(span)


def scrub_database(database: Database, part: Part, found: Found) -> Slices:
    """The pages of the main file, its write-ahead log, and the file of the checksums."""
    start = 0
    while start < (count := len(database.sums.sums)):
        span = slice(start, min(start + pages.PAGES_AT_ONCE, count))
        wrong: list[int] = []
        with _readable(part, Harm.DATA, database.path, found):
            wrong = database.wrong_pages(span)
        for page in wrong:
            what = f"page {page} is not what was written"
            found(Finding(part, Harm.DATA, database.path, what))
        start = span.stop
        yield (span.stop - span.start) * database.sums.page_bytes
    with _readable(part, Harm.DATA, wal.path_of(database.path), found):
        yield from wal.scrub(database.path)
    path = pages.path_of(database.path)
    with _readable(part, Harm.DATA, path, found):
        pages.read(database.path)
    yield database.sums.sums.nbytes


def scrub_snapshots(
    snapshots: Snapshots, set_aside: Callable[[Path], None], found: Found
) -> Slices:
    """The files of every snapshot; a damaged one is `set_aside`. One may be removed meanwhile."""
    for path in snapshots.newest_first():
        wrong: list[Finding] = []
        with _readable(Part.SNAPSHOT, Harm.SPARE, path, wrong.append):
            for name, expected in read_manifest(path).checksums.items():
                if not (yield from compare(path / name, expected)):
                    what = f"{name} has not the checksum of the manifest"
                    wrong.append(Finding(Part.SNAPSHOT, Harm.SPARE, path, what))
        if wrong and path.exists():
            found(wrong[0])
            with _readable(Part.SNAPSHOT, Harm.SPARE, path, found):
                set_aside(path)


@contextmanager
def _readable(part: Part, harm: Harm, path: Path, found: Found) -> Iterator[None]:
    """What cannot be read is found as well, with the reason."""
    try:
        yield
    except (CorruptError, SnapshotError, OSError) as error:
        found(Finding(part, harm, path, text(error)))
