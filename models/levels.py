"""Levels of clusters: every pair that is each other's best merges, all at once, again and again.

This stands where the paper decodes a forest of parent pointers (`models.decode`): the network
scores pairs of clusters instead of single nodes, and nothing is decided by a threshold, since the
cut through the finished tree comes last (`models.cut`).

Small clusters join a large one together (`models.joining`).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.asking import DRIFT, RISE, Rise, Score, ask_pairs
from models.joining import LARGE, LESS, SHARE, turns
from models.kernels.levels import (
    find_inside,
    find_joiners,
    find_mutual,
    merge_pairs,
)
from models.pairs import Floats, Pairs, Rows
from models.supernodes import Clusters
from models.tree import MergeTree

# No merge less likely than this is worth a place in the tree.
FLOOR = 0.03
MAX_LEVELS = 200

Observer = Callable[[Clusters, Pairs, NDArray[np.bool_], Rows], None]
"""Sees a level before it merges: clusters, pairs, which of these is the best of one of its ends,
and the representative of every row."""


def build_tree(
    clusters: Clusters,
    pairs: Pairs,
    score: Score,
    *,
    floor: float = FLOOR,
    together: bool = True,
    rise: Rise | None = (RISE, DRIFT),
    observe: Observer | None = None,
) -> MergeTree:
    """Merge until no pair is above `floor`. Changes `clusters` and `pairs` in place.

    `together`: whether small clusters join a large one together (`models.joining`). `rise`: how
    much likelier than its parts a union may be (`models.asking`); None asks every pair.
    """
    n = len(clusters.size)
    made = _Made(n, clusters.ids)
    representative: Rows = np.empty(n, np.int64)
    representative[clusters.ids] = np.arange(n)
    root = np.arange(n, dtype=np.int32)
    where = np.full(n, -1, np.int32)
    fresh = slice(0, len(pairs))
    for _ in range(MAX_LEVELS):
        best = ask_pairs(clusters, pairs, fresh, score, rise)
        if observe is not None:
            of_an_end = np.zeros(len(pairs), np.bool_)
            of_an_end[best[best >= 0]] = True
            representative = root[representative]
            observe(clusters, pairs, of_an_end, representative)
        mutual = _mutual(pairs, best, floor)
        if not len(mutual):
            break
        joining = _joining(pairs, best, mutual, clusters, floor) if together else []
        steps = [mutual, *joining]
        for joined in steps:
            made.add(joined)
            clusters.absorb(joined)
        ends = np.concatenate([joined.ends for joined in steps])
        root[:] = np.arange(n)
        root[ends[:, 1]] = ends[:, 0]
        if len(steps) > 1:
            _enclose(clusters, pairs, ends, root)
        drift = rise[1] if rise else 0.0
        pairs, fresh = _renamed(pairs, ends, clusters.ids, root, where, drift)
    return made.tree()


class _Made:
    """The merges so far of `n` rows, whose tree nodes are `ids` [n]."""

    def __init__(self, n: int, ids: Rows) -> None:
        self._node = ids.copy()  # of every representative
        self._n, self._rounds = n, [0]
        self._merges: list[tuple[Rows, Rows, Floats]] = []

    def add(self, joined: Pairs) -> None:
        """Each first end takes in the second, all at once."""
        node, made = self._node, self._rounds[-1]
        self._merges.append((node[joined.a], node[joined.b], joined.q.astype(np.float64)))
        node[joined.a] = self._n + made + np.arange(len(joined))
        self._rounds.append(made + len(joined))

    def tree(self) -> MergeTree:
        """All of them."""
        nothing = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        columns = zip(nothing, *self._merges, strict=True)
        left, right, probability = (np.concatenate(column) for column in columns)
        return MergeTree(self._n, left, right, probability, np.array(self._rounds))


def _mutual(pairs: Pairs, best: NDArray[np.int32], floor: float) -> Pairs:
    """Those pairs above `floor` that are the best of both their ends."""
    found = np.empty(len(best), np.int32)
    return pairs.take(found[: find_mutual(pairs.ends, pairs.q, best, floor, found)])


def _joining(
    pairs: Pairs, best: NDArray[np.int32], mutual: Pairs, clusters: Clusters, floor: float
) -> list[Pairs]:
    """Who joins large clusters at the level of `mutual`, in turn, each time disjoint ones into the
    first of each pair: the likeliest that joins each large one; the next; and so on.

    Large clusters become the first of their pairs in `mutual` too.
    """
    size = clusters.size
    found = np.empty(len(best), np.int32)
    rule = (floor, LARGE, SHARE, LESS)
    found = found[: find_joiners(pairs.ends, pairs.q, best, size, rule, found)]
    if not len(found):
        return []
    joining = pairs.take(found)
    _put_first(joining, size[joining.a] < size[joining.b])
    _put_first(mutual, np.isin(mutual.b, joining.a))
    room = SHARE * size
    room[mutual.a] -= size[mutual.b]
    made = turns(joining.a, joining.q, clusters.ids[joining.b], size[joining.b], room[joining.a])
    return [joining.take(turn) for turn in made]


def _put_first(pairs: Pairs, seconds: NDArray[np.bool_]) -> None:
    """Turn pairs round whose second end is to stay."""
    pairs.ends[seconds] = pairs.ends[seconds, ::-1]


def _enclose(clusters: Clusters, pairs: Pairs, joined: Rows, root: Rows) -> None:
    """Edges between clusters that joined the same one are within it, as those of `joined` are."""
    found = np.empty(len(pairs), np.int32)
    inside = pairs.take(found[: find_inside(pairs.ends, root, found)])
    n = len(root)
    known = np.sort(joined, axis=1).astype(np.int64) @ [n, 1]
    apart = ~np.isin(np.sort(inside.ends, axis=1).astype(np.int64) @ [n, 1], known)
    if apart.any():
        clusters.enclose(root[inside.a[apart]], inside.take(apart))


def _renamed(
    pairs: Pairs, joined: Rows, ids: Rows, root: Rows, where: Rows, drift: float
) -> tuple[Pairs, slice]:
    """The pairs after the clusters `joined` [m, 2] have merged, in their memory, and which are to
    be asked again. `root` [n] is what every row's cluster is called now.
    """
    changed = np.zeros(len(root), np.bool_)
    changed[joined] = True
    arrays = pairs.ends, pairs.sums, pairs.q, pairs.limit
    still, count = merge_pairs(arrays, ids, root, changed, where, drift)
    return pairs.take(slice(0, count)), slice(still, count)
