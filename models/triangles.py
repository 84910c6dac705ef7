"""Triangles of the k-NN graph: an edge i-j and a neighbour c that both ends have."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.kernels.constants import FEW, WIDE
from models.view import View


@dataclass(frozen=True, slots=True)
class Triangles:
    """The triangles over the first w edges of b rows, in a graph of `k` neighbours.

    Edge e = (row, place) is `row * w + place` with row in 0..b-1. For every triangle: `base`
    [t] its edge i-j, `place_i` [t] and `place_j` [t] where c stands in the lists of i and j.
    `back` [b, w] is the place of i in j's list, k if it is not there.
    """

    k: int
    base: Tensor
    place_i: Tensor
    place_j: Tensor
    back: Tensor

    def counts(self) -> Tensor:
        """Common neighbours among the first 5, 10 and all k of both ends; [b, w, 3]."""
        deepest = torch.maximum(self.place_i, self.place_j)  # [t]
        within = torch.stack([deepest < limit for limit in (FEW, WIDE, self.k)], dim=1).float()
        count = within.new_zeros((self.back.numel(), 3))
        count.scatter_add_(0, self.base[:, None].expand_as(within), within)
        return count.view(*self.back.shape, 3)

    def shared(self) -> Tensor:
        """The same as shares."""
        limit = torch.tensor([FEW, WIDE, max(self.k, 1)], device=self.back.device)
        return self.counts() / limit


def triangles_of(view: View, rows: Tensor, width: int) -> Triangles:
    """Find every triangle over the first `width` edges of each of `rows` [b]."""
    k = view.k
    place = _common_places(view, rows, width)  # [b, w, K]
    lists = view.neighbours.index_select(0, rows)[:, :width]  # [b, w]
    theirs = view.neighbours.index_select(0, lists.reshape(-1).clamp(min=0))  # [b w, K]
    own = rows.to(torch.int32)[:, None].expand(lists.shape).reshape(-1, 1)
    edge, rank = (theirs == own).nonzero(as_tuple=True)  # i in N(j)
    back = torch.full((lists.numel(),), k, device=rows.device)
    back[edge] = rank
    found = (place.view(-1) >= 0).nonzero().squeeze(1)
    return Triangles(
        k=k,
        base=found // max(k, 1),
        place_i=place.view(-1)[found],
        place_j=found % max(k, 1),
        back=back.view(lists.shape).masked_fill(lists < 0, k),
    )


def _common_places(view: View, rows: Tensor, width: int) -> Tensor:
    """[b, w, K]: for entry c of the list of i's neighbour, its place in i's list, or -1."""
    lists = view.neighbours.index_select(0, rows)  # [b, K]
    judged = lists[:, :width]  # [b, w]
    theirs = view.neighbours.index_select(0, judged.reshape(-1).clamp(min=0))  # [b w, K]
    theirs = theirs.view(len(rows), judged.shape[1] * view.k)  # [b, w K]
    ordered, place = lists.sort(dim=1)
    at = torch.searchsorted(ordered, theirs).clamp_(max=max(view.k - 1, 0))
    there = (ordered.gather(1, at) == theirs) & (theirs >= 0)
    found = place.gather(1, at).masked_fill_(~there, -1).view(*judged.shape, view.k)
    return found.masked_fill_((judged < 0)[..., None], -1)
