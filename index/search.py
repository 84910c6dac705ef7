"""Candidates for neighbours: exact while a collection is small, by HNSW after that."""

import numpy as np
from numpy.typing import NDArray

from index.few import is_exact
from index.held import Held
from index.hnsw import UnreachableError

# Bounds the similarities in memory at a time, float32 [queries, rows]: 256 MiB.
EXACT_CELLS = 1 << 26

Found = tuple[NDArray[np.int64], NDArray[np.float32]]


def candidates(
    held: Held,
    vectors: NDArray[np.float32],
    present: NDArray[np.bool_],
    rows: NDArray[np.int64],
    width: int,
) -> Found:
    """Live rows near `rows` [n, width'] and their similarities; best first only when not exact.

    `vectors` are those of the log, `present` says which rows live. A small collection is searched
    whole, so `width'` is all of it. A row may be among its own candidates.
    """
    if held.hnsw is not None and not is_exact(held.live):
        try:
            return held.hnsw.search(vectors[rows], min(width, held.live))
        except UnreachableError:
            return exact(vectors, np.flatnonzero(present), rows, width)
    among = np.flatnonzero(present)
    return np.broadcast_to(among, (len(rows), len(among))), vectors[rows] @ vectors[among].T


def exact(
    vectors: NDArray[np.float32], among: NDArray[np.int64], rows: NDArray[np.int64], width: int
) -> Found:
    """The `width` nearest of the rows `among`, best first, by matrix product."""
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
