"""What SQLite's write-ahead log holds that is not yet in the main file.

The formats are those of https://sqlite.org/fileformat2.html#walformat and
https://sqlite.org/walformat.html, which SQLite keeps for good. SQLite verifies the frames when it
recovers, not when it reads them later or folds them in.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index import locked
from index.checksums import checksum
from index.disk import naming
from index.errors import CorruptError

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_HEAD_WORDS = _FRAME_HEADER_BYTES // 4
# In the index of the log (`-shm`): the number of valid and committed frames, as the last reader or
# writer left it.
_FRAMES_AT = 16
_FRAMES_AT_ONCE = 256
_WORD = 2**32

Words = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Frames:
    """The committed pages of a log: the checksum of the last content of each by its number (from
    1), and how many pages the database has with them. No pages: nothing is in the log.
    """

    sums: Mapping[int, int]
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
    """What the log holds, for a connection that has read from `database` and writes nothing now.

    Raises CorruptError when a frame is not what was written, OSError.
    """
    sums: dict[int, int] = {}
    size = 0
    for batch in _verified(database):
        sums |= batch.sums
        size = batch.size
    return Frames(sums, size)


def scrub(database: Path) -> Iterator[int]:
    """Verify the log slice by slice; yields the bytes of each. It may be folded in meanwhile.

    Raises as `frames`.
    """
    for batch in _verified(database):
        yield _FRAMES_AT_ONCE * 4_096 if batch.sums else 0


def _verified(database: Path) -> Iterator[Frames]:
    """The committed frames, some at a time, each verified; ends where the log is begun anew."""
    count = _committed(database)
    if not count:
        return
    path = path_of(database)
    with path.open("rb", buffering=0) as file, naming(path):
        header = os.pread(file.fileno(), _HEADER_BYTES, 0)
        chain = _Chain(header)
        if not chain.begins:
            raise CorruptError(f"{path}: its header is not what was written")
        for start in range(0, count, _FRAMES_AT_ONCE):
            size = min(_FRAMES_AT_ONCE, count - start) * chain.width
            data = os.pread(file.fileno(), size, _HEADER_BYTES + start * chain.width)
            if os.pread(file.fileno(), _HEADER_BYTES, 0) != header:
                return
            if len(data) < size or not chain.holds(data):
                last = start + size // chain.width
                raise CorruptError(f"{path}: frames {start + 1} to {last} are not what was written")
            yield chain.frames(data)


class _Chain:
    """The checksums of the frames after a header: each goes on from the one before.

    Two words s, t take in two words x, y of the content: s += x + t, then t += y + s. That is
    linear modulo 2^32, so that a frame is a sum of its words with constant weights.
    """

    def __init__(self, header: bytes) -> None:
        magic, _, page_bytes, _, *self._salts, s, t = np.frombuffer(header, ">u4").tolist()
        self._order = ">u4" if magic & 1 else "<u4"
        self._state = s, t
        words = np.frombuffer(header, self._order).tolist()[:-2]
        self.begins = _sum(words) == (s, t)  # its header is what was written
        self.width = _FRAME_HEADER_BYTES + page_bytes

    def holds(self, data: bytes) -> bool:
        """Whether whole frames, the next ones, have their checksums."""
        words = np.frombuffer(data, self._order).reshape(-1, self.width // 4)
        heads = np.frombuffer(data, ">u4").reshape(words.shape)[:, 2:_HEAD_WORDS]
        words = words.astype(np.uint32, copy=False)
        weights, (a, b, c, d) = _weights(words.shape[1])
        added = [np.einsum("fw,w->f", words, weight).tolist() for weight in weights]
        s, t = self._state
        found: list[list[int]] = []
        for x, y in zip(*added, strict=True):
            s, t = (a * s + b * t + x) % _WORD, (c * s + d * t + y) % _WORD
            found.append([*self._salts, s, t])
        self._state = s, t
        return bool(found == heads.tolist())

    def frames(self, data: bytes) -> Frames:
        """The pages in whole frames."""
        view = memoryview(data)
        sums, size = {}, 0
        for start, stop in pairwise(range(0, len(data) + 1, self.width)):
            sums[int.from_bytes(view[start : start + 4])] = checksum(
                view[start + _FRAME_HEADER_BYTES : stop]
            )
            size = int.from_bytes(view[start + 4 : start + 8])
        return Frames(sums, size)


def _sum(words: Sequence[int]) -> tuple[int, int]:
    s = t = 0
    for x, y in zip(words[::2], words[1::2], strict=True):
        s = (s + x + t) % _WORD
        t = (t + y + s) % _WORD
    return s, t


@cache
def _weights(width: int) -> tuple[tuple[Words, Words], tuple[int, int, int, int]]:
    """What each word of a frame of `width` adds to s and t, and what s and t before become in it.

    Of the frame's header only page number and size count.
    """
    a, b, c, d = 1, 0, 0, 1
    weights = np.zeros((2, width), np.uint32)
    counting = [0, *range(_HEAD_WORDS, width, 2)]
    for place in reversed(counting):  # x adds to both, y to t
        weights[:, place] = (a + b) % _WORD, (c + d) % _WORD
        weights[:, place + 1] = b, d
        a, b, c, d = (a + b) % _WORD, (a + 2 * b) % _WORD, (c + d) % _WORD, (c + 2 * d) % _WORD
    return (weights[0], weights[1]), (a, b, c, d)


def _committed(database: Path) -> int:
    if size(database) <= _HEADER_BYTES:
        return 0
    with locked.reading(database, database.with_name(database.name + "-shm")) as index:
        return int.from_bytes(os.pread(index, 4, _FRAMES_AT), sys.byteorder)
