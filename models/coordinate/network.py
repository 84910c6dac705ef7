"""The paper's network: one graph convolution, then linkage and density of every edge and node.

Xing et al. 2021, sections 3.2 and 3.3. All tables are dense: `neighbours` [m, K] with -1 at
padding, one row per node.
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from models.errors import BadInputError
from models.pyg import GATConv, GraphConv

# In training alone: coordinates tempt a network to learn by heart where the classes lie.
DROPOUT = 0.5

Convolution = Literal["graphconv", "gat"]


class CoordinateNetwork(nn.Module):
    """Reads unit features f [m, d] and cluster means c [m, d] of a level's nodes.

    graphconv (the paper's faces): h_i = ReLU(W [x_i ; sum_j a_ij x_j] + b) with x = [f ; c] and
    a_ij = s_ij / sum_j s_ij. gat (its species): one attention head over x = f. Then for an edge
    j -> i: z = A h_j + B h_i, PReLU, linear, PReLU, linear to two logits. Raises `BadInputError`
    for another convolution.
    """

    def __init__(self, dimension: int, hidden: int = 512, convolution: str = "graphconv") -> None:
        super().__init__()
        if convolution not in get_args(Convolution):
            allowed = ", ".join(get_args(Convolution))
            raise BadInputError(f"convolution is {convolution!r}; it must be one of {allowed}")
        half = hidden // 2
        self.attends = convolution == "gat"
        if self.attends:
            self.convolution = GATConv(dimension, hidden, add_self_loops=False)
        else:
            self.convolution = GraphConv(2 * dimension, hidden, aggr="add")
        self.source = nn.Linear(hidden, half)
        self.target = nn.Linear(hidden, half)
        self.head = nn.Sequential(
            nn.PReLU(half), nn.Linear(half, half), nn.PReLU(half), nn.Linear(half, 2)
        )

    def inputs(self, feature: Tensor, mean: Tensor) -> Tensor:
        """What the convolution reads of each node: f, or [f ; c], times sqrt(d).

        Coordinates of unit vectors shrink with the dimension; at length sqrt(d) they have the size
        that the layers' first weights are made for, and hundreds of steps are saved.
        """
        x = feature if self.attends else torch.cat((feature, mean), dim=1)
        return x * math.sqrt(feature.shape[1])

    def hidden(self, x: Tensor, own: Tensor, neighbours: Tensor, similarity: Tensor) -> Tensor:
        """The state [m, h] of nodes `own` [m], whose `neighbours` [m, K] are rows of `x` too."""
        valid = neighbours >= 0
        target, place = valid.nonzero(as_tuple=True)
        edges = torch.stack((neighbours[target, place].long(), target))  # j -> i
        ends = (x, x.index_select(0, own))
        size = (len(x), len(own))
        if self.attends:
            out = self.convolution(ends, edges, size=size)
        else:
            weight = row_normalised(similarity, valid)[target, place]
            out = self.convolution(ends, edges, weight, size=size)
        return dropout(torch.relu(out), DROPOUT, self.training)

    def logit(self, source: Tensor, target: Tensor) -> Tensor:
        """log(p1 / p0) of edges from `source` = A h_j [..., half] to `target` = B h_i."""
        z = source + target
        both: Tensor = self.head(z.reshape(-1, z.shape[-1]))
        return (both[:, 1] - both[:, 0]).view(z.shape[:-1])


def row_normalised(similarity: Tensor, valid: Tensor) -> Tensor:
    """a_ij = s_ij / sum_j s_ij [m, K], 0 at padding; negative similarities count as none."""
    positive = similarity.clamp(min=0) * valid
    return positive / positive.sum(1, keepdim=True).clamp(min=1e-6)
