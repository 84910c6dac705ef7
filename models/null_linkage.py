"""How large groups are by similarity alone: average linkage up to where strangers begin.

The network-free answer for collections on which the model is lost. Clusters of the k-NN graph
merge while the mean centred cosine between their members is beyond what random pairs of rows
show; the threshold is so many standard deviations of those, which is the same for any encoder.
"""

import numpy as np
from numpy.typing import NDArray

from models.kernels.pair_features import write_products
from models.levels import build_tree
from models.pairs import Floats, Pairs, undirected
from models.supernodes import Clusters, first_level
from models.view import View

# Chosen on training classes of sources left out: docs/decisions/0107.
DEVIATIONS = 2.0
RANDOM_PAIRS = 20_000
EPSILON = 1e-6


def linked_size(
    view: View, mean: NDArray[np.float32], counts: NDArray[np.int32], seed: int
) -> float:
    """Images in a typical image's cluster under that linkage, sum s^2 / n; at least 1."""
    centred = view.vectors.cpu().numpy() - mean  # [n, d]
    centred /= np.linalg.norm(centred, axis=1, keepdims=True) + EPSILON
    threshold = DEVIATIONS * _spread_of_strangers(centred[counts > 0], seed)
    neighbours = view.neighbours.cpu().numpy()
    nothing = np.zeros(neighbours.shape, np.float32)
    i, j, _, r = undirected(neighbours, nothing, nothing)
    alike = np.ones(len(i), np.float32)  # every edge is worth a look
    none = np.zeros(len(centred), np.float32)
    edges = (i, j, alike, r.astype(np.float32))
    clusters, pairs = first_level(edges, centred, np.zeros_like(mean), none, none)
    # A union's mean is never above the higher of its parts'.
    tree = build_tree(clusters, pairs, _mean_cosine, floor=(1 + threshold) / 2, rise=(0.0, 0.0))
    sizes = tree.sizes(counts)
    inside = np.zeros(len(sizes), np.bool_)
    inside[tree.left] = inside[tree.right] = True
    return float(max((sizes[~inside] ** 2).sum() / max(counts.sum(), 1), 1.0))


def _mean_cosine(clusters: Clusters, pairs: Pairs) -> Floats:
    """Mean cosine between the members of each pair [e], as a share: (1 + cos) / 2."""
    dot = np.empty(len(pairs))
    write_products(pairs.ends, clusters.vector_sums, dot)
    return (1 + dot / (clusters.size[pairs.a] * clusters.size[pairs.b])) / 2


def _spread_of_strangers(unit: NDArray[np.float32], seed: int) -> float:
    if len(unit) < 2:
        return 0.0
    i, j = np.random.default_rng(seed).integers(0, len(unit), (2, RANDOM_PAIRS))
    apart = i != j
    return float(np.einsum("pd,pd->p", unit[i[apart]], unit[j[apart]]).std())
