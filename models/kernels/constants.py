"""Numbers that the definitions on tensors and the kernels share."""

# Added to a length before something is divided by it.
NORM_EPSILON = 1e-6
# Rows are described by their mean R of the first 1, 3, 5, 10, 30 neighbours.
PREFIXES = (1, 3, 5, 10, 30)
# Prefixes whose own means are features of an edge, beside R relative to them.
SHOWN = (1, 10, 30)
# Neighbours that make up a row's neighbourhood.
NEIGHBOURHOOD = 10
# Shared neighbours are counted among the first 5, 10 and all.
FEW, WIDE = 5, 10
# A row's first and last R count as no nearer than this.
MIN_RANGE = 1e-3
# What the share of edges inside a cluster is where there are none: a number that no share can be.
NOTHING_INSIDE = -0.2
# A k-NN graph of 30 shows each member of the smaller cluster at most so many of the larger.
VISIBLE = 30
