"""What became of the clusters between two partitions, as events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.recluster.overlap import Ints, Overlap
from worker.store.base import EventKind

# Smaller clusters join and leave all the time; nobody calls that merging or splitting.
MIN_IMAGES = 2

GROWTH_FACTOR = 1.5


@dataclass(frozen=True, slots=True)
class Lineage:
    """One change of one cluster. Clusters are numbers, or -(k+2) for the k-th new one.

    * created: `cluster` was not live before; its number is >= 0 if it was revived.
    * retired: `cluster` lives no more; `others` is its successor, if it has one.
    * merged: `cluster` now holds at least half of the images of each of two or more clusters of
      at least two images, the `others` (old numbers, largest share first).
    * split: the same read backwards. `cluster` (an old number) gave at least half of the images
      of each of two or more clusters of at least two images, the `others`; images that
      were in no cluster before are left out.
    * grown: `cluster` kept its number without merging and holds at least half as many images
      again, and at least two more.

    `before` and `images`: how many images the cluster of that number held and holds.
    """

    kind: EventKind
    cluster: int
    others: tuple[int, ...]
    before: int
    images: int


@dataclass(frozen=True, slots=True)
class Change:
    """Both sides of a matching, as `events` needs them.

    `table` crosses old index and new index; `numbers` [old] and `codes` [new] are their
    encoded names; `sizes` [new] counts all images, also those in no cluster before.
    """

    table: Overlap
    numbers: Ints
    codes: Ints
    sizes: Ints
    retired: Mapping[int, int | None]


def events(change: Change) -> tuple[Lineage, ...]:
    """Every event: created, merged, split, grown, retired, in this order."""
    before = dict(zip(change.numbers.tolist(), change.table.left_size.tolist(), strict=True))
    after = dict(zip(change.codes.tolist(), change.sizes.tolist(), strict=True))

    def lineage(kind: EventKind, cluster: int, *others: int) -> Lineage:
        return Lineage(kind, cluster, others, before.get(cluster, 0), after.get(cluster, 0))

    merged, split = dict(_merged(change)), dict(_split(change))
    created = (code for code in after if code not in before)
    grown = (code for code in _grown(before, after) if code not in merged)
    return (
        *(lineage(EventKind.CREATED, code) for code in created),
        *(lineage(EventKind.MERGED, code, *others) for code, others in merged.items()),
        *(lineage(EventKind.SPLIT, number, *others) for number, others in split.items()),
        *(lineage(EventKind.GROWN, code) for code in grown),
        *(
            lineage(EventKind.RETIRED, number, *(() if heir is None else (heir,)))
            for number, heir in change.retired.items()
        ),
    )


def _merged(change: Change) -> Iterator[tuple[int, tuple[int, ...]]]:
    table = change.table
    whole = _mostly(table.images, table.left_size[table.left])
    return _several(table.right, table.left, table.images, whole, change.codes, change.numbers)


def _split(change: Change) -> Iterator[tuple[int, tuple[int, ...]]]:
    table = change.table
    whole = _mostly(table.images, table.right_size[table.right])
    return _several(table.left, table.right, table.images, whole, change.numbers, change.codes)


def _mostly(part: Ints, size: Ints) -> NDArray[np.bool_]:
    return (size >= MIN_IMAGES) & (2 * part >= size)


def _several(
    one: Ints, many: Ints, images: Ints, chosen: NDArray[np.bool_], names: Ints, others: Ints
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Each `one` that has two or more `chosen` cells, with its `many` by falling images."""
    one, many, images = one[chosen], many[chosen], images[chosen]
    order = np.lexsort((many, -images, one))
    one, many = one[order], many[order]
    found, start, cells = np.unique(one, return_index=True, return_counts=True)
    for index in np.flatnonzero(cells > 1).tolist():
        here = slice(start[index], start[index] + cells[index])
        yield int(names[found[index]]), tuple(others[many[here]].tolist())


def _grown(before: Mapping[int, int], after: Mapping[int, int]) -> Iterator[int]:
    for code, size in after.items():
        old = before.get(code, size)
        if size >= GROWTH_FACTOR * old and size - old >= MIN_IMAGES:
            yield code
