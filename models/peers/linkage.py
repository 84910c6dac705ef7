"""Average linkage on cosine distance, by chains of nearest neighbours."""

import numpy as np
from numpy.typing import NDArray

from models.peers.components import GRID, Labels, Unit, components


class AverageLinkage:
    """All merges of average linkage over unit rows; cut at any height. Holds n x n distances
    while it is made, so it is for some thousands of rows.
    """

    def __init__(self, unit: Unit) -> None:
        self._n = len(unit)
        self._a, self._b, self.height = average_merges(1 - unit @ unit.T)

    def parameters(self) -> list[float]:
        """The heights worth trying."""
        if not len(self.height):
            return [0.0]
        return [float(value) for value in np.quantile(self.height, np.linspace(0, 1, GRID))]

    def labels(self, height: float) -> Labels:
        """The clusters of all merges up to `height`."""
        low = self.height <= height
        return components(self._n, self._a[low], self._b[low])


def average_merges(distance: NDArray[np.floating]) -> tuple[Labels, Labels, NDArray[np.float64]]:
    """Rows a, b [n - 1] of the two clusters of each merge, and its height. Changes `distance`.

    The height is the mean distance of all pairs between the two clusters, so it never falls from
    a merge to one that contains it.
    """
    n = len(distance)
    np.fill_diagonal(distance, np.inf)
    size = np.ones(n)
    alive = np.ones(n, np.bool_)
    a, b = np.zeros(max(n - 1, 0), np.int64), np.zeros(max(n - 1, 0), np.int64)
    height = np.zeros(max(n - 1, 0))
    chain: list[int] = []
    for step in range(n - 1):
        if not chain:
            chain.append(int(np.argmax(alive)))
        i, j = _mutual(distance, chain)
        a[step], b[step], height[step] = i, j, distance[i, j]
        merged = (size[i] * distance[i] + size[j] * distance[j]) / (size[i] + size[j])
        merged[i] = np.inf
        distance[i], distance[:, i] = merged, merged
        distance[j], distance[:, j] = np.inf, np.inf
        size[i] += size[j]
        alive[j] = False
    return a, b, height


def _mutual(distance: NDArray[np.floating], chain: list[int]) -> tuple[int, int]:
    """Follow nearest neighbours until two are each other's; they leave the chain."""
    while True:
        last = chain[-1]
        near = int(np.argmin(distance[last]))
        if len(chain) > 1 and distance[last, chain[-2]] <= distance[last, near]:
            j = chain[-2]
            del chain[-2:]
            return last, j
        chain.append(near)
