"""The parts of PyTorch Geometric that the networks are made of."""

import warnings

with warnings.catch_warnings():
    # torch-geometric 2.8 still calls torch.jit.script, which torch 2.15 marks as deprecated.
    warnings.filterwarnings("ignore", message=r".*torch\.jit.*")
    from torch_geometric.nn import MLP, GATConv, GraphConv, MessagePassing
    from torch_geometric.nn.aggr import MultiAggregation
    from torch_geometric.utils import scatter

__all__ = ["MLP", "GATConv", "GraphConv", "MessagePassing", "MultiAggregation", "scatter"]
