"""Connected components of the k-NN graph: edges of at least some cosine join."""

import numpy as np
from numpy.typing import NDArray

from models.graph import K, nearest

Labels = NDArray[np.int64]
Unit = NDArray[np.float32]

# Cosines that are tried.
GRID = 60


def components(n: int, a: Labels, b: Labels) -> Labels:
    """Labels [n], 0 without gaps, of the components that the edges a-b make."""
    label = np.arange(n)
    while True:
        low = np.minimum(label[a], label[b])
        before = label.copy()
        np.minimum.at(label, a, low)
        np.minimum.at(label, b, low)
        np.minimum.at(label, before, label.copy())  # what a root hears, its whole tree hears
        label = label[label]
        if np.array_equal(before, label):
            return np.unique(label, return_inverse=True)[1].astype(np.int64)


class Components:
    """Components at any cosine, over the graph of the 30 nearest neighbours."""

    def __init__(self, unit: Unit) -> None:
        graph = nearest(unit, K)
        real = graph.neighbours >= 0
        self._n = len(unit)
        self._a = real.nonzero()[0]
        self._b = graph.neighbours[real].astype(np.int64)
        self._cosine = graph.similarity[real]

    def parameters(self) -> list[float]:
        """The cosines worth trying."""
        if not len(self._cosine):
            return [1.0]
        return [float(value) for value in np.quantile(self._cosine, np.linspace(0, 1, GRID))]

    def labels(self, cosine: float) -> Labels:
        """The components of all edges of at least `cosine`."""
        near = self._cosine >= cosine
        return components(self._n, self._a[near], self._b[near])
