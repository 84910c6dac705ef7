"""A level of the recursion: its nodes, its graph, and how the next one follows by contraction."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.graph import PAD_NEIGHBOUR, PAD_SIMILARITY

Rows = NDArray[np.int64]
# Similarities computed at once.
PAIR_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class Level:
    """`m` nodes of a collection of n rows.

    `peak` int64 [m]: the row that stands for each node, f its vector; `mean` float32 [m, d]: c,
    the mean over all member images; `size` float64 [m]: how many those are. `neighbours` int32
    [m, K] and `similarity` float32 [m, K] are places in the level. `a`, `b` int64 [e]: all pairs
    of nodes that an edge of the collection joins, both ways.
    """

    peak: Rows
    mean: Tensor
    size: NDArray[np.float64]
    neighbours: Tensor
    similarity: Tensor
    a: Rows
    b: Rows

    def __len__(self) -> int:
        return len(self.peak)


def first_level(
    vectors: Tensor, neighbours: Tensor, similarity: Tensor, counts: NDArray[np.int32], k: int
) -> Level:
    """Every row a node. `neighbours` [n, K'] with K' >= k: only k are read, all are candidates."""
    every = neighbours.cpu().numpy()
    a, place = (every >= 0).nonzero()
    a, b = _both_ways(a, every[a, place].astype(np.int64), len(every))
    plain = rows_only(vectors, neighbours, similarity, k)
    return replace(plain, size=counts.astype(np.float64), a=a, b=b)


def rows_only(vectors: Tensor, neighbours: Tensor, similarity: Tensor, k: int) -> Level:
    """As `first_level`, for judging edges alone: without what contraction needs."""
    none = np.zeros(0, np.int64)
    rows = np.arange(len(neighbours), dtype=np.int64)
    size = np.ones(len(neighbours), np.float64)
    return Level(rows, vectors, size, neighbours[:, :k], similarity[:, :k], none, none)


def contracted(vectors: Tensor, level: Level, root: Rows, k: int) -> tuple[Level, Rows]:
    """The level of the peaks of `level`, and the node there of every node here [m].

    `root` [m] is the peak of each node's tree. Candidates for neighbours are the peaks that an
    edge of the collection joins; the k of largest cosine between peaks are kept. No search.
    """
    peaks, node = np.unique(root, return_inverse=True)
    m = len(peaks)
    a, b = node[level.a], node[level.b]
    a, b = _both_ways(a[a != b], b[a != b], m)
    peak = level.peak[peaks]
    neighbours, similarity = _nearest(vectors, peak, a, b, k)
    size = np.bincount(node, level.size, m).astype(np.float64)
    share = torch.from_numpy(level.size / np.maximum(size[node], 1)).float().to(vectors.device)
    mean = torch.zeros((m, vectors.shape[1]), device=vectors.device)
    mean.index_add_(0, torch.from_numpy(node).to(vectors.device), level.mean * share[:, None])
    return Level(peak, mean, size, neighbours, similarity, a, b), node


def _both_ways(a: Rows, b: Rows, m: int) -> tuple[Rows, Rows]:
    """Distinct ordered pairs of `m` nodes, each also the other way, sorted."""
    key = np.unique(np.concatenate((a * m + b, b * m + a)))
    return key // max(m, 1), key % max(m, 1)


def _nearest(vectors: Tensor, peak: Rows, a: Rows, b: Rows, k: int) -> tuple[Tensor, Tensor]:
    """The `k` candidates of largest cosine of every node, sorted, padded."""
    rows = torch.from_numpy(peak).to(vectors.device)
    cosine = np.empty(len(a), np.float32)
    for start in range(0, len(a), PAIR_BLOCK):
        block = slice(start, start + PAIR_BLOCK)
        one, other = (rows[torch.from_numpy(end[block]).to(rows.device)] for end in (a, b))
        cosine[block] = (vectors[one] * vectors[other]).sum(1).cpu().numpy()
    order = np.lexsort((b, -cosine, a))
    a, b, cosine = a[order], b[order], cosine[order]
    degree = np.bincount(a, minlength=len(peak))
    place = np.arange(len(a)) - (degree.cumsum() - degree)[a]
    kept = place < k
    neighbours = np.full((len(peak), k), PAD_NEIGHBOUR, np.int32)
    similarity = np.full((len(peak), k), PAD_SIMILARITY, np.float32)
    neighbours[a[kept], place[kept]] = b[kept]
    similarity[a[kept], place[kept]] = cosine[kept]
    return (
        torch.from_numpy(neighbours).to(vectors.device),
        torch.from_numpy(similarity).to(vectors.device),
    )
