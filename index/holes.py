"""Holes in files: space given back to the file system, which reads as zeros."""

import ctypes
import errno
import os
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEEP_SIZE = 0x01
_PUNCH_HOLE = 0x02

# The file system, or the C library, cannot do it: the space stays taken, and nothing is wrong.
_CANNOT = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})

Ranges = NDArray[np.int64]


def whole_blocks(dead: NDArray[np.bool_], row_bytes: int, block_bytes: int) -> Ranges:
    """The byte ranges [n, 2] (start, stop) of the blocks that lie wholly in dead rows, rising."""
    edges = np.diff(np.concatenate([[0], dead.view(np.int8), [0]]))
    runs = np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1) * row_bytes
    starts = -(-runs[:, 0] // block_bytes) * block_bytes
    stops = runs[:, 1] // block_bytes * block_bytes
    ranges: Ranges = np.stack([starts, stops], axis=1)[starts < stops]
    return ranges


def punch(descriptor: int, ranges: Ranges) -> None:
    """Make holes of these byte ranges of a file; where it cannot be, nothing happens.

    Raises OSError when the disk fails.
    """
    fallocate = _fallocate()
    if fallocate is None:
        return
    for start, stop in ranges.tolist():
        if fallocate(descriptor, _KEEP_SIZE | _PUNCH_HOLE, start, stop - start) != 0:
            number = ctypes.get_errno()
            if number in _CANNOT:
                return
            raise OSError(number, os.strerror(number))


@cache
def _fallocate() -> Any:
    """`fallocate` of the C library, None where it has none."""
    library = ctypes.CDLL(None, use_errno=True)
    found = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if found is not None:
        found.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
        found.restype = ctypes.c_int
    return found
