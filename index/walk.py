"""Introductions: rows get to know who is near them, by a walk over the k-NN graph.

HNSW finds a few rows near a new one. Whoever is near knows others that are, in both directions:
those that it lists, and its listers, the rows that list it and are not listed back. From every row
whose list the new one enters, or nearly, the walk goes on to both. Listers are what leads out of a
dense place to rows in a sparse one, which may want the new row although it has many nearer ones.

The walk is that of NN-descent (Dong, Charikar and Li, 2011: a neighbour's neighbour is likely a
neighbour) from one row at a time, over a graph that is whole before and after. What it was measured
to bring is in docs/decisions/0211-a-walk-over-the-graph.md.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.kernels.compiled import compiled
from models.kernels.product import product

Array = NDArray[Any]

# The walk goes on from a row that has the new one within so many times the (squared) distance of
# its last neighbour.
NEARLY = 1.06
# Rows that a walk has seen are marked with its turn, which is a byte.
_TURNS = 255
# Of so many that last came to list a row each is as likely to be among its listers.
_OF_LATE = 64


@compiled
def introduce(
    rows: Array,
    labels: Array,
    similarity: Array,
    vectors: Array,
    present: Array,
    lists: tuple[Array, Array, Array, Array, Array],
    most: int,
) -> None:
    """Let each of `rows` [n] and those that a search found near it know of each other, then walk.

    `labels` [n, width] are distinct, `similarity` [n, width] likewise; the walk computes about
    `most` more similarities from `vectors` [all, d], none if 0. Only rows that are `present` [all]
    are met. `lists` is (neighbours [all, k], their similarity, best first; the last column of that;
    listers [all, l]; how many came to list each row, at most `_OF_LATE` [all]), all changed in
    place. A row takes what is more similar than its last, behind those that are as similar.
    """
    width = labels.shape[1]
    at_once = lists[0].shape[1] + lists[3].shape[1]
    queue = np.empty(width + most + at_once, np.int64)
    seen = np.zeros(len(present) if most else 0, np.uint8)
    for i in range(len(rows)):
        turn = i % _TURNS + 1
        if i and turn == 1:
            seen[:] = 0
        if present[rows[i]]:
            near = _meet_all(rows[i], labels[i], similarity[i], present, lists, queue)
            if most:
                seen[rows[i]] = turn
                for j in range(width):
                    seen[labels[i, j]] = turn
                _walk(rows[i], queue, near, seen, turn, vectors, present, lists, most)


@compiled
def _meet_all(row: int, labels: Any, similarity: Any, present: Any, lists: Any, near: Any) -> int:
    """Let `row` meet all of `labels`; those that are `near` it go there, and how many."""
    weakest, count = lists[2], 0
    for j in range(len(labels)):
        other = labels[j]
        if other != row and present[other] and _is_near(row, other, similarity[j], weakest):
            _meet(row, other, similarity[j], lists)
            near[count] = other
            count += 1
    return count


@compiled
def _walk(
    row: int,
    queue: Any,
    waiting: int,
    seen: Any,
    turn: int,
    vectors: Any,
    present: Any,
    lists: Any,
    most: int,
) -> None:
    """Let `row` meet those near the first `waiting` of `queue`, those near these, and so on."""
    own, weakest = vectors[row], lists[2]
    at_once = lists[0].shape[1] + lists[3].shape[1]
    found, value = np.empty(at_once, np.int64), np.empty(at_once, np.float32)
    walked = done = 0
    while walked < waiting and done < most:
        count = _who_is_new(queue[walked], seen, turn, lists, found)
        walked += 1
        done += count
        for c in range(count):  # all at once, so that one waits for memory while others do
            value[c] = product(own, vectors[found[c]])
        for c in range(count):
            if present[found[c]] and _is_near(row, found[c], value[c], weakest):
                _meet(row, found[c], value[c], lists)
                queue[waiting] = found[c]
                waiting += 1


@compiled
def note_listers(lists: tuple[Array, Array, Array, Array, Array]) -> None:
    """Find the listers of all rows, of which nothing is known; `lists` as for `introduce`."""
    neighbours, similarity, weakest = lists[0], lists[1], lists[2]
    for row in range(neighbours.shape[0]):
        for place in range(neighbours.shape[1]):
            listed = neighbours[row, place]
            if listed >= 0 and similarity[row, place] < weakest[listed]:
                _note(listed, row, lists)


@compiled
def _is_near(row: int, other: int, similarity: float, weakest: Any) -> bool:
    """Whether one of the two may list the other, or `other` nearly does."""
    reach = np.float32(NEARLY) * (np.float32(1) - weakest[other])
    return bool(np.float32(1) - similarity < reach or similarity > weakest[row])


@compiled
def _meet(row: int, other: int, similarity: float, lists: Any) -> None:
    """Offer each to the other, and remember who lists whom alone."""
    weakest = lists[2]
    taken = similarity > weakest[row] and _take(row, other, similarity, lists)
    wanted = similarity > weakest[other] and _take(other, row, similarity, lists)
    if taken and not wanted:
        _note(other, row, lists)
    elif wanted and not taken:
        _note(row, other, lists)


@compiled
def _take(row: int, other: int, similarity: float, lists: Any) -> bool:
    """Put `other` into the list of `row`, whose last is less similar; False where it is there."""
    neighbours, similarities, weakest, _, _ = lists
    last = neighbours.shape[1] - 1
    for place in range(last + 1):
        if neighbours[row, place] == other:
            return False
    dropped = neighbours[row, last]
    if dropped >= 0 and weakest[row] >= weakest[dropped]:
        _note(row, dropped, lists)
    place = last
    while place > 0 and similarities[row, place - 1] < similarity:
        neighbours[row, place] = neighbours[row, place - 1]
        similarities[row, place] = similarities[row, place - 1]
        place -= 1
    neighbours[row, place] = other
    similarities[row, place] = similarity
    weakest[row] = similarities[row, last]
    return True


@compiled
def _note(row: int, lister: int, lists: Any) -> None:
    """Remember that `lister` lists `row`: some of those that did of late, each as likely.

    Not the last ones: those near each other would all remember the same.
    """
    _, _, _, listers, came = lists
    room, count = listers.shape[1], np.int64(came[row])
    place = count if count < room else _mixed(row, lister) % (count + 1)
    if place < room:
        listers[row, place] = lister
    came[row] = min(count + 1, _OF_LATE)


@compiled
def _mixed(row: int, other: int) -> int:
    """A number that looks random, of two rows."""
    return ((row * 40_503 + other * 2_654_435_761) >> 11) & 0xFFFF


@compiled
def _who_is_new(row: int, seen: Any, turn: int, lists: Any, out: Any) -> int:
    """Write whom `row` lists, and its listers, into `out` if they were not seen; how many."""
    listed = _write_new(lists[0][row], seen, turn, out, 0)
    return _write_new(lists[3][row], seen, turn, out, listed)


@compiled
def _write_new(known: Any, seen: Any, turn: int, out: Any, count: int) -> int:
    """Write those of `known` that were not seen into `out`, behind `count`; how many are there."""
    for other in known:
        if other < 0:
            break
        out[count] = other
        count += seen[other] != turn
        seen[other] = turn
    return count
