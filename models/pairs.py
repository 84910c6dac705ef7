"""Pairs of clusters that edges of the k-NN graph join, as sums over those edges."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.integer[Any]]

# A pair that was never asked is thought to be no likelier than [0] + [1] p of its likeliest edge.
UNSEEN = (0.15, 2.0)


@dataclass(slots=True)
class Pairs:
    """Per pair of clusters [e] what its cross edges sum up to.

    `ends` int32 [e, 2]: their lines in `Clusters`, the one of the lower row first. `sums` float32
    [e, 6]: `count` edges, `p` = sum p, `pp` = sum p^2, `r` = sum R; `p_max`, `r_max`. `q` float32
    [e] is the pair network's answer, NaN if it was not asked; `limit` float32 [e] what q is thought
    not to exceed.
    """

    ends: NDArray[np.int32]
    sums: NDArray[np.float32]
    q: NDArray[np.float32]
    limit: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.q)

    @property
    def a(self) -> Rows:
        """The first end of each."""
        return self.ends[:, 0]

    @property
    def b(self) -> Rows:
        """The second end of each."""
        return self.ends[:, 1]

    @property
    def count(self) -> Floats:
        """Number of cross edges."""
        return self.sums[:, 0]

    @property
    def p(self) -> Floats:
        """Sum of their p."""
        return self.sums[:, 1]

    @property
    def pp(self) -> Floats:
        """Sum of their p^2."""
        return self.sums[:, 2]

    @property
    def r(self) -> Floats:
        """Sum of their R."""
        return self.sums[:, 3]

    @property
    def p_max(self) -> Floats:
        """The largest p."""
        return self.sums[:, 4]

    @property
    def r_max(self) -> Floats:
        """The largest R."""
        return self.sums[:, 5]

    def take(self, index: NDArray[np.bool_] | Rows | slice) -> "Pairs":
        """The pairs at `index`; with a slice they share memory."""
        return Pairs(self.ends[index], self.sums[index], self.q[index], self.limit[index])


def pairs_of(a: Rows, b: Rows, p: Floats, r: Floats) -> Pairs:
    """Single edges as pairs [e]."""
    sums = np.stack((np.ones_like(p), p, p * p, r, p, r), axis=1, dtype=np.float32)
    ends = np.stack((a, b), axis=1, dtype=np.int32)
    limit = (UNSEEN[0] + UNSEEN[1] * p).astype(np.float32)
    return Pairs(ends, sums, np.full(len(p), np.nan, np.float32), limit)


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
