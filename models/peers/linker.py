"""The "linker": boosted trees judge the edges of the k-NN graph, average linkage clusters them.

Trained in the domain that it is tested on, so it knows the encoder, which a transferring model
does not.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.graph import K, nearest
from models.peers.choose import best_parameter
from models.peers.components import GRID, Labels, Unit, components
from models.peers.linkage import average_merges
from models.training.sources import LabelledSet, few_rows

# Classes that the trees learn from; the threshold is chosen on the others.
LEARN_SHARE = 0.7
NEAR = (1, 5, 10, 30)


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges i -> j of a collection's graph, what is known of each [e, f], and its size."""

    n: int
    i: Labels
    j: Labels
    x: NDArray[np.float32]


class Linker:
    """Trees and a threshold, fitted on one labelled set."""

    def __init__(self, train: LabelledSet, seed: int) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier

        order = np.random.default_rng(seed).permutation(train.classes)
        cut = max(1, int(LEARN_SHARE * train.classes))
        learn = train.of_classes(order[:cut])
        edges = edges_of(learn.unit)
        same = learn.labels[edges.i] == learn.labels[edges.j]
        self._trees: Any = HistGradientBoostingClassifier(random_state=seed).fit(edges.x, same)
        tune = few_rows(train.of_classes(order[cut:]))
        self.height = best_parameter(Linked(self, tune.unit), tune.labels)

    def probability(self, edges: Edges) -> NDArray[np.float64]:
        """How likely each edge joins two of a class [e]."""
        if not len(edges.i):
            return np.zeros(0)
        return np.asarray(self._trees.predict_proba(edges.x)[:, 1])

    def labels(self, unit: Unit) -> Labels:
        """The clusters of other rows of the same encoder."""
        return Linked(self, unit).labels(self.height)


class Linked:
    """Average linkage over 1 - p; pairs without an edge count as p = 0."""

    def __init__(self, linker: Linker, unit: Unit) -> None:
        edges = edges_of(unit)
        p = linker.probability(edges)
        distance = np.ones((edges.n, edges.n), np.float32)
        np.minimum.at(distance, (edges.i, edges.j), (1 - p).astype(np.float32))
        self._n = edges.n
        self._a, self._b, self._height = average_merges(np.minimum(distance, distance.T))

    def parameters(self) -> list[float]:
        """The heights worth trying."""
        return [float(height) for height in np.linspace(0.01, 1, GRID, endpoint=False)]

    def labels(self, height: float) -> Labels:
        """The clusters of all merges up to `height`."""
        low = self._height <= height
        return components(self._n, self._a[low], self._b[low])


def edges_of(unit: Unit) -> Edges:
    """The graph's edges and the numbers that the trees read: cosine, ranks, densities, overlap."""
    graph = nearest(unit, K)
    real = graph.neighbours >= 0
    i, place = real.nonzero()
    j = graph.neighbours[real].astype(np.int64)
    s = graph.similarity[real]
    filled = np.where(real, graph.similarity, 0)
    columns = [s, place.astype(np.float32), _rank_back(graph.neighbours, i, j)]
    for k in NEAR:
        mean = filled[:, :k].mean(1)
        low, high = np.minimum(mean[i], mean[j]), np.maximum(mean[i], mean[j])
        columns += [low, high, s - low, s - high]
    columns += [_shared(graph.neighbours[:, :k], i, j) for k in (5, 10, 30)]
    degree = np.log1p(np.bincount(j, minlength=len(unit)))
    columns += [np.minimum(degree[i], degree[j]), np.maximum(degree[i], degree[j])]
    return Edges(len(unit), i, j, np.stack(columns, axis=1).astype(np.float32))


def _rank_back(neighbours: NDArray[np.int32], i: Labels, j: Labels) -> NDArray[np.float32]:
    """The place of i in j's list [e], its length where i is not in it."""
    found = neighbours[j] == i[:, None]
    place: NDArray[np.int64] = np.where(found.any(1), found.argmax(1), neighbours.shape[1])
    return place.astype(np.float32)


def _shared(neighbours: NDArray[np.int32], i: Labels, j: Labels) -> NDArray[np.float32]:
    """How many neighbours both ends have [e]."""
    from scipy.sparse import csr_matrix

    row, place = (neighbours >= 0).nonzero()
    column = neighbours[row, place]
    n = len(neighbours)
    table = csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=(n, n))
    count: NDArray[np.float32] = np.asarray(table[i].multiply(table[j]).sum(axis=1), np.float32)
    return count.ravel()
