"""Whether a graph that somebody brings is one, and of these vectors."""

import numpy as np
from numpy.typing import NDArray

from models.errors import BadInputError
from models.graph import PAD_NEIGHBOUR, KnnGraph, twice
from models.vectors import CHUNK_ROWS

# So far may a similarity be from the cosine of its rows: graphs are also kept in half precision.
TOLERANCE = 0.02
COMPARED_ROWS = 512


def check_graph(graph: KnnGraph, unit: NDArray[np.float32]) -> None:
    """Raise `BadInputError`, naming the row, where `graph` is no k-NN graph of the rows `unit`.

    Ids, order and finiteness are looked at everywhere; similarities are compared with the vectors
    in up to 512 rows, spread evenly. Takes a second for a million rows.
    """
    n, k = graph.neighbours.shape
    if n != len(unit):
        raise BadInputError(f"graph has {n} rows and vectors {len(unit)}; both need n")
    if k < 1 and n > 1:
        raise BadInputError("graph has no neighbours; each row needs at least 1 column")
    for start in range(0, n, CHUNK_ROWS):
        _check_block(graph, start, n)
    _compare(graph, unit)


def _check_block(graph: KnnGraph, start: int, n: int) -> None:
    block = slice(start, start + CHUNK_ROWS)
    neighbours = np.asarray(graph.neighbours[block], np.int64)
    similarity = graph.similarity[block]
    there = neighbours != PAD_NEIGHBOUR
    own = np.arange(start, start + len(neighbours))[:, None]
    falling = similarity[:, 1:] <= similarity[:, :-1]
    wrong = {
        f"a neighbour that is not in 0..{n - 1}": there & ((neighbours < 0) | (neighbours >= n)),
        "itself as a neighbour": neighbours == own,
        "a neighbour twice": twice(neighbours)[:, None],
        "a neighbour after a missing one": there[:, 1:] & ~there[:, :-1],
        "a similarity that is no number": there & ~np.isfinite(similarity),
        "neighbours that are not in the order of falling similarity": there[:, 1:] & ~falling,
    }
    for what, where in wrong.items():
        rows = where.any(axis=1)
        if rows.any():
            raise BadInputError(f"graph row {start + int(rows.argmax())} has {what}")


def _compare(graph: KnnGraph, unit: NDArray[np.float32]) -> None:
    rows = np.unique(np.linspace(0, len(unit) - 1, min(len(unit), COMPARED_ROWS)).astype(np.int64))
    neighbours = graph.neighbours[rows]
    there = neighbours != PAD_NEIGHBOUR
    cosine = np.einsum("rd,rkd->rk", unit[rows], unit[neighbours])
    off = there & ~(np.abs(cosine - graph.similarity[rows]) <= TOLERANCE)
    if off.any():
        row, place = np.argwhere(off)[0]
        raise BadInputError(
            f"graph row {rows[row]} has similarity {graph.similarity[rows[row], place]:.3f} to row"
            f" {neighbours[row, place]}, and their cosine is {cosine[row, place]:.3f}; similarities"
            " must be cosines (in a sparse matrix of scikit-learn, cosine distances)"
        )
