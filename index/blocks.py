"""Checksums of the vector log, one for every BLOCK_ROWS rows; the last block may be shorter.

A dead row counts as zeros, whether they are on the disk yet or not.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from index.checksums import checksum

# A start reads one number for so many rows; an erasure reads so many rows again.
BLOCK_ROWS = 256

Sums = NDArray[np.uint64]
Vectors = NDArray[np.float32]


def block_sum(rows: Vectors) -> int:
    """The checksum of one block, float32 [<= BLOCK_ROWS, d]."""
    return checksum(np.ascontiguousarray(rows, "<f4").view(np.uint8).data)


def measure(vectors: Vectors) -> Sums:
    """The checksums of all blocks as they are, uint64 [blocks]."""
    starts = range(0, len(vectors), BLOCK_ROWS)
    return np.array([block_sum(vectors[s : s + BLOCK_ROWS]) for s in starts], np.uint64)


def wrong(vectors: Vectors, sums: Sums) -> list[int]:
    """The blocks that do not have their checksum in `sums`, or have none."""
    found = measure(vectors)
    common = min(len(found), len(sums))
    differ = np.ones(len(found), np.bool_)
    differ[:common] = found[:common] != sums[:common]
    return [int(block) for block in np.flatnonzero(differ)]


def rows_of(block: int, rows: int) -> range:
    """The rows of a block in a log of `rows`."""
    return range(block * BLOCK_ROWS, min((block + 1) * BLOCK_ROWS, rows))


def changed(
    read: Callable[[range], Vectors],
    first_row: int,
    added: Vectors,
    dead: NDArray[np.int64],
) -> dict[int, int]:
    """The checksums that change when rows are `added` from `first_row` on and `dead` ones die.

    `read` gives the rows of a block that were there before, verified.
    """
    rows = first_row + len(added)
    touched = {row // BLOCK_ROWS for row in dead.tolist()}
    if len(added):
        touched |= set(range(first_row // BLOCK_ROWS, (rows - 1) // BLOCK_ROWS + 1))
    sums = {}
    for block in sorted(touched):
        span = rows_of(block, rows)
        old = read(range(span.start, max(span.start, min(span.stop, first_row))))
        new = added[max(0, span.start - first_row) : max(0, span.stop - first_row)]
        content = np.concatenate([old, new])
        inside = dead[(dead >= span.start) & (dead < span.stop)]
        content[inside - span.start] = 0
        sums[block] = block_sum(content)
    return sums
