"""The clusters of a collection: numbers for arrays, ids for people, successors of the retired."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from worker.clock import Clock
from worker.ids import ClusterIds
from worker.store.base import ClusterInfo


@dataclass(slots=True)
class Cluster:
    """One cluster. `exemplar_row` is its most typical row, None before a full run chose one."""

    number: int
    id: str
    created: float
    name: str | None = None
    exemplar_row: int | None = None
    retired: bool = False
    successor: int | None = None


class ClusterTable:
    """All clusters of one collection, mirrored in memory. Changes are made within the caller's
    transaction; after one that fails the collection is to be opened again.
    """

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        times: dict[float, float] = {}  # one object for all that came together
        self._clusters = [
            Cluster(
                number,
                id_,
                times.setdefault(created, created),
                name,
                exemplar,
                bool(retired),
                successor,
            )
            for number, id_, created, name, exemplar, retired, successor in connection.execute(
                "SELECT number, id, created, name, exemplar_row, retired, successor"
                " FROM cluster ORDER BY number"
            )
        ]
        last = self._clusters[-1].id if self._clusters else None
        self._ids = ClusterIds(clock, after=last)

    def __getitem__(self, number: int) -> Cluster:
        if number < 0:
            raise IndexError(f"no cluster has the number {number}")
        return self._clusters[number]

    def __len__(self) -> int:
        return len(self._clusters)

    def id(self, number: int | None) -> str | None:
        """The id of cluster `number`; None for None or -1."""
        return None if number is None or number < 0 else self._clusters[number].id

    def find(self, id_: str) -> int | None:
        """The number of the cluster that `id_` stands for: the one of that id, or while it is
        retired its heir; None if there is none.
        """
        number = next((c.number for c in self._clusters if c.id == id_), None)
        return None if number is None else self.heir(number)

    def heir(self, number: int) -> int | None:
        """`number` while it is live, otherwise the live cluster in its place, if there is one."""
        passed: set[int] = set()
        heir: int | None = number
        while heir is not None and self._clusters[heir].retired:
            passed.add(heir)
            successor = self._clusters[heir].successor
            heir = None if successor in passed else successor
        return heir

    @property
    def pinned(self) -> frozenset[int]:
        """Numbers of live clusters that a person named."""
        return frozenset(c.number for c in self._clusters if c.name and not c.retired)

    def shown_by(self, rows: Collection[int]) -> list[int]:
        """Numbers of the live clusters whose most typical row is one of these."""
        if not rows:
            return []
        return [c.number for c in self._clusters if c.exemplar_row in rows and not c.retired]

    @property
    def live(self) -> list[int]:
        """Numbers of the clusters that are not retired."""
        return [cluster.number for cluster in self._clusters if not cluster.retired]

    def create(
        self, connection: sqlite3.Connection, created: float, exemplars: Iterable[int | None]
    ) -> range:
        """Add a cluster for each exemplar row; returns their numbers."""
        fresh = [
            Cluster(number, self._ids.next(), created, exemplar_row=row)
            for number, row in enumerate(exemplars, len(self._clusters))
        ]
        connection.executemany(
            "INSERT INTO cluster (number, id, created, exemplar_row) VALUES (?, ?, ?, ?)",
            [(c.number, c.id, c.created, c.exemplar_row) for c in fresh],
        )
        self._clusters += fresh
        return range(len(self._clusters) - len(fresh), len(self._clusters))

    def retire(self, connection: sqlite3.Connection, successors: Mapping[int, int | None]) -> None:
        """Retire the clusters that are keys; each value takes its place (None: nobody)."""
        connection.executemany(
            "UPDATE cluster SET retired = 1, successor = ? WHERE number = ?",
            [(successor, number) for number, successor in successors.items()],
        )
        for number, successor in successors.items():
            self._clusters[number].retired = True
            self._clusters[number].successor = successor

    def revive(self, connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
        """Bring retired clusters back."""
        numbers = list(numbers)
        connection.executemany(
            "UPDATE cluster SET retired = 0, successor = NULL WHERE number = ?",
            [(number,) for number in numbers],
        )
        for number in numbers:
            self._clusters[number].retired = False
            self._clusters[number].successor = None

    def replace(
        self,
        connection: sqlite3.Connection,
        infos: Iterable[ClusterInfo],
        retired: Mapping[str, str | None],
        rows: Mapping[str, int],
        now: float,
    ) -> dict[str, int]:
        """Make `infos` the live clusters and `retired` the others, by id; the number of each.

        Known ids keep their numbers. What is in neither is retired, without a successor; `rows` are
        those of the exemplars. The table is to be read again afterwards.
        """
        live = {info.id: info for info in infos}
        numbers = {cluster.id: cluster.number for cluster in self._clusters}
        successors = {id_ for id_ in retired.values() if id_ is not None}
        fresh = sorted({*live, *retired, *successors} - numbers.keys())
        numbers |= {id_: number for number, id_ in enumerate(fresh, len(numbers))}
        connection.executemany(
            "INSERT INTO cluster (number, id, created) VALUES (?, ?, ?)",
            [(numbers[id_], id_, now) for id_ in fresh],
        )
        connection.execute("UPDATE cluster SET retired = 1, successor = NULL, name = NULL")
        connection.executemany(
            "UPDATE cluster SET successor = ? WHERE number = ?",
            [(id_ and numbers[id_], numbers[old]) for old, id_ in retired.items()],
        )
        connection.executemany(
            "UPDATE cluster SET retired = 0, created = ?, name = ?, exemplar_row = ?"
            " WHERE number = ?",
            [
                (info.created, info.name, rows.get(info.exemplar or ""), numbers[id_])
                for id_, info in live.items()
            ],
        )
        return numbers

    def name(self, connection: sqlite3.Connection, number: int, name: str | None) -> None:
        """Give a cluster a name, or take it away."""
        connection.execute("UPDATE cluster SET name = ? WHERE number = ?", (name, number))
        self._clusters[number].name = name

    def set_exemplars(self, connection: sqlite3.Connection, rows: Mapping[int, int]) -> list[int]:
        """Give clusters a new exemplar row; returns the numbers of those that changed."""
        changed = [n for n, row in rows.items() if self._clusters[n].exemplar_row != row]
        connection.executemany(
            "UPDATE cluster SET exemplar_row = ? WHERE number = ?",
            [(rows[number], number) for number in changed],
        )
        for number in changed:
            self._clusters[number].exemplar_row = rows[number]
        return changed
