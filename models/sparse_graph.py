"""A k-NN graph as scikit-learn has it, as a `KnnGraph`."""

from typing import Any

import numpy as np

from models.errors import BadInputError
from models.graph import PAD_NEIGHBOUR, PAD_SIMILARITY, K, KnnGraph


def knn_graph(graph: Any, k: int = K) -> KnnGraph:
    """A `KnnGraph` as it is, or one made of a sparse matrix [n, n] of cosine distances.

    Such a matrix is what `sklearn.neighbors.kneighbors_graph(X, 30, mode="distance",
    metric="cosine")` gives: entry (i, j) is 1 - cos(x_i, x_j) for each neighbour j of i. Rows may
    have different numbers of neighbours; a row's entry for itself is dropped, and so are those
    behind its `k` nearest. Raises `BadInputError` for anything else.
    """
    if isinstance(graph, KnnGraph):
        return graph
    shape = getattr(graph, "shape", None)
    if not hasattr(graph, "tocoo") or shape is None or shape[0] != shape[1]:
        raise BadInputError(
            f"graph is {type(graph).__name__} {shape or ''}; it must be a KnnGraph or a sparse "
            "matrix [n, n] of cosine distances"
        )
    entries = graph.tocoo()
    other = entries.row != entries.col
    row, column = entries.row[other].astype(np.int64), entries.col[other]
    similarity = 1 - np.asarray(entries.data[other], np.float32)
    order = np.lexsort((column, -similarity, row))
    row, column, similarity = row[order], column[order], similarity[order]
    degree = np.bincount(row, minlength=shape[0])
    place = np.arange(len(row)) - (degree.cumsum() - degree)[row]
    near = place < k
    row, column, place = row[near], column[near], place[near]
    size = (shape[0], min(k, int(degree.max(initial=0))))
    neighbours = np.full(size, PAD_NEIGHBOUR, np.int32)
    similarities = np.full(size, PAD_SIMILARITY, np.float32)
    neighbours[row, place] = column
    similarities[row, place] = similarity[near]
    return KnnGraph(neighbours, similarities)
