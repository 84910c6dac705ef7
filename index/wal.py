"""What SQLite's write-ahead log holds that is not yet in the main file.

The formats are those of https://sqlite.org/walformat.html, which SQLite keeps for good.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from index import locked

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
# In the index of the log (`-shm`): the number of valid and committed frames, as the last reader or
# writer left it.
_FRAMES_AT = 16


@dataclass(frozen=True, slots=True)
class Frames:
    """The committed pages of a log: the last content of each by its number (from 1), and how many
    pages the database has with them. No pages: nothing is in the log.
    """

    pages: Mapping[int, memoryview]
    size: int


def path_of(database: Path) -> Path:
    """The log of `database`."""
    return database.with_name(database.name + "-wal")


def size(database: Path) -> int:
    """Bytes of the log; 0 when there is none."""
    try:
        return path_of(database).stat().st_size
    except FileNotFoundError:
        return 0


def frames(database: Path) -> Frames:
    """What the log holds, for a connection that has read from `database` and writes nothing now."""
    count = _committed(database)
    if not count:
        return Frames({}, 0)
    header = np.fromfile(path_of(database), ">u4", count=_HEADER_BYTES // 4)
    page_bytes = int(header[2])
    width = _FRAME_HEADER_BYTES + page_bytes
    log = np.memmap(path_of(database), np.uint8, "r", _HEADER_BYTES, (count, width))
    heads = np.ascontiguousarray(log[:, :8]).view(">u4")
    last = dict(zip(heads[:, 0].tolist(), range(count), strict=True))
    content = memoryview(log)  # type: ignore[arg-type]
    flat = content.cast("B")
    pages = {
        number: flat[place * width + _FRAME_HEADER_BYTES : (place + 1) * width]
        for number, place in last.items()
    }
    return Frames(pages, int(heads[-1, 1]))


def _committed(database: Path) -> int:
    if size(database) <= _HEADER_BYTES:
        return 0
    with locked.reading(database, database.with_name(database.name + "-shm")) as index:
        return int.from_bytes(os.pread(index, 4, _FRAMES_AT), sys.byteorder)
