"""Which pairs of a level must be asked for its merges to be known."""

from typing import Any

import numpy as np

from models.joining import LARGE
from models.kernels.compiled import Array, compiled
from models.kernels.levels import TIE


@compiled
def set_bars(ends: Array, best: Array, value: Array, size: Array, bars: Array) -> None:
    """What a pair must be likelier than to matter to each cluster, into `bars` float32 [n, 3].

    0: than its `best` [n], which is as likely as `value` [n]. 1: the same if that best merges as
    things are, or goes to a large cluster, else infinite. 2: 0 for a large cluster, else infinite.
    """
    for c in range(len(best)):
        e, infinite = best[c], np.float32(np.inf)
        bars[c, 0] = value[c] - 2 * TIE  # ties are asked
        bars[c, 1] = infinite
        bars[c, 2] = np.float32(0) if size[c] >= LARGE else infinite
        if e >= 0:
            other = ends[e, 0] + ends[e, 1] - c
            if best[other] == e or size[other] >= LARGE:
                bars[c, 1] = bars[c, 0]


@compiled
def find_decisive(
    pairs: Array, ends: Array, limit: Array, q: Array, bars: Array, out: Array
) -> Any:
    """Those of `pairs` that might merge or keep others from it, into `out`.

    Only such come into question as were not asked (q is NaN) and may be likelier than the best of
    an end: no pair is likelier than its `limit` [e]. They move to the front of `pairs`, in their
    order. Returns how many these are, and those in `out`.

    A pair merges if it is the best of both ends. It keeps an end from a merge if that would merge
    without it, or join a large cluster; and it may itself join one.
    """
    open_, decisive = 0, 0
    for e in pairs:
        if not np.isnan(q[e]):
            continue
        one, two, most = bars[ends[e, 0]], bars[ends[e, 1]], limit[e]
        over_one, over_two = most > one[0], most > two[0]
        if not (over_one or over_two):
            continue
        pairs[open_] = e
        open_ += 1
        if (
            (over_one and over_two)
            or (over_one and most > min(one[1], two[2]))
            or (over_two and most > min(two[1], one[2]))
        ):
            out[decisive] = e
            decisive += 1
    return open_, decisive


@compiled
def find_likeliest(pairs: Array, ends: Array, limit: Array, bars: Array, out: Array) -> Any:
    """Of each end that may have a better best among `pairs`, the one of highest limit, into `out`;
    returns how many.
    """
    top = np.full(len(bars), -1, np.int32)
    for e in pairs:
        for c in (ends[e, 0], ends[e, 1]):
            if limit[e] > bars[c, 0] and (top[c] < 0 or limit[e] > limit[top[c]]):
                top[c] = e
    count = 0
    for c in range(len(top)):
        e = top[c]
        if e >= 0 and (c == ends[e, 0] or top[ends[e, 0]] != e):
            out[count] = e
            count += 1
    return count
