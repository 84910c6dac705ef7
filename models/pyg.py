"""The parts of PyTorch Geometric that the networks are made of.

To import them takes longer than to import torch, and a hundred megabytes: what clusters on a CPU
with the shipped model does without.
"""

import warnings

with warnings.catch_warnings():
    # torch-geometric 2.8 still calls torch.jit.script, which torch 2.15 marks as deprecated.
    warnings.filterwarnings("ignore", message=r".*torch\.jit.*")
    from torch_geometric.nn import GATConv, GraphConv, MessagePassing
    from torch_geometric.nn.aggr import MultiAggregation

__all__ = ["GATConv", "GraphConv", "MessagePassing", "MultiAggregation"]
