"""Clusters as super-nodes.

Everything kept is a sum or a maximum, so that merging two clusters is adding two rows. A cluster
stands in the row of one of its members, its representative; rows of the others are left behind.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.pairs import Floats, Pairs, Rows, undirected

# An edge less likely than this says nothing that is worth carrying.
MIN_EDGE_PROBABILITY = 0.01


@dataclass(slots=True)
class Clusters:
    """Per representative [n]: sums over the members, and over the edges inside.

    `size` members; `square` = sum |u|^2; `inner`, `inner_p`, `inner_r`: number of edges inside,
    their p and their R; `mass`, `degree`: p and number of all edges at the members; `density`,
    `coherence`, `norm`: of the members. `total` float32 [n, d] = sum u, `total_square` = |total|^2.
    """

    size: Floats
    square: Floats
    inner: Floats
    inner_p: Floats
    inner_r: Floats
    mass: Floats
    degree: Floats
    density: Floats
    coherence: Floats
    norm: Floats
    total_square: Floats
    total: NDArray[np.float32]

    def absorb(self, into: Rows, gone: Rows, pairs: Pairs) -> None:
        """Merge each cluster `gone` [m] into `into` [m], with the cross edges of `pairs` [m]."""
        for field in fields(self):
            if field.name != "total_square":
                column = getattr(self, field.name)
                column[into] += column[gone]
        self.inner[into] += pairs.count
        self.inner_p[into] += pairs.p
        self.inner_r[into] += pairs.r
        self.total_square[into] = np.einsum("md,md->m", self.total[into], self.total[into])


def first_level(
    neighbours: NDArray[np.int32],
    probability: NDArray[np.float32],
    r: NDArray[np.float32],
    centred: NDArray[np.float32],
    density: NDArray[np.float32],
    coherence: NDArray[np.float32],
) -> tuple[Clusters, Pairs]:
    """Every row a cluster of its own, every edge (either way) a pair.

    `neighbours`, `probability`, `r` [n, K]; `centred` float32 [n, d] is taken over and changed;
    `density` [n] = mean R of the first 10, `coherence` [n].
    """
    return first_level_of(undirected(neighbours, probability, r), centred, density, coherence)


def first_level_of(
    edges: tuple[NDArray[np.integer], NDArray[np.integer], NDArray[Any], NDArray[Any]],
    centred: NDArray[np.float32],
    density: NDArray[np.float32],
    coherence: NDArray[np.float32],
) -> tuple[Clusters, Pairs]:
    """As `first_level`, of `edges` (i, j, p, R), each [e] and once."""
    n = len(centred)
    i, j, p, mean_r = edges[0], edges[1], edges[2].astype(np.float64), edges[3].astype(np.float64)
    a, b = np.minimum(i, j).astype(np.int64), np.maximum(i, j).astype(np.int64)
    square = np.einsum("nd,nd->n", centred, centred).astype(np.float64)
    clusters = Clusters(
        size=np.ones(n),
        square=square,
        inner=np.zeros(n),
        inner_p=np.zeros(n),
        inner_r=np.zeros(n),
        mass=_at_both_ends(a, b, n, p),
        degree=_at_both_ends(a, b, n, None),
        density=density.astype(np.float64),
        coherence=coherence.astype(np.float64),
        norm=np.sqrt(square),
        total_square=square.copy(),
        total=centred,
    )
    said = p > MIN_EDGE_PROBABILITY
    a, b, p, mean_r = a[said], b[said], p[said], mean_r[said]
    one, unasked = np.ones(len(p)), np.full(len(p), np.nan)
    return clusters, Pairs(a, b, one, p, p * p, mean_r, p.copy(), mean_r.copy(), unasked)


def _at_both_ends(a: Rows, b: Rows, n: int, value: Floats | None) -> Floats:
    """The sum of `value` [e], or the number of edges, at every row [n]."""
    total = np.zeros(n)
    for end in (a, b):
        total += np.bincount(end, value, n)
    return total
