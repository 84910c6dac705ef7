"""Which pairs the network is asked: those without which the merges of a level are not known.

What a pair was, or what its parts were, limits what it is: two clusters that have become one are
hardly likelier to match a third than the likelier of them was. A pair that by its limit is not the
best of an end cannot change what merges; nor can one that is the best of an end which merges
with nothing either way.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.kernels.asking import find_decisive, find_likeliest, set_bars
from models.kernels.levels import UNLIKELY, find_best, improve_best
from models.pairs import Floats, Pairs, Rows
from models.supernodes import Clusters

# How much likelier than the likelier of its parts a pair is thought to be at most, and how much
# that grows with each level at which it changes unasked: docs/decisions/0110.
RISE, DRIFT = 0.1, 0.05

Numbers = TypeVar("Numbers", NDArray[np.float32], Tensor)
Rise = tuple[float, float]
"""RISE and DRIFT of a score. (0, 0) is exact for one that a union never has higher."""
Score = Callable[[Clusters, Pairs], Floats]
"""The expected share of matching image pairs of each pair [e]."""


def ask_pairs(
    clusters: Clusters, pairs: Pairs, fresh: slice, score: Score, rise: Rise | None
) -> NDArray[np.int32]:
    """Ask all pairs that decide what merges; returns the best known of each cluster [n], or -1.

    `fresh` pairs are new or have changed. Of clusters that neither merge nor join at this level a
    better pair may not be known. `rise` None asks every pair.
    """
    pairs.q[fresh] = np.nan
    best, value = best_pairs(pairs, clusters.ids)
    if rise is None:
        _enter(np.flatnonzero(np.isnan(pairs.q)), clusters, pairs, score, 0.0, best, value)
        return best
    size, bars = clusters.size, np.empty((len(best), 3), np.float32)
    left = np.arange(len(pairs), dtype=np.int32)
    out = np.empty(len(pairs), np.int32)
    first = True
    while True:
        set_bars(pairs.ends, best, value, size, bars)
        open_, decisive = find_decisive(left, pairs.ends, pairs.limit, pairs.q, bars, out)
        left, due = left[:open_], out[:decisive]
        if not decisive:
            return best
        if first:  # their answers make most others superfluous
            due = due[: find_likeliest(due, pairs.ends, pairs.limit, bars, due)]
        _enter(due, clusters, pairs, score, rise[0], best, value)
        first = False


def _enter(
    due: Rows,
    clusters: Clusters,
    pairs: Pairs,
    score: Score,
    rise: float,
    best: NDArray[np.int32],
    value: NDArray[np.float64],
) -> None:
    """Ask the pairs `due`, and enter the answers into `pairs`, `best` and `value`."""
    pairs.q[due] = score(clusters, pairs.take(due))
    pairs.limit[due] = raised(pairs.q[due], rise)
    improve_best(due, pairs.ends, clusters.ids, pairs.q, best, value)


def raised(limit: Numbers, rise: float) -> Numbers:
    """Limits [e], NumPy's or torch's, with as much of `rise` as they are likely."""
    share: Any = (UNLIKELY[0] + UNLIKELY[1] * limit).clip(max=1)
    higher: Numbers = limit + rise * share
    return higher


def best_pairs(pairs: Pairs, ids: Rows) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The likeliest pair of each cluster and how likely it is, both [n], -1 for none.

    Pairs that were not asked (q is NaN) do not count. A hash of the rows `ids` [n] that clusters
    are called by decides between equals.
    """
    best, value = np.empty(len(ids), np.int32), np.empty(len(ids))
    find_best(pairs.ends, ids, pairs.q, best, value)
    return best, value
