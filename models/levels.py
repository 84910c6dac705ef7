"""Levels of clusters: every pair that is each other's best merges, all at once, again and again.

This stands where the paper decodes a forest of parent pointers (`models.decode`): the network
scores pairs of clusters instead of single nodes, and nothing is decided by a threshold, since the
cut through the finished tree comes last (`models.cut`).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.pairs import Floats, Pairs, Rows
from models.supernodes import Clusters
from models.tree import MergeTree

# No merge less likely than this is worth a place in the tree.
FLOOR = 0.03
MAX_LEVELS = 200
# Ties are broken by a hash that is smaller than any difference of probabilities that matters.
TIE = 1e-7

Score = Callable[[Clusters, Pairs], Floats]
"""The expected share of matching image pairs of each pair [e]."""
Observer = Callable[[Clusters, Pairs, NDArray[np.bool_], Rows], None]
"""Sees a level before it merges: clusters, pairs, which of these is the best of one of its ends,
and the representative of every row."""


def build_tree(
    clusters: Clusters,
    pairs: Pairs,
    score: Score,
    *,
    floor: float = FLOOR,
    observe: Observer | None = None,
) -> MergeTree:
    """Merge until no pair is above `floor`. Changes `clusters` in place."""
    n = len(clusters.size)
    node = np.arange(n)  # tree node of every representative
    representative = np.arange(n)
    made: list[tuple[Rows, Rows, Floats]] = []
    rounds = [0]
    for _ in range(MAX_LEVELS):
        if not len(pairs):
            break
        ask = np.isnan(pairs.q)
        pairs.q[ask] = score(clusters, pairs.take(ask))
        value = pairs.q + TIE * tie_hash(pairs.a, pairs.b)
        best = best_of(value, pairs, n)
        best_a, best_b = value == best[pairs.a], value == best[pairs.b]
        if observe is not None:
            observe(clusters, pairs, best_a | best_b, representative)
        mutual = best_a & best_b & (pairs.q > floor)
        if not mutual.any():
            break
        joined = pairs.take(mutual)
        made.append((node[joined.a], node[joined.b], joined.q))
        node[joined.a] = n + rounds[-1] + np.arange(len(joined))
        rounds.append(rounds[-1] + len(joined))
        clusters.absorb(joined.a, joined.b, joined)
        root, grown = _renaming(joined, n)
        pairs = pairs.take(~mutual).renamed(root, grown)
        representative = root[representative]
    left, right, probability = (
        np.concatenate([part[column] for part in made]) if made else np.zeros(0, kind)
        for column, kind in enumerate((np.int64, np.int64, np.float64))
    )
    return MergeTree(n, left, right, probability, np.array(rounds))


def _renaming(joined: Pairs, n: int) -> tuple[Rows, NDArray[np.bool_]]:
    """What every row's cluster is called now [n], and which clusters grew [n]."""
    root = np.arange(n)
    root[joined.b] = joined.a
    grown = np.zeros(n, np.bool_)
    grown[joined.a] = True
    return root, grown


def best_of(value: Floats, pairs: Pairs, n: int) -> Floats:
    """The largest value among each cluster's pairs [n], -1 for none."""
    best = np.full(n, -1.0)
    np.maximum.at(best, pairs.a, value)
    np.maximum.at(best, pairs.b, value)
    return best


def tie_hash(a: Rows, b: Rows) -> Floats:
    """A number in [0, 1) for each pair, the same in every run, with no pattern in it."""
    with np.errstate(over="ignore"):
        x = a.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + b.astype(np.uint64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) / float(1 << 53)
