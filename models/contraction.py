"""From edge probabilities to super-nodes, and the network that scores pairs of them."""

import numpy as np
import torch
from numpy.typing import NDArray

from models.edges import EdgeReader
from models.judging import Answers
from models.kernels import columns
from models.levels import Score
from models.network import HiLanderNetwork
from models.pair_features import pair_features
from models.pairs import Floats, Pairs
from models.supernodes import Clusters, first_level, first_level_of
from models.view import View

PAIR_BLOCK = 1 << 16


def super_nodes(
    view: View, judged: EdgeReader | Answers, p: torch.Tensor
) -> tuple[Clusters, Pairs]:
    """Every row a cluster of its own, with what `both_rounds` gave: edge probabilities [n, K]."""
    if isinstance(judged, Answers):
        nodes = judged.edges.nodes
        return first_level_of(
            (judged.edges.i, judged.edges.j, judged.p, judged.r),
            (view.vectors - torch.from_numpy(judged.edges.mean)).numpy(),
            nodes[:, columns.NEAR_TEN],
            nodes[:, columns.COHERENCE],
        )
    every = torch.arange(len(view), device=view.device)
    reader = judged
    parts = [reader.background.standardise(view, rows)[0] for rows in view.chunks(every)]
    return first_level(
        view.neighbours.cpu().numpy(),
        p.cpu().numpy(),
        torch.cat(parts).cpu().numpy(),
        (view.vectors - reader.background.mean).cpu().numpy(),
        reader.table.near[:, 3].cpu().numpy(),
        reader.table.coherence.cpu().numpy(),
    )


def pair_score(network: HiLanderNetwork, told: NDArray[np.float32]) -> Score:
    """The pair network as `build_tree` asks it, under conditions `told` [4]."""
    device = network.pair.mean.device

    @torch.no_grad()
    def score(clusters: Clusters, pairs: Pairs) -> Floats:
        out = np.empty(len(pairs))
        for start in range(0, len(pairs), PAIR_BLOCK):
            block = slice(start, start + PAIR_BLOCK)
            features = pair_features(clusters, pairs.take(block))
            told_each = np.broadcast_to(told, (len(features), len(told)))
            x = torch.from_numpy(np.concatenate((features, told_each), axis=1))
            out[block] = network.pair.probability(x.to(device)).cpu().numpy()
        return out

    return score
