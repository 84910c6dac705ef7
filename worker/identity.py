"""R4: which new cluster is which old one, so that ids survive a reclustering."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.recluster.lineage import Change, Lineage, events
from worker.recluster.overlap import Ints, Overlap, dense, overlap, total
from worker.recluster.returns import find_returns

DEAD = -1


@dataclass(frozen=True, slots=True)
class Matching:
    """The outcome of `match`. Clusters are numbers, or -(k+2) for the k-th new one.

    `cluster` int32 [n]: each row's cluster, -1 for a dead row. `labels` int64 [c]: the
    clusterer's own labels, and `codes` int32 [c] the cluster each became. `retired`: every live
    number that is in use no more, with the cluster that now holds most of its images (None:
    it has none left). `revived`: retired numbers in use again.
    """

    cluster: NDArray[np.int32]
    labels: Ints
    codes: NDArray[np.int32]
    retired: Mapping[int, int | None]
    revived: frozenset[int]
    events: tuple[Lineage, ...]


def match(
    old: NDArray[np.int32],
    new: Ints,
    counts: NDArray[np.int32],
    pinned: Collection[int] = frozenset(),
    history: Sequence[NDArray[np.int32]] = (),
    live: Collection[int] = (),
    said: Mapping[int, int] | None = None,
) -> Matching:
    """Give each cluster of `new` the number of the old cluster it shares most images with.

    `old` [n] holds cluster numbers (>= 0) and `new` [n] arbitrary labels (>= 0), -1 where a row
    is in none; `counts` [n] is the number of images of each row, 0 for a dead one. One-to-one:
    of all pairs, the one that shares most images is matched first, then the next of those left
    (ties: the smaller old number, then the new cluster with the earlier row). Pairs of `pinned`
    numbers go before all others, so a pinned number is lost only when every cluster that
    holds an image of it goes to another pinned one. `history` holds former labels [<= n],
    newest first: clusters that return from there (see `find_returns`) take their retired
    numbers again. `live` names further live numbers, that may have no image left. `said` maps
    labels of `new` to the number that each must get, before all others.

    A pure function that depends on the names in `new` in no way. Takes about two seconds for a
    million rows.
    """
    said = said or {}
    alive = (counts > 0) & (new >= 0)
    images = np.where(alive, counts, 0).astype(np.int64)
    group, labels = _by_first_row(new, alive)
    index, numbers = dense(old, alive)
    sizes = total(group, images, len(labels))
    table = overlap(index, group, images, (len(numbers), len(labels)))
    former = [_pad(generation, len(old)) for generation in history]
    returns = find_returns(former, index, group, images, numbers)
    fixed = {place: said[name] for place, name in enumerate(labels.tolist()) if name in said}
    owner = _owners(table, numbers, frozenset(pinned), returns, fixed)
    codes = _encode(owner)
    retired = _retired(table, numbers, codes, live)
    change = Change(table, numbers, codes, sizes, retired)
    known = np.concatenate((numbers, np.fromiter(live, np.int64)))
    order = np.argsort(labels)
    cluster = np.full(len(old), DEAD, np.int32)
    cluster[alive] = codes[group[alive]]
    return Matching(
        cluster=cluster,
        labels=labels[order],
        codes=codes[order].astype(np.int32),
        retired=retired,
        revived=frozenset(owner[(owner >= 0) & ~np.isin(owner, known)].tolist()),
        events=events(change),
    )


def _by_first_row(new: Ints, alive: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Number the new clusters 0.. by their first row, so that their names cannot matter."""
    index, names = dense(new, alive)
    _, first = np.unique(index[index >= 0], return_index=True)
    order = np.argsort(first)
    place = np.empty(len(order) + 1, np.int64)
    place[order] = np.arange(len(order))
    place[-1] = -1
    return place[index], names[order]


def _pad(labels: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    padded = np.full(n, DEAD, np.int32)
    padded[: len(labels)] = labels[:n]
    return padded


def _owners(
    table: Overlap,
    numbers: Ints,
    pinned: frozenset[int],
    returns: Mapping[int, int],
    fixed: Mapping[int, int],
) -> Ints:
    """The number each new cluster takes, -1 for none: what is fixed, then pinned ones, returns,
    and the others.
    """
    owner = np.full(len(table.right_size), -1, np.int64)
    owner[list(fixed)] = list(fixed.values())
    placed = set(fixed.values())
    number, group = numbers[table.left], table.right
    is_pinned = np.isin(number, np.fromiter(pinned, np.int64))
    # A pinned cluster takes one that returns from history only where it has no other image left.
    returning = np.isin(group, np.fromiter(returns, np.int64))
    order = np.lexsort((group, number, -table.images, returning))
    first = order[is_pinned[order]]
    _take(owner, placed, number[first], group[first])
    _take(
        owner,
        placed,
        np.fromiter(returns.values(), np.int64),
        np.fromiter(returns.keys(), np.int64),
    )
    rest = np.lexsort((group, number, -table.images))
    _take(owner, placed, number[rest], group[rest])
    return owner


def _take(owner: Ints, placed: set[int], numbers: Ints, groups: Ints) -> None:
    """Match the pairs in the order given, each side once."""
    for number, group in zip(numbers.tolist(), groups.tolist(), strict=True):
        if owner[group] < 0 and number not in placed:
            owner[group] = number
            placed.add(number)


def _encode(owner: Ints) -> Ints:
    fresh = owner < 0
    return np.where(fresh, -1 - np.cumsum(fresh), owner)


def _retired(
    table: Overlap, numbers: Ints, codes: Ints, live: Collection[int]
) -> dict[int, int | None]:
    """The numbers that no new cluster took, each with its heir; then those without an image."""
    order = np.lexsort((table.right, -table.images, table.left))
    _, first = np.unique(table.left[order], return_index=True)
    heirs = codes[table.right[order[first]]]  # every number in `numbers` has an image
    gone = ~np.isin(numbers, codes)
    retired: dict[int, int | None] = dict(
        zip(numbers[gone].tolist(), heirs[gone].tolist(), strict=True)
    )
    others = np.fromiter(live, np.int64)
    empty = others[~np.isin(others, numbers) & ~np.isin(others, codes)]
    return retired | dict.fromkeys(sorted(empty.tolist()))
