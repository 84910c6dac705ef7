"""One level of merging: who is whose best, and which pairs become one."""

from typing import Any

import numpy as np

from models.kernels.compiled import Array, compiled

# Of `rise` an unlikely pair, of limit l, has only the share [0] + [1] l.
UNLIKELY = (0.1, 5.0)
# What a hash adds to a probability is below this.
TIE = 1e-7


@compiled
def tie_hash(a: Any, b: Any) -> Any:
    """A number in [0, 1) for each pair, the same in every run, with no pattern in it."""
    x = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(b)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return np.float64(x >> np.uint64(11)) / 9007199254740992.0


@compiled
def find_best(ends: Array, ids: Array, q: Array, best: Array, value: Array) -> None:
    """The likeliest pair of every cluster, into `best` int32 [n], and how likely, `value` [n].

    -1 where none was asked. Ties are broken by a hash of both ends' rows `ids` [n], that is smaller
    than any difference of probabilities that matters.
    """
    best[:] = -1
    value[:] = -1.0
    for e in range(len(q)):
        _offer(e, ends, ids, q, best, value)


@compiled
def improve_best(due: Array, ends: Array, ids: Array, q: Array, best: Array, value: Array) -> None:
    """Enter the pairs `due` too, which were asked after `find_best`."""
    for m in range(len(due)):
        _offer(due[m], ends, ids, q, best, value)


@compiled
def _offer(e: int, ends: Any, ids: Any, q: Any, best: Any, value: Any) -> None:
    a, b = ends[e, 0], ends[e, 1]
    most = np.float64(q[e]) + TIE
    if most > value[a] or most > value[b]:  # seldom, and then a hash is worth its time
        likely = np.float64(q[e]) + TIE * tie_hash(ids[a], ids[b])
        if likely > value[a]:
            best[a], value[a] = e, likely
        if likely > value[b]:
            best[b], value[b] = e, likely


@compiled
def find_mutual(ends: Array, q: Array, best: Array, floor: float, out: Array) -> Any:
    """Pairs above `floor` that are the best of both ends, by first end; returns how many."""
    count = 0
    for a in range(len(best)):
        e = best[a]
        if e >= 0 and ends[e, 0] == a and best[ends[e, 1]] == e and q[e] > floor:
            out[count] = e
            count += 1
    return count


@compiled
def find_joiners(
    ends: Array,
    q: Array,
    best: Array,
    size: Array,
    rule: tuple[float, float, float, float],
    out: Array,
) -> Any:
    """Pairs of a small cluster whose best is a large one that merges with another, and is about as
    likely; into `out`, by the small one; returns how many.

    `rule` is (floor, members of a large cluster, the share of it that may join, how much less
    likely).
    """
    floor, large, share, less = rule
    count = 0
    for small in range(len(best)):
        e = best[small]
        if e < 0 or q[e] <= floor:
            continue
        into = ends[e, 0] + ends[e, 1] - small
        own = best[into]
        if own == e or size[into] < large or q[e] < q[own] - less:
            continue
        partner = ends[own, 0] + ends[own, 1] - into
        if best[partner] == own and size[small] + size[partner] <= share * size[into]:
            out[count] = e
            count += 1
    return count


@compiled
def find_inside(ends: Array, root: Array, out: Array) -> Any:
    """Pairs whose ends have become one cluster, `root` [n], into `out`; returns how many."""
    count = 0
    for e in range(len(ends)):
        if root[ends[e, 0]] == root[ends[e, 1]]:
            out[count] = e
            count += 1
    return count


@compiled
def merge_pairs(
    pairs: tuple[Array, Array, Array, Array],
    ids: Array,
    root: Array,
    changed: Array,
    where: Array,
    drift: float,
) -> Any:
    """Rename every cluster c to `root[c]` int32 [n] and add together pairs that have become one.

    In place, of (ends, sums, q, limit): pairs of which no end has `changed` bool [n] move up in
    their order, after them come the others, which are to be asked again, by first end: that of the
    lower of the rows `ids` [n]; their limits rise by `drift` at most. Returns how many pairs there
    are of the first kind, and of both. `where` int32 [n] is used.
    """
    ends, sums, q, limit = pairs
    first, moved = _count_moved(ends, ids, root, changed)
    moved_ends, moved_sums = np.empty((moved, 2), np.int32), np.empty((moved, 6), np.float32)
    moved_limit = np.empty(moved, np.float32)
    still = 0
    for e in range(len(q)):
        a, b = ends[e, 0], ends[e, 1]
        if not (changed[a] or changed[b]):
            ends[still, 0], ends[still, 1] = a, b
            q[still], limit[still] = q[e], limit[e]
            _copy(sums[e], sums[still])
            still += 1
            continue
        a, b = _in_order(ids, root[a], root[b])
        if a != b:
            at = first[a]
            first[a] += 1
            moved_ends[at, 0], moved_ends[at, 1] = a, b
            moved_limit[at] = _raised(limit[e], np.float32(drift))
            _copy(sums[e], moved_sums[at])
    return still, _add_equal((moved_ends, moved_sums, moved_limit), still, pairs, where)


@compiled
def _raised(limit: Any, rise: Any) -> Any:
    return limit + rise * min(np.float32(UNLIKELY[0]) + np.float32(UNLIKELY[1]) * limit, 1)


@compiled
def _in_order(ids: Any, a: int, b: int) -> Any:
    return (a, b) if ids[a] < ids[b] else (b, a)


@compiled
def _count_moved(ends: Any, ids: Any, root: Any, changed: Any) -> Any:
    """Where the renamed pairs of each first end begin [n], and how many are renamed."""
    first = np.zeros(len(root) + 1, np.int32)
    for e in range(len(ends)):
        a, b = ends[e, 0], ends[e, 1]
        if changed[a] or changed[b]:
            a, b = _in_order(ids, root[a], root[b])
            first[a + 1] += a != b
    for c in range(len(root)):
        first[c + 1] += first[c]
    return first, first[len(root)]


@compiled
def _add_equal(moved: Any, end: int, pairs: Any, where: Any) -> Any:
    """Append pairs sorted by first end after the first `end`, equal ones added together."""
    moved_ends, moved_sums, moved_limit = moved
    ends, sums, _, limit = pairs
    begin, last = end, -1
    for m in range(len(moved_ends)):
        a, b = moved_ends[m, 0], moved_ends[m, 1]
        if a != last:
            begin, last = end, a
        at = where[b]
        if begin <= at < end and ends[at, 1] == b:
            for c in range(4):
                sums[at, c] += moved_sums[m, c]
            sums[at, 4] = max(sums[at, 4], moved_sums[m, 4])
            sums[at, 5] = max(sums[at, 5], moved_sums[m, 5])
            limit[at] = max(limit[at], moved_limit[m])
        else:
            where[b] = end
            ends[end, 0], ends[end, 1], limit[end] = a, b, moved_limit[m]
            _copy(moved_sums[m], sums[end])
            end += 1
    return end


@compiled
def _copy(source: Any, target: Any) -> None:
    for c in range(len(source)):
        target[c] = source[c]
