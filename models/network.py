"""The small networks: two rounds over edges, one over pairs of clusters, two over a run."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from models.conditions import CONDITIONS
from models.context import NUMBERS
from models.edge_features import FEATURES, both
from models.pair_features import PAIR_FEATURES
from models.triangles import Triangles

if TYPE_CHECKING:
    from models.triangle_messages import TriangleMessages

CONTEXT = NUMBERS + CONDITIONS
ROUND_TWO = 12
# What `models.certainty` reads of a row's place in the tree, and of a run.
ASSIGNMENT_FEATURES, RUN_FEATURES = 9, 10
CERTAINTY_HIDDEN = 24
# Standardised inputs beyond this many deviations tell no more than that they are extreme.
CLIP = 5.0
BATCH = 1 << 16


class Layers(nn.Module):
    """Linear layers from each of `widths` to the next, GELU between."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.lins = nn.ModuleList(nn.Linear(*ends) for ends in pairwise(widths))

    @property
    def linear(self) -> list[nn.Linear]:
        """The layers, first to last."""
        return cast("list[nn.Linear]", list(self.lins))

    def forward(self, x: Tensor) -> Tensor:
        """[..., first width] -> [..., last width]."""
        *hidden, last = self.linear
        for layer in hidden:
            x = gelu(layer(x))
        return cast("Tensor", last(x))


class Logit(nn.Module):
    """x [e, f] -> logit [e]: MLP_{h-h-1}(clip((x - mean) / scale)), GELU between."""

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.mlp = Layers(features, hidden, hidden, 1)
        self.history: list[float] = []  # the loss along the last fit

    def forward(self, x: Tensor) -> Tensor:
        """[e, f] -> [e]."""
        scaled = ((x - self.mean) / self.scale).clamp(-CLIP, CLIP)
        return cast("Tensor", self.mlp(scaled).squeeze(-1))

    @torch.no_grad()
    def probability(self, x: Tensor) -> Tensor:
        """[..., f] -> sigmoid of the logits [...], by batches."""
        flat = x.reshape(-1, x.shape[-1])
        parts = [self(part).sigmoid() for part in torch.split(flat, BATCH)]
        return torch.cat(parts).view(x.shape[:-1]) if parts else flat.new_zeros(x.shape[:-1])


class HiLanderNetwork(nn.Module):
    """All that is learnt. Round 1 reads an edge, round 2 also the triangles over it.

    `first`: p = sigmoid(f1(e_ij, context)); `second`: p = sigmoid(f2(e_ij, m_ij, context)), with
    m_ij the messages of p from the triangles over i-j and from its two ends; `pair`: the share of
    matching images between two clusters; `assignment`: the share of its cluster that an image
    matches; `recall`: that of a run.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first = Logit(FEATURES + CONTEXT, hidden)
        self.second = Logit(FEATURES + ROUND_TWO + CONTEXT, hidden)
        self.pair = Logit(PAIR_FEATURES + CONTEXT, hidden)
        told = RUN_FEATURES + CONTEXT
        self.assignment = Logit(ASSIGNMENT_FEATURES + told, CERTAINTY_HIDDEN)
        self.recall = Logit(told, CERTAINTY_HIDDEN)


def with_context(features: Tensor, context: Tensor) -> Tensor:
    """Append `context` [c] to every edge of `features` [..., f]."""
    return torch.cat((features, context.expand(*features.shape[:-1], -1)), dim=-1)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Round 1's answers: `p` [n, K], 0 at padding; per row its sum, its largest, and the sum of p
    over the edges that point to it, each [n].
    """

    p: Tensor
    total: Tensor
    top: Tensor
    incoming: Tensor

    @staticmethod
    def of(neighbours: Tensor, p: Tensor) -> "Evidence":
        """Gather what `p` says around every row; `neighbours` [n, K]."""
        target = neighbours.reshape(-1).long() + 1  # padding gathers at 0
        # A GPU adds in no fixed order: in float64 that leaves the float32 sums alone.
        incoming = torch.zeros(len(p) + 1, dtype=torch.float64, device=p.device)
        incoming.scatter_add_(0, target, p.reshape(-1).double())
        return Evidence(p, p.sum(1), p.amax(1), incoming[1:].float())


def round_two_features(
    messages: "TriangleMessages", triangles: Triangles, evidence: Evidence, i: Tensor, j: Tensor
) -> Tensor:
    """What round 1 says around each edge of the rows `i` [b] to `j` [b, K]: [b, K, 12]."""
    b, k = j.shape
    p = evidence.p.index_select(0, i)  # [b, K]
    neighbour = j.reshape(-1).index_select(0, triangles.base)  # [t]
    side_i = p[triangles.base // k, triangles.place_i]
    side_j = evidence.p[neighbour, triangles.place_j]
    product, distance, weakest, common = messages(triangles, side_i, side_j).unbind(-1)

    def ends_of(value: Tensor) -> tuple[Tensor, Tensor]:
        return value[i][:, None].expand(b, k), value[j]

    total_i, total_j = ends_of(evidence.total)
    low, high = both(total_i, total_j)
    top_low, top_high = both(*ends_of(evidence.top))
    columns = [
        torch.logit(p, eps=1e-7),
        low.log1p(),
        high.log1p(),
        product / (low + 0.1),
        product / (total_i + total_j - product + 0.1),
        distance / common.clamp(min=1),
        weakest,
        common / k,
        p - top_low,
        p - top_high,
        *both(*ends_of(evidence.incoming.log1p())),
    ]
    return torch.stack(columns, dim=-1)
