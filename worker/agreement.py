"""Which corrections can hold together: of two that contradict each other, the newest.

A table of corrections is int64 [m, 4], oldest first: the number of the record, the place of its
kind in `KINDS`, a row, and the other row or, for `belongs`, a cluster.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.corrections import KINDS, CorrectionKind

Table = NDArray[np.int64]

NO_CORRECTIONS: Table = np.empty((0, 4), np.int64)

# Places in `KINDS`.
SAME = KINDS.index(CorrectionKind.SAME)
APART = KINDS.index(CorrectionKind.APART)
BELONGS = KINDS.index(CorrectionKind.BELONGS)


@dataclass(frozen=True, slots=True)
class Together:
    """Rows that must be in one cluster: in `cluster`, unless it is None."""

    rows: NDArray[np.int64]
    cluster: int | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """What holds of a table of corrections.

    `holds` bool [m]: False for what a newer one contradicts. `together`: every row that is named
    is in exactly one. `apart`: pairs of places in `together` that must not share a cluster,
    oldest first; of each the first keeps the cluster. `moves`: the cluster that rows move to; an
    image takes along what it had been said to be the same as by then.
    """

    holds: NDArray[np.bool_]
    together: Sequence[Together]
    apart: Sequence[tuple[int, int]]
    moves: Mapping[int, int]


class _Sets:
    """Union-find over rows (even nodes) and clusters (odd nodes), with sets that must not join."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self.cluster: dict[int, int] = {}
        self._foes: dict[int, set[int]] = {}

    def root(self, node: int) -> int:
        parent = self._parent.setdefault(node, node)
        if parent == node and node % 2:
            self.cluster.setdefault(node, node // 2)
        while parent != self._parent[parent]:
            self._parent[parent] = self._parent[self._parent[parent]]
            parent = self._parent[parent]
        return parent

    def join(self, one: int, other: int) -> bool:
        """Put both in one set; False if they must not be."""
        a, b = self.root(one), self.root(other)
        if a == b:
            return True
        both_named = a in self.cluster and b in self.cluster
        if both_named or b in self._foes.get(a, ()):
            return False
        self._parent[b] = a
        if b in self.cluster:
            self.cluster[a] = self.cluster[b]
        for foe in self._foes.pop(b, set()):
            self._foes[foe] = self._foes[foe] - {b} | {a}
            self._foes.setdefault(a, set()).add(foe)
        return True

    def part(self, one: int, other: int) -> bool:
        """Keep both in different sets from now on; False if they are in one."""
        a, b = self.root(one), self.root(other)
        if a == b:
            return False
        self._foes.setdefault(a, set()).add(b)
        self._foes.setdefault(b, set()).add(a)
        return True

    def rows(self) -> dict[int, list[int]]:
        """The rows of each set, by its root."""
        found: dict[int, list[int]] = {}
        for node in sorted(self._parent):
            if node % 2 == 0:
                found.setdefault(self.root(node), []).append(node // 2)
        return found


def other_rows(table: Table) -> NDArray[np.int64]:
    """The second row of each correction, int64 [m]; of `belongs` the only one."""
    return np.where(table[:, 1] == BELONGS, table[:, 2], table[:, 3])


def agree(table: Table) -> Agreement:
    """Take the corrections newest first, each unless what was taken contradicts it.

    A pure function, next to linear in their number.
    """
    sets = _Sets()
    holds = np.zeros(len(table), np.bool_)
    records = table.tolist()
    for place in reversed(range(len(records))):
        _, kind, row, other = records[place]
        node = 2 * other + 1 if kind == BELONGS else 2 * other
        holds[place] = (sets.part if kind == APART else sets.join)(2 * row, node)
    together = sets.rows()
    places = {root: place for place, root in enumerate(together)}
    kept = [record[1:] for record, held in zip(records, holds.tolist(), strict=True) if held]
    return Agreement(
        holds,
        [Together(np.array(rows), sets.cluster.get(root)) for root, rows in together.items()],
        [
            (places[sets.root(2 * row)], places[sets.root(2 * other)])
            for kind, row, other in kept
            if kind == APART
        ],
        _moves(kept),
    )


def _moves(kept: Iterable[Sequence[int]]) -> dict[int, int]:
    moves: dict[int, int] = {}
    sets: dict[int, set[int]] = {}
    for kind, row, other in kept:
        mine = sets.setdefault(row, {row})
        if kind == BELONGS:
            moves |= dict.fromkeys(mine, other)
        elif kind == SAME:
            mine |= sets.setdefault(other, {other})
            sets |= dict.fromkeys(mine, mine)
    return moves
