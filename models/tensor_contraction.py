"""From edge probabilities to super-nodes on tensors, and the network that scores pairs of them."""

import torch
from torch import Tensor

from models.context import CollectionContext
from models.contraction import NOT_ALIKE
from models.edges import EdgeReader
from models.folding import Folded
from models.network import HiLanderNetwork
from models.pair_features import PAIR_FEATURES
from models.tensor_asking import TensorScore
from models.tensor_clusters import TensorClusters, TensorPairs, edges_once, tensor_level
from models.tensor_pair_features import tensor_pair_features
from models.view import CHUNK_FLOATS, View


def tensor_super_nodes(
    view: View, reader: EdgeReader, p: Tensor
) -> tuple[TensorClusters, TensorPairs]:
    """As `super_nodes`, with what `both_rounds` gave: edge probabilities [n, K]."""
    every = torch.arange(len(view), device=view.device)
    r = torch.cat([reader.background.standardise(view, rows)[0] for rows in view.chunks(every)])
    i, j, p, r = edges_once(view.neighbours, p, r)
    return tensor_level(
        (i, j, p * (r > NOT_ALIKE).any(), r),
        view.vectors,
        reader.background.mean,
        reader.table.near[:, 3],
        reader.table.coherence,
    )


def tensor_pair_score(network: HiLanderNetwork, context: CollectionContext) -> TensorScore:
    """As `pair_score`."""
    judge = Folded.of(network.pair, context.inputs(network.pair.mean.device))

    def score(clusters: TensorClusters, pairs: TensorPairs) -> Tensor:
        # The vectors of both ends are gathered, and multiplied.
        at_once = CHUNK_FLOATS["cuda"] // max(clusters.total.shape[1], PAIR_FEATURES)
        every = torch.arange(len(pairs), device=pairs.q.device)
        parts = [
            judge.probability(tensor_pair_features(clusters, pairs.take(part)))
            for part in torch.split(every, at_once)
        ]
        return torch.cat(parts)

    return score
