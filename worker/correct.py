"""R5: clusters with the corrections of people applied. Pure functions.

`belongs` moves the image, and with it those it was said to be the same as. `same` unites two
clusters. `apart` cuts one at the weakest link between two images: at the coarsest level of the
hierarchy at which they are in different groups, or, where no level tells them apart, between what
is nearer to the one and what is nearer to the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.agreement import Agreement, Table, agree, other_rows

Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]

# Vectors that are read at a time.
_READ_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Corrected:
    """`groups` int64 [n], -1 where a row was in none; `numbers` says of some of the groups which
    cluster number each must get. `holds` bool [m]: False for a correction that a newer one
    contradicts.
    """

    groups: Ints
    numbers: Mapping[int, int]
    holds: NDArray[np.bool_]


def correct(
    groups: Ints,
    table: Table,
    old: NDArray[np.int32],
    vectors: Vectors,
    levels: Sequence[NDArray[Any]] = (),
) -> Corrected:
    """Change the partition `groups` so that every correction holds that no newer one contradicts.

    `groups` int64 [n]: labels >= 0, of which those below 2**31 are cluster numbers; -1: in no
    cluster. Corrections (see `worker.agreement`) of rows in none are passed over. `old` [n] are the
    clusters of before, -1 for none: where a cluster of theirs is cut anew, the first image of an
    `apart` keeps its number. `vectors` float32 [n, d], of unit length; `levels` int [n] each, the
    hierarchy, finest first. O(n) for each cut.
    """
    agreement = agree(table[_placed(groups, table)])
    groups = groups.copy()
    for row, cluster in agreement.moves.items():
        groups[row] = cluster
    movers = {cluster: row for row, cluster in agreement.moves.items()}
    _unite(groups, agreement)
    keepers = _cut(groups, agreement, old, vectors, levels)
    keepers = {number: row for number, row in keepers.items() if number not in movers}
    holds = np.ones(len(table), np.bool_)
    holds[_placed(groups, table)] = agreement.holds
    # Where an image was moved to a cluster, that is what its group must be.
    return Corrected(groups, _numbers(groups, keepers) | _numbers(groups, movers), holds)


def _placed(groups: Ints, table: Table) -> NDArray[np.bool_]:
    """The corrections whose rows are in a group."""
    placed: NDArray[np.bool_] = (groups[table[:, 2]] >= 0) & (groups[other_rows(table)] >= 0)
    return placed


def _unite(groups: Ints, agreement: Agreement) -> None:
    """Make one group of all those that rows of the same set are in."""
    parent: dict[int, int] = {}

    def root(group: int) -> int:
        while parent.setdefault(group, group) != group:
            parent[group] = group = parent[parent[group]]
        return group

    for some in agreement.together:
        first, *others = np.unique(groups[some.rows]).tolist()
        for other in others:
            parent[root(other)] = root(first)
    joined = np.array(sorted(parent), np.int64)
    if len(joined):
        inside = np.isin(groups, joined)
        into = np.array([root(group) for group in joined.tolist()], np.int64)
        groups[inside] = into[np.searchsorted(joined, groups[inside])]


def _cut(
    groups: Ints,
    agreement: Agreement,
    old: NDArray[np.int32],
    vectors: Vectors,
    levels: Sequence[NDArray[Any]],
) -> dict[int, int]:
    """Cut until no two sets of rows share a group that must not; the row that keeps each number."""
    keepers: dict[int, int] = {}
    sets = [some.rows for some in agreement.together]
    fresh = int(groups.max(initial=-1)) + 1
    for one, other in (*agreement.apart, *_named(groups, agreement)):
        group = groups[sets[one][0]]
        if groups[sets[other][0]] != group:
            continue
        members = np.flatnonzero(groups == group)
        away = _away(members, sets[one], sets[other], vectors, levels)
        for rows in _inside(groups, sets, group):
            places = np.searchsorted(members, rows)
            away[places] = 2 * np.count_nonzero(away[places]) > len(rows)
        groups[members[away]] = fresh
        fresh += 1
        if old[sets[one][0]] == old[sets[other][0]] == group:
            keepers.setdefault(int(group), int(sets[one][0]))
    return keepers


def _named(groups: Ints, agreement: Agreement) -> list[tuple[int, int]]:
    """Pairs of places of rows that share a group and belong to two different clusters."""
    shared: dict[int, list[int]] = {}
    for place, some in enumerate(agreement.together):
        if some.cluster is not None:
            shared.setdefault(int(groups[some.rows[0]]), []).append(place)
    return [pair for places in shared.values() for pair in combinations(places, 2)]


def _inside(groups: Ints, sets: Sequence[Ints], group: int) -> Iterator[Ints]:
    """The sets of two or more rows that lie in a group; each stays whole."""
    return (rows for rows in sets if len(rows) > 1 and groups[rows[0]] == group)


def _away(
    members: Ints, first: Ints, second: Ints, vectors: Vectors, levels: Sequence[NDArray[Any]]
) -> NDArray[np.bool_]:
    """Which `members` of a cluster leave it with the rows `second`, when `first` stay.

    What is in one group with either goes with it, and every other group, as a whole, with those
    that it is nearer to.
    """
    parts = members
    stay, leave = np.isin(members, first), np.isin(members, second)
    for level in reversed(levels):
        if not np.isin(level[first], level[second]).any():
            parts = level[members]
            stay, leave = np.isin(parts, level[first]), np.isin(parts, level[second])
            break
    direction = _centre(vectors, members[leave]) - _centre(vectors, members[stay])
    pull = np.concatenate([part @ direction for part in _read(vectors, members)])
    _, part = np.unique(parts, return_inverse=True)
    away: NDArray[np.bool_] = np.bincount(part, pull)[part] > 0
    return (away | leave) & ~stay


def _centre(vectors: Vectors, rows: Ints) -> NDArray[np.float64]:
    total = sum(part.sum(0, dtype=np.float64) for part in _read(vectors, rows))
    length = float(np.linalg.norm(total))
    return np.asarray(total) / (length or 1.0)


def _read(vectors: Vectors, rows: Ints) -> Iterator[Vectors]:
    return (vectors[rows[i : i + _READ_ROWS]] for i in range(0, len(rows), _READ_ROWS))


def _numbers(groups: Ints, keepers: Mapping[int, int]) -> dict[int, int]:
    """The group that each number's keeper is in; a group with several is left to the overlap."""
    wanted: dict[int, list[int]] = {}
    for number, row in keepers.items():
        if number < 2**31:
            wanted.setdefault(int(groups[row]), []).append(number)
    return {group: numbers[0] for group, numbers in wanted.items() if len(numbers) == 1}
