"""From a collection to its merge tree: by kernels on a CPU, on tensors on any other device."""

import torch
from torch import Tensor

from models.context import CollectionContext
from models.contraction import pair_score, super_nodes
from models.edges import both_rounds
from models.judging import judge_graph
from models.levels import build_tree
from models.network import HiLanderNetwork
from models.stages import Stages
from models.tensor_contraction import tensor_pair_score, tensor_super_nodes
from models.tensor_levels import build_tensor_tree
from models.tree import MergeTree
from models.view import View


@torch.no_grad()
def merged(
    network: HiLanderNetwork, view: View, context: CollectionContext, stages: Stages
) -> tuple[Tensor, MergeTree]:
    """Edge probabilities [n, K], 0 at padding, and all levels. `network` is where `view` is."""
    way = merged_by_kernels if view.device.type == "cpu" else merged_on_tensors
    return way(network, view, context, stages)


def merged_by_kernels(
    network: HiLanderNetwork, view: View, context: CollectionContext, stages: Stages
) -> tuple[Tensor, MergeTree]:
    """`merged` on a CPU, each edge judged once."""
    with stages.stage("edges"):
        answers = judge_graph(network, view, context, stages.report)
    with stages.stage("levels"):
        tree = build_tree(*super_nodes(view, answers), pair_score(network, context))
    return torch.from_numpy(answers.listed), tree


def merged_on_tensors(
    network: HiLanderNetwork, view: View, context: CollectionContext, stages: Stages
) -> tuple[Tensor, MergeTree]:
    """`merged` on any device, each edge judged in both of its directions."""
    with stages.stage("edges"):
        p, reader = both_rounds(network, view, context, stages.report)
    with stages.stage("levels"):
        clusters, pairs = tensor_super_nodes(view, reader, p)
        del reader  # a copy of the vectors, as large as they are
        tree = build_tensor_tree(clusters, pairs, tensor_pair_score(network, context))
    return p, tree
