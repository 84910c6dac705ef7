"""Clusters as super-nodes.

Everything kept is a sum or a maximum, so that merging two clusters is adding two lines. A cluster
stands in the line of one of its members, its representative: of two that merge that of the lower
row, save where small ones join a large one. The lines of the others are left behind.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.kernels import columns
from models.kernels.clusters import absorb_clusters, describe_clusters, sum_edges
from models.pairs import Floats, Pairs, Rows, pairs_of

# An edge less likely than this says nothing that is worth carrying.
MIN_EDGE_PROBABILITY = 0.01


@dataclass(slots=True)
class Clusters:
    """Per representative [n]: sums over the members, and over the edges inside.

    `sums` float64 [n, 11] has a column for each (`models.kernels.columns`): `size` members;
    `square` = sum |u|^2; `inner`, `inner_p`, `inner_r`: number of edges inside, their p and their
    R; `mass`, `degree`: p and number of all edges at the members; `density`, `coherence`, `norm`:
    of the members; `total_square` = |sum u|^2. `lines` float32 [n, 16] is what the pair network
    reads of it, made of these.

    `ids` [n] are the rows of `vectors` that the lines began as. sum u of a single row is its vector
    less the `mean`; of more it is `merged[slot[line]]`, of which no more memory is touched than
    there are clusters of several rows.
    """

    sums: NDArray[np.float64]
    lines: NDArray[np.float32]
    vectors: NDArray[np.float32]
    ids: Rows
    mean: NDArray[np.float32]
    slot: NDArray[np.int32]
    merged: NDArray[np.float32]
    free: NDArray[np.int32]

    @property
    def size(self) -> Floats:
        """Members of each cluster."""
        return self.sums[:, columns.SIZE]

    @property
    def vector_sums(self) -> tuple[NDArray[Any], ...]:
        """Where sum u of a cluster lies, for kernels."""
        return (self.vectors, self.ids, self.mean, self.slot, self.merged, self.free)

    def total(self, lines: Rows) -> NDArray[np.float32]:
        """Sum of u over the members of the clusters `lines` [m]: [m, d]."""
        out = self.vectors[self.ids[lines]] - self.mean
        several = self.slot[lines] >= 0
        out[several] = self.merged[self.slot[lines[several]]]
        return out

    def absorb(self, pairs: Pairs) -> None:
        """Merge both clusters of each of `pairs`, which touch disjoint ones, into the first."""
        absorb_clusters(pairs.ends, pairs.sums, self.sums, self.vector_sums)
        describe_clusters(np.ascontiguousarray(pairs.ends[:, 0]), self.sums, self.lines)

    def enclose(self, clusters: Rows, pairs: Pairs) -> None:
        """Count the edges of `pairs` [e] as within `clusters` [e], where both their ends are."""
        inside = (
            (columns.INNER, pairs.count),
            (columns.INNER_P, pairs.p),
            (columns.INNER_R, pairs.r),
        )
        for column, edges in inside:
            np.add.at(self.sums[:, column], clusters, edges)
        describe_clusters(np.unique(clusters), self.sums, self.lines)


def first_level(
    edges: tuple[Rows, Rows, NDArray[Any], NDArray[Any]],
    vectors: NDArray[np.float32],
    mean: NDArray[np.float32],
    density: NDArray[np.float32],
    coherence: NDArray[np.float32],
    ids: Rows | None = None,
) -> tuple[Clusters, Pairs]:
    """Every row a cluster of its own, every edge a pair.

    `edges` are (i, j, p, R), each [e] and once; `vectors` [n, d] less `mean` [d] are u; `density`
    [n] = mean R of the first 10, `coherence` [n]. i, j and the last two are by lines, in the order
    of rows or in that of `ids` [n].
    """
    n, d = vectors.shape
    rows = np.arange(n) if ids is None else ids
    i, j, p, r = edges
    sums = np.zeros((n, columns.CLUSTER_SUMS))
    sums[:, columns.SIZE] = 1
    sums[:, columns.DENSITY], sums[:, columns.CLUSTER_COHERENCE] = density, coherence
    sum_edges((i, j), p, vectors, rows, mean, sums)
    lines = np.empty((n, columns.CLUSTER_LINE), np.float32)
    describe_clusters(np.arange(n, dtype=np.int32), sums, lines)
    several = n // 2 + 1
    # Of free[0] slots that were given back, free[1:] holds the numbers; free[-1] were ever used.
    clusters = Clusters(
        sums=sums,
        lines=lines,
        vectors=vectors,
        ids=rows,
        mean=mean,
        slot=np.full(n, -1, np.int32),
        merged=np.empty((several, d), np.float32),
        free=np.zeros(several + 2, np.int32),
    )
    said = np.flatnonzero(p > MIN_EDGE_PROBABILITY)
    i, j, p, r = i[said], j[said], p[said], r[said]
    swap = rows[i] > rows[j]
    return clusters, pairs_of(np.where(swap, j, i), np.where(swap, i, j), p, r)
