"""Message passing over triangles, on PyTorch Geometric: what an edge hears of its neighbours."""

from typing import cast

import torch
from torch import Tensor

from models.pyg import MessagePassing, MultiAggregation
from models.triangles import Triangles


class TriangleMessages(MessagePassing):  # type: ignore[misc]  # untyped
    """Each edge i-j hears from every triangle i-j-c how likely its two other sides are.

    With P_c = (p_ic, p_jc), the message of c is (p_ic p_jc, |p_ic - p_jc|, min(P_c), 1) and the
    edge keeps sum, sum, max and sum of these. The nodes of this graph are edges of the k-NN graph.
    """

    def __init__(self) -> None:
        super().__init__(aggr=MultiAggregation(["sum", "max"]))

    def forward(self, triangles: Triangles, side_i: Tensor, side_j: Tensor) -> Tensor:
        """`side_i`, `side_j` [t]: p_ic and p_jc of every triangle. Returns [b, w, 4]."""
        t, edges = len(triangles.base), triangles.back.numel()
        edge_index = torch.stack((torch.arange(t, device=triangles.base.device), triangles.base))
        # A GPU adds in no fixed order: in float64 that leaves the float32 sums alone.
        sides = torch.stack((side_i, side_j), dim=1).double()  # [t, 2]
        out = self.propagate(edge_index, sides=sides, size=(t, edges))  # [b w, 8]
        return cast("Tensor", out[:, (0, 1, 6, 3)].float().view(*triangles.back.shape, 4))

    def message(self, sides_j: Tensor) -> Tensor:
        """[t, 2] -> [t, 4]."""
        p, q = sides_j.unbind(1)
        return torch.stack((p * q, (p - q).abs(), torch.minimum(p, q), torch.ones_like(p)), dim=1)
