"""Clusters as super-nodes, and the pairs of them that edges of the k-NN graph join.

Everything kept is a sum or a maximum, so that merging two clusters is adding two rows. A cluster
stands in the row of one of its members, its representative; rows of the others are left behind.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

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

    def absorb(self, into: Rows, gone: Rows, pairs: "Pairs") -> None:
        """Merge each cluster `gone` [m] into `into` [m], with the cross edges of `pairs` [m]."""
        for field in fields(self):
            if field.name != "total_square":
                column = getattr(self, field.name)
                column[into] += column[gone]
        self.inner[into] += pairs.count
        self.inner_p[into] += pairs.p
        self.inner_r[into] += pairs.r
        self.total_square[into] = np.einsum("md,md->m", self.total[into], self.total[into])


@dataclass(slots=True)
class Pairs:
    """Per pair of clusters (a < b by row) [e]: what its cross edges sum up to.

    `count` edges, `p` = sum p, `pp` = sum p^2, `r` = sum R; `p_max`, `r_max`. `q` is the pair
    network's answer, NaN while it has not been asked.
    """

    a: Rows
    b: Rows
    count: Floats
    p: Floats
    pp: Floats
    r: Floats
    p_max: Floats
    r_max: Floats
    q: Floats

    def __len__(self) -> int:
        return len(self.a)

    def take(self, index: NDArray[np.bool_] | Rows | slice) -> "Pairs":
        """The pairs at `index`."""
        return Pairs(*(getattr(self, field.name)[index] for field in fields(self)))

    def renamed(self, root: Rows, changed: NDArray[np.bool_]) -> "Pairs":
        """The pairs after every cluster c became `root[c]`; equal ones are added together.

        `changed` [n] marks the clusters that grew: only their pairs can meet, and must be asked
        again.
        """
        a, b = root[self.a], root[self.b]
        touched = changed[a] | changed[b]
        still = self.take(~touched)
        moved = self.take(touched)
        moved.a, moved.b = np.minimum(a[touched], b[touched]), np.maximum(a[touched], b[touched])
        met = _add_equal(moved, len(root))
        return Pairs(
            *(np.concatenate((getattr(still, f.name), getattr(met, f.name))) for f in fields(self))
        )


def _add_equal(pairs: Pairs, n: int) -> Pairs:
    """One row per distinct (a, b), in their order."""
    if not len(pairs):
        return pairs
    key = pairs.a * n + pairs.b
    order = np.argsort(key, kind="stable")
    key = key[order]
    start = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))

    def added(value: Floats) -> Floats:
        return np.add.reduceat(value[order], start)

    return Pairs(
        a=key[start] // n,
        b=key[start] % n,
        count=added(pairs.count),
        p=added(pairs.p),
        pp=added(pairs.pp),
        r=added(pairs.r),
        p_max=np.maximum.reduceat(pairs.p_max[order], start),
        r_max=np.maximum.reduceat(pairs.r_max[order], start),
        q=np.full(len(start), np.nan),
    )


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
    n = len(neighbours)
    a, b, p, mean_r = undirected(neighbours, probability, r)
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


def undirected(
    neighbours: NDArray[np.int32], probability: NDArray[np.float32], r: NDArray[np.float32]
) -> tuple[Rows, Rows, Floats, Floats]:
    """The edges of a graph, both directions as one: a < b, and the means of p and R, each [e]."""
    n = len(neighbours)
    i, place = np.nonzero(neighbours >= 0)
    j = neighbours[i, place].astype(np.int64)
    key = np.minimum(i, j) * n + np.maximum(i, j)
    order = np.argsort(key, kind="stable")
    key = key[order]
    start = np.flatnonzero(np.diff(key, prepend=-1))
    times = np.diff(start, append=len(key))
    mean_p, mean_r = (
        np.add.reduceat(value[i, place][order].astype(np.float64), start) / times
        if len(key)
        else np.zeros(0)
        for value in (probability, r)
    )
    return key[start] // n, key[start] % n, mean_p, mean_r


def _at_both_ends(a: Rows, b: Rows, n: int, value: Floats | None) -> Floats:
    """The sum of `value` [e], or the number of edges, at every row [n]."""
    total = np.zeros(n)
    for end in (a, b):
        total += np.bincount(end, value, n)
    return total
