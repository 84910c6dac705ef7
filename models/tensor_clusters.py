"""Clusters and pairs of them as tensors: `models.supernodes` and `models.pairs` on a GPU.

The columns are the same, and so is what a pair's network reads. A line is a row here, and the sum
over a cluster's vectors is kept for every line, so that no step waits to hand out places.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.kernels import columns
from models.kernels.constants import NOTHING_INSIDE
from models.pairs import UNSEEN
from models.supernodes import MIN_EDGE_PROBABILITY


@dataclass(slots=True)
class TensorPairs:
    """`ends` int64 [e, 2], `sums` float32 [e, 6], `q` and `limit` float32 [e], as in `Pairs`."""

    ends: Tensor
    sums: Tensor
    q: Tensor
    limit: Tensor

    def __len__(self) -> int:
        return len(self.q)

    def take(self, index: Tensor) -> "TensorPairs":
        """The pairs at `index`, as a copy."""
        return TensorPairs(self.ends[index], self.sums[index], self.q[index], self.limit[index])


@dataclass(slots=True)
class TensorClusters:
    """`sums` float64 [n, 11] and `lines` float32 [n, 16], as in `Clusters`.

    `total` float32 [n, d] = sum u over the members; `single` [n]: clusters of one row.
    """

    sums: Tensor
    lines: Tensor
    total: Tensor
    single: Tensor

    def absorb(self, pairs: TensorPairs) -> None:
        """As `Clusters.absorb`."""
        into, gone = pairs.ends.unbind(1)
        sums = self.sums[into] + self.sums[gone]
        inside = [columns.INNER, columns.INNER_P, columns.INNER_R]
        sums[:, inside] += pairs.sums[:, [0, 1, 3]].double()
        self.total.index_add_(0, into, self.total[gone])
        sums[:, columns.TOTAL_SQUARE] = _squares(self.total[into])
        self.sums[into] = sums
        self.lines[into] = described(sums)
        self.single[into] = False

    def enclose(self, clusters: Tensor, pairs: TensorPairs) -> None:
        """As `Clusters.enclose`."""
        clusters, order = torch.sort(clusters, stable=True)
        into, times = torch.unique_consecutive(clusters, return_counts=True)
        edges = pairs.sums[order][:, [0, 1, 3]].double()
        inside = [columns.INNER, columns.INNER_P, columns.INNER_R]
        sums = self.sums[into]
        sums[:, inside] += torch.segment_reduce(edges, "sum", lengths=times, unsafe=True)
        self.sums[into], self.lines[into] = sums, described(sums)


def tensor_level(
    edges: tuple[Tensor, Tensor, Tensor, Tensor],
    vectors: Tensor,
    mean: Tensor,
    density: Tensor,
    coherence: Tensor,
) -> tuple[TensorClusters, TensorPairs]:
    """As `first_level`, of edges (i, j, p, R) with i < j, each once."""
    i, j, p, r = edges
    n = len(vectors)
    total = vectors - mean
    square = _squares(total)
    sums = torch.zeros((n, columns.CLUSTER_SUMS), dtype=torch.float64, device=vectors.device)
    sums[:, columns.SIZE] = 1
    sums[:, columns.DENSITY] = density.double()
    sums[:, columns.CLUSTER_COHERENCE] = coherence.double()
    sums[:, columns.SQUARE] = sums[:, columns.TOTAL_SQUARE] = square
    sums[:, columns.CLUSTER_NORM] = square.sqrt()
    mass, degree = torch.zeros((2, n), dtype=torch.float64, device=vectors.device)
    for end in (i, j):
        mass.index_add_(0, end, p.double())
        degree.index_add_(0, end, torch.ones_like(end, dtype=torch.float64))
    sums[:, columns.MASS], sums[:, columns.DEGREE] = mass, degree
    said = p > MIN_EDGE_PROBABILITY
    i, j, p, r = i[said], j[said], p[said], r[said]
    pairs = TensorPairs(
        ends=torch.stack((i, j), dim=1),
        sums=torch.stack((torch.ones_like(p), p, p * p, r, p, r), dim=1),
        q=torch.full_like(p, torch.nan),
        limit=UNSEEN[0] + UNSEEN[1] * p,
    )
    single = torch.ones(n, dtype=torch.bool, device=vectors.device)
    return TensorClusters(sums, described(sums), total, single), pairs


def edges_once(neighbours: Tensor, p: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `undirected`: (i, j, p, R), each [e] and once, i < j, from three [n, K]."""
    n = len(neighbours)
    own = torch.arange(n, device=neighbours.device)[:, None]
    valid = (neighbours >= 0) & (neighbours != own)
    i, j = own.expand(neighbours.shape)[valid], neighbours[valid].long()
    key, order = torch.sort(torch.minimum(i, j) * n + torch.maximum(i, j), stable=True)
    key, times = torch.unique_consecutive(key, return_counts=True)
    last = times.cumsum(0) - 1
    once, again = order[last + 1 - times], order[last]  # the same where only one end lists it
    p, r = p[valid], r[valid]
    return key // n, key % n, (p[once] + p[again]) / 2, (r[once] + r[again]) / 2


def described(sums: Tensor) -> Tensor:
    """What a pair's network reads of clusters with these `sums` [m, 11]: float32 [m, 16]."""
    own = sums.unbind(1)
    size, inner = own[columns.SIZE], own[columns.INNER]
    mass, inner_p = own[columns.MASS] / size, own[columns.INNER_P]
    pairs = size * (size - 1)
    norm = (own[columns.CLUSTER_NORM] / size).clamp(min=1e-6)
    density = own[columns.DENSITY] / size
    among = (own[columns.TOTAL_SQUARE] - own[columns.SQUARE]) / norm.square() * (size > 1)
    outgoing_p = (own[columns.MASS] - 2 * inner_p).clamp(min=1e-3)
    has, several = inner > 0, size > 1
    some, most = inner.clamp(min=1), pairs.clamp(min=1)
    lines = torch.zeros((len(sums), columns.CLUSTER_LINE), device=sums.device)
    for column, value in (
        (columns.L_SIZE, size),
        (columns.L_NORM, norm),
        (columns.L_DENSITY, density),
        (columns.L_COHERENCE, own[columns.CLUSTER_COHERENCE] / size),
        (columns.L_TOTAL_SQUARE, own[columns.TOTAL_SQUARE]),
        (columns.L_WITHIN, (among + 2 * density) / (pairs + 2)),
        (columns.L_OUTGOING_P, outgoing_p),
        (columns.L_OUTGOING, (own[columns.DEGREE] - 2 * inner).clamp(min=1)),
        (columns.L_INNER_P, torch.where(has, inner_p / some, NOTHING_INSIDE)),
        (columns.L_FILLED, torch.where(several, 2 * inner_p / most, NOTHING_INSIDE)),
        (columns.L_LOG_MASS, (mass + 0.1).log()),
        (columns.L_LOG_SPARSE, (size / (mass + 0.5)).log()),
        (columns.L_LOG_OUTGOING, (outgoing_p / size + 0.05).log()),
        (columns.L_INNER_R, torch.where(has, own[columns.INNER_R] / some, density)),
        (columns.L_LOG_SIZE, size.log()),
    ):
        lines[:, column] = value.float()
    return lines


def _squares(vectors: Tensor) -> Tensor:
    """Squared length of each of `vectors` [m, d]: float64 [m]."""
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=1)
    return lengths.double().square()
