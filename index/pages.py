"""The checksums of the pages of an SQLite file, in a file beside it (`catalog.sqlite.sums`).

SQLite checks the frames of its write-ahead log and nothing else. The main file changes only when
that log is folded into it, so the checksums are renewed just before: a page is either what its
checksum says, or in the log.

The first 16 bytes hold the number of the last durable commit, changed in place after each: a log
that was cut short or damaged ends before it, which SQLite alone would not notice.
"""

import os
import struct
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index import files, locked
from index.checksums import checksum
from index.disk import naming
from index.errors import CorruptError
from index.faults import reach

SUFFIX = ".sums"
MAGIC = b"shoalsum"
PAGES_AT_ONCE = 256
FORMAT = 1

_COMMITTED = struct.Struct("<QQ")  # number, checksum of it
_HEADER = struct.Struct("<8sIIQQ")  # magic, format, bytes of a page, commits, pages
_END = struct.Struct("<Q")  # checksum of header and pages

Sums = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class PageSums:
    """Of the main file: its checksums uint64 [pages], and the commits that are folded into it."""

    page_bytes: int
    commits: int
    sums: Sums

    def after(self, pages: Mapping[int, int], size: int, commits: int) -> "PageSums":
        """Those of the file once `pages` (number from 1: checksum) are folded in and it has `size`
        pages.
        """
        sums = np.zeros(size, np.uint64)
        kept = min(size, len(self.sums))
        sums[:kept] = self.sums[:kept]
        for number, value in pages.items():
            if number <= size:
                sums[number - 1] = value
        return PageSums(self.page_bytes, commits, sums)

    def wrong_pages(
        self, database: Path, in_log: Collection[int], span: slice = slice(None)
    ) -> list[int]:
        """The pages of the file that are not what was written, from 1; `in_log` do not count.

        All, or those of `span`, which counts from 0.
        """
        first = span.start or 0
        kept = self.sums[span]
        found = measure(database, self.page_bytes, span)
        common = min(len(found), len(kept))
        wrong = np.ones(max(len(found), len(kept)), np.bool_)
        wrong[:common] = found[:common] != kept[:common]
        numbers = (first + 1 + np.flatnonzero(wrong)).tolist()
        return [number for number in numbers if number not in in_log]


def nothing(page_bytes: int) -> PageSums:
    """Those of an empty file."""
    return PageSums(page_bytes, 0, np.empty(0, np.uint64))


def path_of(database: Path) -> Path:
    """The file of the checksums of `database`."""
    return database.with_name(database.name + SUFFIX)


def measure(database: Path, page_bytes: int, span: slice = slice(None)) -> Sums:
    """The checksums of all pages, or of a `span` of them, as they are on the disk, uint64 [n]."""
    with locked.reading(database, database) as file, naming(database):
        return np.fromiter(map(checksum, _pages_of(file, page_bytes, span)), np.uint64)


def _pages_of(file: int, page_bytes: int, span: slice) -> Iterator[memoryview]:
    start = (span.start or 0) * page_bytes
    stop = sys.maxsize if span.stop is None else span.stop * page_bytes
    while content := os.pread(file, min(page_bytes * PAGES_AT_ONCE, stop - start), start):
        whole = memoryview(content)
        yield from (whole[at : at + page_bytes] for at in range(0, len(whole), page_bytes))
        start += len(content)


def read(database: Path) -> tuple[PageSums, int]:
    """What is kept for `database`, and the number of its last durable commit.

    Raises CorruptError naming the file when it is missing or damaged.
    """
    path = path_of(database)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CorruptError(f"{path}: missing") from None
    if not is_whole(content):
        raise CorruptError(f"{path}: its content is not that of its checksum")
    body = content[_COMMITTED.size : -_END.size]
    _, _, page_bytes, commits, _ = _HEADER.unpack_from(body)
    sums = np.frombuffer(body, "<u8", offset=_HEADER.size).astype(np.uint64)
    return PageSums(page_bytes, commits, sums), _COMMITTED.unpack_from(content)[0]


def is_whole(content: bytes) -> bool:
    """Whether these are the bytes of a file of checksums, undamaged."""
    if len(content) < _COMMITTED.size + _HEADER.size + _END.size:
        return False
    body = content[_COMMITTED.size : -_END.size]
    its_sums = _COMMITTED.unpack_from(content)[1], *_END.unpack(content[-_END.size :])
    if its_sums != (checksum(content[:8]), checksum(body)):
        return False
    magic, version, _, _, pages = _HEADER.unpack_from(body)
    return (magic, version) == (MAGIC, FORMAT) and len(body) == _HEADER.size + 8 * pages


def write(database: Path, kept: PageSums, committed: int) -> None:
    """Replace what is kept, durably: whole or not at all."""
    header = _HEADER.pack(MAGIC, FORMAT, kept.page_bytes, kept.commits, len(kept.sums))
    body = header + kept.sums.astype("<u8").tobytes()
    content = _committed(committed) + body + _END.pack(checksum(body))
    reach("sums")
    files.replace(path_of(database), content)


def note_committed(database: Path, number: int) -> None:
    """Remember the last durable commit; a change in place that need not reach the disk at once."""
    descriptor = os.open(path_of(database), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, _committed(number))
    finally:
        os.close(descriptor)


def _committed(number: int) -> bytes:
    packed = struct.pack("<Q", number)
    return packed + struct.pack("<Q", checksum(packed))
