"""What each row says about its own neighbourhood; the edges read it at both ends."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from models.background import Background
from models.kernels.constants import NEIGHBOURHOOD, NORM_EPSILON, PREFIXES
from models.view import View

# Rows that are described at once: a GPU wants few and large steps.
BLOCK_ROWS = {"cpu": 2_048, "cuda": 65_536}


@dataclass(frozen=True, slots=True)
class NodeTable:
    """Statistics of m rows; every column float32 [m], `direction` [m, d].

    `near` [m, 5] is the mean R of the first 1, 3, 5, 10, 30; `near_z` the mean of the first 10 Z;
    `tenth` and `last` are R of those neighbours; `first_z` and `last_z` likewise for Z.
    `direction` is the mean direction of the first 10 neighbours, of unit length, and
    `coherence` the length it had.
    """

    near: Tensor
    near_z: Tensor
    tenth: Tensor
    last: Tensor
    first_z: Tensor
    last_z: Tensor
    coherence: Tensor
    direction: Tensor

    @staticmethod
    def cat(parts: list["NodeTable"]) -> "NodeTable":
        """The tables of consecutive rows as one."""
        names = NodeTable.__slots__
        return NodeTable(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def node_table(view: View, background: Background, rows: Tensor) -> NodeTable:
    """The statistics of `rows` [m], by blocks."""
    parts = torch.split(rows, BLOCK_ROWS[view.kind])
    return NodeTable.cat([_block(view, background, part) for part in parts])


def _block(view: View, background: Background, rows: Tensor) -> NodeTable:
    neighbours = view.neighbours.index_select(0, rows).long()  # [m, K]
    valid = neighbours >= 0
    degree = valid.sum(1)  # [m]
    r, z = background.standardise(view, rows)  # [m, K]
    r, z = _falling(r, valid), _falling(z, valid)
    end = (degree - 1).clamp(min=0)
    direction, coherence = _direction(view, background, neighbours)
    return NodeTable(
        near=torch.stack([_mean_of_first(r, degree, q) for q in PREFIXES], dim=1),
        near_z=_mean_of_first(z, degree, NEIGHBOURHOOD),
        tenth=_at(r, end.clamp(max=NEIGHBOURHOOD - 1)),
        last=_at(r, end),
        first_z=z[:, 0],
        last_z=_at(z, end),
        coherence=coherence,
        direction=direction,
    )


def _falling(value: Tensor, valid: Tensor) -> Tensor:
    """Rows sorted by falling value; 0 where a row has no more entries."""
    ordered = value.masked_fill(~valid, -torch.inf).sort(dim=1, descending=True).values
    return ordered.masked_fill(ordered == -torch.inf, 0.0)


def _mean_of_first(ordered: Tensor, degree: Tensor, count: int) -> Tensor:
    return ordered[:, :count].sum(1) / degree.clamp(min=1, max=count)


def _at(ordered: Tensor, column: Tensor) -> Tensor:
    return ordered.gather(1, column[:, None]).squeeze(1)


def _direction(view: View, background: Background, neighbours: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the unit u_j of the first neighbours: its direction [m, d] and its length [m]."""
    first = neighbours[:, :NEIGHBOURHOOD]  # [m, q]
    valid = first >= 0
    ids = first.clamp(min=0)
    norm = background.lookup(view.vectors, ids)[..., 1]  # [m, q]
    weight = valid / (norm + NORM_EPSILON) / valid.sum(1, keepdim=True).clamp(min=1)
    # sum_j w_j (x_j - mean), without ever gathering [m, q, d]
    total = embedding_bag(ids, view.vectors, mode="sum", per_sample_weights=weight)  # [m, d]
    total = total - weight.sum(1, keepdim=True) * background.mean
    length = total.norm(dim=1)
    return total / length.clamp(min=NORM_EPSILON)[:, None], length
