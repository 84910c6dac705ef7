"""Features as they come -> distinct unit rows with counts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import BadInputError

CHUNK_ROWS = 65_536
_HASH_SEED = 0x5110A1


@dataclass(frozen=True, slots=True)
class Distinct:
    """Exact duplicates collapsed: `features[i] == unit[row[i]]`.

    `unit` float32 [m, d], in the order of first appearance; `row` int64 [n]; `counts` int32 [m].
    """

    unit: NDArray[np.float32]
    row: NDArray[np.int64]
    counts: NDArray[np.int32]


def unit_rows(features: ArrayLike) -> NDArray[np.float32]:
    """Float32 [n, d] rows of length one, from any real array [n, d].

    Raises `BadInputError` naming the first row that is NaN, infinite or zero.
    """
    array = np.asarray(features)
    if array.ndim != 2:
        raise BadInputError(f"features has shape {array.shape}; it must be [n, d]")
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise BadInputError(f"features has type {array.dtype}; it must be real numbers")
    if len(array) and array.shape[1] == 0:
        raise BadInputError(f"features has shape {array.shape}; d must be at least 1")
    out = np.empty(array.shape, np.float32)
    for start in range(0, len(array), CHUNK_ROWS):
        block = array[start : start + CHUNK_ROWS].astype(np.float64)
        _check_finite(block, start)
        # Scaled first so that neither tiny nor huge rows leave the range of their squares.
        largest = np.abs(block).max(axis=1, keepdims=True)
        if (zero := np.flatnonzero(largest == 0)).size:
            raise BadInputError(f"features row {start + zero[0]} is all zeros; it has no direction")
        block /= largest
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        out[start : start + CHUNK_ROWS] = block + 0.0  # -0.0 and 0.0 are one value
    return out


def _check_finite(block: NDArray[np.float64], start: int) -> None:
    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        value = block[row][~np.isfinite(block[row])][0]
        raise BadInputError(
            f"features row {start + row} contains {value}; NaN and infinity are refused"
        )


def collapse(unit: NDArray[np.float32]) -> Distinct:
    """Give equal rows one place, in order of first appearance."""
    if len(unit) == 0:
        return Distinct(unit, np.zeros(0, np.int64), np.zeros(0, np.int32))
    key = _row_hash(unit)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    inverse = inverse.ravel()
    if not np.array_equal(unit, unit[first[inverse]]):  # two different rows share a hash
        _, first, inverse = np.unique(unit, axis=0, return_index=True, return_inverse=True)
        inverse = inverse.ravel()
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    row = place[inverse]
    return Distinct(unit[first[order]], row, np.bincount(row).astype(np.int32))


def _row_hash(unit: NDArray[np.float32]) -> NDArray[np.uint64]:
    """A 64-bit linear hash of each row's bits."""
    generator = np.random.default_rng(_HASH_SEED)
    factors = np.asarray(2 * generator.integers(0, 2**62, size=(unit.shape[1],)) + 1, np.uint64)
    bits = np.ascontiguousarray(unit).view(np.uint32)
    key = np.zeros(len(unit), np.uint64)
    for column in range(unit.shape[1]):
        key += bits[:, column].astype(np.uint64) * factors[column]
    return key
