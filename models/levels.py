"""Levels of clusters: every pair that is each other's best merges, all at once, again and again.

This stands where the paper decodes a forest of parent pointers (`models.decode`): the network
scores pairs of clusters instead of single nodes, and nothing is decided by a threshold, since the
cut through the finished tree comes last (`models.cut`).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.kernels.levels import find_best, find_due, find_mutual, improve_best, merge_pairs
from models.pairs import Floats, Pairs, Rows
from models.supernodes import Clusters
from models.tree import MergeTree

# No merge less likely than this is worth a place in the tree.
FLOOR = 0.03
MAX_LEVELS = 200
# Pairs of which no edge is as likely as this are asked only while an end of theirs has no better
# one. If p is their likeliest edge, they themselves are thought to be below BOUND[0] + BOUND[1] p.
LIKELY = 0.3
BOUND = (0.15, 2.0)

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
    """Merge until no pair is above `floor`. Changes `clusters` and `pairs` in place."""
    n = len(clusters.size)
    node = clusters.ids.copy()  # tree node of every representative
    representative: Rows = np.empty(n, np.int64)
    representative[clusters.ids] = np.arange(n)
    root = np.arange(n, dtype=np.int32)
    where = np.full(n, -1, np.int32)
    made: list[tuple[Rows, Rows, Floats]] = []
    rounds = [0]
    fresh = slice(0, len(pairs))
    for _ in range(MAX_LEVELS):
        best = _ask(clusters, pairs, fresh, score)
        if observe is not None:
            of_an_end = np.zeros(len(pairs), np.bool_)
            of_an_end[best[best >= 0]] = True
            representative = root[representative]
            observe(clusters, pairs, of_an_end, representative)
        joined = _mutual(pairs, best, floor)
        if not len(joined):
            break
        made.append((node[joined.a], node[joined.b], joined.q.astype(np.float64)))
        node[joined.a] = n + rounds[-1] + np.arange(len(joined))
        rounds.append(rounds[-1] + len(joined))
        clusters.absorb(joined)
        pairs, fresh = _renamed(pairs, joined, clusters.ids, root, where)
    left, right, probability = (
        np.concatenate([part[column] for part in made]) if made else np.zeros(0, kind)
        for column, kind in enumerate((np.int64, np.int64, np.float64))
    )
    return MergeTree(n, left, right, probability, np.array(rounds))


def _ask(clusters: Clusters, pairs: Pairs, fresh: slice, score: Score) -> NDArray[np.int32]:
    """Ask all pairs that might be the best of an end; returns the best of each cluster [n].

    `fresh` pairs are new or have changed. Of these and of those that were left out before, pairs of
    unlikely edges are left out while both their ends have better ones.
    """
    pairs.q[fresh] = np.nan
    likely = fresh.start + np.flatnonzero(pairs.p_max[fresh] >= LIKELY)
    pairs.q[likely] = score(clusters, pairs.take(likely))
    best, value = best_pairs(pairs, clusters.ids)
    due = np.empty(len(pairs), np.int32)
    due = due[: find_due(pairs.ends, pairs.sums, pairs.q, value, BOUND, due)]
    if not len(due):
        return best
    pairs.q[due] = score(clusters, pairs.take(due))
    improve_best(due, pairs.ends, clusters.ids, pairs.q, best, value)
    return best


def best_pairs(pairs: Pairs, ids: Rows) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The likeliest pair of each cluster and how likely it is, both [n], -1 for none.

    Pairs that were not asked (q is NaN) do not count. A hash of the rows `ids` [n] that clusters
    are called by decides between equals.
    """
    best, value = np.empty(len(ids), np.int32), np.empty(len(ids))
    find_best(pairs.ends, ids, pairs.q, best, value)
    return best, value


def _mutual(pairs: Pairs, best: NDArray[np.int32], floor: float) -> Pairs:
    """Those pairs above `floor` that are the best of both their ends."""
    found = np.empty(len(best), np.int32)
    return pairs.take(found[: find_mutual(pairs.ends, pairs.q, best, floor, found)])


def _renamed(
    pairs: Pairs, joined: Pairs, ids: Rows, root: Rows, where: Rows
) -> tuple[Pairs, slice]:
    """The pairs after `joined` have merged, in their memory, and which are to be asked again.

    `root` [n] is changed: what every row's cluster is called now.
    """
    root[:] = np.arange(len(root))
    root[joined.b] = joined.a
    changed = np.zeros(len(root), np.bool_)
    changed[joined.ends] = True
    still, count = merge_pairs(pairs.ends, pairs.sums, pairs.q, ids, root, changed, where)
    return pairs.take(slice(0, count)), slice(still, count)
