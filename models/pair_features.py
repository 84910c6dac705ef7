"""What is known of a pair of clusters: 41 numbers, the smaller cluster's before the larger's.

This is the definition; a run reads millions of pairs with `models.kernels.pair_features`, or on a
GPU with `models.tensor_pair_features`.
"""

import numpy as np
from numpy.typing import NDArray

from models.kernels import columns
from models.kernels.constants import NOTHING_INSIDE, VISIBLE
from models.pairs import Floats, Pairs, Rows
from models.supernodes import Clusters

PAIR_FEATURES = 41


def pair_features(clusters: Clusters, pairs: Pairs) -> NDArray[np.float32]:
    """The pair network's input for `pairs` [e]: float32 [e, 41]."""
    swap = clusters.size[pairs.a] > clusters.size[pairs.b]
    a, b = np.where(swap, pairs.b, pairs.a), np.where(swap, pairs.a, pairs.b)
    one, two = _Side(clusters, a), _Side(clusters, b)
    dot = np.einsum("ed,ed->e", clusters.total(a), clusters.total(b)).astype(np.float64)
    possible = one.size * two.size
    visible = one.size * np.minimum(two.size, VISIBLE)
    p = pairs.p.astype(np.float64) / pairs.count  # mean p of the cross edges
    r = pairs.r / pairs.count
    spread = np.sqrt(np.maximum(pairs.pp.astype(np.float64) / pairs.count - p * p, 0))
    spread[pairs.count == 1] = 0
    cross = dot / possible / (one.norm * two.norm)
    cosine = dot / np.sqrt(one.total_square * two.total_square + 1e-12)
    evidence = [
        np.log(one.size),
        np.log(two.size),
        np.log(pairs.count),
        np.log(pairs.count / possible),
        np.log(pairs.count / one.size),
        np.log(pairs.p / possible + 1e-4),
        np.log(pairs.p / visible + 1e-4),
        p,
        spread,
        pairs.p_max,
        np.log(p + 1e-3),
    ]
    # How much of all that leads out of each cluster leads into the other.
    outgoing = [
        pairs.p / one.outgoing_p,
        pairs.p / two.outgoing_p,
        pairs.count / one.outgoing,
        pairs.count / two.outgoing,
    ]
    # How near the two are, against how near each one's own members are.
    similarity = [
        cross,
        cosine,
        one.within,
        two.within,
        cross - np.minimum(one.within, two.within),
        cross - np.maximum(one.within, two.within),
        r,
        pairs.r_max,
        r - one.inner_r,
        r - two.inner_r,
        one.density,
        two.density,
        r - np.minimum(one.density, two.density),
        pairs.r_max - np.maximum(one.density, two.density),
    ]
    return np.stack(evidence + outgoing + similarity + _own(one, two), axis=1).astype(np.float32)


class _Side:
    """What each of the clusters `rows` [e] is by itself."""

    def __init__(self, clusters: Clusters, rows: Rows) -> None:
        own = clusters.sums[rows].T
        size, inner, inner_p = own[columns.SIZE], own[columns.INNER], own[columns.INNER_P]
        mass = own[columns.MASS]
        ordered_pairs = size * (size - 1)
        self.size = size
        self.norm = np.maximum(own[columns.CLUSTER_NORM] / size, 1e-6)
        self.density = own[columns.DENSITY] / size
        self.coherence = own[columns.CLUSTER_COHERENCE] / size
        self.total_square = own[columns.TOTAL_SQUARE]
        # Mean cosine between members, drawn towards the density by two made-up members.
        among = (self.total_square - own[columns.SQUARE]) / self.norm**2
        self.within = (np.where(size > 1, among, 0) + 2 * self.density) / (ordered_pairs + 2)
        self.outgoing_p = np.maximum(mass - 2 * inner_p, 1e-3)
        self.outgoing = np.maximum(own[columns.DEGREE] - 2 * inner, 1)
        self.mass = mass / size
        has = inner > 0
        self.inner_p = _share(inner_p, inner, has, NOTHING_INSIDE)
        self.inner_r = _share(own[columns.INNER_R], inner, has, self.density)
        self.filled = _share(2 * inner_p, ordered_pairs, size > 1, NOTHING_INSIDE)


def _share(
    part: Floats, whole: Floats, where: NDArray[np.bool_], otherwise: Floats | float
) -> Floats:
    return np.where(where, part / np.maximum(whole, 1), otherwise)


def _own(one: _Side, two: _Side) -> list[Floats]:
    """Columns that look at one of the two alone, for both."""
    return [
        column
        for side in (one, two)
        for column in (
            side.inner_p,
            side.filled,
            np.log(side.mass + 0.1),
            np.log(side.size / (side.mass + 0.5)),
            side.coherence,
            np.log(side.outgoing_p / side.size + 0.05),
        )
    ]
