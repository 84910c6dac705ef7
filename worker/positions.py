"""How far the worker as a whole has taken each partition, where a restart seeks to.

Each collection remembers its own positions with its records (step 3), and skips what it has.
This file only spares a restart from reading again what all collections have; it is written
after them, so it may be behind, never ahead.

A partition whose offsets begin anew (the topic was made again, and the settings accept that), or
that is to be read again, gets another key: no collection takes its records for old ones.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from index import Database, Finding, Part, scrub_database
from worker.errors import DataDirectoryError

# The position of a partition that is to be read from the first record that the source has.
_START = -1

SCHEMA = """
CREATE TABLE IF NOT EXISTS position (
  partition TEXT PRIMARY KEY, next INTEGER NOT NULL, rewinds INTEGER NOT NULL, origin TEXT NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Read:
    """How far one partition was read: the offset to read next, in what (`Source.origin`), and how
    often its offsets began anew.
    """

    next: int
    rewinds: int
    origin: str


class Positions:
    """Offsets to read next by partition, kept in `path` (SQLite).

    What changes them raises `sqlite3.Error` if the disk does not take it, and has no effect then.
    Opening raises what `Database` raises.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, schema=SCHEMA)
        rows = self._database.connection.execute(
            "SELECT partition, next, rewinds, origin FROM position"
        ).fetchall()
        self._next = {partition: following for partition, following, _, _ in rows}
        self._rewinds = {partition: rewinds for partition, _, rewinds, _ in rows}
        self._origins: dict[str, str] = {partition: origin for partition, _, _, origin in rows}

    @property
    def next(self) -> Mapping[str, int]:
        """The offset to read next of each partition read so far; none of one that begins anew."""
        return {p: offset for p, offset in self._next.items() if offset != _START}

    @property
    def read(self) -> Mapping[str, Read]:
        """How far each partition was read."""
        return {
            partition: Read(offset, self._rewinds.get(partition, 0), self.origin(partition))
            for partition, offset in self._next.items()
        }

    def origin(self, partition: str) -> str:
        """What the position is an offset in (`Source.origin`); empty if nothing was read of it."""
        return self._origins.get(partition, "")

    def begin_anew(self, partitions: Iterable[str]) -> None:
        """Forget positions: these partitions have another origin, and their offsets begin anew."""
        rewinds = {partition: self._rewinds.get(partition, 0) + 1 for partition in partitions}
        self._store(dict.fromkeys(rewinds, 0), {}, self._rewinds | rewinds)

    def read_again(self) -> list[str]:
        """Every partition is read from the first record that there is, and collections take all of
        them once more; the names of the partitions.
        """
        rewinds = {partition: self._rewinds.get(partition, 0) + 1 for partition in self._next}
        self._store(dict.fromkeys(rewinds, _START), {}, self._rewinds | rewinds)
        return sorted(rewinds)

    def key(self, partition: str, offset: int) -> str:
        """The name under which collections remember `partition`, now that `offset` came.

        An offset before the position means that the offsets began anew.
        """
        if offset < self._next.get(partition, 0):
            self._rewinds[partition] = self._rewinds.get(partition, 0) + 1
            self._next[partition] = offset
        return self._key(partition)

    def _key(self, partition: str) -> str:
        rewinds = self._rewinds.get(partition, 0)
        return f"{partition}~{rewinds}" if rewinds else partition

    def advance(self, following: Mapping[str, int], origin: str = "") -> None:
        """Remember the offsets to read next; survives a kill of the process."""
        self._store(following, dict.fromkeys(following, origin), self._rewinds)

    def _store(
        self,
        following: Mapping[str, int],
        origins: Mapping[str, str],
        rewinds: Mapping[str, int],
        *,
        durable: bool = False,
    ) -> None:
        known = {partition: origins.get(partition, "") for partition in following}
        if self._database.failed:
            self._database.close()
            self._database = Database(self._database.path, schema=SCHEMA)
        with self._database.transaction(durable=durable) as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?)",
                [(p, offset, rewinds.get(p, 0), known[p]) for p, offset in following.items()],
            )
        self._next.update(following)
        self._origins.update(known)
        self._rewinds.update(rewinds)

    def scrub(self, found: Callable[[Finding], object]) -> Iterator[int]:
        """Read the file again and compare it with its checksums; yields the bytes of each slice."""
        yield from scrub_database(self._database, Part.POSITIONS, found)

    def go_back(self, following: Mapping[str, int]) -> None:
        """Read again what a collection lost: from these offsets, which have the names that `key`
        gave, and all other partitions from the first record that there is; durably.
        """
        back = {
            partition: min(offset, following.get(self._key(partition), _START))
            for partition, offset in self._next.items()
        }
        self._store(back, self._origins, self._rewinds, durable=True)

    def join(self, key: str, offset: int, there: Read | None) -> None:
        """A collection comes from another data directory, where it has taken the partition that it
        remembers as `key` up to `offset`, and the worker read it as `there` says: read it on from
        there, or from where this worker is, whichever is earlier.

        Raises `DataDirectoryError` where the offsets did not begin anew as often as there.
        """
        partition, _, number = key.partition("~")
        rewinds = int(number or 0)
        here = self.read.get(partition)
        known = max(rewinds, there.rewinds if there else 0) if here is None else here.rewinds
        if here is not None and there is not None and here.rewinds != there.rewinds:
            raise DataDirectoryError(
                f"{self._database.path}: the offsets of {partition} began anew {here.rewinds} times"
                f" here, and {there.rewinds} times where the collection comes from"
            )
        if rewinds != known:
            return  # of offsets that are no more
        origin = here.origin if here else there.origin if there else ""
        self._store(
            {partition: min(offset, here.next) if here else offset},
            {partition: origin},
            {**self._rewinds, partition: known},
        )

    def forget(self, rewinds: Mapping[str, int]) -> None:
        """Read every partition from its start, durably; `rewinds` says how often each began anew
        before.
        """
        start = dict.fromkeys({*self._next, *rewinds}, 0)
        self._store(start, {}, {**self._rewinds, **rewinds}, durable=True)

    def close(self) -> None:
        """Close the file."""
        self._database.close()
