"""Which rows of a collection hold an image, and the graph of those alone."""

import numpy as np
from numpy.typing import NDArray

from models.errors import BadInputError
from models.graph import PAD_NEIGHBOUR, PAD_SIMILARITY, KnnGraph
from models.vectors import CHUNK_ROWS


def alive_rows(counts: NDArray[np.int32] | None, n: int) -> NDArray[np.int64]:
    """The rows that hold an image; all of `n`, if `counts` is None. Raises `BadInputError`."""
    if counts is None:
        return np.arange(n)
    if len(counts) != n:
        raise BadInputError(f"counts has {len(counts)} entries; it must have one per row, {n}")
    if n and int(counts.min()) < 0:
        row = int(np.argmin(counts))
        raise BadInputError(f"counts[{row}] is {counts[row]}; it must be at least 0")
    return np.flatnonzero(counts)


def living_graph(graph: KnnGraph, counts: NDArray[np.int32] | None) -> KnnGraph:
    """`graph` [n] in which dead rows neither list nor are listed; itself where that is so.

    What is behind a dead row in a list moves up. Nothing is searched for: lists become shorter.
    Raises `BadInputError` as `alive_rows`.
    """
    n = len(graph)
    if counts is None or len(alive_rows(counts, n)) == n:
        return graph
    alive = np.append(np.asarray(counts) > 0, False)  # the last is that of PAD_NEIGHBOUR
    blocks = np.split(np.arange(n), range(CHUNK_ROWS, n, CHUNK_ROWS))
    touched = [rows[_has_dead(graph.neighbours[rows], alive, rows)] for rows in blocks]
    if not any(map(len, touched)):
        return graph
    neighbours, similarity = graph.neighbours.copy(), graph.similarity.copy()
    for rows in touched:
        kept = _kept(neighbours[rows], alive, rows)
        order = np.argsort(~kept, axis=1, kind="stable")
        gone = np.arange(kept.shape[1]) >= kept.sum(axis=1, keepdims=True)
        for array, padding in ((neighbours, PAD_NEIGHBOUR), (similarity, PAD_SIMILARITY)):
            moved = np.take_along_axis(array[rows], order, axis=1)
            moved[gone] = padding
            array[rows] = moved
    return KnnGraph(neighbours, similarity)


def _kept(
    lists: NDArray[np.integer], alive: NDArray[np.bool_], rows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which entries of the `lists` [m, K] of `rows` [m] are living rows, listed by such."""
    return np.asarray(alive[lists] & alive[rows, None])


def _has_dead(
    lists: NDArray[np.integer], alive: NDArray[np.bool_], rows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    there = lists != PAD_NEIGHBOUR
    return np.asarray((there & ~_kept(lists, alive, rows)).any(axis=1))
