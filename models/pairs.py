"""Pairs of clusters that edges of the k-NN graph join, as sums over those edges."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


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
