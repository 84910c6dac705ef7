"""Candidates for a row's neighbours: exact while a collection is small, by HNSW after that."""

import numpy as np
from numpy.typing import NDArray

from index.hnsw import Hnsw, UnreachableError

# Up to here the matrix product is as fast as HNSW, and right.
EXACT_ROWS = 2_048
# Bounds the similarities in memory at a time, float32 [queries, rows]: 256 MiB.
EXACT_CELLS = 1 << 26

Found = tuple[NDArray[np.int64], NDArray[np.float32]]


def candidates(
    hnsw: Hnsw,
    vectors: NDArray[np.float32],
    present: NDArray[np.bool_],
    rows: NDArray[np.int64],
    width: int,
) -> Found:
    """Live rows near `rows` [n, width'], best first, and their similarities.

    `vectors` are those of the log, `present` says which rows live. A small collection is searched
    whole, so `width'` is all of it. A row may be among its own candidates.
    """
    if hnsw.live > EXACT_ROWS:
        try:
            return hnsw.search(vectors[rows], min(width, hnsw.live))
        except UnreachableError:
            pass
    width = width if hnsw.live > EXACT_ROWS else hnsw.live
    return exact(vectors, np.flatnonzero(present), rows, width)


def exact(
    vectors: NDArray[np.float32], among: NDArray[np.int64], rows: NDArray[np.int64], width: int
) -> Found:
    """The `width` nearest of the rows `among`, by matrix product; ties by row number."""
    width = min(width, len(among))
    lot = max(1, EXACT_CELLS // max(1, len(among)))
    labels = np.empty((len(rows), width), np.int64)
    similarity = np.empty((len(rows), width), np.float32)
    base = vectors[among]
    for start in range(0, len(rows), lot):
        values = vectors[rows[start : start + lot]] @ base.T
        order = np.argsort(-values, axis=1, kind="stable")[:, :width]
        labels[start : start + lot] = among[order]
        similarity[start : start + lot] = np.take_along_axis(values, order, axis=1)
    return labels, similarity
