"""What the network says of a level: a probability for every edge, a density for every node."""

import torch
from torch import Tensor

from models.coordinate.level import Level
from models.coordinate.network import CoordinateNetwork
from models.decode import predicted_density

CHUNK_ROWS = 4_096


@torch.no_grad()
def edge_logits(network: CoordinateNetwork, vectors: Tensor, level: Level) -> Tensor:
    """log(p1 / p0) of every edge of `level` [m, K], 0 at padding; each node is projected once."""
    rows = torch.arange(len(level), device=vectors.device)
    half = network.source.out_features
    source, target = (torch.zeros((len(level), half), device=vectors.device) for _ in range(2))
    for part in torch.split(rows, CHUNK_ROWS):
        h = hidden_of(network, vectors, level, part)
        source[part], target[part] = network.source(h), network.target(h)
    logits = torch.zeros(level.neighbours.shape, device=vectors.device)
    for part in torch.split(rows, CHUNK_ROWS):
        neighbours = level.neighbours[part]
        there = source[neighbours.clamp(min=0).long()]  # [b, K, half]
        logits[part] = network.logit(there, target[part][:, None]) * (neighbours >= 0)
    return logits


def logits_of(
    network: CoordinateNetwork, vectors: Tensor, level: Level, rows: Tensor, neighbours: Tensor
) -> Tensor:
    """log(p1 / p0) of the edges from `neighbours` [b, w] to the nodes `rows` [b] alone.

    No more is read than these nodes and their neighbours; with gradients, if they are on.
    """
    near, place = torch.unique(
        torch.cat((rows, neighbours.clamp(min=0).reshape(-1).long())), return_inverse=True
    )
    h = hidden_of(network, vectors, level, near)
    source, target = network.source(h), network.target(h[place[: len(rows)]])
    there = source[place[len(rows) :]].view(*neighbours.shape, -1)
    return network.logit(there, target[:, None]) * (neighbours >= 0)


def hidden_of(network: CoordinateNetwork, vectors: Tensor, level: Level, rows: Tensor) -> Tensor:
    """The state [b, h] of nodes `rows` [b] of `level`, reading no more than their neighbours."""
    neighbours = level.neighbours[rows]
    near, place = torch.unique(
        torch.cat((rows, neighbours.clamp(min=0).reshape(-1).long())), return_inverse=True
    )
    own, there = place[: len(rows)], place[len(rows) :].view(neighbours.shape)
    peak = torch.from_numpy(level.peak).to(vectors.device)[near]
    x = network.inputs(vectors[peak], level.mean[near])
    there = there.masked_fill(neighbours < 0, -1)
    return network.hidden(x, own, there, level.similarity[rows])


def density_of(level: Level, probability: Tensor) -> Tensor:
    """d^ [m] of every node, from the probabilities [m, K] of its edges."""
    return predicted_density(level.similarity, probability, level.neighbours >= 0)
