"""The vector log: raw little-endian float32 rows, one after another, without a header."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index import blocks, files, holes
from index.checksums import SLICE_BYTES
from index.disk import naming, waiting_for
from index.errors import CorruptError, DimensionError, VectorError
from index.faults import reach
from index.growing import GrowingArray

# Squared length of a float32 unit vector after rounding, summed over thousands of dimensions.
UNIT_TOLERANCE = 1e-3
HASH_BYTES = 16

# The hashes of the rows from one to before another; None for a dead row.
Hashes = Callable[[int, int], list[bytes | None]]


class VectorLog:
    """The file `vectors.f32`. The catalog says how many of its rows count; the rest is a torn tail.

    One owner, one thread. What is written is safe after `sync`. `failed` is true from the first
    sync or wipe on that fails: what was written before may be lost although a later sync would
    succeed, so that none does. The file is to be opened again, and what no sync confirmed is to be
    written again.
    """

    def __init__(self, path: Path, *, dimension: int, rows: int) -> None:
        """Open the file, made when new; cut off what lies beyond `rows`.

        Raises CorruptError when the file is shorter than `rows`.
        """
        self.path = path
        self.failed = False
        self.dimension = dimension
        self._row_bytes = 4 * dimension
        size = path.stat().st_size if path.exists() else 0
        if size < rows * self._row_bytes:
            raise CorruptError(
                f"{path}: {size} bytes; the catalog counts {rows} rows of {self._row_bytes} bytes"
            )
        path.touch()
        self._file = path.open("r+b", buffering=0)
        with ExitStack() as undo:
            undo.callback(self.close)
            self._file.truncate(rows * self._row_bytes)
            self.sync()
            files.sync(path.parent)
            undo.pop_all()
        self._sums: GrowingArray[np.uint64] = GrowingArray(np.uint64, 0)

    def check(self, sums: NDArray[np.uint64], rows: int, hashes: Hashes) -> None:
        """Verify every block against `sums`, which are kept; what is to be wiped must be wiped.

        Raises CorruptError naming the rows that are damaged, by their `hashes`.
        """
        self._sums.load(sums)
        wrong: list[int] = []
        for span in self.slices(rows):
            wrong += self.wrong_blocks(span, rows)
        if wrong:
            damaged = damaged_rows(self.view(rows), wrong, hashes)
            raise CorruptError(f"{self.path}: {_named(damaged)} not what was written")

    def slices(self, rows: int) -> Iterator[range]:
        """The blocks of the first `rows` rows, so many together as are well read at a time."""
        together = max(1, SLICE_BYTES // (self._row_bytes * blocks.BLOCK_ROWS))
        count = -(-rows // blocks.BLOCK_ROWS)
        for start in range(0, count, together):
            yield range(start, min(start + together, count))

    def wrong_blocks(self, span: range, rows: int) -> list[int]:
        """Which of these blocks the file, of `rows` committed rows, has not as they were written.

        Reads the file, not its mapping, so that what the disk cannot give is an OSError.
        """
        first = span.start * blocks.BLOCK_ROWS
        content = self._pread(range(first, min(span.stop * blocks.BLOCK_ROWS, rows)))
        found, kept = blocks.measure(content), self._sums.view[span.start : span.stop]
        common = min(len(found), len(kept))
        right = set((span.start + np.flatnonzero(found[:common] == kept[:common])).tolist())
        return [block for block in span if block not in right]

    def _pread(self, rows: range) -> NDArray[np.float32]:
        """Rows as the file has them; fewer, whole ones, where it ends before."""
        parts, offset, left = [], rows.start * self._row_bytes, len(rows) * self._row_bytes
        with naming(self.path):
            while left and (data := os.pread(self._file.fileno(), left, offset)):
                parts.append(data)
                offset, left = offset + len(data), left - len(data)
        data = b"".join(parts)
        whole = len(data) // self._row_bytes
        return np.frombuffer(data, "<f4", whole * self.dimension).reshape(whole, self.dimension)

    def changed_blocks(
        self, first_row: int, added: NDArray[np.float32], dead: NDArray[np.int64]
    ) -> dict[int, int]:
        """The checksums of blocks once rows are `added` from `first_row` on and `dead` ones wiped.

        Raises CorruptError when a block that is read for it fails its own.
        """
        return blocks.changed(self._read, first_row, added, dead)

    def take_blocks(self, sums: Mapping[int, int]) -> None:
        """Keep checksums from `changed_blocks`, which were committed."""
        if sums:
            self._sums.resize(max(self._sums.rows, max(sums) + 1))
        for block, value in sums.items():
            self._sums.view[block] = value

    def _read(self, rows: range) -> NDArray[np.float32]:
        """Committed rows of one block, verified."""
        content = self._pread(rows)
        block = rows.start // blocks.BLOCK_ROWS
        if rows and blocks.block_sum(content) != self._sums.view[block]:
            raise CorruptError(
                f"{self.path}: rows {rows.start} to {rows.stop - 1} are not what was written"
            )
        return content

    def write(self, first_row: int, vectors: NDArray[np.float32]) -> None:
        """Write consecutive rows from `first_row` on, over a torn tail if there is one."""
        with waiting_for(self.path):
            self._put(first_row, vectors.astype("<f4").tobytes())
        reach("3a")

    def wipe(self, rows: NDArray[np.int64]) -> None:
        """Overwrite rows with zeros; again and again without harm."""
        zeros = bytes(self._row_bytes)
        with self._failing():
            for row in rows.tolist():
                self._put(row, zeros)

    def _put(self, row: int, content: bytes) -> None:
        rest, offset = memoryview(content), row * self._row_bytes
        while rest:  # the disk may take a part at a time
            written = os.pwrite(self._file.fileno(), rest, offset)
            rest, offset = rest[written:], offset + written

    def give_back(self, dead: NDArray[np.bool_]) -> None:
        """Give the space of `dead` rows, bool [rows], back to the file system, where whole blocks
        lie in them; they read as zeros before and after.
        """
        descriptor = self._file.fileno()
        block_bytes = os.fstat(descriptor).st_blksize
        holes.punch(descriptor, holes.whole_blocks(dead, self._row_bytes, block_bytes))

    def sync(self) -> None:
        """Block until everything written is on the disk. Raises OSError, also once it `failed`."""
        with self._failing():
            if self.failed:
                raise OSError(errno.EIO, "a sync or a wipe failed before")
            os.fsync(self._file.fileno())

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            with waiting_for(self.path):
                yield
        except OSError:
            self.failed = True
            raise

    def view(self, rows: int) -> NDArray[np.float32]:
        """The first `rows` rows, read-only, memory-mapped [rows, d]."""
        if rows == 0:
            return np.empty((0, self.dimension), np.float32)
        return np.asarray(np.memmap(self.path, "<f4", "r", shape=(rows, self.dimension)))

    def close(self) -> None:
        """Close the file, once or more; views stay valid."""
        self._file.close()


def map_rows(path: Path, rows: int, dimension: int) -> NDArray[np.float32]:
    """The first rows of the log, float32 [rows, d]; changes of the array stay in memory."""
    if not rows:
        return np.empty((0, dimension), np.float32)
    return np.asarray(np.memmap(path, "<f4", "c", shape=(rows, dimension)))


def damaged_rows(vectors: NDArray[np.float32], wrong: list[int], hashes: Hashes) -> list[int]:
    """The rows of the `wrong` blocks that differ from their hash; a dead one must be zeros."""
    damaged: list[int] = []
    for block in wrong:
        span = blocks.rows_of(block, len(vectors))
        kept = hashes(span.start, span.stop)
        content = vectors[span.start : span.stop]
        found = row_hashes(content)
        damaged += [
            row
            for row, vector, expected, actual in zip(span, content, kept, found, strict=True)
            if (vector.tobytes().strip(b"\0") if expected is None else expected != actual)
        ]
    return damaged


def _named(rows: list[int]) -> str:
    if len(rows) == 1:
        return f"row {rows[0]} is"
    more = f" and {len(rows) - 8} more" if len(rows) > 8 else ""
    return f"rows {', '.join(map(str, rows[:8]))}{more} are" if rows else "a checksum is"


def stack(
    vectors: list[NDArray[np.float32]], ids: list[str], dimension: int
) -> NDArray[np.float32]:
    """The vectors as float32 [n, d], -0.0 as 0.0, so that equal vectors have equal bytes.

    Raises DimensionError or VectorError with the id of the first vector that cannot be kept.
    """
    for id_, vector in zip(ids, vectors, strict=True):
        if vector.shape != (dimension,):
            raise DimensionError(
                f"image {id_!r}: shape {vector.shape}; the collection holds ({dimension},)"
            )
    if not vectors:
        return np.empty((0, dimension), np.float32)
    rows = np.asarray(np.stack(vectors), dtype=np.float32) + np.float32(0)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("nd,nd->n", rows, rows)
    bad = ~(np.abs(squares - 1) <= UNIT_TOLERANCE)
    if bad.any():
        first = int(bad.argmax())
        raise VectorError(
            f"image {ids[first]!r}: vector of squared length {squares[first]}; it must be finite "
            f"and of length 1"
        )
    return rows


def row_hashes(vectors: NDArray[np.float32]) -> list[bytes]:
    """blake2b-128 of each row's bytes: the key of duplicates and the checksum of the row."""
    data = memoryview(vectors.astype("<f4").tobytes())
    size = 4 * vectors.shape[1]
    return [
        hashlib.blake2b(data[start : start + size], digest_size=HASH_BYTES).digest()
        for start in range(0, len(data), size)
    ]
