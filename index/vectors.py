"""The vector log: raw little-endian float32 rows, one after another, without a header."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index import files, holes
from index.disk import waiting_for
from index.errors import CorruptError, DimensionError, VectorError
from index.faults import reach

# Squared length of a float32 unit vector after rounding, summed over thousands of dimensions.
UNIT_TOLERANCE = 1e-3
HASH_BYTES = 16


class VectorLog:
    """The file `vectors.f32`. The catalog says how many of its rows count; the rest is a torn tail.

    One owner, one thread. What is written is safe after `sync`. `failed` is true from the first
    sync or wipe on that fails: what was written before may be lost although a later sync succeeds,
    so the file is to be opened again, and what no sync confirmed is to be written again.
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

    def write(self, first_row: int, vectors: NDArray[np.float32]) -> None:
        """Write consecutive rows from `first_row` on, over a torn tail if there is one."""
        rest = memoryview(vectors.astype("<f4").tobytes())
        offset = first_row * self._row_bytes
        with waiting_for(self.path):
            while rest:
                written = os.pwrite(self._file.fileno(), rest, offset)
                rest, offset = rest[written:], offset + written
        reach("3a")

    def wipe(self, rows: NDArray[np.int64]) -> None:
        """Overwrite rows with zeros; again and again without harm."""
        zeros = bytes(self._row_bytes)
        with self._failing():
            for row in rows.tolist():
                os.pwrite(self._file.fileno(), zeros, row * self._row_bytes)

    def give_back(self, dead: NDArray[np.bool_]) -> None:
        """Give the space of `dead` rows, bool [rows], back to the file system, where whole blocks
        lie in them; they read as zeros before and after.
        """
        descriptor = self._file.fileno()
        block_bytes = os.fstat(descriptor).st_blksize
        holes.punch(descriptor, holes.whole_blocks(dead, self._row_bytes, block_bytes))

    def sync(self) -> None:
        """Block until everything written is on the disk."""
        with self._failing():
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
