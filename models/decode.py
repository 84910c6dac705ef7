"""The paper's decoding of one level: a forest of parent pointers (Xing et al. 2021, section 3).

Kept as a pure function on tensors. The shipped model builds its levels by `models.levels`.
"""

import torch
from torch import Tensor


def predicted_density(similarity: Tensor, probability: Tensor, valid: Tensor) -> Tensor:
    """d^_i = mean over j in N(i) of s_ij (p_ij - (1 - p_ij)): [n] from three [n, K]."""
    signed = similarity * (2 * probability - 1) * valid
    return signed.sum(1) / valid.sum(1).clamp(min=1)


def decode(
    neighbours: Tensor, probability: Tensor, density: Tensor, tau: float
) -> tuple[Tensor, Tensor]:
    """Parent and root of every node, each int64 [n].

    Node i keeps the one edge of largest `probability` [n, K] among those to a denser neighbour
    with probability > `tau`; `density` is [n], `neighbours` [n, K] with -1 at padding. A node that
    keeps none is a peak: its own parent. Edges climb in density only, so the pointers form a
    forest, and nodes with one root are one cluster. Of equal densities the lower row is denser, so
    that equal nodes can link.
    """
    n, k = neighbours.shape
    rows = torch.arange(n, device=neighbours.device)
    if n == 0 or k == 0:
        return rows, rows
    j = neighbours.clamp(min=0).long()  # [n, K]
    here, there = density[:, None], density[j]
    denser = (there > here) | ((there == here) & (j < rows[:, None]))
    allowed = denser & (neighbours >= 0) & (probability > tau)
    value, place = probability.masked_fill(~allowed, -torch.inf).max(dim=1)
    parent = torch.where(value > -torch.inf, j.gather(1, place[:, None]).squeeze(1), rows)
    root = parent
    while not torch.equal(root, root[root]):  # pointer doubling: log2(depth) steps
        root = root[root]
    return parent, root
