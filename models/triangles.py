"""Triangles of the k-NN graph: an edge i-j and a neighbour c that both ends have."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from models.pyg import MessagePassing, MultiAggregation, scatter
from models.view import View

NEAR, WIDE = 5, 10
# What the look-up table of `_common_places` may take.
TABLE_BYTES = 1 << 23
TABLE_BYTES_ON_GPU = 1 << 28


@dataclass(frozen=True, slots=True)
class Triangles:
    """The triangles over the edges of b rows, and each edge's rank in the other end's list.

    Edge e = (row, place) is `row * K + place` with row in 0..b-1. For every triangle: `base`
    [t] its edge i-j, `place_i` [t] and `place_j` [t] where c stands in the lists of i and j.
    `back` [b, K] is the place of i in j's list, K if it is not there.
    """

    base: Tensor
    place_i: Tensor
    place_j: Tensor
    back: Tensor

    def shared(self) -> Tensor:
        """Common neighbours among the first 5, 10 and all K of both ends, as shares; [b, K, 3]."""
        b, k = self.back.shape
        deepest = torch.maximum(self.place_i, self.place_j)  # [t]
        within = torch.stack((deepest < NEAR, deepest < WIDE, deepest < k), dim=1).float()
        count = scatter(within, self.base, dim_size=b * k, reduce="sum")  # [b K, 3]
        limit = torch.tensor([NEAR, WIDE, max(k, 1)], device=count.device)
        return cast("Tensor", (count / limit).view(b, k, 3))


def triangles_of(view: View, rows: Tensor) -> Triangles:
    """Find every triangle over the edges of `rows` [b]."""
    places = [_common_places(view, part) for part in torch.split(rows, _rows_at_once(view))]
    place = torch.cat(places) if places else rows.new_zeros((0, view.k, view.k), dtype=torch.int8)
    b, k = len(rows), view.k
    found = (place.view(-1) >= 0).nonzero().squeeze(1)  # (edge, place_j) pairs
    lists = view.neighbours.index_select(0, rows)  # [b, K]
    theirs = view.neighbours.index_select(0, lists.reshape(-1).clamp(min=0))  # [b K, K]
    own = theirs.view(b, k, k) == rows.to(torch.int32)[:, None, None]  # i in N(j)
    back = torch.full((b * k,), k, device=rows.device)
    edge, rank = own.view(b * k, k).nonzero(as_tuple=True)
    back[edge] = rank
    return Triangles(
        base=found // max(k, 1),
        place_i=place.view(-1)[found].long(),
        place_j=found % max(k, 1),
        back=back.view(b, k).masked_fill(lists < 0, k),
    )


def _rows_at_once(view: View) -> int:
    limit = TABLE_BYTES if view.device.type == "cpu" else TABLE_BYTES_ON_GPU
    return max(1, limit // (len(view) + 1))


def _common_places(view: View, rows: Tensor) -> Tensor:
    """Int8 [b, K, K]: for entry w of the list of i's neighbour a, its place in i's list, or -1.

    A table of all places, one line per row of `rows`, is written and looked up; the last column
    stands for padding.
    """
    n, k, b = len(view), view.k, len(rows)
    lists = view.neighbours.index_select(0, rows).long()  # [b, K]
    theirs = view.neighbours.index_select(0, lists.reshape(-1).clamp(min=0)).long()  # [b K, K]
    table = torch.full((b, n + 1), -1, dtype=torch.int8, device=rows.device)
    places = torch.arange(k, dtype=torch.int8, device=rows.device).expand(b, k)
    table.scatter_(1, torch.where(lists < 0, n, lists), places)
    table[:, n] = -1
    seen = table.gather(1, torch.where(theirs < 0, n, theirs).view(b, k * k)).view(b, k, k)
    return seen.masked_fill((lists < 0)[..., None], -1)


class TriangleMessages(MessagePassing):  # type: ignore[misc]  # untyped
    """Each edge i-j hears from every triangle i-j-c how likely its two other sides are.

    With P_c = (p_ic, p_jc), the message of c is (p_ic p_jc, |p_ic - p_jc|, min(P_c), 1) and the
    edge keeps sum, sum, max and sum of these. The nodes of this graph are edges of the k-NN graph.
    """

    def __init__(self) -> None:
        super().__init__(aggr=MultiAggregation(["sum", "max"]))

    def forward(self, triangles: Triangles, side_i: Tensor, side_j: Tensor) -> Tensor:
        """`side_i`, `side_j` [t]: p_ic and p_jc of every triangle. Returns [b, K, 4]."""
        b, k = triangles.back.shape
        t = len(triangles.base)
        edge_index = torch.stack((torch.arange(t, device=triangles.base.device), triangles.base))
        sides = torch.stack((side_i, side_j), dim=1)  # [t, 2]
        out = self.propagate(edge_index, sides=sides, size=(t, b * k))  # [b K, 8]
        return cast("Tensor", out[:, (0, 1, 6, 3)].view(b, k, 4))

    def message(self, sides_j: Tensor) -> Tensor:
        """[t, 2] -> [t, 4]."""
        p, q = sides_j.unbind(1)
        return torch.stack((p * q, (p - q).abs(), torch.minimum(p, q), torch.ones_like(p)), dim=1)
