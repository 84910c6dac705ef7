"""Which pairs of a level must be asked for its merges to be known."""

from typing import Any

import numpy as np

from models.kernels.compiled import Array, compiled


@compiled
def find_open(ends: Array, limit: Array, q: Array, value: Array, out: Array) -> Any:
    """Pairs not asked (q is NaN) that may be likelier than an end's best, into `out`; how many.

    None is likelier than its `limit` [e]; `value` [n] is how likely the best of each end is.
    """
    count = 0
    for e in range(len(q)):
        if np.isnan(q[e]) and (limit[e] > value[ends[e, 0]] or limit[e] > value[ends[e, 1]]):
            out[count] = e
            count += 1
    return count


@compiled
def keep_open(pairs: Array, ends: Array, limit: Array, q: Array, value: Array) -> Any:
    """Move those of `pairs` that are still open to the front, in their order; how many."""
    count = 0
    for e in pairs:
        if np.isnan(q[e]) and (limit[e] > value[ends[e, 0]] or limit[e] > value[ends[e, 1]]):
            pairs[count] = e
            count += 1
    return count


@compiled
def find_deciding(ends: Array, best: Array, large: Array, out: Array) -> None:
    """Clusters that merge or may join a `large` bool [n] one as things are, into `out` bool [n]."""
    for c in range(len(best)):
        e = best[c]
        other = ends[e, 0] + ends[e, 1] - c if e >= 0 else c
        out[c] = e >= 0 and (best[other] == e or large[other])


@compiled
def find_decisive(
    pairs: Array,
    ends: Array,
    limit: Array,
    value: Array,
    large: Array,
    deciding: Array,
    out: Array,
) -> Any:
    """Those of the open `pairs` that might merge or keep others from it, into `out`; how many.

    A pair merges if it is the best of both ends, and keeps an end from a merge that is `deciding`.
    """
    count = 0
    for e in pairs:
        a, b = ends[e, 0], ends[e, 1]
        over_a, over_b = limit[e] > value[a], limit[e] > value[b]
        if (
            (over_a and over_b)
            or (over_a and (deciding[a] or large[b]))
            or (over_b and (deciding[b] or large[a]))
        ):
            out[count] = e
            count += 1
    return count


@compiled
def find_likeliest(pairs: Array, ends: Array, limit: Array, value: Array, out: Array) -> Any:
    """Of each end that may have a better best among `pairs`, the one of highest limit, into `out`;
    returns how many.
    """
    top = np.full(len(value), -1, np.int32)
    for e in pairs:
        for c in (ends[e, 0], ends[e, 1]):
            if limit[e] > value[c] and (top[c] < 0 or limit[e] > limit[top[c]]):
                top[c] = e
    count = 0
    for c in range(len(top)):
        e = top[c]
        if e >= 0 and (c == ends[e, 0] or top[ends[e, 0]] != e):
            out[count] = e
            count += 1
    return count
